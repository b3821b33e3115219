"""The marker law itself can fail: what it must catch, and what it must let pass."""

import pytest

from service.db import Database
from tests import markers


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("SELECT * FROM opportunities", ("opportunities",)),
        ("SELECT 1 FROM accounts a JOIN public.leads l ON TRUE", ("accounts", "leads")),
        ('UPDATE "notes" SET body = 1', ("notes",)),
        ("SELECT * FROM history.contacts h", ("contacts",)),
        ("SELECT * FROM opportunities /* access:accounts */", ("opportunities",)),
        ("SELECT '/* access:x */' FROM leads WHERE a = 'from notes'", ("leads",)),
        ("SELECT * FROM opportunities t WHERE TRUE /* access:opportunities */", ()),
        (
            "SELECT 1 FROM lines t WHERE EXISTS (SELECT 1 FROM opportunities ao WHERE TRUE) /* access:lines */",
            (),
        ),
        ("SELECT * FROM users JOIN teams ON TRUE", ()),
        ("INSERT INTO leads (id) VALUES (1)", ()),
        ("SELECT opportunities_total FROM opportunities_view", ()),
    ],
)
def test_what_counts_as_unmarked(sql: str, missing: tuple[str, ...]) -> None:
    assert markers.unmarked(sql) == missing


@pytest.mark.anyio
async def test_a_statement_that_goes_round_access_is_seen(database: Database) -> None:
    await database.fetch("SELECT id FROM opportunities")
    async with database.begin() as tx:
        await tx.fetchval("SELECT count(*) FROM leads")
    assert len(markers._found) == 2
    markers._found.clear()
