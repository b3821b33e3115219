"""The laws of the house that a program can check; import-linter keeps the directions (`make check`)."""

import ast
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service import access, routes, tables
from service.resource import Resource
from service.settings import NAMES

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("features", "ml", "registry", "training", "service")


def sources(*rooms: str) -> list[Path]:
    return sorted(
        path
        for room in rooms or ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "node_modules" not in path.parts
    )


def test_only_db_commits() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources("service")
        if path.name != "db.py" and re.search(r"\.(commit|transaction)\(", path.read_text())
    ]
    assert found == []


def test_no_import_inside_a_function_without_a_reason() -> None:
    found = []
    for path in sources():
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{path.relative_to(ROOT)}:{inner.lineno}"
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Import | ast.ImportFrom) and "#" not in lines[inner.lineno - 1]
                ]
    assert sorted(set(found)) == []


def test_no_type_checking_blocks_in_handlers() -> None:
    assert [str(path) for path in sources("service") if "TYPE_CHECKING" in path.read_text()] == []


def test_no_pickle_anywhere() -> None:
    pattern = re.compile(r"^\s*(import|from)\s+(pickle|joblib|cloudpickle|dill)\b", re.MULTILINE)
    assert [str(path) for path in sources() if pattern.search(path.read_text())] == []


def test_every_setting_has_its_heading_and_every_heading_its_setting() -> None:
    headings = set(
        re.findall(r"^#+ `?([A-Z][A-Z_]+)`?\s*$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    )
    assert headings == set(NAMES)


def resources() -> list[Resource]:
    found = {
        id(value): value
        for handler in routes.ROUTES
        for value in getattr(handler, "opt", {}).values()
        if isinstance(value, Resource)
    }
    return list(found.values())


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: resource.path)
def test_shapes_forbid_unknown_members_and_match_their_table(resource: Resource) -> None:
    for shape in (resource.draft, resource.patch):
        assert shape.__struct_config__.forbid_unknown_fields, (
            f"{shape.__name__} drops unknown members in silence"
        )
    columns = set(resource.table.columns.keys()) | set(resource.extra)
    assert set(resource.patch.__struct_fields__) <= set(resource.draft.__struct_fields__), (
        "a Patch of what no Draft has"
    )
    assert {f.name for f in msgspec.structs.fields(resource.item)} <= columns
    assert all(field.default is msgspec.UNSET for field in msgspec.structs.fields(resource.patch))


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: resource.path)
def test_every_resource_is_in_the_permission_table(resource: Resource) -> None:
    assert "read" in access.PERMISSIONS["admin"].get(resource.key, frozenset())
    if resource.table.info.get("guarded"):
        ruled = {*access.ROWS, *access.PERSONAL, *access.BY_THEMSELVES}
        assert resource.key in ruled, "guarded, and no rule says for whom"


class Watched(dict[str, Any]):
    """A row that remembers which of its columns were looked at."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.seen.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("resource", [each for each in resources() if each.free], ids=lambda each: each.path)
def test_no_rule_looks_at_a_column_that_is_free(resource: Resource) -> None:
    assert resource.free <= {field.name for field in msgspec.structs.fields(resource.patch)}
    assert resource.free.isdisjoint(resource.references)
    row = Watched(dict.fromkeys(resource.table.c.keys()))
    assert resource.check
    resource.check(row, row)
    assert row.seen
    assert resource.free.isdisjoint(row.seen)


def test_tables_with_history_have_typed_twins() -> None:
    business = [table for table in tables.metadata.sorted_tables if table.info.get("business")]
    assert business
    assert all(
        {"id", "version", "updated_at", "deleted_at"} <= set(table.columns.keys()) for table in business
    )
