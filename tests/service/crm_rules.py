"""What becomes of changes and files by the product's rules; for the CRM in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.db import metadata
from tests.service import crm_deals
from tests.service.crm_deals import Values
from tests.service.crm_in_memory import TREES, Change, Crm, Record

ABOUT_THE_VERSION = {"id", "version", "created_at", "updated_at", "created_by_id", "updated_by_id"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REFERENCES = {
    "parent_id": "accounts", "account_id": "accounts", "reports_to_id": "contacts", "primary_contact_id": "contacts",
}  # fmt: skip
NAMES = {"accounts": "name", "contacts": "last_name", "opportunities": "name", "leads": "last_name"}
TEXTS = {"accounts": "phone", "contacts": "title", "opportunities": "next_step"}
PATH = {
    "new": ("working", "nurturing", "qualified", "unqualified"),
    "working": ("nurturing", "qualified", "unqualified"),
    "nurturing": ("working", "qualified", "unqualified"),
    "qualified": ("working", "nurturing", "unqualified"),
    "unqualified": ("working", "nurturing"),
    "converted": (),
}  # fmt: skip


def blank(table: str) -> Values:
    """A row of nothing."""
    return {
        str(column.name): _nothing(column)
        for column in metadata.tables[table].columns
        if column.name not in ABOUT_THE_VERSION and column.computed is None
    }


def _nothing(column: sa.Column[Any]) -> Any:
    if column.nullable:
        return None
    if isinstance(column.type, sa.ARRAY):
        return []
    return False if isinstance(column.type, sa.Boolean) else {}


def refused(crm: Crm, record: Record, values: Values) -> int | None:
    """The status with which a change is refused."""
    changes = {name: value for name, value in values.items() if record.now[name] != value}
    tree = TREES.get(record.table)
    if tree and values.get(tree) == record.id:
        return 409
    category = changes.get("forecast_category")
    if record.table == "opportunities" and category and record.now["status"] != "open":
        return 422
    targets = [crm.records[changes[name]] for name in REFERENCES if changes.get(name)]
    if not all(target.is_live for target in targets):
        return 422
    if tree and changes.get(tree) and crm.closes_ring(record.table, record.id, {record.id: changes[tree]}):
        return 409
    return None


def followed(record: Record, sent: Values) -> Values:
    """What a change really changes: with what follows from it, and custom fields one by one."""
    changes = dict(sent)
    if "cf" in sent:
        united = record.now["cf"] | sent["cf"]
        changes["cf"] = {key: value for key, value in united.items() if value is not None}
    if record.table == "opportunities":
        if "forecast_category" in changes:
            changes |= crm_deals.categorized(record.now, changes.pop("forecast_category"))
        changes = crm_deals.worth(record.now, changes)
    return changes


def _leads_back(above: dict[str, str | None], start: str) -> bool:
    one, seen = above[start], set()
    while one is not None and one != start and one not in seen:
        seen.add(one)
        one = above.get(one)
    return one == start


class Files:
    """Files of one source, and what becomes of each of their lines: ids that are here are changed, others created."""

    def __init__(self, crm: Crm, source: str, me: str) -> None:
        self.crm, self.source, self.me = crm, source, me
        self.asserted: list[datetime] = []
        """Instants in the past at which records were known, as a file said."""

    def holders(self, table: str, external: str) -> list[Record]:
        """Live records of this id in the files' source."""
        return [
            record for record in self.crm.of(table) if record.now["external_ids"].get(self.source) == external
        ]

    def winners(self, table: str, external: str) -> set[str]:
        """What a record of this id was merged into, where that is live."""
        return {
            record.now["merged_into_id"]
            for record in self.crm.of(table, live=None)
            if record.now.get("merged_into_id") and record.now["external_ids"].get(self.source) == external
            and self.crm.records[record.now["merged_into_id"]].is_live
        }  # fmt: skip

    def line(self, table: str, external: str, row: Values) -> Values:
        """A row's cells, by the fields that they go into."""
        line = {"external_id": external, NAMES[table]: row["name"], "cf.tag": self.source}
        if "a" in row and table != "opportunities":
            line["cf.a"] = row["a"]
        if "text" in row:
            line[TEXTS[table]] = row["text"]
        parent = str(row.get("parent", ""))
        if parent and len(self.holders("accounts", parent)) == 1 and len(self.holders(table, external)) < 2:
            line["parent.external_id" if table == "accounts" else "account.external_id"] = parent
        if table == "opportunities":
            line |= {name: row[name] for name in ("amount", "stage") if name in row}
        if "days" in row and not self.holders(table, external):
            line["created_at"] = (LONG_AGO + timedelta(days=row["days"])).isoformat()
        return line

    def in_rings(self, lines: list[Values]) -> set[str]:
        """Ids of the lines that would stand in a ring: among themselves, or with what is here."""
        above = {line["external_id"]: line.get("parent.external_id") for line in lines}
        found = {one for one in above if _leads_back(above, one)}
        moved = {
            holders[0].id: (one, self.holders("accounts", parent)[0].id)
            for one, parent in above.items()
            if one not in found and parent and (holders := self.holders("accounts", one))
        }
        while True:
            parents: dict[str, str | None] = {id: parent for id, (_, parent) in moved.items()}
            ring = [id for id in moved if self.crm.leads_back("accounts", id, parents)]
            if not ring:
                return found
            found |= {moved.pop(id)[0] for id in ring}

    def loaded(self, change: Change, table: str, line: Values, rings: set[str]) -> str:
        """What becomes of a line."""
        external = line["external_id"]
        if external in rings:
            return "failed"
        values = {
            name: value
            for name, value in line.items()
            if "." not in name and name not in ("external_id", "created_at")
        }
        for name in ("parent", "account"):
            if cell := line.get(f"{name}.external_id"):
                values[f"{name}_id"] = self.holders("accounts", cell)[0].id
        cf = {name.removeprefix("cf."): value for name, value in line.items() if name.startswith("cf.")}
        holders = self.holders(table, external)
        if not holders and self.winners(table, external):
            return "unchanged"
        if holders:
            return self.reloaded(change, holders[0], values | {"cf": holders[0].now["cf"] | cf})
        asserted = datetime.fromisoformat(line["created_at"]) if "created_at" in line else None
        values |= {"cf": cf, "external_ids": {self.source: external}, "owner_id": self.me}
        if table == "opportunities":
            values |= self.new_deal(values, values.pop("stage", "prospecting"))
        self.crm.create(change, table, f"new {table} {external}", blank(table) | values, asserted)
        if asserted:
            self.asserted.append(asserted)
        return "created"

    def new_deal(self, values: Values, stage: str) -> Values:
        moment = self.crm.moment()
        found = crm_deals.entered(stage, moment)
        if found["status"] != "open":
            found |= {"closed_at": moment, "closed_on": datetime.now(UTC).date()}
        return found | {"currency": "USD", "amount_home": values.get("amount")}

    def reloaded(self, change: Change, record: Record, values: Values) -> str:
        if record.table == "opportunities":
            stage = values.pop("stage", None)
            if stage and stage != record.now["stage"]:
                values |= crm_deals.moved(record.now, stage, None, self.crm.moment())
            values = crm_deals.worth(record.now, values)
        return "updated" if self.crm.write(change, record, values) else "unchanged"
