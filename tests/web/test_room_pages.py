"""“My day”, the inbox and the room on the deal page, as a browser without script meets them."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar

from service.db import Database
from service.domains.sessions import set_password
from service.worker import Worker
from tests.conftest import People, Person
from tests.service import files

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"


@pytest.fixture
async def tab(
    app: Litestar, client: httpx.AsyncClient, people: People, database: Database
) -> AsyncIterator[httpx.AsyncClient]:
    """The rep's browser."""
    async with _browser(app) as opened:
        await _sign_in(opened, database, people.rep)
        yield opened


def _browser(app: Litestar) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    headers = {"Accept": "text/html"}
    return httpx.AsyncClient(transport=transport, base_url="http://testserver.local", headers=headers)


async def _sign_in(browser: httpx.AsyncClient, database: Database, person: Person) -> None:
    await set_password(database, person.id, PASSWORD)
    form = {
        "csrf_token": token((await browser.get("/sign-in")).text),
        "email": person.email,
        "password": PASSWORD,
    }
    assert (await browser.post("/sign-in", data=form)).status_code == 303


def token(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found
    return found[1]


async def made(client: httpx.AsyncClient, path: str, person: Person, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture
async def deal(client: httpx.AsyncClient, people: People) -> dict[str, Any]:
    return await made(client, "/opportunities", people.rep, name="Acme <renewal>")


async def test_a_day_with_tasks_that_are_done_from_it(
    tab: httpx.AsyncClient, client: httpx.AsyncClient, people: People, deal: dict[str, Any]
) -> None:
    page = await tab.get("/day")
    assert page.status_code == 200
    assert "Nothing is late." in page.text
    late = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    task = await made(
        client,
        "/activities",
        people.rep,
        type="task",
        subject="Send <offer>",
        due_at=late,
        opportunity_id=deal["id"],
    )
    item = await made(
        client,
        "/plan-items",
        people.rep,
        opportunity_id=deal["id"],
        title="Step",
        user_id=str(people.rep.id),
        due_date="2026-01-01",
    )
    page = await tab.get("/day")
    assert "Send &lt;offer&gt;" in page.text
    assert "Acme &lt;renewal&gt;" in page.text
    csrf = {"csrf_token": token(page.text)}
    assert (await tab.post(f"/day/task/{task['id']}/done", data={"csrf_token": "forged"})).status_code == 403
    for kind, record in (("task", task), ("plan_item", item)):
        assert (await tab.post(f"/day/{kind}/{record['id']}/done", data=csrf)).status_code == 303
    assert "Nothing is late." in (await tab.get("/day")).text
    assert (await client.get(f"/activities/{task['id']}", headers=people.rep.headers)).json()[
        "status"
    ] == "completed"
    foreign = await made(client, "/activities", people.stranger, type="task", subject="T", due_at=late)
    assert (await tab.post(f"/day/task/{foreign['id']}/done", data=csrf)).status_code == 404


async def test_a_task_is_added_from_the_day(tab: httpx.AsyncClient) -> None:
    csrf = {"csrf_token": token((await tab.get("/day")).text)}
    for wrong in (
        {"subject": "", "due": "2026-01-01"},
        {"subject": "T", "due": "soon"},
        {"subject": "T", "due": "9999-12-31"},
    ):
        answer = await tab.post("/day/tasks", data=csrf | wrong)
        assert answer.status_code in (303, 422)
    assert (await tab.post("/day/tasks", data=csrf | {"subject": "", "due": "2026-01-01"})).status_code == 422
    assert (
        await tab.post("/day/tasks", data=csrf | {"subject": "Write to Ann", "due": "2026-01-01"})
    ).status_code == 303
    assert "Write to Ann" in (await tab.get("/day")).text


async def test_an_inbox_with_its_count_in_the_frame(
    tab: httpx.AsyncClient, client: httpx.AsyncClient, people: People, worker: Worker, deal: dict[str, Any]
) -> None:
    await made(client, "/comments", people.manager, opportunity_id=deal["id"], body="@rep <now>")
    await made(client, "/comments", people.manager, opportunity_id=deal["id"], body="@rep again")
    await worker.drain()
    page = await tab.get("/inbox")
    assert "Manager mentioned you" in page.text
    assert "&lt;now&gt;" in page.text
    assert 'aria-label="Inbox: 2 unread"' in page.text
    first = re.search(r"/inbox/([0-9a-f-]+)/open", page.text)
    assert first
    csrf = {"csrf_token": token(page.text)}
    opened = await tab.post(f"/inbox/{first[1]}/open", data=csrf)
    assert opened.headers["location"] == f"/deals/{deal['id']}"
    assert 'aria-label="Inbox: 1 unread"' in (await tab.get("/board")).text
    assert (await tab.get("/inbox?show=unread")).text.count("/open") == 1
    await tab.post("/inbox/read-all", data=csrf)
    assert "Everything is read." in (await tab.get("/inbox?show=unread")).text
    await tab.post("/inbox/preferences", data=csrf | {"mention": "off", "reminder": "nonsense"})
    chosen = (await client.get("/notifications/preferences", headers=people.rep.headers)).json()
    assert (chosen["mention"], chosen["reminder"]) == ("off", "inbox")
    await tab.post("/inbox/preferences", data=csrf)


async def test_a_room_is_kept_by_forms(
    tab: httpx.AsyncClient, client: httpx.AsyncClient, app: Litestar, people: People, deal: dict[str, Any]
) -> None:
    url = f"/deals/{deal['id']}"
    csrf = {"csrf_token": token((await tab.get(url)).text)}
    assert (
        await tab.post(
            f"{url}/plan",
            data=csrf | {"title": "Sign", "owner": "me", "due_date": "2026-12-01", "shared": "on"},
        )
    ).status_code == 303
    assert (await tab.post(f"{url}/plan", data=csrf | {"title": "", "owner": "me"})).status_code == 422
    assert (await tab.post(f"{url}/plan", data=csrf | {"title": "T", "owner": "nobody"})).status_code == 422
    assert (
        await tab.post(f"{url}/comments", data=csrf | {"body": "Hello <all>", "shared": "on"})
    ).status_code == 303
    blind = await tab.post(f"{url}/comments", data=csrf | {"body": "@stranger look"})
    assert blind.status_code == 422
    assert "may not see this record" in blind.text
    form = {"file": ("offer.pdf", files.PDF)}
    uploaded = await tab.post(
        f"{url}/documents", data=csrf | {"type": "proposal", "shared": "on"}, files=form
    )
    assert uploaded.status_code == 303, uploaded.text
    refused = await tab.post(f"{url}/documents", data=csrf, files={"file": ("x.pdf", b"<script>")})
    assert refused.status_code == 422
    page = await tab.get(url)
    for text in ("Sign", "Hello &lt;all&gt;", "offer.pdf", "2 guest views"[2:]):
        assert text in page.text
    item = re.search(rf"{url}/plan/([0-9a-f-]+)", page.text)
    assert item
    assert (await tab.post(f"{url}/plan/{item[1]}", data=csrf | {"status": "done"})).status_code == 303

    invited = await tab.post(f"{url}/guests", data=csrf | {"name": "Ann", "days": "7", "may_tick": "on"})
    assert invited.status_code == 200, invited.text
    address = re.search(r'value="http://[^"]+(/room/[\w-]+)"', invited.text)
    assert address
    assert address[1] not in (await tab.get(url)).text, "the address is shown once"
    async with _browser(app) as guest:
        room = await guest.get(address[1])
        assert "Hello &lt;all&gt;" in room.text
        link = re.search(r"/guests/([0-9a-f-]+)/revoke", (await tab.get(url)).text)
        assert link
        assert (await tab.post(f"{url}/guests/{link[1]}/revoke", data=csrf)).status_code == 303
        assert (await guest.get(address[1])).status_code == 404
    assert (await tab.post(f"{url}/guests", data=csrf | {"name": ""})).status_code == 422


async def test_a_form_with_a_file_needs_its_token_too(tab: httpx.AsyncClient, deal: dict[str, Any]) -> None:
    form = {"file": ("offer.pdf", files.PDF)}
    url = f"/deals/{deal['id']}/documents"
    assert (await tab.post(url, files=form)).status_code == 403
    assert (await tab.post(url, data={"csrf_token": "forged"}, files=form)).status_code == 403
    late = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        + files.PDF
        + b" " * 5000
    )
    page = await tab.get("/day")
    late += f'\r\n--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token(page.text)}\r\n--b--\r\n'.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await tab.post(url, content=late, headers=headers)).status_code == 403


async def test_others_deals_and_readers_have_no_forms(
    app: Litestar, client: httpx.AsyncClient, people: People, database: Database, deal: dict[str, Any]
) -> None:
    async with _browser(app) as browser:
        await _sign_in(browser, database, people.stranger)
        csrf = {"csrf_token": token((await browser.get("/day")).text)}
        for path, form in (("plan", {"title": "T"}), ("comments", {"body": "B"}), ("guests", {"name": "N"})):
            assert (await browser.post(f"/deals/{deal['id']}/{path}", data=csrf | form)).status_code in (
                404,
                422,
            ), path
        assert (await browser.get(f"/deals/{deal['id']}")).status_code == 404
    async with _browser(app) as browser:
        await _sign_in(browser, database, people.data)
        page = await browser.get(f"/deals/{deal['id']}")
        assert "Invite a guest" not in page.text
        csrf = {"csrf_token": token(page.text)}
        assert (
            await browser.post(f"/deals/{deal['id']}/guests", data=csrf | {"name": "N"})
        ).status_code == 403
    async with _browser(app) as browser:
        for path in ("/day", "/inbox"):
            assert (await browser.get(path)).headers["location"].startswith("/sign-in")


async def test_a_reminder_and_an_inspection_from_the_deal_page(
    tab: httpx.AsyncClient,
    client: httpx.AsyncClient,
    app: Litestar,
    people: People,
    database: Database,
    deal: dict[str, Any],
) -> None:
    url = f"/deals/{deal['id']}"
    await client.patch(
        f"/users/{people.rep.id}", headers=people.admin.headers, json={"time_zone": "Asia/Tokyo"}
    )
    page = await tab.get(url)
    assert "Inspection note" not in page.text
    csrf = {"csrf_token": token(page.text)}
    assert (
        await tab.post(f"{url}/reminders", data=csrf | {"text": "Call", "at": "2030-05-01T09:00"})
    ).status_code == 303
    (made_one,) = (await client.get("/reminders", headers=people.rep.headers)).json()["items"]
    assert made_one["remind_at"].startswith("2030-05-01T00:00:00")
    for wrong in ({"text": "", "at": "2030-05-01T09:00"}, {"text": "Call", "at": "soon"}):
        assert (await tab.post(f"{url}/reminders", data=csrf | wrong)).status_code == 422
    assert (await tab.post(f"{url}/inspection", data=csrf | {"body": "B"})).status_code == 403
    async with _browser(app) as browser:
        await _sign_in(browser, database, people.manager)
        csrf = {"csrf_token": token((await browser.get(url)).text)}
        for form in (
            {"body": "No buyer <yet>", "follow_up_on": "2026-01-02"},
            {"body": "Between us", "private": "on"},
        ):
            assert (await browser.post(f"{url}/inspection", data=csrf | form)).status_code == 303
        for wrong in ({"body": " "}, {"body": "B", "follow_up_on": "soon"}):
            assert (await browser.post(f"{url}/inspection", data=csrf | wrong)).status_code == 422
        assert "Between us" in (await browser.get(url)).text
        assert "No buyer &lt;yet&gt;" in (await browser.get("/day")).text
    page = await tab.get(url)
    assert "Inspection: No buyer &lt;yet&gt;" in page.text
    assert "Between us" not in page.text
