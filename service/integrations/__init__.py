"""One file per kind of partner: how its files and messages become ours."""
