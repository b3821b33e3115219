"""Salesforce's files as records, in an order in which references point backwards; what has no field of ours is kept."""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.importing.lines import Sheet
from service.importing.records import Context, Fault, Kept, Record, Ref, Values, Version
from service.importing.sheets import look
from service.integrations.files import midnight
from service.integrations.salesforce import codecs as c
from service.integrations.salesforce import shapes
from service.integrations.salesforce.shapes import ENTRY, SHAPES, Shape

SOURCE = "salesforce"
Cells = dict[str, str]
Shaped = Callable[["Files", Values, Cells], None]


class Unreadable(ValueError):
    """A cell that is not what its column takes."""

    def __init__(self, column: str, value: str, detail: str) -> None:
        super().__init__(detail)
        self.column, self.value, self.detail = column, value, detail


class Files:
    """The files of one folder, found by name, and what is remembered of them while they are read."""

    def __init__(self, folder: Path, context: Context, faults: list[Fault]) -> None:
        self.context, self.faults = context, faults
        self.ids: dict[str, set[str]] = {}
        """table → the ids that its file has, for columns that point at records of several kinds."""
        self.products: dict[str, str] = {}
        """Entry of a price book → its product."""
        self._sheets = _find(folder)
        if not self._sheets:
            names = ", ".join(f"{shape.file}.csv" for shape in SHAPES)
            raise Invalid(f"There is none of Salesforce's files in {folder}: {names}.")

    def sheet(self, *names: str) -> Sheet | None:
        """The first of these files that is here."""
        return next((self._sheets[name.lower()] for name in names if name.lower() in self._sheets), None)

    def of(self, shape: Shape) -> Sheet | None:
        return self.sheet(shape.file, *shape.others)

    def files(self) -> list[tuple[str, list[str]]]:
        """Each file with its columns."""
        return [(sheet.stem, sheet.columns) for sheet in self._sheets.values()]

    def rows(self, sheet: Sheet) -> Iterator[tuple[int, Cells]]:
        """Rows that are rows and are not deleted; what is wrong with others is told."""
        for item in sheet.rows():
            if isinstance(item, Fault):
                self.faults.append(item)
                continue
            line, cells = item
            if cells.get("IsDeleted", "").lower() in ("true", "1"):
                self.note(sheet, line, "IsDeleted", "true", "is deleted there; left out")
            elif not cells.get("Id"):
                self.faults.append(Fault(sheet.name, line, "Id", "", "is missing"))
            else:
                yield line, cells

    def note(self, sheet: Sheet, line: int, column: str, value: str, detail: str) -> None:
        self.faults.append(Fault(sheet.name, line, column, value[:200], detail, True))

    def wrong(self, sheet: Sheet, line: int, error: Unreadable) -> None:
        self.faults.append(Fault(sheet.name, line, error.column, error.value[:200], error.detail))


def _find(folder: Path) -> dict[str, Sheet]:
    wanted = {name.lower() for shape in SHAPES for name in (shape.file, *shape.others)} | {ENTRY.lower()}
    return {
        path.stem.lower(): look(path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".csv" and path.stem.lower() in wanted
    }


def values_of(files: Files, shape: Shape, cells: Cells) -> Values:
    """What a row says, typed; references as `Ref`s. Raises `Unreadable`."""
    found: Values = {}
    for name, first, rest, codec, table in shapes.read_plan(shape.file):
        cell = cells.get(name)
        if not cell:
            if codec is c.BOOL and cell is not None:
                found[first] = first == "is_active"
            continue
        try:
            value = codec.read(cell)
        except ValueError as error:
            raise Unreadable(name, cell, str(error)) from None
        if value is None:
            continue
        if rest:
            found.setdefault(first, {})[rest] = value
        elif table:
            if not (table == "users" and value.startswith(QUEUE)):
                found[first] = Ref(table, value)
        elif "|" in first:
            if kind := _kind(files, first, value):
                found[f"{_ONE[kind]}_id"] = Ref(kind, value)
        else:
            found[first] = value
    return found


QUEUE = "00G"
"""How the id of a queue begins, which may own a lead: to us it has no owner yet."""
_ONE = {"contacts": "contact", "leads": "lead", "accounts": "account", "opportunities": "opportunity"}


def _kind(files: Files, fields: str, identity: str) -> str | None:
    """Which of our tables an id of several kinds belongs to: by the files, else by its first signs."""
    tables = [table for table, name in _ONE.items() if f"{name}_id" in fields.split("|")]
    here = next((table for table in tables if identity in files.ids.get(table, ())), None)
    told = shapes.PREFIXES.get(identity[:3])
    return here or (told if told in tables else None)


Keeper = Callable[[Cells, Values, int], Kept]
"""Takes the cells of a row, what the record says by it, and the line."""


def keeper(sheet: Sheet, shape: Shape) -> Keeper:
    """What keeps of each row the cells that the product would write differently, each with what it would write; and
    those of no field."""
    writers = shapes.writers(shape)
    stem, plan = sheet.stem, [(column, writers.get(column)) for column in sheet.columns]

    def kept(cells: Cells, row: Values, line: int) -> Kept:
        found: dict[str, Any] = {}
        for column, write in plan:
            cell = cells[column]
            if write is None:
                if cell:
                    found[column] = cell
            elif cell != (ours := write(row)):
                found[column] = [cell, ours]
        return Kept(stem, c.same_id(cells["Id"]), found, line)

    return kept


# --- files of one version a record ---------------------------------------------------------------------------------


def simple(files: Files, shape: Shape, complete: Shaped | None = None) -> Iterator[Record]:
    """One record a row, known from its `CreatedDate`."""
    sheet = files.of(shape)
    if sheet is None:
        return
    tell_strangers(files, sheet, shape)
    ids, kept = files.ids.setdefault(shape.table, set()), keeper(sheet, shape)
    for line, cells in files.rows(sheet):
        try:
            values = values_of(files, shape, cells)
            initial: Values = {}
            if complete:
                complete(files, values, cells)
            if shape is shapes.USER:
                initial = {"role": values.pop("role")}
        except Unreadable as error:
            files.wrong(sheet, line, error)
            continue
        identity = values.pop("external_id")
        at: datetime | None = values.pop("created_at", None)
        row = values | {
            "external_id": identity,
            "created_at": at or files.context.now,
            "zone": files.context.zone,
        }
        ids.add(identity)
        yield Record(
            shape.table, identity, [Version(values, at)], sheet.name, line, initial=initial,
            kept=[kept(cells, row, line)],
        )  # fmt: skip


def tell_strangers(files: Files, sheet: Sheet, shape: Shape) -> None:
    known = {column.name for column in shape.columns} | set(shape.derived) | {"IsDeleted"}
    for column in sheet.columns:
        if column not in known:
            files.note(sheet, 1, column, "", "has no field of ours; kept for the way back")


def user(files: Files, values: Values, cells: Cells) -> None:
    """Who leads somebody is a manager, all others are reps: Salesforce's profiles say nothing of ours."""
    if not values.get("name"):
        values["name"] = (
            " ".join(filter(None, (cells.get("FirstName"), cells.get("LastName")))) or cells["Id"]
        )
    if not values.get("email"):
        values["email"] = cells.get("Username") or f"{cells['Id']}@salesforce.invalid"
    values["role"] = "manager" if values["external_id"] in files.ids["managers"] else "rep"


def product(files: Files, values: Values, cells: Cells) -> None:
    values.setdefault("code", values["external_id"])


def contact_role(files: Files, values: Values, cells: Cells) -> None:
    values.setdefault("role", "other")


def account(files: Files, values: Values, cells: Cells) -> None:
    if values.get("annual_revenue") is not None:
        values.setdefault("currency", files.context.home)


def managers(files: Files) -> set[str]:
    """Who leads somebody."""
    sheet = files.of(shapes.USER)
    items = sheet.rows() if sheet else ()
    return {
        c.same_id(item[1]["ManagerId"])
        for item in items
        if isinstance(item, tuple) and item[1].get("ManagerId")
    }


def lead(files: Files, values: Values, cells: Cells) -> None:
    """Converted is converted, whatever the status is called; without a name or company a lead is called by its id."""
    values.setdefault("status", "new")
    if cells.get("IsConverted", "").lower() in ("true", "1"):
        values["status"] = "converted"
    if values["status"] == "converted":
        day = cells.get("ConvertedDate", "")
        at = (
            read_cell(c.INSTANT, "ConvertedDate", day)
            if len(day) > 10
            else midnight_of(files, "ConvertedDate", day)
        )
        values["converted_at"] = at or values.get("created_at") or files.context.now
    if not any(values.get(name) for name in ("last_name", "company", "email")):
        values["last_name"] = values["external_id"]


def line_item(files: Files, values: Values, cells: Cells) -> None:
    """The product, if need be by way of the price book's entry."""
    entry = c.same_id(cells.get("PricebookEntryId", ""))
    if "product_id" not in values and entry in files.products:
        values["product_id"] = Ref("products", files.products[entry])


def task(files: Files, values: Values, cells: Cells) -> None:
    """A task is due on its date, and happened when it was completed."""
    if "type" not in values:
        values["type"] = c.TASK_TYPE.read(cells.get("Type", "")) if cells.get("Type") else "task"
    closed = cells.get("IsClosed", "").lower() in ("true", "1")
    values.setdefault("status", "completed" if closed else "planned")
    due = midnight_of(files, "ActivityDate", cells.get("ActivityDate", ""))
    done = read_cell(c.INSTANT, "CompletedDateTime", cells.get("CompletedDateTime", ""))
    created = values.get("created_at") or files.context.now
    values["due_at"] = due or (created if values["type"] == "task" else None)
    values["occurred_at"] = done or due or created


def event(files: Files, values: Values, cells: Cells) -> None:
    """A meeting that lies ahead is planned, one behind was held."""
    values.setdefault("type", "meeting")
    if "occurred_at" not in values:
        start = cells.get("ActivityDateTime", "")
        found = read_cell(c.INSTANT, "ActivityDateTime", start)
        found = found or midnight_of(files, "ActivityDate", cells.get("ActivityDate", ""))
        if found is None:
            raise Unreadable("StartDateTime", "", "is missing")
        values["occurred_at"] = found
    end = read_cell(c.INSTANT, "EndDateTime", cells.get("EndDateTime", ""))
    if "duration_seconds" not in values and end is not None:
        values["duration_seconds"] = max(0, int((end - values["occurred_at"]).total_seconds()))
    values["status"] = "planned" if values["occurred_at"] > files.context.now else "completed"


def read_cell(codec: c.Codec, column: str, cell: str) -> Any:
    if not cell:
        return None
    try:
        return codec.read(cell)
    except ValueError as error:
        raise Unreadable(column, cell, str(error)) from None


def midnight_of(files: Files, column: str, cell: str) -> datetime | None:
    day = read_cell(c.DATE, column, cell)
    return midnight(day.isoformat(), files.context.zone) if day else None


# --- price books ---------------------------------------------------------------------------------------------------


def price_books(files: Files) -> Iterator[Record]:
    """Books with their entries; entries of another currency than their book's are kept, and told."""
    prices, rows = _entries(files)
    sheet = files.of(shapes.PRICE_BOOK)
    seen: set[str] = set()
    if sheet is not None and not _is_entries(sheet):
        for record in simple(files, shapes.PRICE_BOOK, _book):
            identity = str(record.external_id)
            seen.add(identity)
            _fill(record, prices.get(identity, {}), rows.get(identity, []))
            yield record
    for identity in prices:
        if identity not in seen:
            values = {"name": identity, "currency": files.context.home}
            record = Record("price_books", identity, [Version(values)])
            _fill(record, prices[identity], rows[identity])
            yield record


def _book(files: Files, values: Values, cells: Cells) -> None:
    values.setdefault("currency", files.context.home)


def _is_entries(sheet: Sheet) -> bool:
    return "UnitPrice" in sheet.columns and "Product2Id" in sheet.columns


def _fill(record: Record, prices: dict[str, Decimal], rows: list[Kept]) -> None:
    record.kept += rows
    record.versions[0].values["entries"] = [
        {"product_id": Ref("products", product), "unit_price": format(price.quantize(Decimal("0.0001")), "f")}
        for product, price in prices.items()
    ]


def _entries(files: Files) -> tuple[dict[str, dict[str, Decimal]], dict[str, list[Kept]]]:
    """Price book → product → price, and the rows that they came from."""
    prices: dict[str, dict[str, Decimal]] = {}
    rows: dict[str, list[Kept]] = {}
    sheet = files.sheet(ENTRY, "Pricebook", "Pricebook2")
    if sheet is None or not _is_entries(sheet):
        return prices, rows
    for line, cells in files.rows(sheet):
        try:
            price = read_cell(c.NUMBER, "UnitPrice", cells["UnitPrice"]) or Decimal(0)
        except Unreadable as error:
            files.wrong(sheet, line, error)
            continue
        book, item = c.same_id(cells.get("Pricebook2Id", "")), c.same_id(cells["Product2Id"])
        if not book or not item:
            files.faults.append(
                Fault(sheet.name, line, "Product2Id" if book else "Pricebook2Id", "", "is missing")
            )
            continue
        files.products[c.same_id(cells["Id"])] = item
        if item in prices.setdefault(book, {}):
            files.note(sheet, line, "Product2Id", cells["Product2Id"], "has another price in this book; kept")
        else:
            prices[book][item] = price
        told: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        told["UnitPrice"] = [cells["UnitPrice"], c.plain(prices[book][item])]
        rows.setdefault(book, []).append(Kept(sheet.stem, c.same_id(cells["Id"]), told, line))
    return prices, rows
