"""Validation rules at work: when a record is so, it must be so. Judged wherever a record is written."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from service import criteria
from service.db import Database, Tx, table_named
from service.errors import Invalid, Pointer

Row = Mapping[str, Any]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Where all of `when` holds, all of `require` must hold; else `message`, pointing at `field`."""

    name: str
    when: list[dict[str, Any]]
    require: list[dict[str, Any]]
    field: str
    message: str


Rules = dict[str, list[Rule]]

_ACTIVE = """
SELECT entity, name, "when", "require", field, message FROM validation_rules
WHERE is_active AND deleted_at IS NULL ORDER BY name, id"""


async def _read(run: Database | Tx) -> Rules:
    found: Rules = {}
    for row in await run.fetch(_ACTIVE):
        values = dict(row)
        table = table_named(values.pop("entity")) or ""
        values["field"] = values["field"] or values["require"][0]["field"]
        found.setdefault(table, []).append(Rule(**values))
    return found


async def rules_of(run: Database | Tx, table: str) -> Sequence[Rule]:
    """The active rules of a table: remembered for a moment by the process, or for the life of a transaction."""
    if isinstance(run, Database):
        return (await run.remember("validation rules", lambda: _read(run))).get(table, ())
    if "validation rules" not in run.memory:
        run.memory["validation rules"] = await _read(run)
    found: Rules = run.memory["validation rules"]
    return found.get(table, ())


def faults(rules: Sequence[Rule], row: Row) -> Iterator[Pointer]:
    """What the rules find wrong with a row: the field, the message and the rule's name."""
    for rule in rules:
        if criteria.matches(rule.when, row) and not criteria.matches(rule.require, row):
            pointer = "/" + rule.field.replace(".", "/")
            yield {"pointer": pointer, "detail": rule.message, "rule": rule.name}


async def judge(run: Database | Tx, table: str, row: Row) -> None:
    """Raises `Invalid` that names each field and rule that the row offends."""
    rules = await rules_of(run, table)
    if rules and (found := list(faults(rules, row))):
        said = "; ".join(f"{each['detail']} (rule {each['rule']})" for each in found[:5])
        raise Invalid(said, errors=found)
