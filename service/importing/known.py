"""Who is who: the ids of the records that a file names, by their id in its source or by a key such as an address."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from service.db import Database, metadata
from service.importing.records import Record, Ref, Values

NATURAL: dict[str, tuple[str, ...]] = {
    "users": ("email",),
    "products": ("code",),
    "pipelines": ("key",),
    "stages": ("pipeline_id", "key"),
    "periods": ("key",),
    "fields": ("entity", "key"),
}
"""Table → the columns by which a record that another door made is the same as one in the file."""

BY: dict[str, tuple[str, ...]] = {
    "users": ("email", "name"),
    "teams": ("name",),
    "accounts": ("name", "domain"),
    "contacts": ("email",),
    "leads": ("email",),
    "products": ("code", "name"),
    "pipelines": ("key", "name"),
    "stages": ("key",),
    "competitors": ("name",),
    "campaigns": ("name",),
    "opportunities": ("name",),
    "periods": ("key",),
    "territories": ("name",),
    "territory_models": ("name",),
}
"""Table → the fields by which a cell may name one of its records."""

AMBIGUOUS = UUID(int=0)
MOST_NAMES = 200_000
"""Names that are remembered; beyond it they are asked for again."""


class Known:
    """`ids[table][external id]`: what is stored, and what this import has accepted so far."""

    def __init__(
        self, database: Database, source: str, natural: dict[str, tuple[str, ...]] | None = None
    ) -> None:
        self.database, self.source = database, source
        self.natural = NATURAL if natural is None else natural
        self.ids: dict[str, dict[str, UUID]] = {}
        self.merged: dict[str, set[str]] = {}
        """Table → external ids of records that were merged into others: references to them find the others."""
        self.by_key: dict[tuple[str, tuple[str, ...]], UUID] = {}
        """Natural keys of the chunk at hand → the stored record, or `AMBIGUOUS`."""
        self._named: dict[tuple[str, str], dict[str, UUID]] = {}

    def find(self, ref: Ref) -> UUID | None:
        """The id; `AMBIGUOUS` where several records have the name by which a cell asks for one."""
        if not ref.by:
            return self.ids.get(ref.table, {}).get(ref.external_id)
        return self._named.get((ref.table, ref.by), {}).get(ref.external_id.lower())

    async def look_up(self, refs: Iterable[Ref]) -> None:
        """Finds the records that cells name by our own id or by a field, such as an owner's address."""
        wanted: dict[tuple[str, str], set[str]] = {}
        for ref in refs:
            if ref.by and ref.external_id.lower() not in self._named.get((ref.table, ref.by), {}):
                wanted.setdefault((ref.table, ref.by), set()).add(ref.external_id.lower())
        for (table, by), texts in wanted.items():
            left = f"lower({by})" if by != "id" else "id::text"
            rows = await self.database.fetch(
                f"SELECT id, {left} AS name FROM {table} WHERE {left} = ANY($1::text[]) AND deleted_at IS NULL"
                f" /* access:{table} */",
                list(texts),
            )
            found = self._named.setdefault((table, by), {})
            if len(found) > MOST_NAMES:
                found.clear()
            for row in rows:
                found[row["name"]] = AMBIGUOUS if row["name"] in found else row["id"]

    def resolve(self, value: Any) -> Any:
        """References as ids; what is none stays as it is."""
        if isinstance(value, Ref):
            return self.find(value)
        if isinstance(value, list):
            return [
                {name: self.resolve(inner) for name, inner in part.items()} if isinstance(part, dict) else self.resolve(part)
                for part in value
            ]  # fmt: skip
        return value

    async def recall(self, tables: Iterable[str]) -> None:
        """Reads, once a table, the ids of the records of this source that are here already."""
        for table in sorted(set(tables) - set(self.ids)):
            rows = await self.database.fetch(
                f"SELECT id, external_ids ->> $1 AS external FROM {table}"
                f" WHERE external_ids ? $1 AND deleted_at IS NULL /* access:{table} */",
                self.source,
            )
            self.ids[table] = {row["external"]: row["id"] for row in rows}
            if "merged_into_id" in metadata.tables[table].c:
                await self._recall_merged(table)

    async def _recall_merged(self, table: str) -> None:
        rows = await self.database.fetch(
            f"SELECT w.id, t.external_ids ->> $1 AS external FROM {table} t JOIN {table} w ON w.id = t.merged_into_id"
            f" WHERE t.merged_into_id IS NOT NULL AND t.external_ids ? $1 AND w.deleted_at IS NULL /* access:{table} */",
            self.source,
        )
        here = self.ids[table]
        gone = {row["external"]: row["id"] for row in rows if row["external"] not in here}
        self.merged[table] = set(gone)
        here |= gone

    async def recognize(self, table: str, records: Sequence[Record]) -> None:
        """Finds those that another door made, such as the default pipeline, by their natural key."""
        self.by_key = {}
        columns = self.natural.get(table)
        if columns is None:
            return
        here = self.ids.get(table, {})
        strangers = [record for record in records if record.external_id not in here]
        keys = {key for record in strangers if (key := self.key(table, record.versions[0].values))}
        if not keys:
            return
        last = columns[-1]
        left = f"lower({last})" if metadata.tables[table].c[last].type.python_type is str else f"{last}::text"
        rows = await self.database.fetch(
            f"SELECT id, {', '.join(columns)} FROM {table} WHERE deleted_at IS NULL AND {left} = ANY($1::text[])"
            f" ORDER BY id /* access:{table} */",
            list({key[-1] for key in keys}),
        )
        for row in rows:
            found = (table, tuple(str(row[name]).lower() for name in columns))
            self.by_key[found] = AMBIGUOUS if found in self.by_key else row["id"]

    def key(self, table: str, values: Values) -> tuple[str, ...] | None:
        """The natural key of a record with these values; None where a part of it is empty."""
        columns = self.natural.get(table)
        if columns is None:
            return None
        found = [self.resolve(values.get(name)) for name in columns]
        return None if any(part in (None, "") for part in found) else tuple(str(p).lower() for p in found)

    def of(self, record: Record) -> UUID | None:
        """The stored record that this one is, if it is here."""
        if record.external_id is not None and (found := self.find(Ref(record.table, record.external_id))):
            return found
        key = self.key(record.table, record.versions[0].values)
        return self.by_key.get((record.table, key)) if key else None

    def accept(self, record: Record, identity: UUID) -> None:
        """From here on references to the record find it."""
        if record.external_id is not None:
            self.ids.setdefault(record.table, {})[record.external_id] = identity
        for (table, by), names in self._named.items():
            name = record.versions[0].values.get(by) if table == record.table else None
            if isinstance(name, str):
                names[name.lower()] = identity if names.get(name.lower(), identity) == identity else AMBIGUOUS

    def forget(self, record: Record) -> None:
        """The record did not go in after all."""
        if record.external_id is not None:
            self.ids.get(record.table, {}).pop(record.external_id, None)
