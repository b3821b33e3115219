"""Any change set undone after any later ones: the state is as before it, but for what was changed since."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import changes, custom, merging, writes
from service.access import SYSTEM
from service.changes import OWN, fields_of
from service.db import Database
from service.domains.accounts import resource as accounts
from service.domains.contacts import resource as contacts
from service.domains.opportunities import resource as opportunities
from service.domains.users import resource as users
from service.errors import Conflict, Problem
from tests.conftest import define
from tests.servers import Servers

KINDS = {"accounts": accounts, "contacts": contacts, "opportunities": opportunities}
FIELDS: dict[str, tuple[str, ...]] = {
    "accounts": ("phone", "industry", "parent_id", "cf"),
    "contacts": ("phone", "title", "account_id", "cf"),
    "opportunities": ("next_step", "account_id"),
}

State = dict[UUID, dict[str, Any]]


class Step(NamedTuple):
    """What is done, to the records at these places, with this value."""

    verb: str
    table: str
    first: int
    second: int
    field: int
    value: int


steps = st.builds(
    Step,
    verb=st.sampled_from(["edit", "edit", "edit", "merge", "merge", "delete", "create"]),
    table=st.sampled_from(list(KINDS)),
    first=st.integers(0, 4),
    second=st.integers(0, 4),
    field=st.integers(0, 3),
    value=st.integers(0, 2),
)


class World:
    """A few records of each kind, and what is done to them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids: dict[str, list[UUID]] = {table: [] for table in KINDS}

    async def fill(self) -> None:
        if not await custom.of(self.database, "accounts"):
            for entity in ("account", "contact"):
                await define(self.database, entity, a="integer", b="integer")
        for _ in range(3):
            await self.create("accounts", 0)
        for number in range(3):
            await self.create("contacts", number)
            await self.create("opportunities", number)

    async def create(self, table: str, number: int) -> UUID:
        draft: dict[str, Any] = {"last_name" if table == "contacts" else "name": f"{table} {number}"}
        if table != "accounts":
            draft["account_id"] = self.ids["accounts"][number % len(self.ids["accounts"])]
        if table == "opportunities":
            draft["owner_id"] = await self.database.fetchval("SELECT id FROM users LIMIT 1")
        async with self.database.begin() as tx:
            row = await writes.insert(tx, KINDS[table], SYSTEM, draft)
        self.ids[table].append(row["id"])
        return tx.change_id

    def at(self, table: str, place: int) -> UUID:
        return self.ids[table][place % len(self.ids[table])]

    async def do(self, step: Step) -> UUID | None:
        """Carries a step out and returns its change set; None where a rule forbids it."""
        try:
            if step.verb == "create":
                return await self.create(step.table, step.first)
            async with self.database.begin() as tx:
                await getattr(self, step.verb)(tx, step)
            return tx.change_id
        except Problem:
            return None

    async def edit(self, tx: Any, step: Step) -> None:
        resource, field = KINDS[step.table], FIELDS[step.table][step.field % len(FIELDS[step.table])]
        value: Any = str(step.value)
        if field.endswith("_id"):
            value = self.at("accounts", step.second)
        elif field == "cf":
            value = {"a": step.value} | ({"b": step.second} if step.second % 2 else {})
        old = await writes.locked(tx, resource, SYSTEM, self.at(step.table, step.first))
        if await writes.update(tx, resource, SYSTEM, old, {field: value}) is old:
            raise Conflict("Nothing to change.")

    async def merge(self, tx: Any, step: Step) -> None:
        resource = KINDS["contacts" if step.table == "contacts" else "accounts"]
        winner_id, loser_id = self.at(resource.key, step.first), self.at(resource.key, step.second)
        winner, losers = await merging.rows(tx, resource, SYSTEM, winner_id, [loser_id], lock=True)
        kept = merging.judge(resource, SYSTEM, winner, losers, {})
        await merging.merge(tx, resource, SYSTEM, winner, losers, kept)

    async def delete(self, tx: Any, step: Step) -> None:
        resource = KINDS[step.table]
        old = await writes.locked(tx, resource, SYSTEM, self.at(step.table, step.first))
        await writes.remove(tx, resource, SYSTEM, old)

    async def state(self) -> State:
        """All records, field by field, keys of custom fields apart; a deletion is one whenever it was."""
        found: State = {}
        for table, ids in self.ids.items():
            names = [name for name in fields_of(KINDS[table].table) if name not in OWN]
            rows = await self.database.fetch(
                f"SELECT * FROM {table} WHERE id = ANY($1::uuid[]) /* access:{table} */", ids
            )
            for row in rows:
                values = {name: row[name] for name in names if name not in ("cf", "external_ids")}
                values |= {f"cf.{key}": value for key, value in row["cf"].items()}
                found[row["id"]] = values | {"deleted_at": row["deleted_at"] is not None}
        return found


def expected(before: State, after: State, now: State) -> State | None:
    """What the undo of the step between `before` and `after` makes of `now`; None where something stands in its way."""
    wanted: State = {}
    for key, present in now.items():
        made, former = after.get(key), before.get(key)
        if made is None:  # a later step's
            wanted[key] = present
        elif former is None:
            if present != made and not present["deleted_at"]:
                return None
            wanted[key] = present | {"deleted_at": True}
        else:
            names = set(made) | set(former) | set(present)
            changed = {name for name in names if made.get(name) != former.get(name)}
            if any(present.get(name) != made.get(name) for name in changed):
                return None
            values = {name: (former if name in changed else present).get(name) for name in names}
            wanted[key] = {name: value for name, value in values.items() if value is not None}
    return {key: {n: v for n, v in values.items() if v is not None} for key, values in wanted.items()}


def compact(state: State) -> State:
    return {key: {n: v for n, v in values.items() if v is not None} for key, values in state.items()}


async def play(url: str, plan: list[Step], which: int) -> None:
    database = await Database.open(url, min_size=1, max_size=1)
    try:
        world = World(database)
        await world.fill()
        done: list[tuple[UUID, State, State]] = []
        before = await world.state()
        for step in plan:
            change = await world.do(step)
            after = await world.state()
            if change is not None:
                done.append((change, before, after))
            before = after
        if done:
            await judge(world, *done[which % len(done)])
    finally:
        await database.close()


async def judge(world: World, change: UUID, before: State, after: State) -> None:
    now = await world.state()
    wanted = expected(before, after, now)
    try:
        undone = await changes.undo(world.database, SYSTEM, change)
    except Conflict as error:
        assert wanted is None, error.extra  # noqa: PT017  # the other way of the same test
        assert await world.state() == now, "nothing at all is undone"
        return
    assert wanted is not None, "something stood in the way"
    assert compact(await world.state()) == wanted
    if not sum(undone["counts"].values()):
        return  # what it created was deleted since: there was nothing to do
    await changes.undo(world.database, SYSTEM, UUID(undone["change_id"]))
    assert compact(await world.state()) == compact(now), "the undo of the undo"


@pytest.fixture(scope="module")
def world_url(servers: Servers, database_name: str) -> str:
    """A database with somebody who owns deals."""
    url = servers.app_url(database_name)

    async def somebody() -> None:
        database = await Database.open(url, min_size=1, max_size=1)
        async with database.begin() as tx:
            await writes.insert(
                tx, users, SYSTEM, {"email": "o@test.example", "name": "Owner", "role": "rep"}
            )
        await database.close()

    asyncio.run(somebody())
    return url


@pytest.mark.proof
def test_any_change_set_is_undone_after_any_later_ones(
    world_url: str, size: Callable[[int, int], int]
) -> None:
    @settings(
        max_examples=size(25, 1_000), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(st.lists(steps, min_size=1, max_size=12), st.integers(0, 11))
    def undone(plan: list[Step], which: int) -> None:
        asyncio.run(play(world_url, plan, which))

    undone()
