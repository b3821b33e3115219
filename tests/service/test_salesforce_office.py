"""The daily tasks of `docs/salesforce.md`: work, lists, reports, forecasts and data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service import calendar
from service.db import Database
from service.worker import Worker
from tests.conftest import People
from tests.service.salesforce_page import Desk, cookies, desk, task

__all__ = ["cookies", "desk"]
pytestmark = pytest.mark.anyio


def hence(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


async def a_deal(desk: Desk, people: People, name: str = "Deal", **members: Any) -> dict[str, Any]:
    return await desk(people.rep, "POST /opportunities", name=name, **members)  # type: ignore[no-any-return]


# Work ----------------------------------------------------------------------------------------------


@task("Log a Call")
async def test_log_a_call(desk: Desk, people: People) -> None:
    deal = await a_deal(desk, people)
    call = await desk(
        people.rep, "POST /activities", type="call", occurred_at=hence(hours=-1), opportunity_id=deal["id"],
        direction="outbound", outcome="connected", body="Wants an offer",
    )  # fmt: skip
    assert call["status"] == "completed"
    shown = await desk(people.rep, f"GET /opportunities/{deal['id']}")
    assert shown["last_activity_at"] is not None


@task("New Task with a reminder")
async def test_task_with_reminder(desk: Desk, people: People, worker: Worker) -> None:
    made = await desk(people.rep, "POST /activities", type="task", due_at=hence(days=1), subject="Offer")
    assert made["status"] == "planned"
    reminder = await desk(
        people.rep, "POST /reminders", record_type="activity", record_id=made["id"], remind_at=hence(hours=20),
        text="Write the offer",
    )  # fmt: skip
    assert reminder["user_id"] == str(people.rep.id)


@task("New Event")
async def test_new_event(desk: Desk, people: People) -> None:
    contact = await desk(people.rep, "POST /contacts", last_name="Guest")
    made = await desk(
        people.rep, "POST /activities", type="meeting", occurred_at=hence(days=2), duration_seconds=3600,
        participants=[{"contact_id": contact["id"], "role": "attendee"}],
    )  # fmt: skip
    assert (made["status"], made["contact_id"]) == ("planned", contact["id"])


@task("Einstein Activity Capture")
async def test_activity_capture(desk: Desk, people: People) -> None:
    mail = {"type": "email", "occurred_at": hence(hours=-2), "source": "mail", "source_id": "<1@acme>"}
    first, second = [await desk(people.rep, "POST /activities", **mail) for _ in range(2)]
    assert first["id"] == second["id"]


@task("Activity Timeline")
async def test_timeline(desk: Desk, people: People) -> None:
    account = await desk(people.rep, "POST /accounts", name="Busy")
    call = await desk(
        people.rep, "POST /activities", type="call", occurred_at=hence(hours=-1), account_id=account["id"]
    )
    told = await desk(people.rep, f"GET /accounts/{account['id']}/timeline")
    assert call["id"] in [moment["id"] for moment in told["items"]]


@task("Activity reports")
async def test_activity_reports(desk: Desk, people: People) -> None:
    await desk(people.rep2, "POST /activities", type="call", occurred_at=hence(hours=-1))
    told = await desk(people.manager, "GET /activities/summary?group=rep")
    counts = {item["key"]["rep"]: item["types"]["call"] for item in told["items"]}
    assert counts[str(people.rep2.id)] == 1


@task("Home, Today's Tasks and Events")
async def test_the_day(desk: Desk, people: People) -> None:
    await desk(people.rep, "POST /activities", type="task", due_at=hence(days=-1), subject="Late offer")
    day = await desk(people.rep, "GET /me/day")
    assert "Late offer" in [item["subject"] for item in day["overdue"]["items"]]
    assert "Late offer" in await desk.page(people.rep, "/day")


@task("Chatter mentions")
async def test_mentions(desk: Desk, people: People, worker: Worker) -> None:
    deal = await a_deal(desk, people, "Discussed")
    await desk(people.rep, "POST /comments", opportunity_id=deal["id"], body="@manager: may I give 20 %?")
    await worker.drain()
    told = await desk(people.manager, "GET /notifications")
    assert "mention" in [item["kind"] for item in told["items"]]
    assert "may I give 20 %?" in await desk.page(people.manager, "/inbox")


# Lists, reports and forecasts ----------------------------------------------------------------------


@task("List Views")
async def test_list_views(desk: Desk, people: People) -> None:
    for name, amount in (("Small", "5"), ("Large", "77000"), ("Larger", "78000")):
        await a_deal(desk, people, name, amount=amount)
    view = await desk(
        people.rep, "POST /views", name="Large ones", resource="opportunities", sort=["-amount"],
        filter=[{"field": "amount", "op": "gte", "value": 77000}],
    )  # fmt: skip
    found = await desk(people.rep, f"GET /opportunities?view={view['id']}")
    assert [item["name"] for item in found["items"]] == ["Larger", "Large"]


@task("SOQL")
async def test_soql(desk: Desk, people: People) -> None:
    shop = await desk(people.rep, "POST /accounts", name="Shop", industry="retail")
    today = datetime.now(UTC).date().isoformat()
    for name, amount, day in (
        ("A", "1000", today),
        ("B", "3000", today),
        ("C", "10", today),
        ("D", "1000", None),
    ):
        await a_deal(desk, people, name, amount=amount, close_date=day, account_id=shop["id"])
    found = await desk(
        people.rep,
        "GET /opportunities?amount[gte]=1000&account.industry=retail&close_date=this_quarter&sort=-amount"
        "&fields=name,amount",
    )
    assert [(item["name"], item["amount"]) for item in found["items"]] == [
        ("B", "3000.0000"), ("A", "1000.0000"),
    ]  # fmt: skip
    assert set(found["items"][0]) == {"id", "name", "amount"}


@task("SOQL with relationships")
async def test_graphql(desk: Desk, people: People) -> None:
    account = await desk(people.rep, "POST /accounts", name="Joined")
    await a_deal(desk, people, "Joined deal", account_id=account["id"])
    query = (
        '{ opportunities(first: 5, filter: [{field: "name", op: eq, value: "Joined deal"}]) { nodes { name account { name } owner { name } } } }'
    )  # fmt: skip
    found = await desk(people.rep, "POST /graphql", query=query)
    assert found["data"]["opportunities"]["nodes"] == [
        {"name": "Joined deal", "account": {"name": "Joined"}, "owner": {"name": "Rep"}}
    ]


@task("Summary report by stage")
async def test_summary_report(desk: Desk, people: People) -> None:
    for amount in ("40", "2"):
        deal = await a_deal(desk, people, amount=amount)
        await desk(people.rep, f"POST /opportunities/{deal['id']}/stage", to="negotiation")
    told = await desk(people.rep, "GET /opportunities?group=stage&sum=amount")
    sums = {item["group"]["stage"]: (item["count"], item["sum"]["amount"]) for item in told["items"]}
    assert sums["negotiation"] == (2, "42.0000")


@task("View all as of a date")
async def test_as_of(desk: Desk, people: People) -> None:
    deal = await a_deal(desk, people, "Past", amount="1")
    changed = await desk(people.rep, f"PATCH /opportunities/{deal['id']}", amount="2")
    instant = deal["updated_at"].replace("+00:00", "Z")
    later = changed["updated_at"].replace("+00:00", "Z")
    assert later > instant
    history = await desk(people.rep, f"GET /opportunities/{deal['id']}/history")
    known = history["items"][-1]["known_from"].replace("+00:00", "Z")
    then = await desk(people.rep, f"GET /opportunities?as_of={known}&name=Past")
    assert [item["amount"] for item in then["items"]] == ["1.0000"]


async def done(desk: Desk, people: People, worker: Worker, job_id: str) -> dict[str, Any]:
    await worker.drain()
    job = await desk(people.ops, f"GET /jobs/{job_id}")
    assert job["status"] == "done", job
    return job  # type: ignore[no-any-return]


@task("Mass Update")
async def test_mass_update(desk: Desk, people: People, worker: Worker) -> None:
    for _ in range(3):
        await a_deal(desk, people, "Bulky")
    asked = {
        "resource": "opportunities", "action": "update", "filter": "name=Bulky", "set": {"next_step": "Call"},
    }  # fmt: skip
    preview = await desk(people.ops, "POST /bulk/preview", **asked)
    assert preview["count"] == 3
    queued = await desk(people.ops, "POST /bulk", **asked, token=preview["token"])
    job = await done(desk, people, worker, queued["job"])
    assert job["counts"]["updated"] == 3
    found = await desk(people.rep, "GET /opportunities?name=Bulky&next_step=Call")
    assert len(found["items"]) == 3


@task("Mass Transfer Records")
async def test_mass_transfer(desk: Desk, people: People, worker: Worker) -> None:
    for _ in range(2):
        await desk(people.rep, "POST /accounts", name="Moving")
    queued = await desk(
        people.ops, "POST /bulk", resource="accounts", action="assign", filter={"name": "Moving"},
        set={"owner_id": str(people.rep2.id)},
    )  # fmt: skip
    await done(desk, people, worker, queued["job"])
    found = await desk(people.rep2, "GET /accounts?name=Moving")
    assert {item["owner_id"] for item in found["items"]} == {str(people.rep2.id)}


@task("Mass Delete, and back")
async def test_mass_delete(desk: Desk, people: People, worker: Worker) -> None:
    for _ in range(2):
        await desk(people.rep, "POST /contacts", last_name="Obsolete")
    queued = await desk(
        people.ops, "POST /bulk", resource="contacts", action="delete", filter={"last_name": "Obsolete"}
    )
    await done(desk, people, worker, queued["job"])
    assert (await desk(people.rep, "GET /contacts?last_name=Obsolete"))["items"] == []
    await desk(people.ops, f"POST /jobs/{queued['job']}/undo")
    assert len((await desk(people.rep, "GET /contacts?last_name=Obsolete"))["items"]) == 2


@pytest.fixture(scope="module")
async def period(database: Database) -> calendar.Period:
    settings = await calendar.company(database)
    return calendar.period_of(settings, settings.today(datetime.now(UTC)))


@task("Forecasts")
async def test_forecasts(desk: Desk, people: People, period: calendar.Period) -> None:
    deal = await a_deal(desk, people, amount="500", close_date=str(period.end_date))
    await desk(people.rep, f"POST /opportunities/{deal['id']}/stage", to="won")
    told = await desk(people.rep, "GET /forecasts")
    assert (told["period"], float(told["closed"]) >= 500) == (period.key, True)
    assert period.key in await desk.page(people.rep, "/forecast")


@task("Forecast adjustments")
async def test_forecast_adjustments(desk: Desk, people: People, period: calendar.Period) -> None:
    node = f"user:{people.rep.id}"
    made = await desk(
        people.manager, "POST /forecasts/override", period=period.key, node=node, category="commit", amount="9000",
        reason="Signed orally",
    )  # fmt: skip
    told = await desk(people.manager, f"GET /forecasts?node={node}")
    assert (told["commit"], told["overrides"]["commit"]["original"]) == ("9000.00", made["original"])


@task("Quotas")
async def test_quotas(desk: Desk, people: People, period: calendar.Period) -> None:
    stored = await desk(
        people.ops, "POST /periods", key=period.key, type="quarter", start_date=str(period.start_date),
        end_date=str(period.end_date),
    )  # fmt: skip
    await desk(
        people.ops, "POST /quotas", period_id=stored["id"], user_id=str(people.rep2.id), amount="1000", currency="USD"
    )  # fmt: skip
    told = await desk(people.manager, f"GET /forecasts?node=user:{people.rep2.id}")
    assert (float(told["quota"]), told["attainment"]) == (1000.0, 0.0)


# Data ----------------------------------------------------------------------------------------------

CONTACTS = "First Name,Last Name,Email\nAda,Lovelace,ada@import.example\nAlan,Turing,alan@import.example\n"


@task("Data Import Wizard")
async def test_import_wizard(desk: Desk, people: People, worker: Worker) -> None:
    asked = {"file": ("contacts.csv", CONTACTS.encode()), "resource": "contacts"}
    preview = await desk(people.ops, "POST /imports/preview", **asked)
    assert {match["field"] for match in preview["columns"]} == {"first_name", "last_name", "email"}
    queued = await desk(people.ops, "POST /imports", **asked)
    job = await done(desk, people, worker, queued["job"])
    assert job["counts"]["created"] == 2


@task("Data Loader upsert")
async def test_upsert(desk: Desk, people: People, worker: Worker) -> None:
    for industry, expected in (("steel", {"created": 1}), ("retail", {"updated": 1})):
        rows = f"external_id,name,industry\nE-1,Upserted,{industry}\n"
        queued = await desk(
            people.ops, "POST /imports", file=("a.csv", rows.encode()), resource="accounts", source="erp"
        )
        job = await done(desk, people, worker, queued["job"])
        assert {name: count for name, count in job["counts"].items() if count} == expected
    found = await desk(people.ops, "GET /accounts?external_ids.erp=E-1")
    assert [(item["name"], item["industry"]) for item in found["items"]] == [("Upserted", "retail")]


@task("Data Loader insert")
async def test_insert_many(desk: Desk, people: People) -> None:
    items = [{"name": f"Loaded {number}"} for number in range(3)]
    made = await desk(people.ops, "POST /bulk", resource="accounts", action="create", items=items)
    assert len(made["ids"]) == 3


@task("Data Export")
async def test_export(desk: Desk, people: People, worker: Worker) -> None:
    await desk(people.rep, "POST /accounts", name="Exported")
    queued = await desk(
        people.ops, "POST /exports", resource="accounts", format="csv", filter="name=Exported"
    )
    await done(desk, people, worker, queued["job"])
    text = await desk(people.ops, f"GET /exports/{queued['job']}/file")
    assert "Exported" in text.splitlines()[1]


@task("Change Data Capture")
async def test_events(desk: Desk, people: People) -> None:
    page = await desk(people.ops, "GET /events")
    while page["items"]:
        cursor = page["next"]
        page = await desk(people.ops, f"GET /events?after={cursor}")
    account = await desk(people.rep, "POST /accounts", name="Captured")
    told = await desk(people.ops, f"GET /events?after={cursor}")
    assert [(item["kind"], item["entity_id"]) for item in told["items"]] == [
        ("account.created", account["id"])
    ]


@task("Undo of an import")
async def test_undo_of_an_import(desk: Desk, people: People, worker: Worker) -> None:
    file = ("l.csv", b"Last Name\nMistake\n")
    queued = await desk(people.ops, "POST /imports", file=file, resource="leads")
    job = await done(desk, people, worker, queued["job"])
    assert len((await desk(people.ops, "GET /leads?last_name=Mistake"))["items"]) == 1
    await desk(people.ops, f"POST /changes/{job['change_id']}/undo")
    assert (await desk(people.ops, "GET /leads?last_name=Mistake"))["items"] == []
