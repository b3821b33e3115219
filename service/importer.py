"""Files of another system enter here: judged by the product's own shapes and rules, and into history *as known then*.

A mapping (`service/integrations/`) reads files into a stream of `Record`s: one a business record, with its versions in
order, each with the instant at which it was known (None: at the import). The importer takes the stream in chunks, each
a transaction of its own: it judges every record, reports what is wrong by file, line, column and value, stores new
records with their past, and compares those that it knows already: a rerun of the same file changes nothing. A chunk
says in its own transaction how far it came, so an import that was killed goes on behind its last chunk.
All of it is one change set, so `changes.undo` takes it back.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from service import changes, custom, echo, ledger
from service.access import Actor
from service.db import Database, Tx
from service.errors import Conflict, Invalid
from service.history import assert_known
from service.ids import new_id
from service.importing import rings
from service.importing.completing import Completion
from service.importing.judging import Good, Judge, empty
from service.importing.known import Known
from service.importing.likeness import Likeness
from service.importing.ordering import Chunk, chunks, ordered
from service.importing.records import Reader, Record, Report, Values, refs_of
from service.importing.storing import Store
from service.resource import Resource
from service.rules import in_turn

REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.InterfaceError,
    OverflowError,
)
"""What a row can be refused with that the shapes let pass."""

Progress = Callable[[str, int, int | None], Awaitable[None]]
"""Called with what is under way, how many are done, how many there are (None: nobody knows yet)."""
Checkpoint = Callable[[Tx | Database, int | None, Report], Awaitable[bool]]
"""Called within each chunk's transaction with the position behind it (None: nothing is stored): whether to go on."""


class Stopped(Exception):
    """Somebody paused or canceled the import, or another worker has it by now."""


class Importer:
    """Stores records of `source`; `resources` (table → Resource) say which shape and rule judge each table."""

    def __init__(
        self,
        database: Database,
        actor: Actor,
        source: str,
        resources: dict[str, Resource],
        *,
        now: datetime | None = None,
        change_id: UUID | None = None,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
        natural: dict[str, tuple[str, ...]] | None = None,
        completes: bool = False,
        report: Report | None = None,
    ) -> None:
        self.database, self.actor, self.source, self.resources = database, actor, source, resources
        self.now = now or datetime.now(UTC)
        self.report = report or Report(change_id=change_id or new_id())
        self.known = Known(database, source, natural)
        self.store = Store(actor, source, resources, self.now)
        self.completion = Completion(database, actor, self.now, resources) if completes else None
        self.likeness = Likeness(database, self.report)
        self._progress, self._checkpoint = progress, checkpoint
        self._done: dict[str, int] = {}
        self._selves = {table: found for table, one in resources.items() if (found := _selves(one))}

    async def run(
        self, read: Reader, *, dry_run: bool = False, strict: bool = False, position: int = 0
    ) -> Report:
        """Judges and stores what is right; with `strict` nothing when anything is wrong. `position`: where to go on."""
        gc.freeze()  # what is here already need not be looked through again for each few thousand rows
        try:
            return await self._run(read, dry_run=dry_run, strict=strict, position=position)
        finally:
            gc.unfreeze()

    async def _run(self, read: Reader, *, dry_run: bool, strict: bool, position: int) -> Report:
        report = self.report
        report.dry_run = dry_run
        if dry_run or (strict and not position):
            await self._pass(read, stores=False)
            if dry_run or report.errors:
                return self._refused() if not dry_run else report
            report.counts, report.notes = {}, {}
        await self._pass(read, stores=True, position=position)
        if strict and report.errors and report.change_id:  # found by the database alone
            await changes.undo(self.database, self.actor, report.change_id)
            return self._refused()
        return report

    def _refused(self) -> Report:
        self.report.counts, self.report.change_id = {}, None
        return self.report

    # --- one pass over the files ------------------------------------------------------------------------------------

    async def _pass(self, read: Reader, *, stores: bool, position: int = 0) -> None:
        self.known.ids.clear()
        judge = Judge(
            self.resources,
            self.known,
            self.report,
            self.now,
            self.completion.one if self.completion else None,
            await custom.catalogue(self.database),
        )
        trees = {table: one.tree for table, one in self.resources.items() if one.tree}
        stream = chunks(ordered(read(), self._selves, trees), position, _noting(judge))
        async with aclosing(_ahead(stream)) as ahead:
            async for chunk in ahead:
                for fault in chunk.faults:
                    self.report.take(fault)
                goods = await self._judge(judge, chunk) if chunk.records else []
                await self.likeness.compare(chunk.table, goods)
                goes_on = await (self._stored(chunk, goods) if stores else self._counted(goods))
                await self._tell(chunk)
                if not goes_on:
                    raise Stopped

    async def _stored(self, chunk: Chunk, goods: list[Good]) -> bool:
        async with self.database.begin(self.report.change_id) as tx:
            if goods:
                await self._store(tx, chunk.table, goods)
            return not self._checkpoint or await self._checkpoint(tx, chunk.position, self.report)

    async def _counted(self, goods: list[Good]) -> bool:
        """Judged, and nothing else."""
        for good in goods:
            if not good.record.continues:
                self.report.count(good.record.table, "unchanged" if good.is_here else "created")
        return not self._checkpoint or await self._checkpoint(self.database, None, self.report)

    async def _judge(self, judge: Judge, chunk: Chunk) -> list[Good]:
        refs = [ref for record in chunk.records for one in record.versions for _, ref in refs_of(one)]
        await self.known.recall({chunk.table} | {ref.table for ref in refs if not ref.by})
        await self.known.look_up(refs)
        await self.known.recognize(chunk.table, chunk.records)
        if self.completion:
            await self.completion.load(chunk.table, chunk.records, self.known)
        return await asyncio.to_thread(judge.chunk, chunk.records)

    async def _tell(self, chunk: Chunk) -> None:
        if chunk.records and self._progress:
            done = self._done[chunk.table] = self._done.get(chunk.table, 0) + len(chunk.records)
            await self._progress(chunk.table, done, None)

    # --- storing ----------------------------------------------------------------------------------------------------

    async def _store(self, tx: Tx, table: str, goods: list[Good]) -> None:
        """One chunk, in the transaction that is open: new records with their past, then what differs in known ones."""
        fresh = [good for good in goods if not good.is_here]
        here = [good for good in goods if good.is_here]
        await self._take_turn(tx, table, here)
        if fresh:
            await self._explain(tx, table, len(fresh))
            await assert_known(tx)
            await self._inherit_accounts(tx, table, fresh)
            self.report.count(table, "created", await self._halving(tx, table, fresh, self._insert))
        if here:
            rows = await self.store.here(tx, table, here)
            found = [(good, self._changes(good, rows.get(good.id))) for good in here]
            found = await self._without_rings(tx, table, found)
            await self._change(tx, table, found, explained=bool(fresh))

    async def _take_turn(self, tx: Tx, table: str, here: list[Good]) -> None:
        """Who moves records within a tree waits for others who do."""
        column = self.resources[table].tree
        if column and any(good.state().get(column) for good in here):
            await in_turn(tx, table, column)

    async def _without_rings(
        self, tx: Tx, table: str, found: list[tuple[Good, Values | None]]
    ) -> list[tuple[Good, Values | None]]:
        """The changes without those that would close a ring, each of which is told."""
        column = self.resources[table].tree
        moved = {good.id: changes[column] for good, changes in found if changes and column in changes}
        above = [one for one in moved.values() if one]
        if not above:
            return found
        refused = rings.closing(moved, await rings.stored_above(tx, table, column, above))
        for good, _ in found:
            if ring := refused.get(good.id):
                self._fail(good.record, column, moved[good.id], rings.told(ring))
        return [(good, None if good.id in refused else changes) for good, changes in found]

    async def _halving(
        self, tx: Tx, table: str, parts: list[Any], work: Callable[[Tx, str, list[Any]], Awaitable[None]]
    ) -> int:
        """Does `work` and returns for how many it was done; what the database refuses is halved, down to the row."""
        try:
            async with tx.savepoint():
                await work(tx, table, parts)
        except REFUSALS as error:
            if len(parts) > 1:
                half = len(parts) // 2
                first = await self._halving(tx, table, parts[:half], work)
                return first + await self._halving(tx, table, parts[half:], work)
            self._refuse(parts[0][0] if isinstance(parts[0], tuple) else parts[0], error)
            return 0
        return len(parts)

    async def _insert(self, tx: Tx, table: str, goods: list[Good]) -> None:
        await self.store.insert(tx, table, goods)
        if self.completion:
            await self.completion.after(tx, self.store, table, goods)

    async def _inherit_accounts(self, tx: Tx, table: str, goods: list[Good]) -> None:
        """An activity on a deal is one with the deal's account, as far as that was known when the deal was created."""
        if table != "activities":
            return
        loose = [
            values for good in goods
            if (values := good.record.versions[0].values).get("opportunity_id") and not values.get("account_id")
        ]  # fmt: skip
        if not loose:
            return
        rows = await tx.fetch(
            "SELECT id, account_id FROM history.opportunities WHERE id = ANY($1::uuid[]) AND version = 1"
            " /* access:opportunities */",
            list({values["opportunity_id"] for values in loose}),
        )
        accounts = {row["id"]: row["account_id"] for row in rows}
        for values in loose:
            values["account_id"] = accounts.get(values["opportunity_id"])

    async def _change(
        self, tx: Tx, table: str, found: list[tuple[Good, Values | None]], *, explained: bool
    ) -> None:
        """Records that are here already: what differs from the file's last state is written as of now."""
        changed = [(good, values) for good, values in found if values]
        done = 0
        if changed:
            if not explained:
                await self._explain(tx, table, len(changed))
            done = await self._halving(tx, table, changed, self._write)
        await self.store.keep_rows(tx, [good for good, values in found if values is not None])
        told = [good for good, values in found if values == {} and not good.record.continues]
        self.report.count(table, "unchanged", len(told))
        if not found[0][0].record.continues:
            self.report.count(table, "updated", done)

    async def _write(self, tx: Tx, table: str, changed: list[tuple[Good, Values]]) -> None:
        await self.store.change(tx, table, [(good.id, values) for good, values in changed])
        await echo.forget_plans(tx, len(changed))
        if self.completion:
            await self.completion.after(tx, self.store, table, [good for good, _ in changed])

    def _changes(self, good: Good, row: Values | None) -> Values | None:
        """What to write over the row: nothing where nothing differs, None where the rules refuse it."""
        record = good.record
        if row is None:
            self._fail(record, "", "", "was deleted meanwhile")
            return None
        resource, changes = self.resources[record.table], Values()
        try:
            changes = self.store.different(good, row)
            if not changes:
                return changes
            if self.completion:
                changes |= self.completion.changed(record.table, row, changes)
                self.completion.refuse(row | changes)
            if resource.check:
                resource.check(empty(resource.table) | row | changes, row)
        except Invalid as error:
            first = error.errors[0] if error.errors else {"pointer": "", "detail": error.detail}
            column = first["pointer"].strip("/").split("/")[0]
            self._fail(record, column, changes.get(column, ""), first["detail"])
        except Conflict as error:
            self._fail(record, "", "", error.detail)
        else:
            return changes
        return None

    def _refuse(self, good: Good, error: Exception) -> None:
        """What the database itself would not take."""
        self._fail(good.record, getattr(error, "column_name", None) or "", "", str(error))
        if not good.is_here:
            self.known.forget(good.record)

    def _fail(self, record: Record, column: str, value: Any, detail: str) -> None:
        self.report.fault(record, column, value, detail)
        self.report.count(record.table, "failed")

    async def _explain(self, tx: Tx, table: str, size: int) -> None:
        name = self.resources[table].name
        data = {"source": self.source, "records": size}
        await ledger.record(tx, self.actor, f"{name}.imported", name, data=data)


async def _ahead(stream: Generator[Chunk, None, None]) -> AsyncGenerator[Chunk, None]:
    """The chunks, each read in a thread while the one before it is stored: reading is this process's work, storing the
    database's."""
    following = asyncio.create_task(asyncio.to_thread(next, stream, None))
    try:
        while chunk := await following:
            following = asyncio.create_task(asyncio.to_thread(next, stream, None))
            yield chunk
    finally:
        await asyncio.gather(following, return_exceptions=True)  # a thread ends by itself alone
        stream.close()


def _noting(judge: Judge) -> Callable[[Any], None]:
    def note(item: Any) -> None:
        if isinstance(item, Record):
            judge.remember(item)

    return note


def _selves(resource: Resource) -> tuple[str, ...]:
    """The columns by which a record points at another of its kind."""
    return tuple(name for name, table in resource.references.items() if table == resource.key)
