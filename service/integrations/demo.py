"""The simulated company: dated files as an export of another CRM would be, written by `python -m training synthetic`."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from service.importing.deals import entered
from service.importing.records import Fault, Item, Record, Ref, Values, Version
from service.importing.spool import Spool
from service.integrations.files import Row, Wrong, instant, interleaved, require, rows, wrong

SOURCE = "demo"

REFERENCES = {
    "owner": "users", "account": "accounts", "team": "teams", "manager": "users", "product": "products",
    "competitor": "competitors", "contact": "contacts", "opportunity": "opportunities", "lead": "leads",
    "parent": "teams", "user": "users", "converted_account": "accounts", "converted_contact": "contacts",
    "converted_opportunity": "opportunities", "primary_contact": "contacts",
}  # fmt: skip
LISTS = frozenset({"aliases", "tags"})
"""Columns whose cells hold several values with `|` between."""

DOCUMENTS = frozenset({"criteria", "steps"})
SKIPPED = frozenset({"id", "at", "seq"})


FILES = (
    "teams", "users", "competitors", "products", "stages", "accounts", "contacts", "opportunities", "opportunity_history",
    "leads", "lead_history", "lines", "stakeholders", "activities", "notes", "battle_cards", "playbooks", "quotas",
)  # fmt: skip


def read(folder: Path, now: datetime, zone: str) -> Iterator[Item]:
    """All records in an order in which references point backwards, and what is wrong."""
    require(folder, *FILES)
    faults: list[Fault] = []
    yield from interleaved(faults, _records(folder, now, zone, faults))


def _records(folder: Path, now: datetime, zone: str, faults: list[Fault]) -> Iterator[Record]:
    pipelines, stages, by_key = _pipelines(folder, faults)
    managers: list[Record] = []
    yield from _teams(folder, managers, faults)
    yield from _simple(folder, "users", faults)
    yield from managers
    yield from _simple(folder, "competitors", faults)
    yield from _simple(folder, "products", faults)
    yield from pipelines
    yield from stages
    yield from _periods(folder)
    yield from _simple(folder, "accounts", faults, _account)
    yield from _simple(folder, "contacts", faults)
    yield from _deals(folder, by_key, now, zone, faults)
    yield from _leads(folder, now, faults)
    yield from _simple(folder, "lines", faults)
    yield from _simple(folder, "stakeholders", faults)
    yield from _simple(folder, "activities", faults, _activity)
    yield from _simple(folder, "notes", faults, _note)
    yield from _simple(folder, "battle_cards", faults)
    yield from _simple(folder, "playbooks", faults, _playbook)
    yield from _quotas(folder, faults)


def values_of(row: Row) -> Values:
    """Cells as columns: references become `Ref`s, lists are split, empty cells are left out."""
    found: Values = {}
    for column, cell in row.items():
        if column in SKIPPED or cell == "":
            continue
        if column in REFERENCES:
            found[f"{column}_id"] = Ref(REFERENCES[column], cell)
        elif column in LISTS:
            found[column] = cell.split("|")
        elif column in DOCUMENTS:
            found[column] = _document(column, cell)
        else:
            found[column] = cell
    return found


def _document(column: str, cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        raise Wrong(column, cell, "is not JSON") from None


def _simple(folder: Path, table: str, faults: list[Fault], shape: Any = None) -> Iterator[Record]:
    """One version a row, known from `at` (or from the import)."""
    for line, row in rows(folder, table, ("id",), faults):
        try:
            values = values_of(row)
            if shape:
                shape(values)
            yield Record(
                table, row["id"], [Version(values, instant(row.get("at", "")))], f"{table}.csv", line
            )
        except Wrong as error:
            faults.append(wrong(table, line, error.column, error.value, error.detail))


def _account(values: Values) -> None:
    address = {name: values.pop(name) for name in ("city", "country") if name in values}
    if address:
        values["billing_address"] = address


def _activity(values: Values) -> None:
    values["source"] = SOURCE


def _note(values: Values) -> None:
    if author := values.pop("author", None):
        values["created_by_id"] = Ref("users", author)


def _playbook(values: Values) -> None:
    if "stage" in values:
        values["pipeline_id"] = Ref("pipelines", "sales")


def _teams(folder: Path, managers: list[Record], faults: list[Fault]) -> Iterator[Record]:
    """A team's manager is a user whose team is a team: the manager is told behind the users."""
    for line, row in rows(folder, "teams", ("id", "name", "parent", "manager"), faults):
        values = values_of(row)
        if manager := values.pop("manager_id", None):
            led = Version({"manager_id": manager})
            managers.append(Record("teams", row["id"], [led], "teams.csv", line, continues=True))
        yield Record("teams", row["id"], [Version(values)], "teams.csv", line)


def _pipelines(
    folder: Path, faults: list[Fault]
) -> tuple[list[Record], list[Record], dict[str, dict[str, Any]]]:
    pipelines: dict[str, Record] = {}
    stages, by_key = [], {}
    for line, row in rows(folder, "stages", ("pipeline", "key", "name", "position", "status"), faults):
        key = row.pop("pipeline")
        pipelines.setdefault(
            key, Record("pipelines", key, [Version({"key": key, "name": key.title()})], "stages.csv", line)
        )
        by_key[row["key"]] = dict(row)
        values = values_of(row) | {"pipeline_id": Ref("pipelines", key)}
        stages.append(Record("stages", f"{key}:{row['key']}", [Version(values)], "stages.csv", line))
    return list(pipelines.values()), stages, by_key


def _periods(folder: Path) -> Iterator[Record]:
    """The quarters that quotas name; a key that is none is told by the quota itself, whose period is then missing."""
    for key in sorted({row["period"] for _, row in rows(folder, "quotas", ("period", "amount"), [])}):
        if not re.fullmatch(r"\d{4}Q[1-4]", key):
            continue
        year, quarter = int(key[:4]), int(key[5])
        start = date(year, 3 * quarter - 2, 1)
        end = date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
        values = {
            "key": key, "name": f"Q{quarter} {year}", "type": "quarter", "start_date": start,
            "end_date": date.fromordinal(end.toordinal() - 1), "fiscal_year": year,
        }  # fmt: skip
        yield Record("periods", key, [Version(values)], "quotas.csv")


def _quotas(folder: Path, faults: list[Fault]) -> Iterator[Record]:
    for line, row in rows(folder, "quotas", ("period", "user", "team", "amount"), faults):
        values = values_of(row) | {"status": "published"}
        values["period_id"] = Ref("periods", values.pop("period"))
        yield Record(
            "quotas", f"{row['period']}:{row['user'] or row['team']}", [Version(values)], "quotas.csv", line
        )


class Past:
    """The rows of a history file by record, in order of (instant, sequence); `spoiled` records had a row that is none."""

    def __init__(self, folder: Path, name: str, key: str, faults: list[Fault]) -> None:
        self.folder, self.name, self.key, self.faults = folder, name, key, faults
        self.spoiled: set[str] = set()
        self._spool = Spool(self._rows())

    def _rows(self) -> Iterator[tuple[str, int, int, int, Row]]:
        for line, row in rows(self.folder, self.name, (self.key, "at", "seq"), self.faults):
            try:
                at, seq = instant(row["at"]) or _nothing("at"), _whole("seq", row["seq"])
            except Wrong as error:
                self.faults.append(wrong(self.name, line, error.column, error.value, error.detail))
                self.spoiled.add(row[self.key])
            else:
                yield row[self.key], int(at.timestamp() * 1_000_000), seq, line, row

    def of(self, record: str) -> list[tuple[int, Row]]:
        return self._spool.of(record)

    def close(self) -> None:
        """Tells the rows about records that their own file does not have."""
        for record, line in self._spool.strangers():
            self.faults.append(wrong(self.name, line, self.key, record, "there is no such record"))
        self._spool.close()


def _nothing(column: str) -> datetime:
    raise Wrong(column, "", "is missing")


def _whole(column: str, cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise Wrong(column, cell, "is not a whole number") from None


def _leads(folder: Path, now: datetime, faults: list[Fault]) -> Iterator[Record]:
    past = Past(folder, "lead_history", "lead", faults)
    for line, row in rows(folder, "leads", ("id", "at"), faults):
        changes = past.of(row["id"])
        if row["id"] in past.spoiled:
            faults.append(wrong("leads", line, "id", row["id"], "has a broken line in lead_history.csv"))
            continue
        first = values_of(row)
        country = first.pop("country", None)
        if country:
            first["address"] = {"country": country}
        try:
            versions = [*_lead_versions(first, changes)] or [Version(first, instant(row["at"]))]
        except Wrong as error:
            faults.append(wrong("leads", line, error.column, error.value, error.detail))
        else:
            yield Record("leads", row["id"], versions, "leads.csv", line)
    past.close()


def _lead_versions(first: Values, changes: list[tuple[int, Row]]) -> Iterator[Version]:
    for number, (line, change) in enumerate(changes):
        values = values_of({name: cell for name, cell in change.items() if name != "lead"})
        at = instant(change["at"])
        if number == 0:
            values = first | values | {"assigned_at": at}
        elif values.get("status") == "working":
            values["first_response_at"] = at
        elif values.get("status") == "converted":
            values["converted_at"] = at
        yield Version(values, at, "lead_history.csv", line, frozenset(change))


def _deals(
    folder: Path, stages: dict[str, dict[str, Any]], now: datetime, zone: str, faults: list[Fault]
) -> Iterator[Record]:
    past = Past(folder, "opportunity_history", "opportunity", faults)
    for line, row in rows(folder, "opportunities", ("id", "at", "name", "owner", "pipeline"), faults):
        changes = past.of(row["id"])
        first = values_of(row)
        if "pipeline" in first:
            first["pipeline_id"] = Ref("pipelines", first.pop("pipeline"))
        if row["id"] in past.spoiled or not changes:
            what = "a broken line" if row["id"] in past.spoiled else "no line"
            faults.append(
                wrong("opportunities", line, "id", row["id"], f"has {what} in opportunity_history.csv")
            )
            continue
        versions = _deal_versions(first, changes, stages, now, zone, faults)
        if versions:
            yield Record("opportunities", row["id"], versions, "opportunities.csv", line)
    past.close()


def _deal_versions(
    first: Values,
    changes: list[tuple[int, Row]],
    stages: dict[str, Any],
    now: datetime,
    zone: str,
    faults: list[Fault],
) -> list[Version]:
    """All versions of a deal; none where a line is wrong, which is told: half a history would be another history."""
    versions: list[Version] = []
    before = ""
    for line, change in changes:
        try:
            if change["stage"] not in stages:
                raise Wrong("stage", change["stage"], "is no stage of the file")
            values = _deal_version(change, stages, before, now, zone)
        except Wrong as error:
            faults.append(wrong("opportunity_history", line, error.column, error.value, error.detail))
            return []
        before = change["stage"]
        known = instant(change["at"])
        whole = values if versions else first | values
        versions.append(Version(whole, known, "opportunity_history.csv", line, frozenset(change)))
    return versions


def _deal_version(change: Row, stages: dict[str, Any], before: str, now: datetime, zone: str) -> Values:
    values = values_of({name: cell for name, cell in change.items() if name != "opportunity"})
    at = instant(change["at"])
    stage = stages[change["stage"]]
    moved = entered(stage, at, now, zone) if change["stage"] != before else {}
    if "forecast_category" in values:
        chosen = values["forecast_category"] != stage["forecast_category"]
        values["forecast_category_source"] = "user" if chosen else "stage"
    else:
        values["forecast_category"] = stage["forecast_category"]
    competitor = values.get("competitor_id")
    if competitor is not None and stage["status"] == "open":
        values["competitor_ids"] = [values.pop("competitor_id")]
    elif competitor is not None:
        values["competitor_ids"] = [competitor]
    if "amount" in values:
        values["amount_home"] = _money(values["amount"])
    return values | moved


def _money(cell: str) -> Decimal:
    try:
        return Decimal(cell)
    except InvalidOperation:
        raise Wrong("amount", cell, "is not a number") from None
