"""The pages as a browser without script meets them: sign-in, forms, safety headers, errors in place."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar

from service.db import Database
from service.domains.sessions import make_link, set_password
from service.worker import Worker
from tests.conftest import People

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"


def field(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found, f"no field {name}"
    return found[1]


@pytest.fixture
async def browser(app: Litestar, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without script: cookies and forms."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    headers = {"Accept": "text/html"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://testserver.local", headers=headers
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
async def secured(database: Database, people: People) -> People:
    for person in (people.rep, people.rep2, people.manager, people.stranger, people.data):
        await set_password(database, person.id, PASSWORD)
    return people


async def sign_in(
    browser: httpx.AsyncClient, email: str, password: str = PASSWORD, **extra: str
) -> httpx.Response:
    page = await browser.get("/sign-in")
    form = {"csrf_token": field(page.text, "csrf_token"), "email": email, "password": password}
    return await browser.post("/sign-in", data=form | extra)


async def deal(client: httpx.AsyncClient, people: People, **members: Any) -> dict[str, Any]:
    answer = await client.post("/opportunities", headers=people.rep.headers, json={"name": "Acme"} | members)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_stranger_is_sent_to_sign_in_and_comes_back(
    browser: httpx.AsyncClient, secured: People
) -> None:
    answer = await browser.get("/forecast?period=2026Q4")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/forecast%3Fperiod%3D2026Q4"
    entered = await sign_in(browser, secured.rep.email, next="/forecast?period=2026Q4")
    assert (entered.status_code, entered.headers["location"]) == (303, "/forecast?period=2026Q4")


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_sign_in_never_leads_elsewhere(
    browser: httpx.AsyncClient, secured: People, target: str
) -> None:
    entered = await sign_in(browser, secured.rep.email, next=target)
    assert entered.headers["location"] == "/board"


async def test_the_session_cookie_is_out_of_reach_of_scripts(
    browser: httpx.AsyncClient, secured: People
) -> None:
    entered = await sign_in(browser, secured.rep.email)
    cookie = next(
        value for value in entered.headers.get_list("set-cookie") if value.startswith("sales_session=")
    )
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_errors_stand_in_the_form(browser: httpx.AsyncClient, secured: People) -> None:
    wrong = await sign_in(browser, secured.rep.email, "not this one")
    assert wrong.status_code == 401
    assert "The address or the password is wrong." in wrong.text
    assert f'value="{secured.rep.email}"' in wrong.text
    assert "sales_session" not in wrong.headers.get("set-cookie", "")
    empty = await sign_in(browser, "", "")
    assert empty.status_code == 422
    assert empty.text.count("field-error") == 2


async def test_a_form_from_elsewhere_signs_nobody_in(browser: httpx.AsyncClient, secured: People) -> None:
    form = {"email": secured.rep.email, "password": PASSWORD}
    assert (await browser.post("/sign-in", data=form)).status_code == 403
    assert (await browser.post("/sign-in", data=form | {"csrf_token": "guess"})).status_code == 403


async def test_a_link_signs_in_once_and_only_when_its_button_is_pressed(
    browser: httpx.AsyncClient, database: Database, secured: People
) -> None:
    secret = await make_link(database, secured.data.id)
    for _ in range(2):
        page = await browser.get(f"/sign-in/{secret}")
        assert page.status_code == 200
    form = {"csrf_token": field(page.text, "csrf_token"), "token": secret}
    assert (await browser.post("/sign-in/link", data=form)).status_code == 303
    assert (await browser.get("/board")).status_code == 200
    assert (await browser.post("/sign-in/link", data=form)).status_code == 401


async def test_signing_out_ends_the_session(browser: httpx.AsyncClient, secured: People) -> None:
    await sign_in(browser, secured.rep.email)
    page = await browser.get("/board")
    kept = dict(browser.cookies)
    assert (await browser.post("/sign-out", data={})).status_code == 403
    await browser.post("/sign-out", data={"csrf_token": field(page.text, "csrf_token")})
    browser.cookies.update(kept)
    assert (await browser.get("/board")).status_code == 303


PAGES = ["/board", "/forecast", "/deals/{deal}", "/board?q=nothing", "/nowhere"]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_hold_no_script_and_no_style_of_their_own(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People, path: str
) -> None:
    made = await deal(client, secured, stage="proposal", amount=100)
    await sign_in(browser, secured.rep.email)
    page = await browser.get(path.format(deal=made["id"]))
    assert page.status_code == (404 if path == "/nowhere" else 200)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page.text)
    assert not re.search(r"<style|<script(?![^>]+src=\"/static/)|javascript:", page.text)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text)
    assert page.text.count("<h1") == 1
    assert 'lang="en"' in page.text


async def test_what_people_write_is_shown_as_text(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    made = await deal(
        client, secured, name="<script>alert(1)</script>", next_step='"><img src=x onerror=alert(1)>'
    )
    await sign_in(browser, secured.rep.email)
    for path in ("/board", f"/deals/{made['id']}"):
        page = await browser.get(path)
        assert "<script>alert" not in page.text
        assert "<img" not in page.text


async def test_a_deal_of_another_is_not_found(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    made = await deal(client, secured)
    await sign_in(browser, secured.stranger.email)
    for path in (
        f"/deals/{made['id']}",
        f"/board/cards/{made['id']}",
        "/deals/00000000-0000-7000-8000-000000000000",
    ):
        page = await browser.get(path)
        assert page.status_code == 404
        assert "Acme" not in page.text
        assert page.headers["content-type"].startswith("text/html")


async def test_a_deal_moves_by_form_and_a_lost_one_is_asked_for_its_reason(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    made = await deal(client, secured, stage="proposal")
    await sign_in(browser, secured.rep.email)
    token = field((await browser.get("/board")).text, "csrf_token")
    form = {"csrf_token": token, "deal": made["id"], "version": "1", "to": "negotiation", "back": "/board"}
    moved = await browser.post("/board/move", data=form)
    assert (moved.status_code, moved.headers["location"]) == (303, "/board")
    asked = await browser.post("/board/move", data=form | {"version": "2", "to": "lost"})
    assert asked.status_code == 200
    assert "Choose a reason" in asked.text
    refused = await browser.post("/board/move", data=form | {"version": "2", "to": "lost", "asked": "yes"})
    assert refused.status_code in (409, 422)
    assert 'role="alert"' in refused.text
    stale = await browser.post(
        "/board/move", data=form | {"version": "1", "to": "lost", "asked": "yes", "reason": "price"}
    )
    assert stale.status_code == 412
    done = await browser.post(
        "/board/move", data=form | {"version": "2", "to": "lost", "asked": "yes", "reason": "price"}
    )
    assert done.status_code == 303
    read = (await client.get(f"/opportunities/{made['id']}", headers=secured.rep.headers)).json()
    assert (read["stage"], read["loss_reason"], read["version"]) == ("lost", "price", 3)


async def test_forms_without_their_token_change_nothing(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    made = await deal(client, secured)
    await sign_in(browser, secured.rep.email)
    form = {"deal": made["id"], "version": "1", "to": "proposal"}
    assert (await browser.post("/board/move", data=form)).status_code == 403
    logged = await browser.post(
        f"/deals/{made['id']}/activity", data={"type": "call", "direction": "outbound"}
    )
    assert logged.status_code == 403
    read = (await client.get(f"/opportunities/{made['id']}", headers=secured.rep.headers)).json()
    assert read["version"] == 1


async def test_an_activity_is_logged_by_form(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    made = await deal(client, secured)
    await sign_in(browser, secured.rep.email)
    page = await browser.get(f"/deals/{made['id']}")
    form = {
        "csrf_token": field(page.text, "csrf_token"),
        "type": "call",
        "direction": "outbound",
        "subject": "Price",
    }
    assert (await browser.post(f"/deals/{made['id']}/activity", data=form)).status_code == 303
    assert "Call: Price" in (await browser.get(f"/deals/{made['id']}")).text
    wrong = await browser.post(f"/deals/{made['id']}/activity", data=form | {"type": "dance"})
    assert wrong.status_code == 422


async def test_recommendations_are_answered_by_form(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, worker: Worker, secured: People
) -> None:
    made = await deal(client, secured, stage="negotiation", amount=90_000)
    await worker.drain()
    await sign_in(browser, secured.rep.email)
    page = await browser.get(f"/deals/{made['id']}")
    assert "to win" in page.text
    offered = re.findall(r'data-recommendation="([^"]+)"', page.text)
    assert offered, "a deal in negotiation has something to do next"
    form = {"csrf_token": field(page.text, "csrf_token"), "back": f"/deals/{made['id']}"}
    verbs = [("done", {}), ("dismiss", {"reason": "Wrong moment"}), ("snooze", {"days": "3"})]
    for record_id, (verb, extra) in zip(offered, verbs, strict=False):
        answer = await browser.post(f"/recommendations/{record_id}/{verb}", data=form | extra)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/deals/{made['id']}")
        assert record_id not in (await browser.get(f"/deals/{made['id']}")).text
        again = await browser.post(f"/recommendations/{record_id}/{verb}", data=form | extra)
        assert again.status_code in (303, 409)


async def test_the_theme_is_kept_without_script(browser: httpx.AsyncClient, secured: People) -> None:
    await sign_in(browser, secured.rep.email)
    page = await browser.get("/forecast")
    assert "data-theme" not in page.text.split(">", 2)[1]
    form = {"csrf_token": field(page.text, "csrf_token"), "theme": "dark", "back": "/forecast"}
    answer = await browser.post("/theme", data=form)
    assert answer.headers["location"] == "/forecast"
    assert 'data-theme="dark"' in (await browser.get("/forecast")).text


async def test_who_has_no_deals_is_told_what_to_do_next(browser: httpx.AsyncClient, secured: People) -> None:
    await sign_in(browser, secured.stranger.email)
    page = await browser.get("/board")
    assert page.status_code == 200
    assert "No deals yet" in page.text


async def test_the_board_opens_where_ones_deals_are(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    admin = secured.admin.headers
    made = await client.post("/pipelines", headers=admin, json={"key": "partners", "name": "Partners"})
    stage = {
        "pipeline_id": made.json()["id"],
        "key": "talks",
        "name": "Talks",
        "position": 1,
        "status": "open",
    }
    stage |= {"probability": 0.5, "forecast_category": "pipeline"}
    assert (await client.post("/stages", headers=admin, json=stage)).status_code == 201
    draft = {"name": "Elsewhere", "pipeline_id": made.json()["id"], "stage": "talks"}
    assert (await client.post("/opportunities", headers=secured.rep2.headers, json=draft)).status_code == 201
    await sign_in(browser, secured.rep2.email)
    page = (await browser.get("/board")).text
    assert 'data-column="talks"' in page
    assert "Elsewhere" in page
    assert 'data-column="proposal"' in (await browser.get("/board?pipeline=sales")).text


async def test_assets_are_kept_for_ever_and_nothing_else_is_served(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/sign-in")
    style = re.search(r'href="(/static/styles-\w+\.css)"', page.text)
    assert style, "build the pages first: python -m service.web.build"
    answer = await browser.get(style[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    for path in ("/static/manifest.json", "/static/..%2Frender.py", "/static/.gitignore", "/static/none.css"):
        assert (await browser.get(path)).status_code == 404


async def test_saved_views_of_deals_stand_on_the_board(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    """One's own and those shared with one's team, as a filter that goes on and off; nobody else's."""
    await deal(client, secured, name="Seen by the view")
    await deal(client, secured, name="Left out of it")
    made = await client.post("/views", headers=secured.rep.headers, json={
        "name": "The seen ones", "resource": "opportunities",
        "filter": [{"field": "name", "op": "starts", "value": "Seen"}],
    })  # fmt: skip
    assert made.status_code == 201, made.text
    await sign_in(browser, secured.rep.email)
    plain = (await browser.get("/board")).text
    link = re.search(r'href="([^"]*view=[^"]*)"[^>]*>The seen ones', plain)
    assert link, "no chip for the view"
    page = (await browser.get(link[1].replace("&amp;", "&"))).text
    assert "Seen by the view" in page
    assert "Left out of it" not in page
    browser.cookies.clear()
    await sign_in(browser, secured.stranger.email)
    assert "The seen ones" not in (await browser.get("/board")).text
