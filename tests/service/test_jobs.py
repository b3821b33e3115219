"""Jobs run at least once, with one effect: leases, retries, batches, and failures that can be seen."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from service import jobs
from service.db import Database
from service.errors import Conflict
from service.jobs import Job
from service.reactions import BATCHES
from service.worker import Worker

pytestmark = pytest.mark.anyio
BATCH = min(BATCHES)


@pytest.fixture(autouse=True)
async def empty(database: Database) -> None:
    await database.execute("DELETE FROM jobs")


async def look(database: Database, job_id: UUID) -> Any:
    return await database.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)


async def test_a_job_is_leased_to_one_and_rung_again_when_its_lease_ran_out(database: Database) -> None:
    job_id = await jobs.enqueue(database, "try", {"n": 1})
    claims = await asyncio.gather(*(jobs.claim(database, BATCHES, []) for _ in range(6)))
    assert [job.id for claim in claims for job in claim] == [job_id]
    assert await jobs.claim(database, BATCHES, []) == []
    await database.execute("UPDATE jobs SET lease_until = now() - interval '1 second'")
    (again,) = await jobs.claim(database, BATCHES, [])
    assert (again.id, again.attempt, again.payload) == (job_id, 2, {"n": 1})


async def test_a_finished_job_stays_with_its_result_and_a_reactions_row_goes(database: Database) -> None:
    async def handle(job: Job) -> dict[str, Any]:
        await job.progress(3, total=4, counts={"created": 3})
        return {"answer": 42}

    asked = await jobs.enqueue(database, "try")
    reaction = await jobs.enqueue(database, "try", event_id=uuid4())
    await Worker(database, {"try": handle}).drain()
    row = await look(database, asked)
    assert (row["status"], row["result"], row["processed"], row["total"]) == ("done", {"answer": 42}, 3, 4)
    assert row["counts"] == {"created": 3}
    assert row["finished_at"] is not None
    assert await look(database, reaction) is None


async def test_a_failure_is_tried_again_later_and_then_stands_with_its_reason(database: Database) -> None:
    calls = []

    async def handle(job: Job) -> None:
        calls.append(job.attempt)
        raise ValueError("the moon is full")

    job_id = await jobs.enqueue(database, "try")
    worker = Worker(database, {"try": handle})
    for attempt in range(1, jobs.ATTEMPTS + 1):
        await worker.drain()
        row = await look(database, job_id)
        assert row["status"] == ("queued" if attempt < jobs.ATTEMPTS else "failed")
        assert row["errors"][-1]["detail"] == "ValueError: the moon is full"
        await database.execute("UPDATE jobs SET run_at = now() WHERE status = 'queued'")
    assert calls == list(range(1, jobs.ATTEMPTS + 1))
    await worker.drain()
    assert len(calls) == jobs.ATTEMPTS


async def test_what_a_rule_refuses_is_not_tried_again(database: Database) -> None:
    async def handle(_: Job) -> None:
        raise Conflict("There is nothing to learn from.")

    job_id = await jobs.enqueue(database, "try")
    await Worker(database, {"try": handle}).drain()
    row = await look(database, job_id)
    assert (row["status"], row["errors"][0]["detail"]) == ("failed", "There is nothing to learn from.")


async def test_a_job_that_nobody_knows_fails_visibly(database: Database) -> None:
    job_id = await jobs.enqueue(database, "unheard_of")
    await Worker(database, {}).drain()
    assert (await look(database, job_id))["errors"][0]["detail"] == "no handler for unheard_of"


async def test_a_batch_takes_all_that_wait_at_once(database: Database) -> None:
    taken: list[int] = []

    async def handle(batch: list[Job]) -> None:
        taken.append(len(batch))

    for _ in range(7):
        await jobs.enqueue(database, BATCH, event_id=uuid4())
    await Worker(database, {BATCH: handle}).drain()
    assert taken == [7]
    assert await database.fetchval("SELECT count(*) FROM jobs") == 0


async def test_one_waits_at_a_time_under_a_key(database: Database) -> None:
    first = await jobs.enqueue(database, "try", key="all")
    assert await jobs.enqueue(database, "try", key="all") == first
    await jobs.claim(database, BATCHES, [])
    assert await jobs.enqueue(database, "try", key="all") != first


async def test_a_job_lives_and_dies_with_its_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.begin() as tx:
            await jobs.enqueue(tx, "try")
            raise RuntimeError
    assert await database.fetchval("SELECT count(*) FROM jobs") == 0


async def test_a_killed_worker_costs_an_attempt_and_leaves_one_effect(database: Database) -> None:
    """The first worker falls in the middle; the second one, when the lease has run out, does it again: the effect is
    keyed by the job, so it is there once."""
    effects: set[UUID] = set()
    begun = asyncio.Event()

    async def falls(job: Job) -> None:
        effects.add(job.id)
        begun.set()
        await asyncio.sleep(3600)

    async def does(job: Job) -> None:
        effects.add(job.id)

    job_id = await jobs.enqueue(database, "try", event_id=uuid4())
    fallen = asyncio.create_task(Worker(database, {"try": falls}).drain())
    await asyncio.wait_for(begun.wait(), 10)
    fallen.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fallen
    await Worker(database, {"try": does}).drain()
    assert await look(database, job_id) is not None, "its lease still holds"
    await database.execute("UPDATE jobs SET lease_until = now() - interval '1 second'")
    await Worker(database, {"try": does}).drain()
    assert await look(database, job_id) is None
    assert effects == {job_id}
