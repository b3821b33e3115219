"""Duplicates among many contacts, and what is done to many records at once: on servers of the bench's own."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

import msgspec

from service import alike, changes, ledger, many
from service.access import SYSTEM, Actor
from service.db import Database
from service.domains.opportunities import OpportunityDraft
from service.domains.opportunities import resource as opportunities
from service.ids import new_id
from service.resource import plain
from tests.bench.company import build
from tests.bench.table import Row
from tests.servers import Servers

CHECKS = 400
PAGE = 20_000
SYLLABLES = "ka lo mi ra te su no vi da el or an ber ton son stein field wood ley man hart ford ing".split()  # noqa: SIM905  # a list of syllables reads better as one


def rows(contacts: int) -> list[Row]:
    """The duplicate check at create, a thousand records created at once, and their undo."""
    servers = Servers()
    try:
        found = asyncio.run(_measured(servers.app_url(servers.create_database()), contacts))
    finally:
        servers.close()
    command = f"python -m tests.bench duplicates --rows {contacts}"
    checked, created, undone = found
    return [
        Row(f"duplicate check among {contacts:,} contacts, p95", checked * 1000, 30, "ms", command),
        Row("bulk create of 1,000 deals", created, 0.6, "s", command, "median of 5"),
        Row("undo of it", undone, None, "s", command, "median of 5"),
    ]


async def _measured(url: str, contacts: int) -> tuple[float, float, float]:
    database = await Database.open(url, max_size=4)
    company = await build(database, 1_000)
    sample = await _fill(database, contacts, company.accounts)
    checked = await _checks(database, sample)
    actor = msgspec.structs.replace(SYSTEM, id=company.manager)
    created, undone = await _at_once(database, actor, company.accounts)
    await database.close()
    return checked, created, undone


def _person(dice: random.Random, number: int, accounts: list[UUID]) -> dict[str, Any]:
    first, last = ("".join(dice.choices(SYLLABLES, k=dice.randint(2, 3))).title() for _ in range(2))
    return {
        "first_name": first,
        "last_name": last,
        "email": f"{first}.{last}.{number}@firm{number % 50_000}.example".lower(),
        "phone": f"+1555{dice.randrange(10**7):07d}" if number % 3 else None,
        "mobile_phone": None,
        "account_id": dice.choice(accounts),
    }


async def _fill(database: Database, contacts: int, accounts: list[UUID]) -> list[dict[str, Any]]:
    dice = random.Random(1)
    sample: list[dict[str, Any]] = []
    for start in range(0, contacts, PAGE):
        page = [_person(dice, number, accounts) for number in range(start, min(start + PAGE, contacts))]
        sample += dice.sample(page, max(1, CHECKS * len(page) // contacts))
        names = ("id", *page[0])
        async with database.begin() as tx:
            await ledger.record(tx, SYSTEM, "contact.imported", "contact", data={"records": len(page)})
            await tx.copy_records("contacts", names, [(new_id(), *one.values()) for one in page])
    await database.execute("ANALYZE contacts")
    return sample


async def _checks(database: Database, sample: list[dict[str, Any]]) -> float:
    """p95 of looking for records like these, half of them with a slip in the name."""
    taken = []
    for number, row in enumerate(sample):
        draft = row | ({"last_name": row["last_name"][:-1] + "x", "email": None} if number % 2 else {})
        began = time.perf_counter()
        await alike.candidates(database, SYSTEM, "contacts", draft)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[int(0.95 * len(taken))]


async def _at_once(database: Database, actor: Actor, accounts: list[UUID]) -> tuple[float, float]:
    created, undone = [], []
    for _ in range(5):
        items = [
            {"name": f"Deal {n}", "amount": "1000", "account_id": str(accounts[n % len(accounts)])}
            for n in range(1_000)
        ]
        began = time.perf_counter()
        drafts = [plain(msgspec.convert(item, OpportunityDraft)) for item in items]
        async with database.begin() as tx:
            await many.create(tx, database, opportunities, actor, drafts)
        created.append(time.perf_counter() - began)
        began = time.perf_counter()
        await changes.undo(database, actor, tx.change_id)
        undone.append(time.perf_counter() - began)
    return sorted(created)[2], sorted(undone)[2]
