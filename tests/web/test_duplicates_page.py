"""The page of duplicates without script: a pair is compared, merged, taken back, or told apart."""

from typing import Any

import httpx
import pytest

from service.worker import Worker
from tests.conftest import People
from tests.web.test_pages import browser, field, secured, sign_in

__all__ = ["browser", "secured"]  # known to pytest by being here
pytestmark = pytest.mark.anyio


async def account(client: httpx.AsyncClient, people: People, **values: Any) -> str:
    answer = await client.post("/accounts", headers=people.rep.headers, json=values)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_pair_is_compared_merged_and_taken_back(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People, worker: Worker
) -> None:
    first = await account(client, secured, name="Acme Inc", domain="acme.example", phone="1")
    second = await account(client, secured, name="Acme", domain="acme.example", industry="steel", phone="2")
    await worker.drain()
    await sign_in(browser, "rep@test.example")
    page = await browser.get("/duplicates")
    assert "The web domain is the same." in page.text
    both = {"entity": "accounts", "first": first, "second": second}
    compared = await browser.get("/duplicates/merge", params=both)
    assert compared.status_code == 200, compared.text
    assert "Merge Acme into Acme Inc" in compared.text
    form = both | {"csrf_token": field(compared.text, "csrf_token"), "field-phone": second}
    merged = await browser.post("/duplicates/merge", data=form)
    assert merged.status_code == 303, merged.text
    now = (await client.get(f"/accounts/{first}", headers=secured.rep.headers)).json()
    assert (now["name"], now["phone"], now["industry"]) == ("Acme Inc", "2", "steel")
    after = await browser.get(merged.headers["location"])
    assert "The records are one now." in after.text
    taken = {
        "entity": "accounts",
        "change_id": field(after.text, "change_id"),
        "csrf_token": form["csrf_token"],
    }
    assert (await browser.post("/duplicates/undo", data=taken)).status_code == 303
    assert (await client.get(f"/accounts/{second}", headers=secured.rep.headers)).status_code == 200
    told = both | {"csrf_token": form["csrf_token"]}
    assert (await browser.post("/duplicates/dismiss", data=told)).status_code == 303
    assert "No accounts that look like one another." in (await browser.get("/duplicates")).text


async def test_what_is_not_there_is_not_found(browser: httpx.AsyncClient, secured: People) -> None:
    await sign_in(browser, "rep@test.example")
    nowhere = "01890000-0000-7000-8000-000000000000"
    other = "01890000-0000-7000-8000-000000000001"
    for url in (
        "/duplicates?entity=deals",
        "/duplicates?merged=x",
        f"/duplicates/merge?entity=accounts&first={nowhere}&second={other}",
        "/duplicates/merge?entity=accounts&first=x",
    ):
        assert (await browser.get(url)).status_code == 404, url


async def test_who_studies_models_has_no_duplicates(browser: httpx.AsyncClient, secured: People) -> None:
    await sign_in(browser, "data@test.example")
    assert (await browser.get("/duplicates")).status_code == 403
