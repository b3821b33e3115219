"""What the database itself refuses, as answers: taken names 409, missing records and values out of bounds 422.

Rules say it first and better; these are the last line, and the only one when two requests race.
"""

from typing import Any

import asyncpg
from litestar import Request, Response

from service.db import metadata
from service.errors import Conflict, Invalid, Problem, Unavailable
from service.wire import on_problem


def _member(error: asyncpg.PostgresError) -> str:
    """The column of a constraint, from its name: `uq_users_email` → `/email`; "" where it is of several."""
    name, table = error.constraint_name or "", error.table_name or ""
    column = name.partition(f"_{table}_")[2]
    known = table in metadata.tables and column in metadata.tables[table].c
    return f"/{column}" if known else ""


def problem(error: Exception) -> Problem:
    """The answer to an error of asyncpg."""
    if isinstance(error, asyncpg.UniqueViolationError):
        where = _member(error)
        detail = "There is another record with this value."
        return Conflict(detail, errors=[{"pointer": where, "detail": "is taken"}])
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return Invalid.at(_member(error), "there is no such record")
    if isinstance(error, asyncpg.NotNullViolationError):
        return Invalid.at(f"/{error.column_name}", "must have a value")
    if isinstance(error, (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)):
        return Invalid.at(
            _member(error) if isinstance(error, asyncpg.PostgresError) else "", "is out of bounds"
        )
    return Unavailable("Two requests waited for each other; try again.", headers={"Retry-After": "1"})


def on_refusal(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler."""
    return on_problem(request, problem(error))


REFUSALS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.DeadlockDetectedError)
"""The errors that are answered here; every other one of the database is a crash."""
