"""Salesforce's opportunities with their history: a version for each row of `OpportunityHistory`, known from its date."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from statistics import median
from typing import Any

from service.importing.cells import slug
from service.importing.deals import entered
from service.importing.lines import Sheet
from service.importing.records import Fault, Record, Ref, Values, Version
from service.importing.spool import Spool
from service.integrations.salesforce import codecs as c
from service.integrations.salesforce import shapes
from service.integrations.salesforce.reading import (
    Cells,
    Files,
    Unreadable,
    keeper,
    midnight_of,
    read_cell,
    tell_strangers,
    values_of,
)

PIPELINE = "salesforce"
LATE = frozenset({"next_step", "description", "loss_reason", "primary_contact_id"})
"""What an opportunity says today and nobody knows since when: known from its last change."""
MOVING = ("stage", "amount", "probability", "close_date", "forecast_category")
"""What `OpportunityHistory` tells."""
STANDARD = {
    "Prospecting": 10, "Qualification": 10, "Needs Analysis": 20, "Value Proposition": 50, "Id. Decision Makers": 60,
    "Perception Analysis": 70, "Proposal/Price Quote": 75, "Negotiation/Review": 90, "Closed Won": 100, "Closed Lost": 0,
}  # fmt: skip
"""Salesforce's own stages and their chances, in their order."""

Stage = dict[str, Any]


def stages_of(files: Files) -> dict[str, Stage]:
    """Label → stage, of all stages that the files name: their status by `IsClosed` and `IsWon`, else by their name."""
    chances: dict[str, list[float]] = {}
    ends: dict[str, str] = {}
    for shape in (shapes.OPPORTUNITY, shapes.HISTORY):
        sheet = files.of(shape)
        for item in sheet.rows() if sheet else ():
            if isinstance(item, tuple) and (label := item[1].get("StageName")):
                _count(item[1], label, chances, ends)
    found: list[Stage] = []
    for label in chances:
        status = ends.get(label) or _status(label)
        chance = {"won": 1.0, "lost": 0.0}.get(status)
        if chance is None:
            known = chances[label] or [STANDARD.get(label, 50)]
            chance = min(0.99, max(0.01, round(float(median(known)) / 100, 4)))
        found.append({"name": label, "status": status, "probability": chance})
    order = list(STANDARD)
    ends_last = {"open": 0, "won": 1, "lost": 2}
    found.sort(key=lambda stage: (
        ends_last[stage["status"]], stage["probability"],
        order.index(stage["name"]) if stage["name"] in order else 99, stage["name"],
    ))  # fmt: skip
    return {stage["name"]: stage | more for stage, more in zip(found, _named(found), strict=True)}


def _count(cells: Cells, label: str, chances: dict[str, list[float]], ends: dict[str, str]) -> None:
    told = chances.setdefault(label, [])
    if cells.get("Probability") and len(told) < 1_000:
        with suppress(ValueError):  # told where the row is read
            told.append(float(cells["Probability"]))
    if cells.get("IsClosed", "").lower() == "true":
        ends[label] = "won" if cells.get("IsWon", "").lower() == "true" else "lost"


def _status(label: str) -> str:
    words = slug(label).split("_")
    return "won" if "won" in words else "lost" if "lost" in words else "open"


def _named(stages: list[Stage]) -> Iterator[Stage]:
    """Key, position and category of each."""
    taken: set[str] = set()
    for position, stage in enumerate(stages, 1):
        key = slug(stage["name"])[:58] or "stage"
        key = f"s_{key}" if key[0].isdigit() else key
        while key in taken:
            key += "_"
        taken.add(key)
        chance = stage["probability"]
        category = {"won": "closed", "lost": "omitted"}.get(stage["status"])
        yield {
            "key": key, "position": position,
            "forecast_category": category or ("commit" if chance >= 0.9 else "best_case" if chance >= 0.5 else "pipeline"),
        }  # fmt: skip


def pipeline(stages: dict[str, Stage]) -> Iterator[Record]:
    """A pipeline of their own, for the stages that the files name."""
    if not stages:
        return
    yield Record("pipelines", PIPELINE, [Version({"key": PIPELINE, "name": "Salesforce"})])
    for stage in stages.values():
        values = {"pipeline_id": Ref("pipelines", PIPELINE)} | stage
        yield Record("stages", f"{PIPELINE}:{stage['key']}", [Version(values)])


def deals(files: Files, stages: dict[str, Stage]) -> Iterator[Record]:
    sheet, past = files.of(shapes.OPPORTUNITY), files.of(shapes.HISTORY)
    if sheet is None:
        return
    tell_strangers(files, sheet, shapes.OPPORTUNITY)
    if past is not None:
        tell_strangers(files, past, shapes.HISTORY)
    spool = Spool(_history_rows(files, past) if past is not None else ())
    ids = files.ids.setdefault("opportunities", set())
    source = _Source(files, stages, sheet, past)
    try:
        for line, cells in files.rows(sheet):
            identity = c.same_id(cells["Id"])
            ids.add(identity)
            try:
                yield _Deal(source, line, cells).record(spool.of(identity))
            except Unreadable as error:
                files.wrong(sheet, line, error)
        for identity, line in spool.strangers():
            assert past is not None
            files.faults.append(Fault(past.name, line, "OpportunityId", identity, "there is no such record"))
    finally:
        spool.close()


def _history_rows(files: Files, sheet: Sheet) -> Iterator[tuple[str, int, int, int, Cells]]:
    for line, cells in files.rows(sheet):
        try:
            at = read_cell(c.INSTANT, "CreatedDate", cells.get("CreatedDate", ""))
            if at is None:
                raise Unreadable("CreatedDate", "", "is missing")
        except Unreadable as error:
            files.wrong(sheet, line, error)
            continue
        yield c.same_id(cells.get("OpportunityId", "")), int(at.timestamp() * 1_000_000), 0, line, cells


class _Source:
    """What the rows of both files have in common."""

    def __init__(self, files: Files, stages: dict[str, Stage], sheet: Sheet, past: Sheet | None) -> None:
        self.files, self.stages, self.sheet, self.past = files, stages, sheet, past or sheet
        self.kept = keeper(sheet, shapes.OPPORTUNITY)
        self.kept_past = keeper(self.past, shapes.HISTORY)
        self.told = frozenset(self.past.columns)
        self.first = next(iter(stages), "")
        self.first_open = next((name for name, stage in stages.items() if stage["status"] == "open"), None)


class _Deal:
    """One opportunity on its way from rows to versions."""

    def __init__(self, source: _Source, line: int, cells: Cells) -> None:
        self.source, self.files, self.stages = source, source.files, source.stages
        self.line, self.cells = line, cells
        self.values = values_of(self.files, shapes.OPPORTUNITY, cells)
        self.identity = self.values.pop("external_id")
        self.created: datetime | None = self.values.pop("created_at", None)
        self.values.setdefault("currency", self.files.context.home)
        if "forecast_category" not in self.values and cells.get("ForecastCategory"):
            self.values["forecast_category"] = c.CATEGORY.read(cells["ForecastCategory"])
        if "stage" not in self.values:
            raise Unreadable("StageName", "", "is missing")
        self.state: Values = {}
        """What the versions so far say of stage, amount, chance, date and category; the stage by its label."""
        self.versions: list[Version] = []

    def record(self, rows: list[tuple[int, Cells]]) -> Record:
        final = {name: self.values.pop(name) for name in (*MOVING, *LATE) if name in self.values}
        late = {name: final.pop(name) for name in LATE if name in final}
        if self.stages[final["stage"]]["status"] != "open" or final.get("forecast_category") == "closed":
            final.pop("forecast_category", None)  # it is the stage's
        for line, cells in rows:
            try:
                self._from_history(line, cells)
            except Unreadable as error:
                self.files.wrong(self.source.past, line, error)
        if not self.versions or (self.created and self.versions[0].at and self.created < self.versions[0].at):
            self._at_creation(final)
        self._to_the_end(final, late)
        self.versions[0].values = (
            self.values | {"pipeline_id": Ref("pipelines", PIPELINE)} | self.versions[0].values
        )
        row = self.values | late | self.state | {"external_id": self.identity, "status": self.status}
        row["created_at"] = self.versions[0].at or self.files.context.now
        return Record(
            "opportunities", self.identity, self.versions, self.source.sheet.name, self.line,
            kept=[self.source.kept(self.cells, row, self.line)],
        )  # fmt: skip

    @property
    def status(self) -> str:
        return str(self.stages[self.state["stage"]]["status"])

    def _from_history(self, line: int, cells: Cells) -> None:
        source = self.source
        told = values_of(self.files, shapes.HISTORY, cells)
        at, identity = told.pop("known_from"), told.pop("external_id")
        told.pop("id", None)
        if category := cells.get("ForecastCategory"):
            told["forecast_category"] = c.CATEGORY.read(category)
        version = self._version(told, at)
        version.file, version.line, version.told = source.past.name, line, source.told
        row = self.state | {"external_id": identity, "id": self.identity, "known_from": at}
        version.kept = source.kept_past(cells, row, line)
        self.versions.append(version)

    def _version(self, told: Values, at: datetime | None) -> Version:
        """A version with what changes by `told`; a closed deal's category is its stage's, an open one is not closed."""
        before = self.state
        # a row of history is a whole state: an amount that it does not tell is one that was taken away
        gone: Values = {"amount": None, "close_date": None} if before else {"stage": self.source.first}
        state = before | gone | told
        stage = self.stages[state["stage"]]
        if ("stage" in told or not before) and "probability" not in told:
            state["probability"] = stage["probability"]
        category = state.get("forecast_category")
        if stage["status"] != "open" or category in (None, "closed"):
            category = stage["forecast_category"]
        state["forecast_category"] = category
        self.state = state
        values = {name: value for name in MOVING if (value := state.get(name)) != before.get(name)}
        if "stage" in values:
            values = self._entered(stage, at, state) | values | {"stage": stage["key"]}
        if "amount" in values or "closed_on" in values:
            day = values.get("closed_on") or (at or self.files.context.now).date()
            values["amount_home"] = self.files.context.at_home(
                state.get("amount"), self.values["currency"], day
            )
        values["forecast_category_source"] = "user" if category != stage["forecast_category"] else "stage"
        return Version(values, at)

    def _entered(self, stage: Stage, at: datetime | None, state: Values) -> Values:
        """A closed deal is closed on its close date, unless that lies behind the instant at which one knew of it."""
        context = self.files.context
        found = entered(stage, at, context.now, context.zone)
        day = state.get("close_date")
        if found["closed_on"] and day and day <= found["closed_on"]:
            found["closed_on"] = day
        return found

    def _at_creation(self, final: Values) -> None:
        """The first version where history begins later, or not at all: as history's first row; else open as it is, or,
        closed by now, in the first stage."""
        if self.versions:
            state = self.versions[0].values
            first = Version(dict(state), self.created)
            first.values |= {"stage_entered_at": self.created}
            if state.get("closed_at"):
                return
            self.versions.insert(0, first)
            return
        if self.stages[final["stage"]]["status"] == "open":
            self.versions.append(self._version(final, self.created))
            return
        label = self.source.first_open or final["stage"]
        told = {name: value for name, value in final.items() if name in ("amount", "close_date")}
        self.versions.append(self._version(told | {"stage": label}, self.created))

    def _to_the_end(self, final: Values, late: Values) -> None:
        """What the opportunity says beyond its last row of history, known from its last change."""
        changed = {name: value for name, value in final.items() if self.state.get(name) != value}
        if not changed and not late:
            return
        cell = self.cells.get("LastModifiedDate", "")
        at = read_cell(c.INSTANT, "LastModifiedDate", cell)
        closes = "stage" in changed and self.stages[changed["stage"]]["status"] != "open"
        if at is None and closes:
            at = midnight_of(self.files, "CloseDate", self.cells.get("CloseDate", ""))
        last = self.versions[-1].at
        at = max(at, last) if at and last else at
        at = min(at, self.files.context.now) if at else at
        version = self._version({name: final.get(name) for name in MOVING if name in final}, at)
        version.values |= late
        self.versions.append(version)
