"""The daily tasks of `docs/salesforce.md`: accounts, contacts, leads and campaigns."""

import pytest

from service.worker import Worker
from tests.conftest import People
from tests.service.salesforce_page import Desk, Make, account, cookies, deal, desk, task

__all__ = ["account", "cookies", "deal", "desk"]
pytestmark = pytest.mark.anyio

# Accounts and contacts -----------------------------------------------------------------------------


@task("New Account")
async def test_new_account(desk: Desk, people: People) -> None:
    made = await desk(people.rep, "POST /accounts", name="Acme", industry="retail", type="customer")
    assert (made["owner_id"], made["type"]) == (str(people.rep.id), "customer")


@task("Search in a list")
async def test_search_in_a_list(desk: Desk, people: People, account: Make) -> None:
    made = await account("Acme Searched")
    found = await desk(people.rep, "GET /accounts?q=acme")
    assert made["id"] in [item["id"] for item in found["items"]]
    assert all("acme" in item["name"].lower() for item in found["items"])


@task("Inline Edit")
async def test_inline_edit(desk: Desk, people: People, account: Make) -> None:
    made = await account()
    changed = await desk(people.rep, f"PATCH /accounts/{made['id']}", phone="+41 44 1")
    assert (changed["phone"], changed["version"]) == ("+41 44 1", 2)


@task("Clone")
async def test_clone(desk: Desk, people: People, account: Make) -> None:
    made = await account(industry="steel")
    clone = await desk(people.rep, f"POST /accounts/{made['id']}/clone", name="Acme 2")
    assert (clone["name"], clone["industry"]) == ("Acme 2", "steel")


@task("Change Owner")
async def test_change_owner(desk: Desk, people: People, account: Make) -> None:
    made = await account()
    given = await desk(
        people.manager, f"POST /accounts/{made['id']}/assign", owner_id=str(people.rep2.id), reason="Vacation"
    )
    assert given["owner_id"] == str(people.rep2.id)


@task("Delete")
async def test_delete(desk: Desk, people: People, account: Make) -> None:
    made = await account()
    await desk(people.rep, f"DELETE /accounts/{made['id']}")
    await desk(people.rep, f"GET /accounts/{made['id']}", 404)


@task("Recycle Bin")
async def test_recycle_bin(desk: Desk, people: People, account: Make) -> None:
    made = await account("Thrown away")
    await desk(people.rep, f"DELETE /accounts/{made['id']}")
    found = await desk(people.rep, "GET /accounts?deleted=true")
    assert made["id"] in [item["id"] for item in found["items"]]
    back = await desk(people.rep, f"POST /accounts/{made['id']}/restore")
    assert (back["name"], back["deleted_at"]) == ("Thrown away", None)


@task("Account Hierarchy")
async def test_account_hierarchy(desk: Desk, people: People, account: Make) -> None:
    parent = await account("Group")
    child = await account("Branch", parent_id=parent["id"])
    tree = await desk(people.rep, f"GET /accounts/{child['id']}/tree")
    assert [item["name"] for item in tree["items"]] == ["Group", "Branch"]


@task("Related Lists")
async def test_related_lists(desk: Desk, people: People, account: Make) -> None:
    made = await account("Related")
    await desk(people.rep, "POST /contacts", last_name="Doe", account_id=made["id"])
    found = await desk(people.rep, f"GET /contacts?account_id={made['id']}&expand=account")
    assert [(item["last_name"], item["account"]["name"]) for item in found["items"]] == [("Doe", "Related")]


@task("Contact Hierarchy (Reports To)")
async def test_contact_hierarchy(desk: Desk, people: People) -> None:
    boss = await desk(people.rep, "POST /contacts", last_name="Boss")
    clerk = await desk(people.rep, "POST /contacts", last_name="Clerk", reports_to_id=boss["id"])
    tree = await desk(people.rep, f"GET /contacts/{clerk['id']}/tree")
    assert [item["id"] for item in tree["items"]] == [boss["id"], clerk["id"]]


@task("Account Contact Relationships")
async def test_account_contact_relationships(desk: Desk, people: People, account: Make) -> None:
    contact = await desk(people.rep, "POST /contacts", last_name="Director")
    made = await desk(
        people.rep, "POST /relationships", contact_id=contact["id"], related_account_id=(await account())["id"],
        type="board_member",
    )  # fmt: skip
    assert made["is_active"] is True


@task("Matching and Duplicate Rules")
async def test_duplicate_rules(desk: Desk, people: People) -> None:
    known = await desk(people.rep, "POST /contacts", last_name="Muster", email="muster@rule.example")
    values = {"last_name": "Muster", "email": "MUSTER@rule.example"}
    found = await desk(people.rep, "POST /duplicates/check", entity="contacts", values=values)
    assert [item["id"] for item in found["items"]] == [known["id"]]
    assert found["items"][0]["score"] > 0.9


@task("Duplicate Jobs")
async def test_duplicate_jobs(desk: Desk, people: People, worker: Worker) -> None:
    pair = [
        (await desk(people.rep, "POST /contacts", last_name="Zwilling", email="same@job.example"))["id"]
        for _ in range(2)
    ]
    await desk(people.ops, "POST /duplicates/scan", entity="contacts")
    await worker.drain()
    found = await desk(people.rep, "GET /duplicates?entity=contacts")
    assert sorted(pair) in [[item["first_id"], item["second_id"]] for item in found["items"]]
    assert "Zwilling" in await desk.page(people.rep, "/duplicates?entity=contacts")


@task("Merge Accounts")
async def test_merge_accounts(desk: Desk, people: People, account: Make) -> None:
    winner, loser = await account("Merged"), await account("Merged Inc", website="merged.example")
    contact = await desk(people.rep, "POST /contacts", last_name="Doe", account_id=loser["id"])
    asked = {"resource": "accounts", "winner_id": winner["id"], "loser_ids": [loser["id"]]}
    await desk(people.rep, "POST /merge/preview", **asked)
    await desk(people.rep, "POST /merge", **asked)
    kept = await desk(people.rep, f"GET /accounts/{winner['id']}")
    moved = await desk(people.rep, f"GET /contacts/{contact['id']}")
    assert (kept["website"], moved["account_id"]) == ("merged.example", winner["id"])
    await desk(people.rep, f"GET /accounts/{loser['id']}", 404)


# Leads and campaigns -------------------------------------------------------------------------------


@task("Web-to-Lead")
async def test_web_to_lead(desk: Desk, people: People) -> None:
    key = await desk(people.admin, "POST /api-keys", name="Web form", scopes=["leads:create"])
    form = {"X-API-Key": key["key"]}
    made = await desk(form, "POST /leads", last_name="Roe", email="roe@web.example", lead_source="web")
    assert (made["status"], made["lead_source"]) == ("new", "web")
    await desk(form, "GET /leads", 403)


@task("Lead Assignment")
async def test_lead_assignment(desk: Desk, people: People) -> None:
    lead = await desk(people.ops, "POST /leads", last_name="Waiting")
    assert lead["owner_id"] is None
    await desk(people.manager, f"POST /leads/{lead['id']}/assign", 404)
    given = await desk(people.ops, f"POST /leads/{lead['id']}/assign")
    reps = {str(person.id) for person in (people.rep, people.rep2, people.stranger)}
    assert given["owner_id"] in reps
    assert given["assigned_at"] is not None


@task("Lead Status")
async def test_lead_status(desk: Desk, people: People) -> None:
    lead = await desk(people.rep, "POST /leads", last_name="Roe")
    worked = await desk(people.rep, f"POST /leads/{lead['id']}/status", to="working")
    assert (worked["status"], worked["first_response_at"] is not None) == ("working", True)
    await desk(people.rep, f"POST /leads/{lead['id']}/status", 409, to="new")


@task("Convert Lead")
async def test_convert_lead(desk: Desk, people: People) -> None:
    lead = await desk(
        people.rep, "POST /leads", last_name="Roe", company="Roe Ltd", email="roe@convert.example"
    )
    made = await desk(people.rep, f"POST /leads/{lead['id']}/convert", opportunity={"name": "Roe's deal"})
    assert made["lead"]["status"] == "converted"
    assert made["account"]["name"] == "Roe Ltd"
    assert (made["contact"]["email"], made["contact"]["account_id"]) == (
        "roe@convert.example", made["account"]["id"],
    )  # fmt: skip
    assert (made["opportunity"]["name"], made["opportunity"]["stage"]) == ("Roe's deal", "prospecting")


@task("Response Time (Milestones)")
async def test_response_time(desk: Desk, people: People) -> None:
    await desk(
        people.ops, "POST /routing-rules", name="All", position=1, target="user", user_id=str(people.rep.id),
        sla_minutes=60,
    )  # fmt: skip
    lead = await desk(people.rep, "POST /leads", last_name="Clocked")
    assert lead["response_due_at"] > lead["assigned_at"]
    found = await desk(people.rep, "GET /leads?is_response_overdue=false")
    assert lead["id"] in [item["id"] for item in found["items"]]


@task("New Campaign, Campaign Hierarchy")
async def test_campaigns(desk: Desk, people: People) -> None:
    year = await desk(people.ops, "POST /campaigns", name="2027")
    fair = await desk(people.ops, "POST /campaigns", name="Fair", parent_id=year["id"])
    tree = await desk(people.rep, f"GET /campaigns/{fair['id']}/tree")
    assert [item["name"] for item in tree["items"]] == ["2027", "Fair"]


@task("Campaign Members")
async def test_campaign_members(desk: Desk, people: People) -> None:
    campaign = await desk(people.ops, "POST /campaigns", name="Mailing")
    lead = await desk(people.rep, "POST /leads", last_name="Roe")
    await desk(people.rep, f"PATCH /leads/{lead['id']}", campaign_id=campaign["id"])
    found = await desk(people.rep, f"GET /leads?campaign_id={campaign['id']}")
    assert [item["id"] for item in found["items"]] == [lead["id"]]


@task("Campaign ROI and Influence")
async def test_campaign_results(desk: Desk, people: People, deal: Make) -> None:
    parent = await desk(people.ops, "POST /campaigns", name="All", cost="100", currency="USD")
    campaign = await desk(people.ops, "POST /campaigns", name="Part", parent_id=parent["id"])
    won = await deal(amount="300", campaign_id=campaign["id"])
    await desk(people.rep, f"POST /opportunities/{won['id']}/stage", to="won")
    told = await desk(people.ops, f"GET /campaigns/{parent['id']}/results?include=children")
    assert (told["won"], told["won_amount"], told["return_on_cost"]) == (1, "300.0000", 2.0)
