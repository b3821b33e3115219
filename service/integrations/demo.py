"""The simulated company: dated files as an export of another CRM would be, written by `python -m training synthetic`."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from service.importer import Fault, Record, Ref, Values, Version
from service.integrations.files import Row, Wrong, instant, rows, stage_columns, wrong

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


def read(folder: Path, now: datetime, zone: str) -> tuple[list[Record], list[Fault]]:
    """All records in an order in which references point backwards; the later versions of teams, leads and deals last."""
    faults: list[Fault] = []
    pipelines, stages, by_key = _pipelines(folder, faults)
    records = [
        *_teams(folder, faults), *_simple(folder, "users", faults), *_simple(folder, "competitors", faults),
        *_simple(folder, "products", faults), *pipelines, *stages, *_periods(folder), *_simple(folder, "accounts", faults, _account),
        *_simple(folder, "contacts", faults), *_leads(folder, now, faults), *_deals(folder, by_key, now, zone, faults),
        *_simple(folder, "lines", faults), *_simple(folder, "stakeholders", faults), *_simple(folder, "activities", faults, _activity),
        *_simple(folder, "notes", faults, _note), *_simple(folder, "battle_cards", faults), *_simple(folder, "playbooks", faults, _playbook),
        *_quotas(folder, faults),
    ]  # fmt: skip
    return records, faults


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


def _teams(folder: Path, faults: list[Fault]) -> Iterator[Record]:
    """A team's manager is a user whose team is a team: the manager comes with the second version."""
    for line, row in rows(folder, "teams", ("id", "name", "parent", "manager"), faults):
        values = values_of(row)
        manager = values.pop("manager_id", None)
        versions = [Version(values)] + ([Version({"manager_id": manager})] if manager else [])
        yield Record("teams", row["id"], versions, "teams.csv", line)


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


class Past(dict[str, list[tuple[int, Row]]]):
    """The rows of a history file by record, in order of (instant, sequence); `spoiled` records had a row that is none."""

    def __init__(self, folder: Path, name: str, key: str, faults: list[Fault]) -> None:
        super().__init__()
        self.name, self.spoiled = name, set[str]()
        found: dict[str, list[tuple[Any, int, Row]]] = defaultdict(list)
        for line, row in rows(folder, name, (key, "at", "seq"), faults):
            try:
                order = (instant(row["at"]) or _nothing("at"), _whole("seq", row["seq"]))
            except Wrong as error:
                faults.append(wrong(name, line, error.column, error.value, error.detail))
                self.spoiled.add(row[key])
            else:
                found[row[key]].append((order, line, row))
        for record, versions in found.items():
            self[record] = [(line, row) for _, line, row in sorted(versions, key=lambda item: item[0])]

    def refuse_strangers(self, key: str, known: set[str], faults: list[Fault]) -> None:
        """Rows about records that their own file does not have."""
        for record, versions in self.items():
            if record not in known:
                faults.append(wrong(self.name, versions[0][0], key, record, "there is no such record"))


def _nothing(column: str) -> datetime:
    raise Wrong(column, "", "is missing")


def _whole(column: str, cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise Wrong(column, cell, "is not a whole number") from None


def _leads(folder: Path, now: datetime, faults: list[Fault]) -> Iterator[Record]:
    past, known = Past(folder, "lead_history", "lead", faults), set[str]()
    for line, row in rows(folder, "leads", ("id", "at"), faults):
        known.add(row["id"])
        if row["id"] in past.spoiled:
            faults.append(wrong("leads", line, "id", row["id"], "has a broken line in lead_history.csv"))
            continue
        first = values_of(row)
        country = first.pop("country", None)
        if country:
            first["address"] = {"country": country}
        try:
            versions = [*_lead_versions(first, past.get(row["id"], []))] or [
                Version(first, instant(row["at"]))
            ]
        except Wrong as error:
            faults.append(wrong("leads", line, error.column, error.value, error.detail))
        else:
            yield Record("leads", row["id"], versions, "leads.csv", line)
    past.refuse_strangers("lead", known, faults)


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
    past, known = Past(folder, "opportunity_history", "opportunity", faults), set[str]()
    for line, row in rows(folder, "opportunities", ("id", "at", "name", "owner", "pipeline"), faults):
        known.add(row["id"])
        first = values_of(row)
        if "pipeline" in first:
            first["pipeline_id"] = Ref("pipelines", first.pop("pipeline"))
        if row["id"] in past.spoiled or row["id"] not in past:
            what = "a broken line" if row["id"] in past.spoiled else "no line"
            faults.append(
                wrong("opportunities", line, "id", row["id"], f"has {what} in opportunity_history.csv")
            )
            continue
        versions = _deal_versions(first, past[row["id"]], stages, now, zone, faults)
        if versions:
            yield Record("opportunities", row["id"], versions, "opportunities.csv", line)
    past.refuse_strangers("opportunity", known, faults)


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
    entered = stage_columns(stage, at, now, zone) if change["stage"] != before else {}
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
    return values | entered


def _money(cell: str) -> Decimal:
    try:
        return Decimal(cell)
    except InvalidOperation:
        raise Wrong("amount", cell, "is not a number") from None
