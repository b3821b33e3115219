"""The marker law, held in every test: a statement on a guarded table says that `access` was asked.

All that the product sends to PostgreSQL passes here, raw SQL included, in handlers, jobs and commands alike. A table is
guarded when `access` has a rule for its rows; its twin in `history` holds the same rows and is guarded as well. The
tables that the predicates of `access` themselves look into carry aliases of their own (`ao`, `al`, `aa`, `ac`).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

from service.access import BY_THEMSELVES, ROWS
from service.db import Connection, metadata

OWN_ALIASES = ("ao", "al", "aa", "ac")
_COMMENT = re.compile(r"/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)


@lru_cache(maxsize=1)
def guarded() -> tuple[str, ...]:
    """The names of all guarded tables."""
    by_table = {table.name for table in metadata.tables.values() if table.info.get("guarded")}
    return tuple(sorted(by_table | set(ROWS) | BY_THEMSELVES))


@lru_cache(maxsize=1)
def _mentions() -> re.Pattern[str]:
    names = "|".join(guarded())
    return re.compile(
        rf"\b(?:from|join|update|using)\s+(?:only\s+)?(?:(?:public|history)\.)?\"?({names})\"?\b(?!\s*\()"
        rf"(?!\s+(?:as\s+)?(?:{'|'.join(OWN_ALIASES)})\b)",
        re.IGNORECASE,
    )


@lru_cache(maxsize=20_000)
def unmarked(sql: str) -> tuple[str, ...]:
    """The guarded tables that a statement reads or changes without their marker."""
    bare = _COMMENT.sub(" ", sql)
    return tuple(
        name
        for name in sorted({match.lower() for match in _mentions().findall(bare)})
        if f"/* access:{name} */" not in sql
    )


_found: list[str] = []


def _look(sql: Any) -> None:
    if isinstance(sql, str) and (missing := unmarked(sql)):
        _found.append(f"{', '.join(missing)}: {' '.join(sql.split())[:400]}")


@pytest.fixture(scope="session", autouse=True)
def watched() -> Iterator[None]:
    """Looks at each statement on its way to the server."""
    patch = pytest.MonkeyPatch()
    for name in ("_execute", "execute", "executemany", "prepare", "cursor"):
        original = getattr(Connection, name)

        def seen(self: Any, query: Any, *args: Any, _original: Any = original, **options: Any) -> Any:
            _look(query)
            return _original(self, query, *args, **options)

        patch.setattr(Connection, name, seen)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def marked(watched: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test in which a statement went round `access`."""
    _found.clear()
    yield
    if _found:
        found, count = "\n".join(dict.fromkeys(_found)), len(_found)
        _found.clear()
        pytest.fail(f"{count} statements on guarded tables without the marker of access:\n{found}")
