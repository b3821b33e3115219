"""Which new records of a file look like some that were here before: a note in the report, and no more."""

from collections.abc import Sequence
from uuid import UUID

from service import alike
from service.db import Database
from service.importing.judging import Good
from service.importing.records import Fault, Report

COMPARED_AT_ONCE = 500
MOST_COMPARED = 20_000
"""New records of a table that are compared."""


class Likeness:
    """Compares new records with those that this import did not bring itself."""

    def __init__(self, database: Database, report: Report) -> None:
        self.database, self.report = database, report
        self._compared: dict[str, int] = {}
        self._filled: dict[str, bool] = {}
        """Whether there were records of a table before this import."""

    async def compare(self, table: str, goods: Sequence[Good]) -> None:
        """Notes each new record that looks like one that is here, by its line, with the reason in words."""
        fresh = [good for good in goods if not good.is_here and not good.record.continues]
        if table not in alike.KINDS or not fresh or not await self._is_filled(table):
            return
        fresh = fresh[: MOST_COMPARED - self._compared.get(table, 0)]
        self._compared[table] = self._compared.get(table, 0) + len(fresh)
        for start in range(0, len(fresh), COMPARED_AT_ONCE):
            await self._page(table, fresh[start : start + COMPARED_AT_ONCE])

    async def _is_filled(self, table: str) -> bool:
        if table not in self._filled:
            self._filled[table] = await self.database.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM {table} WHERE deleted_at IS NULL) /* access:{table} */"
            )
        return self._filled[table]

    async def _page(self, table: str, goods: Sequence[Good]) -> None:
        states = [good.state() for good in goods]
        change_id: UUID | None = self.report.change_id
        for index, like in (await alike.resembling(self.database, table, states, change_id)).items():
            where, field = goods[index].record, like.reasons[0]["field"]
            said = f"line {where.line} looks like {like.title} ({like.id}): {like.reasons[0]['text']}"
            value = str(states[index].get(field) or "")[:200]
            self.report.take(Fault(where.file, where.line, field, value, said, is_note=True))
