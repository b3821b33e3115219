"""A company to measure on: 400 people who sell, one manager over 299 of them, 10,000 deals with their history."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from service import ledger, writes
from service.access import SYSTEM
from service.db import Database, Tx
from service.domains.fields import resource as fields
from service.domains.teams import resource as teams
from service.domains.users import resource as users
from service.ids import new_id

CHUNK = 5_000
"""Rows of one transaction, as an import makes them."""
SYLLABLES = [
    "ka",
    "lo",
    "mer",
    "tin",
    "vas",
    "dor",
    "pel",
    "nu",
    "ras",
    "tho",
    "bel",
    "quin",
    "sar",
    "vex",
    "ola",
    "dun",
    "fri",
    "gar",
    "hel",
    "zan",
]


def firm(number: int) -> str:
    """A company's name: no two alike, as in life."""
    mixed, parts = (number + 1) * 2_654_435_761 % 20**7, []
    for _ in range(7):
        mixed, place = divmod(mixed, 20)
        parts.append(SYLLABLES[place])
    return f"{''.join(parts[:4])} {''.join(parts[4:])}".title()


class Company(NamedTuple):
    manager: UUID
    deals: list[UUID]
    """Those that the manager sees."""
    accounts: list[UUID]


async def build(database: Database, deals: int = 10_000, people: int = 400, led: int = 299) -> Company:
    """Fills an empty database; the rows go in by COPY, so the triggers write their history."""
    async with database.begin() as tx:
        root = await writes.insert(tx, teams, SYSTEM, {"name": "Sales"})
        boss = await writes.insert(
            tx,
            users,
            SYSTEM,
            {"email": "boss@bench.example", "name": "Boss", "role": "manager", "team_id": root["id"]},
        )
        west = await writes.insert(
            tx, teams, SYSTEM, {"name": "West", "parent_id": root["id"], "manager_id": boss["id"]}
        )
        for entity in ("account", "opportunity"):
            region = {"entity": entity, "key": "region", "label": "Region", "type": "text"}
            await writes.insert(tx, fields, SYSTEM, region)
        pipeline = await tx.fetchval("SELECT id FROM pipelines WHERE is_default")
        sellers = [new_id() for _ in range(people)]
        await _copy(tx, "user", "users", [
            {"id": one, "email": f"rep{n}@bench.example", "name": f"Rep {n}", "role": "rep",
             "team_id": west["id"] if n < led else root["id"]}
            for n, one in enumerate(sellers)
        ])  # fmt: skip
        accounts = [new_id() for _ in range(2_000)]
        await _copy(tx, "account", "accounts", [
            {"id": one, "name": firm(n), "industry": "retail", "owner_id": sellers[n % people]}
            for n, one in enumerate(accounts)
        ])  # fmt: skip
    made, now = [new_id() for _ in range(deals)], datetime.now(UTC)
    for start in range(0, deals, CHUNK):
        async with database.begin() as tx:
            await _copy(tx, "opportunity", "opportunities", [
                _deal(n, made[n], sellers[n % people], accounts[n % 2000], pipeline, now)
                for n in range(start, min(start + CHUNK, deals))
            ])  # fmt: skip
    return Company(boss["id"], [one for n, one in enumerate(made) if n % people < led], accounts[:led])


STAGES = [
    ("prospecting", "open", 0.1, "pipeline"),
    ("qualification", "open", 0.2, "pipeline"),
    ("proposal", "open", 0.45, "best_case"),
    ("negotiation", "open", 0.7, "commit"),
    ("won", "won", 1.0, "closed"),
    ("lost", "lost", 0.0, "omitted"),
]
"""Those of the pipeline that a new home has: key, status, probability, category."""


def _deal(
    number: int, deal: UUID, owner: UUID, account: UUID, pipeline: UUID, now: datetime
) -> dict[str, Any]:
    # by thousands and not by ones: else each person's deals would all be in the same few stages
    stage, status, probability, category = STAGES[number // 1000 % 6]
    is_open = status == "open"
    return {
        "id": deal, "name": f"Deal {number}", "owner_id": owner, "account_id": account, "pipeline_id": pipeline,
        "stage": stage, "status": status, "probability": probability, "forecast_category": category,
        "amount": Decimal(1000 + number % 977), "amount_home": Decimal(1000 + number % 977), "currency": "USD",
        "close_date": (now + timedelta(days=number % 120)).date(), "stage_entered_at": now,
        "next_step": "call", "description": "A deal to measure on.",
        "closed_at": None if is_open else now, "closed_on": None if is_open else now.date(),
        "loss_reason": "price" if status == "lost" else None,
    }  # fmt: skip


async def _copy(tx: Tx, name: str, table: str, rows: list[dict[str, Any]]) -> None:
    await ledger.record(tx, SYSTEM, f"{name}.imported", name, data={"records": len(rows)})
    columns = list(rows[0])
    await tx.copy_records(table, columns, [tuple(row[column] for column in columns) for row in rows])
