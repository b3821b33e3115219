"""One file per business noun, named as its URL: tables, shapes, rules, routes."""
