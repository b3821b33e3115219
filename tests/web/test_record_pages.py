"""The pages of records without script: every resource's list, forms with faults in place, history, views, many at once."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.web import catalogue
from service.worker import Worker
from tests.conftest import People
from tests.web.test_pages import browser, field, secured, sign_in

__all__ = ["browser", "secured"]  # known to pytest by being here
pytestmark = pytest.mark.anyio

ADDRESS = {"street": "1 Quay", "city": "Hamburg", "state": None, "postal_code": None, "country": "DE"}


async def made(client: httpx.AsyncClient, people: People, path: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=people.rep.headers, json=values)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def post(browser: httpx.AsyncClient, page: str, url: str, **form: Any) -> httpx.Response:
    """A form of a page, with the page's own token."""
    token = field((await browser.get(page)).text, "csrf_token")
    return await browser.post(url, data={"csrf_token": token} | form)


async def test_every_resource_has_a_list_a_record_and_a_form(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    """For who may do all; the forms hold what the record holds, so that saving one unchanged changes nothing."""
    account = await made(
        client, secured, "/accounts", name="Walk", billing_address=ADDRESS, annual_revenue="1200.50"
    )
    deal = await made(client, secured, "/opportunities", name="Walk", account_id=account["id"])
    contact = await made(client, secured, "/contacts", last_name="Walker", account_id=account["id"])
    await made(
        client,
        secured,
        f"/opportunities/{deal['id']}/stakeholders",
        contact_id=contact["id"],
        role="champion",
    )
    await made(
        client,
        secured,
        "/activities",
        type="call",
        occurred_at="2026-01-05T10:00:00Z",
        account_id=account["id"],
    )
    await sign_in(browser, secured.manager.email)
    seen = 0
    for key, resource in catalogue.ALL.items():
        listed = await browser.get(catalogue.href(resource))
        assert listed.status_code == 200, key
        assert f"<h1>{catalogue.label(resource)}" in listed.text
        if not (row := re.search(r'<th scope="row"><a href="([^"]+)"', listed.text)):
            continue
        seen += 1
        record = f"{catalogue.href(resource)}/{row[1].rpartition('/')[2]}"
        assert (await browser.get(record)).status_code == 200, record
        edit = await browser.get(f"{record}/edit")
        assert edit.status_code == (200 if "Edit</a>" in (await browser.get(record)).text else 403), record
    assert seen >= 8
    assert (await browser.get("/records/nothing")).status_code == 404
    assert (await browser.get("/records/lines/new")).status_code == 404, "a line is made under a deal"
    assert (await browser.get("/records/documents/new")).status_code == 404, (
        "a document is made with its file"
    )


def written(html: str) -> dict[str, list[str]]:
    """What stands in a page's form of a record."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", html.partition('class="record-form"')[2]):
        parts = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if parts.get("type") != "checkbox" or " checked" in tag:
            found.setdefault(parts["name"], []).append(parts.get("value", ""))
    for name, body in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', html, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', body)
        found[name] = [chosen[1] if chosen else ""]
    return found


async def test_a_form_changes_what_was_written_and_nothing_else(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    account = await made(
        client,
        secured,
        "/accounts",
        name="Form Ltd",
        billing_address=ADDRESS,
        annual_revenue="1200.50",
        currency="EUR",
    )
    page = f"/records/accounts/{account['id']}"
    await sign_in(browser, secured.rep.email)
    form = written((await browser.get(f"{page}/edit")).text)
    assert (form["f-billing_address.city"], form["f-annual_revenue"]) == (["Hamburg"], ["1200.5"])
    assert (await browser.post(page, data=form)).status_code == 303
    same = (await client.get(f"/accounts/{account['id']}", headers=secured.rep.headers)).json()
    assert same["version"] == 1, "an unchanged form is no change"
    form |= {"f-annual_revenue": ["2,000,000"], "f-billing_address.city": [""], "f-segment": ["smb"]}
    assert (await browser.post(page, data=form)).status_code == 303
    now = (await client.get(f"/accounts/{account['id']}", headers=secured.rep.headers)).json()
    assert (now["annual_revenue"], now["segment"], now["version"]) == ("2000000.0000", "smb", 2)
    assert now["billing_address"] == {"street": "1 Quay", "country": "DE"}
    wrong = await browser.post(page, data=form | {"version": "2", "f-annual_revenue": "much"})
    assert wrong.status_code == 422
    assert "Annual revenue is not a number." in wrong.text
    refused = await browser.post(page, data=form | {"version": "2", "f-annual_revenue": "-5"})
    assert (refused.status_code, "field-error" in refused.text) == (422, True)


async def test_who_was_quicker_is_shown_beside(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    lead = await made(client, secured, "/leads", last_name="Quick", title="Buyer", phone="1")
    page, api = f"/records/leads/{lead['id']}", f"/leads/{lead['id']}"
    await sign_in(browser, secured.rep.email)
    form = written((await browser.get(f"{page}/edit")).text)
    theirs = {"title": "Director", "phone": "2"}
    await client.patch(api, headers=secured.manager.headers, json=theirs)
    late = await browser.post(page, data=form | {"f-title": "Owner", "f-industry": "Steel"})
    assert late.status_code == 412
    assert "Theirs: Director" in late.text
    again = written(late.text)
    assert (again["f-title"], again["f-phone"], again["version"]) == (["Owner"], ["2"], ["2"])
    assert (await browser.post(page, data=again)).status_code == 303
    now = (await client.get(api, headers=secured.rep.headers)).json()
    assert (now["title"], now["phone"], now["industry"]) == ("Owner", "2", "Steel")


async def test_a_reference_is_found_by_name_and_a_double_is_asked_about(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    first = await made(client, secured, "/accounts", name="Picked Works", domain="picked.example")
    for city in ("north", "south"):
        await made(client, secured, "/accounts", name=f"Twofold {city}")
    await sign_in(browser, secured.rep.email)
    form = {"f-last_name": "Found", "f-account_id.text": "picked works"}
    answer = await post(browser, "/records/contacts/new", "/records/contacts", **form)
    assert answer.status_code == 303
    contact = answer.headers["location"].rpartition("/")[2]
    stored = (await client.get(f"/contacts/{contact}", headers=secured.rep.headers)).json()
    assert stored["account_id"] == first["id"]
    several = await post(
        browser, "/records/contacts/new", "/records/contacts", **form | {"f-account_id.text": "twofold"}
    )
    assert several.status_code == 422
    assert re.findall(r">(Twofold \w+)</option>", several.text) == ["Twofold north", "Twofold south"]
    nobody = await post(
        browser, "/records/contacts/new", "/records/contacts", **form | {"f-account_id.text": "nowhere"}
    )
    assert "nothing here has this name" in nobody.text
    missing = await post(browser, "/records/contacts/new", "/records/contacts", **{"f-email": "no address"})
    assert (missing.status_code, "Last name is required." in missing.text) == (422, True)
    email = {"f-last_name": "Found", "f-email": "no address"}
    wrong = await post(browser, "/records/contacts/new", "/records/contacts", **email)
    assert "E-mail is not an e-mail address." in wrong.text
    double = {"f-name": "Picked works", "f-domain": "picked.example"}
    asked = await post(browser, "/records/accounts/new", "/records/accounts", **double)
    assert asked.status_code == 409
    assert "This may be here already" in asked.text
    sure = await post(browser, "/records/accounts/new", "/records/accounts", **double, sure="yes")
    assert sure.status_code == 303


async def test_a_list_is_filtered_ordered_kept_and_paged_by_addresses(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    for number in range(3):
        await made(client, secured, "/leads", last_name=f"Paged {number}", rating="hot", company="Paging")
    await sign_in(browser, secured.rep.email)
    asked = "filter_field=company&filter_op=starts&filter_value=Pag&sort=last_name"
    answer = await browser.get(f"/records/leads?{asked}")
    assert answer.headers["location"] == "/records/leads?sort=last_name&company%5Bstarts%5D=Pag"
    page = await browser.get(f"{answer.headers['location']}&limit=2")
    assert re.findall(r">(Paged \d)</a>", page.text) == ["Paged 0", "Paged 1"]
    assert "Company begins with Pag" in page.text
    following = re.search(r'href="([^"]+)" rel="next"', page.text)
    assert following
    assert re.findall(r">(Paged \d)</a>", (await browser.get(following[1].replace("&amp;", "&"))).text) == [
        "Paged 2"
    ]
    kept = await post(
        browser, "/records/leads", "/records/leads/views", name="Paging", shared="yes",
        pairs="company%5Bstarts%5D=Pag&sort=-last_name&fields=company,rating",
    )  # fmt: skip
    view = await browser.get(kept.headers["location"])
    assert re.findall(r">(Paged \d)</a>", view.text) == ["Paged 2", "Paged 1", "Paged 0"]
    assert "Lead source</a></th>" not in view.text
    assert '<span class="badge">Company begins with Pag</span>' in view.text
    assert "many?pairs=company%255Bstarts%255D%3DPag" in view.text, "what is changed is what is shown"
    assert "/many" not in (await browser.get("/records/leads?q=paged&company=Paging")).text
    none = await browser.get("/records/leads?company=nobody-at-all")
    assert "Nothing matches" in none.text
    unknown = await browser.get("/records/leads?secret=1")
    assert (unknown.status_code, "There is no field" in unknown.text) == (200, True)


async def test_a_record_is_deleted_restored_and_taken_back(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    lead = await made(client, secured, "/leads", last_name="Undo", title="First")
    await client.patch(f"/leads/{lead['id']}", headers=secured.rep.headers, json={"title": "Second"})
    page = f"/records/leads/{lead['id']}"
    await sign_in(browser, secured.rep.email)
    assert "Restore version 1" in (await browser.get(page)).text
    assert (await post(browser, page, f"{page}/revert", version="2", to="1")).status_code == 303
    now = (await client.get(f"/leads/{lead['id']}", headers=secured.rep.headers)).json()
    assert (now["title"], now["version"]) == ("First", 3)
    stale = await post(browser, page, f"{page}/delete", version="1")
    assert (stale.status_code, "form-error" in stale.text) == (412, True)
    gone = await post(browser, page, f"{page}/delete", version="3")
    assert parse_qs(urlsplit(gone.headers["location"]).query)["undo"] == [lead["id"]]
    assert "Deleted</span>" in (await browser.get(page)).text
    assert f'href="{page}"' in (await browser.get("/records/leads?deleted=true")).text
    assert (await post(browser, page, f"{page}/restore")).status_code == 303
    assert (await client.get(f"/leads/{lead['id']}", headers=secured.rep.headers)).status_code == 200
    clone = written((await browser.get(f"/records/leads/new?like={lead['id']}")).text)
    assert (clone["f-last_name"], clone["f-title"]) == (["Undo"], ["First"])


async def test_a_lead_goes_its_way_by_buttons(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    lead = await made(client, secured, "/leads", last_name="Way", company="Way AG")
    page = f"/records/leads/{lead['id']}"
    await sign_in(browser, secured.manager.email)
    moved = await post(browser, page, f"{page}/do/status", version="1", choice="working")
    assert moved.status_code == 303
    given = {"version": "2", "f-owner_id": "", "f-owner_id.text": "Rep2"}
    assert (await post(browser, page, f"{page}/do/assign", **given)).status_code == 303
    now = (await client.get(f"/leads/{lead['id']}", headers=secured.manager.headers)).json()
    assert (now["status"], now["owner_id"]) == ("working", str(secured.rep2.id))
    wrong = await post(browser, page, f"{page}/do/status", version=str(now["version"]), choice="unqualified")
    assert (wrong.status_code, "say why" in wrong.text) == (422, True)
    done = await post(browser, page, f"{page}/do/convert", version=str(now["version"]))
    assert done.headers["location"].startswith("/deals/")
    assert (await browser.post(f"{page}/do/nothing", data={})).status_code in (403, 404)


async def test_many_are_counted_first_and_then_changed_by_a_job(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People, worker: Worker
) -> None:
    for number in range(3):
        await made(client, secured, "/leads", last_name=f"Many {number}", company="Manyfold")
    await sign_in(browser, secured.manager.email)
    page = "/records/leads/many?pairs=company%3DManyfold"
    form = {"pairs": "company=Manyfold", "action": "update", "field": "rating", "value": "cold"}
    counted = await post(browser, page, "/records/leads/many", **form)
    assert "3 leads will have rating set to cold." in counted.text
    begun = await post(browser, page, "/records/leads/many", **form, token=field(counted.text, "token"))
    assert begun.headers["location"].startswith("/jobs/")
    waiting = await browser.get(begun.headers["location"])
    assert waiting.headers["refresh"] == "2"
    await worker.drain()
    done = await browser.get(begun.headers["location"])
    assert (">Done</span>" in done.text, "refresh" in done.headers) == (True, False)
    found = await client.get("/leads?company=Manyfold&rating=cold", headers=secured.manager.headers)
    assert len(found.json()["items"]) == 3
    undone = await post(browser, begun.headers["location"], f"{begun.headers['location']}/undo")
    assert undone.status_code == 303
    found = await client.get("/leads?company=Manyfold&rating=cold", headers=secured.manager.headers)
    assert found.json()["items"] == []
    everything = await post(browser, page, "/records/leads/many", **form | {"pairs": ""})
    assert everything.status_code == 422


async def test_what_one_may_not_see_or_do_is_not_there(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    """The same sight and the same permissions as the API's: rows, fields, actions."""
    lead = await made(client, secured, "/leads", last_name="Unseen", email="unseen@secret.example")
    await sign_in(browser, secured.stranger.email)
    assert (await browser.get(f"/records/leads/{lead['id']}")).status_code == 404
    assert "Unseen" not in (await browser.get("/records/leads?q=unseen")).text
    assert "Unseen" not in (await browser.get("/find?q=unseen")).text
    assert "Unseen" not in (await browser.get("/records/leads/options?q=unseen")).text
    assert (await post(browser, "/records/leads", "/records/leads/export")).status_code == 403
    browser.cookies.clear()
    await sign_in(browser, secured.data.email)
    page = await browser.get(f"/records/leads/{lead['id']}")
    assert (page.status_code, "secret.example" in page.text) == (200, False)
    listed = await browser.get("/records/leads?email=unseen@secret.example")
    assert "There is no field" in listed.text
    for url in ("/records/leads/new", f"/records/leads/{lead['id']}/edit", "/records/leads/many"):
        assert (await browser.get(url)).status_code == 403, url
    for url in ("/records/leads", f"/records/leads/{lead['id']}", f"/records/leads/{lead['id']}/delete"):
        answer = await post(browser, "/records/leads", url, version="1", **{"f-last_name": "X"})
        assert answer.status_code == 403, url


async def test_search_finds_records_of_every_kind(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    account = await made(client, secured, "/accounts", name="Zanzibar Tools")
    await made(client, secured, "/opportunities", name="Zanzibar roll-out", account_id=account["id"])
    await sign_in(browser, secured.rep.email)
    page = await browser.get("/find?q=zanzi")
    assert f"/records/accounts/{account['id']}" in page.text
    assert page.text.index("Deals</h2>") < page.text.index("Accounts</h2>")
    part = await browser.get("/find?part=1&q=zanzi")
    assert "<html" not in part.text
    assert "Type a name" in (await browser.get("/find?q=")).text


async def test_the_board_by_owner_and_the_map_of_stakeholders(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, secured: People
) -> None:
    deal = await made(client, secured, "/opportunities", name="Mapped", amount="100", currency="USD")
    above: dict[str, Any] = {}
    for name, sentiment in (("Upper", "neutral"), ("Under", "supporter")):
        contact = await made(client, secured, "/contacts", last_name=name)
        person = {"contact_id": contact["id"], "role": "champion", "sentiment": sentiment} | above
        made_one = await made(client, secured, f"/opportunities/{deal['id']}/stakeholders", **person)
        above = {"reports_to_id": made_one["id"]}
    await sign_in(browser, secured.manager.email)
    board = await browser.get("/board?group=owner_id")
    assert '<option value="owner_id" selected>By owner</option>' in board.text
    assert f'data-column="{secured.rep.id}"' in board.text
    assert "data-board " not in board.text, "only stages are dropped on"
    page = await browser.get(f"/deals/{deal['id']}")
    assert re.findall(r'class="map-name"[^>]*>(\w+)<', page.text) == ["Under", "Upper"]
    assert page.text.count('class="map-line"') == 1
    assert f"/records/lines/new?opportunity_id={deal['id']}" in page.text
    parent = {"parent": deal["id"], "f-quantity": "2", "f-unit_price": "50", "f-product_id.text": "no such"}
    refused = await post(
        browser, f"/records/lines/new?opportunity_id={deal['id']}", "/records/lines", **parent
    )
    assert (refused.status_code, "nothing here has this name" in refused.text) == (422, True)
