"""All scores anew, and the jobs that make scores: after a change, nightly, on promotion, after an import."""

from collections.abc import Sequence
from typing import Any

from features.catalogue import ENTITIES
from features.online import COMPANY_ID
from service.db import Database
from service.jobs import Job
from service.scoring import Row, score_deals, score_leads
from service.settings import Settings
from service.store import Instants, Store, links_of, refresh, store_of, touched
from service.voices import voices_of
from service.worker import Handler

CHUNK = 500
"""Deals that are scored at a time."""

_ALL = """
SELECT id, owner_id, account_id FROM opportunities WHERE status = 'open' AND deleted_at IS NULL
ORDER BY id /* access:opportunities */"""

_ALL_LEADS = """
SELECT id, owner_id FROM leads WHERE status NOT IN ('converted', 'unqualified') AND deleted_at IS NULL
ORDER BY id /* access:leads */"""


async def score_all(
    database: Database, settings: Settings, progress: Any = None, *, deals: bool = True, leads: bool = True
) -> dict[str, int]:
    """Scores every open deal and lead anew; all facts are read from PostgreSQL. Returns how many of each."""
    store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
    await voices.forget()
    now = await store.now(is_fresh=True)
    open_deals = [dict(row) for row in await database.fetch(_ALL)]
    open_leads = [dict(row) for row in await database.fetch(_ALL_LEADS)]
    await _refresh_parents(store, now, [*open_deals, *open_leads])
    open_deals, open_leads = open_deals if deals else [], open_leads if leads else []
    total, counts = len(open_deals) + len(open_leads), {"deals": 0, "leads": 0}
    for entity, name, rows, score in (
        ("opportunity", "deals", open_deals, score_deals),
        ("lead", "leads", open_leads, score_leads),
    ):
        for start in range(0, len(rows), CHUNK):
            ids = [row["id"] for row in rows[start : start + CHUNK]]
            await store.online.refresh(ENTITIES[entity], now.spine(ids))
            counts[name] += len(await score(store, voices, ids, now))
            if progress:
                await progress(sum(counts.values()), total)
    return counts


async def _refresh_parents(store: Store, now: Instants, rows: Sequence[Row]) -> None:
    """Accounts and people of open business are read anew; all others, and all that is closed, are dropped: an import
    of the past tells of them without events."""
    own = {str(row["id"]) for row in rows}
    links = links_of(rows)
    for entity, sql in _EVERYONE.items():
        everyone = {str(row["id"]) for row in await store.database.fetch(sql)}
        kept = sorted(everyone & links.get(entity, own))
        await store.online.forget(ENTITIES[entity], sorted(everyone - set(kept)))
        for start in range(0, len(kept) if entity in links else 0, CHUNK):
            await store.online.refresh(ENTITIES[entity], now.spine(kept[start : start + CHUNK]))
    await store.online.forget(ENTITIES["company"], [COMPANY_ID])


_EVERYONE = {
    "account": "SELECT id FROM accounts /* access:accounts */",
    "user": "SELECT id FROM users",
    "opportunity": "SELECT id FROM opportunities /* access:opportunities */",
    "lead": "SELECT id FROM leads /* access:leads */",
}


def handlers(settings: Settings) -> dict[str, Handler]:
    """`score.deal`, `score.lead` (reactions, in batches), `score.all`, `score.leads`."""

    async def deals_changed(jobs: list[Job]) -> None:
        database = jobs[0].database
        store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
        about = await touched(database, jobs)
        now = await store.now()
        await refresh(store, now, about)
        await score_deals(store, voices, sorted(about["opportunity"]), now)

    async def leads_changed(jobs: list[Job]) -> None:
        database = jobs[0].database
        about = await touched(database, jobs)
        if about["lead"]:
            store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
            now = await store.now()
            await refresh(store, now, {name: about[name] for name in ("lead", "user")})
            await score_leads(store, voices, sorted(about["lead"]), now)

    async def everything(job: Job) -> Row:
        return dict(await score_all(job.database, settings, job.progress))

    async def all_leads(job: Job) -> Row:
        return dict(await score_all(job.database, settings, job.progress, deals=False))

    return {
        "score.deal": deals_changed,
        "score.lead": leads_changed,
        "score.all": everything,
        "score.leads": all_leads,
    }
