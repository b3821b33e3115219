"""The page of the catalogue: all that the reader may see, nothing to change."""

import httpx
import pytest

from features.catalogue import FEATURES
from service.db import Database
from tests.conftest import People

pytestmark = pytest.mark.anyio
URL = "http://testserver.local/features"


async def test_the_catalogue_can_be_read_and_searched(client: httpx.AsyncClient, people: People) -> None:
    page = await client.get(URL, headers=people.rep.headers)
    assert page.status_code == 200
    assert f"{len(FEATURES)} of {len(FEATURES)}" in page.text
    assert "account_win_rate" in page.text
    found = await client.get(URL, headers=people.rep.headers, params={"q": "discount"})
    assert "discount" in found.text
    assert "account_win_rate" not in found.text
    none = await client.get(URL, headers=people.rep.headers, params={"q": "<script>nothing"})
    assert "No feature has these words" in none.text
    assert "<script>nothing" not in none.text
    assert (await client.post(URL, headers=people.rep.headers)).status_code in (404, 405)


async def test_what_is_hidden_is_not_there_and_what_drifted_is_marked(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    assert "lead_has_phone" not in (await client.get(URL, headers=people.data.headers)).text
    assert "Drifted" not in (await client.get(URL, headers=people.data.headers)).text
    await database.execute(
        "INSERT INTO registry.reports (model, version, day, report) VALUES ('win', 3, '2026-01-02', $1)",
        {"drifted": ["amount_log"]},
    )
    page = (await client.get(URL, headers=people.data.headers)).text
    assert 'title="win 3, 2026-01-02">Drifted' in page
