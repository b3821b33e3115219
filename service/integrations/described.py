"""Files of any system, described in a TOML file: which file is which resource, and which column is which field.

`hubspot.toml` beside this module is one such description; `docs/importing.md` tells the form.
"""

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from service.errors import Invalid
from service.importing import plain
from service.importing.lines import Cells, Line, Sheet
from service.importing.records import Context, Fault, Item
from service.importing.sheets import FORMATS, look
from service.importing.targets import Target, target_of, targets
from service.resources import RESOURCES


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A column's field; `format` of ambiguous dates: `dmy` or `mdy`; `first`: of several ids with `;` between the first."""

    field: str
    format: str | None = None
    first: bool = False


class Described(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind of file: the patterns of its name without ending, its resource, its key of upserts, its columns.

    `values`: column → what a cell says → what we say (nothing: leave it out). `otherwise`: column → the columns that
    stand in where it is empty.
    """

    names: list[str]
    resource: str
    columns: dict[str, str | Wanted]
    key: list[str] = []
    values: dict[str, dict[str, str]] = {}
    otherwise: dict[str, list[str]] = {}

    def wanted(self) -> dict[str, Wanted]:
        return {
            column: Wanted(field=one) if isinstance(one, str) else one for column, one in self.columns.items()
        }


class Description(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`file`: in the order in which they go in; what points at another stands behind it."""

    source: str
    file: list[Described]


def load(path: Path) -> Description:
    """Reads a description. Raises `Invalid` that says what is wrong with it."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Description)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Invalid(f"{path.name} is no description of files: {error}.") from None
    for file in found.file:
        if file.resource not in RESOURCES:
            raise Invalid(f"{path.name}: {file.resource!r} is none of {', '.join(sorted(RESOURCES))}.")
        known = targets(RESOURCES[file.resource])
        for column, wanted in file.wanted().items():
            if target_of(wanted.field, known) is None:
                raise Invalid(
                    f"{path.name}: {column!r} goes into {wanted.field!r}, which {file.resource} have not."
                )
    return found


def natural(description: Description) -> dict[str, tuple[str, ...]]:
    """Resource → its key, where the description names one."""
    return {file.resource: tuple(file.key) for file in description.file if file.key}


def read(description: Description, folder: Path, context: Context) -> Iterator[Item]:
    """The records of all files that are here, in the order of the description."""
    sheets = [(file, _find(file, folder)) for file in description.file]
    if not any(sheet for _, sheet in sheets):
        names = ", ".join(name for file in description.file for name in file.names)
        raise Invalid(f"No file in {folder} has a name like {names}.")
    for file, sheet in sheets:
        if sheet is not None:
            yield from _records(file, sheet, context)


def _find(file: Described, folder: Path) -> Sheet | None:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in FORMATS and any(
            fnmatch(path.stem.lower(), name.lower()) for name in file.names
        ):
            return look(path)
    return None


def _records(file: Described, sheet: Sheet, context: Context) -> Iterator[Item]:
    known = targets(RESOURCES[file.resource])
    settled: dict[str, tuple[Target, str | None]] = {}
    for column, wanted in file.wanted().items():
        target = target_of(wanted.field, known)
        if target and column in sheet.columns:
            settled[column] = (target, wanted.format)
    for column in sheet.columns:
        if column not in settled:
            yield Fault(sheet.name, 1, column, "", "is not in the description; left out", True)
    told = msgspec.structs.replace(sheet, rows=lambda: (_told(file, line) for line in sheet.rows()))
    yield from plain.records(told, file.resource, settled, context.now)


def _told(file: Described, line: Line) -> Line:
    """A row in our words."""
    if isinstance(line, Fault):
        return line
    number, cells = line
    found: Cells = dict(cells)
    for column, others in file.otherwise.items():
        if not found.get(column):
            found[column] = next((cells[other] for other in others if cells.get(other)), "")
    for column, words in file.values.items():
        if column in found:
            found[column] = words.get(found[column], found[column])
    for column, wanted in file.columns.items():
        if isinstance(wanted, Wanted) and wanted.first and isinstance(found.get(column), str):
            found[column] = found[column].partition(";")[0].strip()
    return number, found


HUBSPOT = Path(__file__).with_name("hubspot.toml")
