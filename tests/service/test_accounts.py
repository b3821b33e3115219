"""Accounts: the ordinary routes, as one plain resource for all; bad input is in `test_bad_input.py`."""

import pytest
from litestar.testing import AsyncTestClient

from tests.conftest import People

pytestmark = pytest.mark.anyio


async def test_an_account_lives_its_life(client: AsyncTestClient, people: People) -> None:
    made = await client.post(
        "/accounts",
        headers=people.rep.headers,
        json={
            "name": "Acme",
            "annual_revenue": "1250000.50",
            "currency": "USD",
            "billing_address": {"country": "DE"},
        },
    )
    assert made.status_code == 201, made.text
    account = made.json()
    assert account["owner_id"] == str(people.rep.id)
    assert account["annual_revenue"] == "1250000.5000"
    assert account["billing_address"] == {"country": "DE"}
    url = f"/accounts/{account['id']}"
    changed = await client.patch(
        url, headers=people.rep.headers | {"If-Match": made.headers["etag"]}, json={"industry": "retail"}
    )
    assert changed.json()["version"] == 2
    stale = await client.patch(url, headers=people.rep.headers | {"If-Match": '"1"'}, json={"industry": "x"})
    assert stale.status_code == 412
    assert (await client.delete(url, headers=people.rep.headers)).status_code == 204
    assert (await client.get(url, headers=people.rep.headers)).status_code == 404
    restored = await client.post(url + "/restore", headers=people.rep.headers)
    assert restored.json()["industry"] == "retail"


async def test_only_a_manager_gives_an_account_away(client: AsyncTestClient, people: People) -> None:
    made = (await client.post("/accounts", headers=people.rep.headers, json={"name": "Beta"})).json()
    url, wish = f"/accounts/{made['id']}", {"owner_id": str(people.rep2.id), "reason": "holiday"}
    patched = await client.patch(url, headers=people.rep.headers, json={"owner_id": str(people.rep2.id)})
    assert patched.status_code == 422
    assert (await client.post(url + "/assign", headers=people.rep.headers, json=wish)).status_code == 403
    given = await client.post(url + "/assign", headers=people.manager.headers, json=wish)
    assert given.json()["owner_id"] == str(people.rep2.id)
    assert (await client.get(url, headers=people.rep.headers)).status_code == 404
    outside = await client.post(
        url + "/assign", headers=people.manager.headers, json={"owner_id": str(people.stranger.id)}
    )
    assert outside.status_code == 422
    assert outside.json()["errors"][0]["pointer"] == "/owner_id"
    nobody = await client.post(url + "/assign", headers=people.manager.headers, json={})
    assert nobody.status_code == 422
