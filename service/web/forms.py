"""Forms of records: the fields of a resource as inputs, and what was written there as the members of its shape.

A form names its inputs `f-name`, parts of a group `f-address.city`, cells of rows `f-steps.0.title`. Rows that are left
blank are none. A reference comes as two inputs: the id, which a script sets or the page held, and the words `….text`
that a person wrote; where the words are not those of the id, the words count.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from service.web import titles
from service.web.fields import Field
from service.web.frame import Visit
from service.web.shown import EMPTY, Row, value

Form = Mapping[str, list[str]]
Faults = dict[str, str]

SPARE_ROWS = 2
MOST_ROWS = 60
SIMPLE = frozenset(["text", "area", "email", "url", "choice", "date"])


class Input(msgspec.Struct, kw_only=True):
    """One input as the page shows it: its name and what stands in it."""

    field: Field
    name: str
    text: str = ""
    """What one reads there; of a reference the title."""
    id: str = ""
    chosen: list[str] = []
    options: list[titles.Option] = []
    parts: list["Input"] = []
    rows: list[list["Input"]] = []
    error: str = ""
    now: str = ""
    """What somebody else has put there meanwhile."""


# Writing: values into a form ---------------------------------------------------------------------------------------


def _decimal(held: Any) -> str:
    text = format(Decimal(str(held)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def written(field: Field, held: Any, zone: ZoneInfo, name: str = "") -> dict[str, list[str]]:
    """A value as the inputs of a form hold it."""
    name = name or f"f-{field.name}"
    if held in EMPTY and held is not False:
        return {name: [""]}
    match field.kind:
        case "flag":
            return {name: ["true" if held else "false"]}
        case "number" | "money" | "whole":
            return {name: [_decimal(held)]}
        case "instant":
            moment = datetime.fromisoformat(str(held).replace("Z", "+00:00")).astimezone(zone)
            return {name: [moment.strftime("%Y-%m-%dT%H:%M")]}
        case "references" | "choices":
            return {name: [str(each) for each in held]}
        case "words":
            return {name: [", ".join(map(str, held))]}
        case "group":
            return _joined(
                written(part, held.get(part.name), zone, f"{name}.{part.name}") for part in field.parts
            )
        case "rows":
            return _joined(
                written(part, each.get(part.name), zone, f"{name}.{index}.{part.name}")
                for index, each in enumerate(held)
                for part in field.parts
            )
        case "any":
            return {name: [held if isinstance(held, str) else msgspec.json.encode(held).decode()]}
        case _:
            return {name: [str(held)]}


def _joined(parts: Iterable[dict[str, list[str]]]) -> dict[str, list[str]]:
    return {name: values for part in parts for name, values in part.items()}


def of_row(fields: Iterable[Field], row: Row, zone: ZoneInfo) -> dict[str, list[str]]:
    """A record as a form."""
    return _joined(written(field, value(row, field.name), zone) for field in fields)


# Reading: a form into values ---------------------------------------------------------------------------------------


def _last(form: Form, name: str) -> str:
    return (form.get(name) or [""])[-1].strip()


def _figure(text: str, kind: str) -> Any:
    """A number as it is written here or there: `1,200.50`, `1 200,50`. Raises ValueError."""
    text = text.replace("\u202f", "").replace("\u00a0", "").replace(" ", "").replace("’", "")
    if text.count(",") == 1 and "." not in text and len(text.partition(",")[2]) != 3:
        text = text.replace(",", ".")
    try:
        found = Decimal(text.replace(",", ""))
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if kind == "money":
        return format(found, "f")
    if kind == "whole" and found != found.to_integral_value():
        raise ValueError("is not a whole number")
    return int(found) if kind == "whole" else float(found)


def _simple(field: Field, text: str, zone: ZoneInfo) -> Any:
    """The value of one input that is not blank. Raises ValueError with what is wrong in words."""
    match field.kind:
        case "flag":
            return text == "true"
        case "number" | "money" | "whole":
            return _figure(text, field.kind)
        case "instant":
            try:
                return datetime.fromisoformat(text).replace(tzinfo=zone).isoformat()
            except ValueError:
                raise ValueError("is not a day with its time") from None
        case "words":
            return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
        case "any":
            try:
                return msgspec.json.decode(text)
            except msgspec.DecodeError:
                return text
        case _:
            return text.replace("\r\n", "\n")


def read(field: Field, form: Form, zone: ZoneInfo, faults: Faults, name: str = "") -> Any:
    """What a form says of one field: None for a blank, UNSET where the form does not have it."""
    name = name or f"f-{field.name}"
    if field.kind in ("references", "choices"):
        return [each for each in form[name] if each] if name in form else msgspec.UNSET
    if field.kind == "group":
        return _group(field, form, zone, faults, name)
    if field.kind == "rows":
        return _rows(field, form, zone, faults, name)
    if name not in form:
        return msgspec.UNSET
    text = _last(form, name)
    if not text:
        return [] if field.kind == "words" else None
    try:
        return _simple(field, text, zone)
    except ValueError as error:
        faults[name] = str(error)
        return msgspec.UNSET


def _group(field: Field, form: Form, zone: ZoneInfo, faults: Faults, name: str) -> Any:
    if not any(key.startswith(f"{name}.") for key in form):
        return None if name in form else msgspec.UNSET
    parts = {part.name: read(part, form, zone, faults, f"{name}.{part.name}") for part in field.parts}
    return {key: each for key, each in parts.items() if each not in (msgspec.UNSET, None, [])} or None


def _rows(field: Field, form: Form, zone: ZoneInfo, faults: Faults, name: str) -> Any:
    there = [key for key in form if key.startswith(f"{name}.")]
    if not there:
        return [] if name in form else msgspec.UNSET
    found = []
    for index in range(MOST_ROWS):
        prefix = f"{name}.{index}."
        if any(key.startswith(prefix) for key in there):
            cells = {part.name: read(part, form, zone, faults, prefix + part.name) for part in field.parts}
            if any(_says(part, cells[part.name]) for part in field.parts):
                found.append({key: each for key, each in cells.items() if each not in (msgspec.UNSET, None)})
    return found


def _says(part: Field, held: Any) -> bool:
    return part.kind != "flag" and held not in (msgspec.UNSET, None, [])


def members(fields: Iterable[Field], form: Form, zone: ZoneInfo, old: Row | None) -> tuple[Row, Faults]:
    """The members of a Draft (`old` None) or of a Patch, without what stays as it was, and what could not be read.

    A blank is left out of a Draft; in a Patch it clears the field.
    """
    found: Row = {}
    faults: Faults = {}
    for field in fields:
        held = read(field, form, zone, faults)
        if held is msgspec.UNSET or (old is None and held in (None, [])):
            continue
        if old is not None and held == read(field, written(field, value(old, field.name), zone), zone, {}):
            continue
        if field.name.startswith("cf."):
            found.setdefault("cf", {})[field.name[3:]] = held
        else:
            found[field.name] = (
                "" if held is None and not field.is_nullable and field.kind in SIMPLE else held
            )
    return found, faults


# References: words into ids -----------------------------------------------------------------------------------------


async def settle(
    visit: Visit, fields: Iterable[Field], form: dict[str, list[str]]
) -> tuple[Faults, dict[str, list[titles.Option]]]:
    """Puts the ids of what people wrote by name into the form; tells what is unknown, and offers where several fit."""
    faults: Faults = {}
    offers: dict[str, list[titles.Option]] = {}
    for field, name in _references(fields, form):
        text, held = _last(form, f"{name}.text"), _last(form, name)
        if not text:
            form[name] = [] if field.kind == "references" else [""]
            continue
        names = await titles.of(visit, [(field.target, held)]) if _is_id(held) else {}
        if names.get(held) == text:
            continue
        found = await titles.options(visit, field.target, text, exactly=True)
        found = found or await titles.options(visit, field.target, text)
        if len(found) == 1:
            form[name] = [found[0].id]
            continue
        form[name] = [""]
        offers[name] = found
        faults[name] = "more than one has this name: choose" if found else "nothing here has this name"
    return faults, offers


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _references(fields: Iterable[Field], form: Form, prefix: str = "f-") -> list[tuple[Field, str]]:
    """Every reference of the form that was written as words."""
    found: list[tuple[Field, str]] = []
    for field in fields:
        name = prefix + field.name
        if field.kind == "reference" and f"{name}.text" in form:
            found.append((field, name))
        elif field.kind == "group":
            found += _references(field.parts, form, f"{name}.")
        elif field.kind == "rows":
            for index in range(MOST_ROWS):
                found += _references(field.parts, form, f"{name}.{index}.")
        elif field.kind == "references" and f"{name}.more.text" in form:
            more = msgspec.structs.replace(field, kind="reference")
            found.append((more, f"{name}.more"))
    return found


def gather(fields: Iterable[Field], form: dict[str, list[str]]) -> None:
    """Adds what was written beside a list of references to the list itself."""
    for field in fields:
        more = _last(form, f"f-{field.name}.more")
        if field.kind == "references" and more:
            form[f"f-{field.name}"] = [*form.get(f"f-{field.name}", []), more]


# Showing ------------------------------------------------------------------------------------------------------------


class Sheet(msgspec.Struct, kw_only=True):
    """What the inputs of a page are made of."""

    form: Form
    names: dict[str, str] = {}
    short: dict[str, list[titles.Option]] = {}
    """All rows of the tables that a form lists."""
    faults: Faults = {}
    offers: dict[str, list[titles.Option]] = {}

    def input(self, field: Field, name: str = "") -> Input:
        """One field as an input, with its parts and rows."""
        name = name or f"f-{field.name}"
        made = Input(
            field=field, name=name, error=self.faults.get(name, ""), options=self.offers.get(name, [])
        )
        match field.kind:
            case "group":
                made.parts = [self.input(part, f"{name}.{part.name}") for part in field.parts]
            case "rows":
                count = min(self._count(name) + SPARE_ROWS, MOST_ROWS)
                made.rows = [
                    [self.input(part, f"{name}.{index}.{part.name}") for part in field.parts]
                    for index in range(count)
                ]
            case "reference" | "references":
                self._refer(made)
            case "choices":
                made.chosen = self.form.get(name, [])
            case _:
                made.text = _last(self.form, name)
        return made

    def _refer(self, made: Input) -> None:
        held = [each for each in self.form.get(made.name, []) if each]
        made.id, made.chosen = (held[-1] if held else ""), held
        typed = _last(self.form, f"{made.name}.text")
        made.text = self.names.get(made.id, "") or (typed if not made.id else "")
        if made.field.target in self.short and not made.options:
            made.options = self.short[made.field.target]
        if made.field.kind == "references":
            listed = {option.id for option in made.options}
            made.options = [
                *(
                    titles.Option(id=each, title=self.names.get(each, "–"))
                    for each in held
                    if each not in listed
                ),
                *made.options,
            ]

    def _count(self, name: str) -> int:
        """How many rows of the form say something."""
        numbers = [
            int(key[len(name) + 1 :].partition(".")[0])
            for key, values in self.form.items()
            if key.startswith(f"{name}.") and key[len(name) + 1 :].partition(".")[0].isdigit()
            and any(values) and not set(values) <= {"false"}
        ]  # fmt: skip
        return max(numbers, default=-1) + 1


def tables(fields: Iterable[Field]) -> set[str]:
    """The tables that these fields point at, parts and cells included."""
    found: set[str] = set()
    for field in fields:
        if field.kind in ("reference", "references") and field.target:
            found.add(field.target)
        found |= tables(field.parts)
    return found


def named(fields: Iterable[Field], form: Form, prefix: str = "f-") -> list[tuple[str, str]]:
    """(table, id) of what a form holds, for its titles."""
    found: list[tuple[str, str]] = []
    for field in fields:
        name = prefix + field.name
        if field.kind in ("reference", "references"):
            found += [(field.target, each) for each in form.get(name, []) if _is_id(each)]
        elif field.kind == "group":
            found += named(field.parts, form, f"{name}.")
        elif field.kind == "rows":
            for index in range(MOST_ROWS):
                found += named(field.parts, form, f"{name}.{index}.")
    return found


LISTED = frozenset({"users", "competitors", "products"})
"""Tables whose rows are offered as a list where several are chosen, as long as they are few."""
FEW = 40


async def sheet(
    visit: Visit, fields: list[Field], form: Form, faults: Faults | None = None,
    offers: dict[str, list[titles.Option]] | None = None,
) -> Sheet:  # fmt: skip
    """The sheet of a form, with titles and the rows of short tables looked up."""
    short = {}
    lists = {field.target for field in fields if field.kind == "references"} & LISTED
    for table in sorted(tables(fields)):
        if titles.is_short(table):
            short[table] = await titles.choices(visit, table)
        elif table in lists and len(found := await titles.options(visit, table, "", FEW + 1)) <= FEW:
            short[table] = found
    names = await titles.of(visit, named(fields, form))
    return Sheet(form=form, names=names, short=short, faults=faults or {}, offers=offers or {})


def figure(text: str) -> int:
    """A small whole number of a hidden input; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
