"""The one way to PostgreSQL: tables by SQLAlchemy, statements run by asyncpg, and the transaction that commits once.

Rows are read without a transaction. Whoever writes more than one statement does it inside `Database.begin`, the only
place in the house that commits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.ids import new_id
from service.pool import Pool

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
MONEY = sa.Numeric(19, 4)
INSTANT = sa.DateTime(timezone=True)
REMEMBER_SECONDS = 2.0
CATALOGUES = frozenset({"company", "pipeline", "stage", "field", "validation_rule", "change"})
"""Entity types whose rows are remembered; `change` is an undo, which may touch any of them."""

T = TypeVar("T")


class Xid8(sa.types.UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id: in its order everything before `pg_snapshot_xmin` is settled."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def business_table(name: str, *columns: Any, guarded: bool = True, **options: Any) -> sa.Table:
    """A table whose every change is kept: it gets a twin `history.<name>` and the trigger that fills it.

    The columns that each resource has come first. `guarded` says that rows are not for all eyes: every statement on
    the table then carries the marker of `access.visible`.
    """
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("deleted_at", INSTANT),
        sa.Column("created_by_id", sa.Uuid),
        sa.Column("updated_by_id", sa.Uuid),
        sa.Column("external_ids", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("cf", JSONB, nullable=False, server_default=sa.text("'{}'")),
        *columns,
        info={"business": True, "guarded": guarded},
        **options,
    )


@cache
def table_named(entity_type: str) -> str | None:
    """The table of a business noun: `opportunity` → `opportunities`; None where there is none."""
    plural = f"{entity_type[:-1]}ies" if entity_type.endswith("y") else f"{entity_type}s"
    table = metadata.tables.get(plural)
    return plural if table is not None and "deleted_at" in table.c else None


class Params(list[Any]):
    """The positional parameters of a statement while its text is built."""

    def add(self, value: Any) -> str:
        """Appends `value` and returns its placeholder, `$n`."""
        self.append(value)
        return f"${len(self)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str):  # SQLAlchemy's names are strings of a class of their own
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


_json = msgspec.json.Encoder(enc_hook=_plain, decimal_format="string", uuid_format="canonical")


def to_json(value: Any) -> str:
    """JSON text of plain values, Structs, UUIDs, instants and decimals (as strings)."""
    return _json.encode(value).decode()


def _jsonb(value: Any) -> bytes:
    return b"\x01" + _json.encode(value)


def _from_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])


async def _prepare(connection: asyncpg.Connection) -> None:
    """jsonb in its binary form (a version byte, then the text), which COPY needs too."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_jsonb, decoder=_from_jsonb, format="binary"
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_json.encode, decoder=msgspec.json.decode, format="binary"
    )


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """Every statement of the product goes through one of these: the tests look at them here."""


class Tx:
    """A transaction that begins at its first statement; `change_id` names the change set of all it writes."""

    def __init__(self, pool: Pool, memory: "Database", change_id: UUID | None = None) -> None:
        self._pool = pool
        self._memory = memory
        self._connection: Any = None
        self._transaction: Any = None
        self.change_id = change_id or new_id()
        self.after_commit: list[str] = []
        """Job types to ring for once the transaction is in."""
        self.memory: dict[str, Any] = {}
        """Catalogues read once a transaction."""
        self.touched: set[str] = set()
        """Entity types that it records events of: what is remembered of them is forgotten once it is in."""

    async def connection(self) -> Any:
        """The asyncpg connection, begun on first use."""
        if self._connection is None:
            self._connection = await self._pool.take()
            self._transaction = self._connection.transaction()
            await self._transaction.start()
        return self._connection

    async def remember(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        """As `Database.remember`, but for what this very transaction may have changed."""
        if CATALOGUES.isdisjoint(self.touched):
            return await self._memory.remember(name, read)
        return await read()

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        return await (await self.connection()).fetch(sql, *args)  # type: ignore[no-any-return]

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        return await (await self.connection()).fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await (await self.connection()).fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        return await (await self.connection()).execute(sql, *args)  # type: ignore[no-any-return]

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        await (await self.connection()).executemany(sql, rows)

    async def copy_records(
        self, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]], schema: str = "public"
    ) -> None:
        """COPY of python tuples in the order of `columns`."""
        await (await self.connection()).copy_records_to_table(
            table, schema_name=schema, columns=list(columns), records=records
        )

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that may fail alone: an error inside undoes the part and goes on outwards; the rest stands."""
        connection = await self.connection()
        async with connection.transaction():
            yield

    async def finish(self, error: BaseException | None) -> None:
        """Commits, or rolls back when there was an error; then gives the connection back."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            await (self._transaction.rollback() if error else self._transaction.commit())
        except BaseException:
            connection.terminate()  # the server ends what was begun
            if error is None:
                raise
        finally:
            self._pool.give(connection)


class Database:
    """The pool of connections of one process."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.bell: Any = None
        """Rings the worker after a commit; set by the process that has Redis at hand."""
        self.parts: dict[str, Any] = {}
        """What a process keeps as long as its database, by name."""
        self.closing: list[Callable[[], Awaitable[Any]]] = []
        """What is closed with it."""
        self._remembered: dict[str, tuple[float, Any]] = {}
        self._changes = 0

    @classmethod
    async def open(cls, url: str, *, min_size: int = 2, max_size: int = 16) -> "Database":
        """Connects. `url` is `postgresql://user:password@host:port/name`."""

        async def connect() -> Any:
            settings = {"timezone": "UTC", "application_name": "sales"}
            connection = await asyncpg.connect(url, connection_class=Connection, server_settings=settings)
            await _prepare(connection)
            return connection

        pool = Pool(connect, min_size, max_size)
        await pool.fill()
        return cls(pool)

    async def close(self) -> None:
        for close in self.closing:
            await close()
        await self.pool.close()

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        return await self._run("fetch", sql, args)  # type: ignore[no-any-return]

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        return await self._run("fetchrow", sql, args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._run("fetchval", sql, args)

    async def execute(self, sql: str, *args: Any) -> str:
        return await self._run("execute", sql, args)  # type: ignore[no-any-return]

    async def _run(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        connection = await self.pool.take()
        try:
            found = await getattr(connection, method)(sql, *args)
        except BaseException as error:
            self.pool.give(connection, error)
            raise
        self.pool.give(connection)
        return found

    async def stream(self, sql: str, *args: Any, size: int = 1_000) -> AsyncIterator[Any]:
        """Rows of any number, read through a cursor of the server `size` at a time: memory does not grow with them."""
        connection = await self.pool.take()
        error: BaseException | None = None
        try:
            async with connection.transaction(readonly=True):
                async for row in connection.cursor(sql, *args, prefetch=size):
                    yield row
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.pool.give(connection, error)

    async def copy_csv(self, sql: str, *args: Any, sink: Callable[[bytes], Awaitable[None]]) -> int:
        """The rows of a query as CSV with a header, made by the server, in pieces; returns how many there were."""
        connection = await self.pool.take()
        error: BaseException | None = None
        try:
            status = await connection.copy_from_query(sql, *args, output=sink, format="csv", header=True)
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.pool.give(connection, error)
        return int(status.split()[-1])

    @asynccontextmanager
    async def begin(self, change_id: UUID | None = None) -> AsyncIterator[Tx]:
        """The transaction: commits once when the block ends well, rolls back on any error."""
        tx = Tx(self.pool, self, change_id)
        try:
            yield tx
        except BaseException as error:
            await tx.finish(error)
            raise
        await tx.finish(None)
        self.forget(tx.touched)
        if tx.after_commit:
            await self.ring()

    async def remember(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` found for `name` at most `REMEMBER_SECONDS` ago: for catalogues that seldom change.

        A change by this process is seen at once, one by another process that many seconds later.
        """
        found = self._remembered.get(name)
        if found is not None and found[0] > monotonic():
            return found[1]  # type: ignore[no-any-return]
        changes = self._changes
        value = await read()
        if changes == self._changes:  # nobody wrote meanwhile
            self._remembered[name] = (monotonic() + REMEMBER_SECONDS, value)
        return value

    def forget(self, entity_types: Iterable[str]) -> None:
        """These were changed: what is remembered of catalogues is read anew."""
        if not CATALOGUES.isdisjoint(entity_types):
            self._changes += 1
            self._remembered.clear()

    async def ring(self) -> None:
        """Tells the worker that something is due; silent when there is no bell, the worker looks by itself too."""
        if self.bell is not None:
            await self.bell()
