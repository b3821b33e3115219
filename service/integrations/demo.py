"""The simulated company: dated files as an export of another CRM would be, written by `python -m training synthetic`."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.importer import Fault, Record, Ref, Values, Version
from service.integrations.files import Row, instant, rows, stage_columns, wrong

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
    pipelines, stages, by_key = _pipelines(folder)
    records = [
        *_teams(folder), *_simple(folder, "users", faults), *_simple(folder, "competitors", faults),
        *_simple(folder, "products", faults), *pipelines, *stages, *_periods(folder), *_simple(folder, "accounts", faults, _account),
        *_simple(folder, "contacts", faults), *_leads(folder, now, faults), *_deals(folder, by_key, now, zone, faults),
        *_simple(folder, "lines", faults), *_simple(folder, "stakeholders", faults), *_simple(folder, "activities", faults, _activity),
        *_simple(folder, "notes", faults, _note), *_simple(folder, "battle_cards", faults), *_simple(folder, "playbooks", faults, _playbook),
        *_quotas(folder),
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
        else:
            found[column] = json.loads(cell) if column in DOCUMENTS else cell
    return found


def _simple(folder: Path, table: str, faults: list[Fault], shape: Any = None) -> Iterator[Record]:
    """One version a row, known from `at` (or from the import)."""
    for line, row in rows(folder, table, ("id",)):
        try:
            values = values_of(row)
            if shape:
                shape(values)
            yield Record(table, row["id"], [Version(values, instant(row.get("at", "")))], f"{table}.csv", line)
        except ValueError as error:
            faults.append(wrong(table, line, "at", row.get("at", ""), str(error)))


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


def _teams(folder: Path) -> Iterator[Record]:
    """A team's manager is a user whose team is a team: the manager comes with the second version."""
    for line, row in rows(folder, "teams", ("id", "name", "parent", "manager")):
        values = values_of(row)
        manager = values.pop("manager_id", None)
        versions = [Version(values)] + ([Version({"manager_id": manager})] if manager else [])
        yield Record("teams", row["id"], versions, "teams.csv", line)


def _pipelines(folder: Path) -> tuple[list[Record], list[Record], dict[str, dict[str, Any]]]:
    pipelines: dict[str, Record] = {}
    stages, by_key = [], {}
    for line, row in rows(folder, "stages", ("pipeline", "key", "name", "position", "status")):
        key = row.pop("pipeline")
        pipelines.setdefault(key, Record("pipelines", key, [Version({"key": key, "name": key.title()})], "stages.csv", line))
        by_key[row["key"]] = dict(row)
        values = values_of(row) | {"pipeline_id": Ref("pipelines", key)}
        stages.append(Record("stages", f"{key}:{row['key']}", [Version(values)], "stages.csv", line))
    return list(pipelines.values()), stages, by_key


def _periods(folder: Path) -> Iterator[Record]:
    """The quarters that quotas name."""
    for key in sorted({row["period"] for _, row in rows(folder, "quotas", ("period", "amount"))}):
        year, quarter = int(key[:4]), int(key[5])
        start = date(year, 3 * quarter - 2, 1)
        end = date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
        values = {
            "key": key, "name": f"Q{quarter} {year}", "type": "quarter", "start_date": start,
            "end_date": date.fromordinal(end.toordinal() - 1), "fiscal_year": year,
        }  # fmt: skip
        yield Record("periods", key, [Version(values)], "quotas.csv")


def _quotas(folder: Path) -> Iterator[Record]:
    for line, row in rows(folder, "quotas", ("period", "user", "team", "amount")):
        values = values_of(row) | {"status": "published"}
        values["period_id"] = Ref("periods", values.pop("period"))
        yield Record("quotas", f"{row['period']}:{row['user'] or row['team']}", [Version(values)], "quotas.csv", line)


def _history(folder: Path, name: str, key: str) -> dict[str, list[tuple[int, Row]]]:
    """The rows of a history file by record, in order of (instant, sequence)."""
    found: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for line, row in rows(folder, name, (key, "at", "seq")):
        found[row[key]].append((line, row))
    for versions in found.values():
        versions.sort(key=lambda item: (item[1]["at"], int(item[1]["seq"])))
    return found


def _leads(folder: Path, now: datetime, faults: list[Fault]) -> Iterator[Record]:
    history = _history(folder, "lead_history", "lead")
    for line, row in rows(folder, "leads", ("id", "at")):
        first = values_of(row)
        country = first.pop("country", None)
        if country:
            first["address"] = {"country": country}
        versions: list[Version] = []
        for _, change in history.get(row["id"], []):
            values = values_of({name: cell for name, cell in change.items() if name != "lead"})
            at = instant(change["at"])
            if not versions:
                values = first | values | {"assigned_at": at}
            elif values.get("status") == "working":
                values["first_response_at"] = at
            elif values.get("status") == "converted":
                values["converted_at"] = at
            versions.append(Version(values, at))
        yield Record("leads", row["id"], versions or [Version(first, instant(row["at"]))], "leads.csv", line)


def _deals(
    folder: Path, stages: dict[str, dict[str, Any]], now: datetime, zone: str, faults: list[Fault]
) -> Iterator[Record]:
    history = _history(folder, "opportunity_history", "opportunity")
    for line, row in rows(folder, "opportunities", ("id", "at", "name", "owner", "pipeline")):
        first = values_of(row)
        first["pipeline_id"] = Ref("pipelines", first.pop("pipeline"))
        versions: list[Version] = []
        stage = ""
        for number, change in history.get(row["id"], []):
            if change["stage"] not in stages:
                faults.append(wrong("opportunity_history", number, "stage", change["stage"], "is no stage of the file"))
                continue
            values = _deal_version(change, stages, stage, now, zone)
            stage = change["stage"]
            versions.append(Version(first | values if not versions else values, instant(change["at"])))
        if versions:
            yield Record("opportunities", row["id"], versions, "opportunities.csv", line)
        else:
            faults.append(wrong("opportunities", line, "id", row["id"], "has no line in opportunity_history.csv"))


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
        values["amount_home"] = Decimal(values["amount"])
    return values | entered
