"""Who may do what, declared once more, apart from the code: every operation of the API's document with what it needs.

The ordinary routes of a resource follow from its path; verbs are listed. Which role has which permission is read from
`docs/permissions.md`, where people look it up; whose records a person sees is said here.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

DOCS = Path(__file__).resolve().parents[2] / "docs"

PEOPLE = ("anonymous", "rep", "rep2", "manager", "ops", "data", "admin", "key")
"""The owner of all records below is `rep`; `rep2` is a peer, `manager` leads both; `key` is an admin's without scope."""

SEES = {"rep", "manager", "ops", "data", "admin"}
"""Who sees a record of the rep."""


class Need(msgspec.Struct, frozen=True):
    """A permission; none: whoever is signed in, or with `is_open` anybody. `key_too`: a key needs no scope for it."""

    resource: str = ""
    action: str = ""
    is_open: bool = False
    key_too: bool = False


def _need(text: str) -> Need:
    resource, _, action = text.partition(":")
    return Need(resource, action)


VERBS: dict[str, Need] = {
    "POST /auth/token": Need(is_open=True),
    "POST /auth/refresh": Need(is_open=True),
    "POST /auth/session": Need(is_open=True),
    "POST /auth/logout": Need(key_too=True),
    "POST /auth/password": Need(),
    "GET /me": Need(key_too=True),
    "GET /changes": Need(),
    "GET /changes/{change_id}": Need(),
    "POST /changes/{change_id}/undo": Need(),
    "POST /jobs/{job_id}/undo": Need(),
    **{operation: _need(text) for operation, text in {
        "POST /fields/{record_id}/index": "fields:update",
        "GET /access/explain": "access:read",
        "POST /accounts/{record_id}/assign": "accounts:assign",
        "POST /leads/{record_id}/assign": "leads:assign",
        "POST /opportunities/{record_id}/assign": "opportunities:assign",
        **{f"POST /{name}/{{record_id}}/clone": f"{name}:create" for name in (
            "accounts", "campaigns", "contacts", "leads", "opportunities", "products"
        )},
        "GET /accounts/{record_id}/timeline": "activities:read",
        "GET /contacts/{record_id}/timeline": "activities:read",
        "GET /leads/{record_id}/timeline": "activities:read",
        "GET /opportunities/{record_id}/timeline": "activities:read",
        "GET /activities/summary": "activities:read",
        "GET /board": "opportunities:read",
        "POST /bulk/preview": "bulk:create",
        "GET /campaigns/{record_id}/results": "campaigns:read",
        "GET /company": "company:read",
        "PATCH /company": "company:update",
        "GET /documents/{record_id}/content": "documents:read",
        "PUT /documents/{record_id}/content": "documents:update",
        "GET /documents/{record_id}/versions": "documents:read",
        "GET /duplicates": "duplicates:read",
        "POST /duplicates/check": "duplicates:read",
        "POST /duplicates/dismiss": "duplicates:update",
        "POST /duplicates/reopen": "duplicates:update",
        "POST /duplicates/scan": "duplicates:scan",
        "GET /events": "events:read",
        "GET /features": "features:read",
        "POST /features/historical": "features:read",
        "POST /features/backfill": "features:query",
        "POST /features/historical/spines": "features:query",
        "GET /features/historical/{set_id}/file": "features:query",
        "POST /features/online": "features:read",
        "GET /forecasts": "forecasts:read",
        "POST /forecasts": "forecasts:submit",
        "GET /forecasts/league": "forecasts:league",
        "POST /forecasts/override": "forecasts:override",
        "POST /guest-links/{record_id}/revoke": "guest_links:update",
        "GET /guest-links/{record_id}/views": "guest_links:read",
        "POST /imports/preview": "imports:create",
        "GET /imports/{job_id}/errors": "imports:read",
        "GET /exports/{job_id}/file": "exports:read",
        "GET /me/day": "me:read",
        "GET /jobs": "jobs:read",
        "POST /jobs/{job_id}/pause": "jobs:read",
        "POST /jobs/{job_id}/resume": "jobs:read",
        "GET /jobs/{job_id}": "jobs:read",
        "POST /jobs/{job_id}/cancel": "jobs:read",
        "POST /leads/{record_id}/convert": "leads:convert",
        "POST /leads/{record_id}/status": "leads:status",
        "GET /leads/{record_id}/score": "scores:read",
        "GET /leads/{record_id}/score/diff": "scores:read",
        "GET /leads/{record_id}/score/history": "scores:read",
        "POST /merge": "accounts:merge",
        "POST /merge/preview": "accounts:merge",
        "GET /models": "models:read",
        "GET /models/{name}/card": "models:read",
        "GET /models/{name}/aliases": "models:read",
        "PUT /models/{name}/aliases/{alias}": "models:promote",
        "DELETE /models/{name}/aliases/{alias}": "models:promote",
        "GET /models/{name}/report": "models:read",
        "POST /models/{name}/promote": "models:promote",
        "POST /models/{name}/rollback": "models:promote",
        "POST /models/{name}/train": "models:train",
        "POST /notifications/read-all": "notifications:update",
        "POST /notifications/{record_id}/read": "notifications:update",
        "GET /notifications/preferences": "notifications:read",
        "PUT /notifications/preferences": "notifications:update",
        "GET /opportunities/{record_id}/recommendations": "recommendations:read",
        "GET /opportunities/{record_id}/room": "opportunities:read",
        "GET /opportunities/{record_id}/score": "scores:read",
        "GET /opportunities/{record_id}/score/diff": "scores:read",
        "GET /opportunities/{record_id}/score/history": "scores:read",
        "GET /opportunities/{record_id}/similar": "opportunities:read",
        "POST /opportunities/{record_id}/stage": "opportunities:stage",
        "POST /opportunities/{record_id}/whatif": "opportunities:whatif",
        "POST /quotes/{record_id}/document": "quotes:update",
        "GET /quotes/{record_id}/page": "quotes:read",
        "POST /quotes/{record_id}/revise": "quotes:create",
        "GET /recommendations": "recommendations:read",
        "POST /recommendations/{record_id}/dismiss": "recommendations:dismiss",
        "POST /recommendations/{record_id}/done": "recommendations:done",
        "POST /recommendations/{record_id}/snooze": "recommendations:snooze",
        "GET /search": "search:read",
        "POST /search/similar": "search:read",
        "GET /users/{record_id}/holdings": "users:transfer",
        "POST /users/{record_id}/transfer/preview": "users:transfer",
        "POST /users/{record_id}/transfer": "users:transfer",
        "POST /users/{record_id}/deactivate": "users:update",
        "GET /webhooks/{record_id}/deliveries": "webhooks:read",
        "POST /webhooks/{record_id}/replay": "webhooks:update",
        "POST /webhooks/{record_id}/rotate": "webhooks:update",
        "POST /webhooks/{record_id}/test": "webhooks:update",
    }.items()},
}  # fmt: skip

_ORDINARY = {
    ("GET", ""): "read",
    ("GET", "/{record_id}"): "read",
    ("GET", "/{record_id}/history"): "read",
    ("GET", "/{record_id}/tree"): "read",
    ("POST", ""): "create",
    ("PATCH", "/{record_id}"): "update",
    ("PUT", "/{record_id}"): "update",
    ("POST", "/{record_id}/revert"): "update",
    ("DELETE", "/{record_id}"): "delete",
    ("POST", "/{record_id}/restore"): "delete",
}
"""What the routes of every resource need."""

QUERIES = {"POST /features/historical/spines": "?entity=opportunity"}
FILES = {"PUT /documents/{record_id}/content"}
"""What takes a file, not JSON."""

BODIES: dict[str, Any] = {
    "POST /features/online": {"entity": "opportunity", "ids": ["{deal}"]},
    "POST /features/historical": {
        "entity": "opportunity",
        "pairs": [{"id": "{deal}", "as_of": "2026-01-01T00:00:00Z"}],
    },
    "POST /bulk": {
        "resource": "accounts",
        "action": "update",
        "filter": {"name": "nothing"},
        "set": {"website": "x"},
    },
    "POST /bulk/preview": {
        "resource": "accounts",
        "action": "update",
        "filter": {"name": "nothing"},
        "set": {"website": "x"},
    },
    "POST /auth/password": {"current": "no", "new": "a long enough password"},
    "POST /accounts/{record_id}/assign": {"owner_id": "{rep}"},
    "POST /leads/{record_id}/assign": {"owner_id": "{rep}"},
    "POST /opportunities/{record_id}/assign": {"owner_id": "{rep}"},
    "POST /leads/{record_id}/status": {"to": "working"},
    "POST /opportunities/{record_id}/stage": {"to": "proposal"},
    "POST /opportunities/{parent_id}/lines": {"product_id": "{product}", "quantity": 1},
    "POST /opportunities/{parent_id}/stakeholders": {"contact_id": "{contact}", "role": "legal"},
    "POST /opportunities/{parent_id}/splits": {"user_id": "{rep}", "percent": 10, "type": "overlay"},
    "POST /merge": {"resource": "accounts", "winner_id": "{nobody}", "loser_ids": ["{other}"]},
    "POST /merge/preview": {"resource": "accounts", "winner_id": "{nobody}", "loser_ids": ["{other}"]},
    "POST /duplicates/check": {"entity": "accounts", "values": {"name": "X"}},
    "POST /duplicates/dismiss": {"entity": "accounts", "ids": ["{nobody}", "{other}"]},
    "POST /duplicates/reopen": {"entity": "accounts", "ids": ["{nobody}", "{other}"]},
}
"""Bodies by which a verb gets as far as the record; others are asked with an empty object."""


def body_of(operation: str) -> Any:
    """A body by which the operation gets as far as the record."""
    return {"version": 1} if operation.endswith("/revert") else BODIES.get(operation, {})


def need_of(operation: str) -> Need | None:
    """What an operation, `POST /leads/{record_id}/convert`, needs; None where nobody has declared it."""
    if operation in VERBS:
        return VERBS[operation]
    method, _, path = operation.partition(" ")
    match = re.fullmatch(r"(?:/opportunities/\{parent_id\})?/([a-z-]+)(/.*)?", path)
    action = match and _ORDINARY.get((method, match[2] or ""))
    return Need(match[1].replace("-", "_"), action) if match and action else None


def permissions() -> dict[str, dict[str, set[str]]]:
    """resource → role → actions, as `docs/permissions.md` says."""
    lines = [line for line in (DOCS / "permissions.md").read_text().splitlines() if line.startswith("|")]
    roles = [cell.strip() for cell in lines[0].strip("|").split("|")][1:]
    found: dict[str, dict[str, set[str]]] = {}
    for line in lines[2:]:
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[name] = {role: set(cell.split()) for role, cell in zip(roles, cells, strict=True)}
    return found
