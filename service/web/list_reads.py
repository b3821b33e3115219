"""What a list of records shows around its rows: chips, columns, saved views, menus of choices; all as addresses."""

from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec

from service import query, saved
from service.access import may, visible
from service.db import Params
from service.resource import Resource
from service.web import catalogue, titles
from service.web.fields import OPERATORS, Field
from service.web.frame import Visit
from service.web.words import plain

Pairs = list[tuple[str, str]]
Row = dict[str, Any]

FORM = ("filter_field", "filter_op", "filter_value", "column")
"""Parameters of the page's own forms, which become parameters of the grammar."""
OURS = frozenset({*FORM, "done", "undo"})
MENUS, VIEWS, OWNERS = 3, 30, 80


class Chip(msgspec.Struct, kw_only=True):
    label: str
    href: str
    is_on: bool = True


def pairs_of(scope: Any) -> Pairs:
    """The parameters of the grammar in an address."""
    text = scope["query_string"].decode("utf-8", "replace")
    return [pair for pair in parse_qsl(text, keep_blank_values=True) if pair[0] not in OURS]


def address(resource: Resource, pairs: Pairs) -> str:
    path = catalogue.href(resource)
    return f"{path}?{urlencode(pairs)}" if pairs else path


def without(pairs: Pairs, *names: str) -> Pairs:
    """The parameters but for these; another filter or order begins at the first page."""
    return [pair for pair in pairs if pair[0] not in (*names, "cursor")]


def filters_of(pairs: Pairs) -> Pairs:
    """Those that are filters."""
    return [pair for pair in pairs if pair[0] not in query.RESERVED]


def canonical(form: Row, pairs: Pairs) -> Pairs | None:
    """The address that one of the page's forms asks for; None where none was sent."""
    if form.get("column"):
        return [*without(pairs, "fields"), ("fields", ",".join(form["column"]))]
    field = (form.get("filter_field") or [""])[0]
    if not field:
        return None
    operator, value = (form.get("filter_op") or ["eq"])[0], (form.get("filter_value") or [""])[0].strip()
    if operator == "is_null":
        value = "false" if value.lower() in ("no", "false") else "true"
    name = field if operator == "eq" else f"{field}[{operator}]"
    return [*without(pairs), (name, value)]


def field_label(fields: dict[str, Field], path: str) -> str:
    """`account.owner.name` as words."""
    if path in fields:
        return fields[path].label
    for field in fields.values():
        if field.filter == path:
            return field.label
    return ", ".join(plain(part) for part in path.split("."))


def _value(fields: dict[str, Field], path: str, text: str, names: dict[str, str]) -> str:
    field = fields.get(path)
    if field is not None and field.kind in ("reference", "references"):
        return ", ".join(names.get(each, "?") for each in text.split(","))
    if field is not None and field.kind == "flag":
        return {"true": "yes", "false": "no"}.get(text, text)
    if field is not None and field.kind in ("choice", "choices"):
        return ", ".join(field.told(each) for each in text.split(","))
    return text


def _told(fields: dict[str, Field], name: str, text: str, names: dict[str, str]) -> str:
    """One filter as a chip says it."""
    path, _, operator = name.partition("[")
    operator = operator.rstrip("]") or "eq"
    said = field_label(fields, path)
    if operator == "is_null":
        return f"{said} {'is empty' if text != 'false' else 'is there'}"
    shown = _value(fields, path, text, names)
    words = {"eq": ":"}.get(operator, f" {OPERATORS.get(operator, operator)}")
    return f"{said}{words} {shown}"


def _ids(fields: dict[str, Field], filters: Pairs) -> list[tuple[str, str]]:
    found = []
    for name, text in filters:
        field = fields.get(name.partition("[")[0])
        if field is not None and field.target:
            found += [(field.target, each) for each in text.split(",") if _is_id(each)]
    return found


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


async def chips(visit: Visit, resource: Resource, fields: dict[str, Field], pairs: Pairs) -> list[Chip]:
    """The filters that are on, each with the address without it."""
    filters = filters_of(pairs)
    names = await titles.of(visit, _ids(fields, filters))
    made = []
    for pair in filters:
        rest = [each for each in without(pairs) if each != pair]
        made.append(Chip(label=_told(fields, *pair, names), href=address(resource, rest)))
    return made


async def inherited(
    visit: Visit, resource: Resource, fields: dict[str, Field], pairs: Pairs, request: query.Request
) -> list[Chip]:
    """The filters that a saved view has put in before those of the address."""
    count = len(request.filters) - len(filters_of(pairs))
    theirs = [(f"{field}[{operator}]", value) for field, operator, value in request.filters[: max(0, count)]]
    return await chips(visit, resource, fields, theirs)


class Menu(msgspec.Struct, kw_only=True):
    """A field whose few values stand in a menu."""

    label: str
    items: list[Chip]


async def menus(
    visit: Visit, resource: Resource, fields: dict[str, Field], columns: list[str], pairs: Pairs
) -> list[Menu]:
    """The choices of the columns shown, and the owners, as filters one picks."""
    made: list[Menu] = []
    for name in columns:
        field = fields[name]
        if len(made) < MENUS and field.kind in ("choice", "flag"):
            words = field.choices or ("true", "false")
            texts = [
                field.told(word) if field.choices else {"true": "Yes", "false": "No"}[word] for word in words
            ]
            items = [
                _pick(resource, pairs, name, word, text) for word, text in zip(words, texts, strict=True)
            ]
            made.append(Menu(label=field.label, items=items))
    if "owner_id" in fields and (visit.actor.owners is None or len(visit.actor.owners) > 1):
        people = await _owners(visit)
        items = [_pick(resource, pairs, "owner_id", each.id, each.title) for each in people]
        made.append(Menu(label=fields["owner_id"].label, items=items))
    return made


def _pick(resource: Resource, pairs: Pairs, name: str, value: str, label: str) -> Chip:
    is_on = (name, value) in pairs
    rest = without(pairs, name)
    return Chip(label=label, is_on=is_on, href=address(resource, rest if is_on else [*rest, (name, value)]))


async def _owners(visit: Visit) -> list[titles.Option]:
    """The people whose records one may see, oneself first."""
    found = await titles.options(visit, "users", "", OWNERS)
    mine = [each for each in found if each.id == str(visit.actor.id)]
    reach = visit.actor.owners
    seen = None if reach is None else {str(each) for each in reach}
    return mine + [each for each in found if each not in mine and (seen is None or each.id in seen)]


class View(msgspec.Struct, kw_only=True):
    """A saved view to pick."""

    id: str
    name: str
    href: str
    is_mine: bool
    is_on: bool
    is_shared: bool


async def views(visit: Visit, resource: Resource, pairs: Pairs) -> list[View]:
    """The views of this list that one has made or been given, one's own first."""
    if not may(visit.actor, "views", "read"):
        return []
    params = Params([resource.key, visit.actor.id])
    seen = visible(visit.actor, "views", "v", params)
    rows = await visit.database.fetch(
        "SELECT v.id, v.name, v.created_by_id = $2::uuid AS is_mine, v.shared_team_ids <> '{}' AS is_shared FROM views v"
        f" WHERE v.resource = $1 AND v.deleted_at IS NULL AND {seen}"
        f" ORDER BY v.created_by_id IS DISTINCT FROM $2::uuid, lower(v.name), v.id LIMIT {VIEWS}",
        *params,
    )
    chosen = dict(pairs).get("view")
    return [
        View(
            id=str(row["id"]), name=row["name"], is_mine=bool(row["is_mine"]), is_shared=row["is_shared"],
            is_on=str(row["id"]) == chosen, href=address(resource, [("view", str(row["id"]))]),
        )
        for row in rows
    ]  # fmt: skip


def criteria(pairs: Pairs) -> list[Row]:
    """The filters of an address as a view keeps them."""
    found = []
    for name, text in filters_of(pairs):
        field, _, operator = name.partition("[")
        operator = operator.rstrip("]") or "eq"
        several: Any = text.split(",") if operator in ("in", "nin") else text
        found.append(
            {"field": field, "op": operator, "value": text == "true" if operator == "is_null" else several}
        )
    return found


async def asked(
    visit: Visit, resource: Resource, fields: dict[str, Field], pairs: Pairs
) -> tuple[query.Request, list[str]]:
    """The request that an address makes, its view put in, with the columns that it shows."""
    request = query.parse(urlencode(pairs).encode())
    request = await saved.applied(visit.database, visit.actor, resource.key, request)
    request.group, request.figures, request.expand = None, [], []
    columns = [name for name in request.fields or () if name in fields] or catalogue.usual(resource, fields)
    request.fields = columns + (["currency"] if "currency" in fields and "currency" not in columns else [])
    request.count = True
    if not request.sort and resource.key in catalogue.ORDER:
        query.reserved(request, "sort", catalogue.ORDER[resource.key])
    return request, columns


def header(resource: Resource, field: Field, request: query.Request, pairs: Pairs) -> Row:
    """A column's head: the address that sorts by it, and how it is sorted now."""
    now = next((down for name, down in request.sort if name == field.name), None)
    key = f"-{field.name}" if now is False else field.name
    state = "none" if now is None else "descending" if now else "ascending"
    href = address(resource, [*without(pairs, "sort"), ("sort", key)]) if field.is_sortable else ""
    return {"field": field, "href": href, "sort": state}
