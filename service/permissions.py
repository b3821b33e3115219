"""The one table of who may do what: role by resource, and the fields that a role does not see or may not set."""

READ = frozenset({"read"})
WRITE = frozenset({"read", "create", "update", "delete"})

RECORDS = [
    "accounts",
    "contacts",
    "relationships",
    "leads",
    "opportunities",
    "lines",
    "stakeholders",
    "splits",
    "quotes",
    "activities",
    "notes",
    "shares",
    "documents",
    "plan_items",
    "comments",
    "guest_links",
]
"""What reps and managers keep."""

CATALOGUE = [
    "users",
    "teams",
    "products",
    "price_books",
    "campaigns",
    "pools",
    "routing_rules",
    "pipelines",
    "stages",
    "territory_models",
    "territories",
    "periods",
    "competitors",
    "battle_cards",
    "playbooks",
    "company",
    "exchange_rates",
    "fields",
    "roles",
    "validation_rules",
]
"""What all who are signed in may read."""

INSIGHT = [
    "scores",
    "recommendations",
    "forecasts",
    "search",
    "board",
    "models",
    "features",
    "events",
    "jobs",
    "quotas",
    "me",
    "access",
    "changes",
]

ROLES = ("rep", "manager", "ops", "data_scientist", "admin", "integration")


def _role(*parts: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    merged: dict[str, frozenset[str]] = {}
    for part in parts:
        for resource, actions in part.items():
            merged[resource] = merged.get(resource, frozenset()) | actions
    return merged


def _all(resources: list[str], actions: frozenset[str] | set[str]) -> dict[str, frozenset[str]]:
    return dict.fromkeys(resources, frozenset(actions))


_own_things = _role(
    _all(["views", "reminders"], WRITE), _all(["notifications"], {"read", "update", "delete"})
)
_reader = _role(_all(RECORDS, READ), _all(CATALOGUE, READ), _all(INSIGHT, READ), _own_things)
_rep = _role(
    _reader,
    _all(RECORDS, WRITE),
    _all(["opportunities"], {"stage", "whatif"}),
    _all(["leads"], {"status", "convert"}),
    _all(["recommendations"], {"done", "dismiss", "snooze"}),
    _all(["accounts", "contacts", "leads"], {"merge"}),
    _all(["duplicates"], {"read", "update"}),
    _all(["bulk"], {"read", "create"}),
    _all(["forecasts"], {"submit"}),
)
_manager = _role(
    _rep,
    _all(["opportunities"], {"assign", "reopen"}),
    _all(["accounts", "leads"], {"assign"}),
    _all(["forecasts"], {"override", "league"}),
    _all(["webhooks"], WRITE),
    _all(["notes"], {"inspect"}),
)
_ops = _role(
    _manager,
    _all(CATALOGUE, WRITE),
    _all(["quotas"], WRITE),
    _all(["webhooks"], WRITE),
    _all(["imports", "exports", "bulk", "changes"], {"read", "create", "undo"}),
    _all(["audit"], READ),
    _all(["duplicates"], {"scan"}),
    _all(["users"], {"transfer"}),
    _all(["periods"], {"lock"}),
    _all(["access"], {"explain"}),
)
_scientist = _role(
    _reader,
    _all(["models"], {"train", "promote"}),
    _all(["features"], {"query"}),
    _all(["opportunities"], {"whatif"}),
    _all(["forecasts"], {"league"}),
)
_admin = _role(_ops, _scientist, _all(["api_keys", "users", "jobs"], WRITE))

PERMISSIONS: dict[str, dict[str, frozenset[str]]] = {
    "rep": _rep,
    "manager": _manager,
    "ops": _ops,
    "data_scientist": _scientist,
    "admin": _admin,
    "integration": _role(_ops, _scientist),
}
"""role → resource → actions. An integration's key may do what both this table and its scopes allow."""

_PERSONAL = frozenset({"email", "phone", "mobile_phone"})

HIDDEN: dict[str, dict[str, frozenset[str]]] = {
    "contacts": {"data_scientist": _PERSONAL | {"mailing_address"}},
    "leads": {"data_scientist": _PERSONAL | {"address"}},
}
"""resource → role → the fields that do not exist for that role: who studies models needs no telephone numbers."""

READ_ONLY: dict[str, dict[str, frozenset[str]]] = {
    "leads": {"rep": frozenset({"mql_at"}), "manager": frozenset({"mql_at"})},
}
"""resource → role → the fields that it sees and may not set: marketing says when a lead qualified."""

PLAIN = frozenset(
    "id version created_at updated_at deleted_at created_by_id updated_by_id owner_id name last_name email status stage"  # noqa: SIM905  # a list of words reads better as one
    " pipeline_id account_id opportunity_id lead_id amount amount_home currency close_date closed_on closed_at"
    " probability forecast_category expected_revenue territory_id".split()
)
"""What no custom role hides: rows are told apart by it, and every board, forecast and total is made of it."""
