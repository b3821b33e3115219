"""A long history for the feature store to read, written straight into `history` by its owner: deals, and a million events.

Everything comes from row numbers by arithmetic, so two runs measure the same company.
"""

from typing import NamedTuple
from uuid import UUID

import asyncpg

ACCOUNTS, REPS, VERSIONS = 2_000, 200, 5
DAYS = 720
"""The history's length; it ends at the start of today."""


class Past(NamedTuple):
    """Who is there, and how many events."""

    deals: list[UUID]
    accounts: list[UUID]
    reps: list[UUID]
    events: int


_ID = "md5({kind} || n)::uuid"
_START = f"date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - INTERVAL '{DAYS} days'"
_ENTER = (
    f"{_START} + (n * 7919 % {DAYS - 180}) * INTERVAL '1 day' + (n * 104729 % 86400) * INTERVAL '1 second'"
)
_STAGES = "(ARRAY['prospecting', 'qualification', 'proposal', 'negotiation'])"
_EVENT = "'00000000-0000-0000-0000-000000000000'::uuid"

_CATALOGUES = f"""
INSERT INTO history.users (id, version, name, start_date, event_id, known_from)
SELECT {_ID.format(kind="'rep'")}, 1, 'Rep ' || n, DATE '2024-01-01' + n, {_EVENT}, {_START}
FROM generate_series(1, {REPS}) n;
INSERT INTO history.accounts (id, version, created_at, industry, type, segment, number_of_employees, annual_revenue,
                              event_id, known_from)
SELECT {_ID.format(kind="'account'")}, 1, {_START}, (ARRAY['retail', 'software', 'energy'])[1 + n % 3], 'prospect', 'smb',
       10 + n % 900, 100000 + n * 7, {_EVENT}, {_START}
FROM generate_series(1, {ACCOUNTS}) n;
"""

_DEALS = f"""
INSERT INTO history.opportunities (id, version, created_at, pipeline_id, stage, status, owner_id, account_id, amount_home,
                                   close_date, closed_at, type, lead_source, next_step, forecast_category, competitor_ids,
                                   event_id, known_from, known_to)
SELECT {_ID.format(kind="'deal'")}, v, {_ENTER}, (SELECT id FROM pipelines WHERE is_default),
       CASE WHEN v = {VERSIONS} AND n % 3 > 0 THEN (ARRAY['won', 'lost'])[n % 3] ELSE {_STAGES}[least(v, 4)] END,
       CASE WHEN v = {VERSIONS} AND n % 3 > 0 THEN (ARRAY['won', 'lost'])[n % 3] ELSE 'open' END,
       md5('rep' || (1 + n % {REPS}))::uuid, md5('account' || (1 + n % {ACCOUNTS}))::uuid, 1000 + (n * 37 + v * 11) % 90000,
       CAST({_ENTER} AS date) + 90 + v * (n % 4),
       CASE WHEN v = {VERSIONS} AND n % 3 > 0 THEN {_ENTER} + v * INTERVAL '21 days' END,
       'new_business', (ARRAY['web', 'event', 'referral'])[1 + n % 3], CASE WHEN n % 2 = 0 THEN 'call' END, 'pipeline',
       ARRAY[]::uuid[], {_EVENT}, {_ENTER} + v * INTERVAL '21 days',
       CASE WHEN v = {VERSIONS} THEN TIMESTAMPTZ '9999-12-31' ELSE {_ENTER} + (v + 1) * INTERVAL '21 days' END
FROM generate_series(1, $1::int) n, generate_series(1, {VERSIONS}) v"""

_EVENTS = f"""
INSERT INTO history.activities (id, version, occurred_at, type, direction, status, owner_id, account_id, opportunity_id,
                                event_id, known_from)
SELECT md5('event' || n || ' ' || e)::uuid, 1, at, (ARRAY['email', 'call', 'meeting', 'demo'])[1 + (n + e) % 4],
       (ARRAY['inbound', 'outbound'])[1 + (n * 3 + e) % 2], 'completed', md5('rep' || (1 + n % {REPS}))::uuid,
       md5('account' || (1 + n % {ACCOUNTS}))::uuid, {_ID.format(kind="'deal'")}, {_EVENT}, at + (e % 5) * INTERVAL '1 hour'
FROM generate_series(1, $1::int) n, generate_series(1, $2::int) e,
     LATERAL (SELECT {_ENTER} + INTERVAL '21 days' + (e * 40009 % 160) * INTERVAL '1 day' + (e * n % 24) * INTERVAL '1 hour'
              AS at) t"""


async def fill(connection: asyncpg.Connection, deals: int, events: int) -> Past:
    """Writes so many deals of five versions each, and about so many events on them."""
    each = max(1, events // deals)
    await connection.execute(_CATALOGUES)
    await connection.execute(_DEALS, deals)
    await connection.execute(_EVENTS, deals, each)
    await connection.execute("VACUUM ANALYZE")
    tables = ("opportunities", "accounts", "users")
    ids = [
        [row[0] for row in await connection.fetch(f"SELECT DISTINCT id FROM history.{table} ORDER BY id")]
        for table in tables
    ]
    return Past(ids[0], ids[1], ids[2], deals * each)
