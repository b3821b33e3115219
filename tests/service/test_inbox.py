"""The inbox: who is told of what, once, the way they prefer; reminders and due tasks by the clock; mail."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from service import mail, schedule, writes
from service.db import Database
from service.domains.opportunities import resource as opportunities
from service.settings import Settings
from service.worker import Worker
from service.worker_main import handlers
from tests.conftest import People, Person
from tests.smtp import Mailbox, mail_server

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


async def made(client: httpx.AsyncClient, path: str, person: Person, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


async def inbox(client: httpx.AsyncClient, person: Person, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/notifications?limit=200{query}", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def texts(client: httpx.AsyncClient, person: Person, record_id: str) -> list[tuple[str, str]]:
    return [
        (each["kind"], each["text"])
        for each in reversed(await inbox(client, person))
        if record_id in (each["record_id"], each["opportunity_id"])
    ]


@pytest.fixture
async def deal(client: httpx.AsyncClient, people: People) -> dict[str, Any]:
    return await made(client, "/opportunities", people.rep, name="Deal", amount="1000", currency="USD")


async def test_mentions_assignments_and_changes_by_others_come_in_once(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, deal: dict[str, Any]
) -> None:
    url = f"/opportunities/{deal['id']}"
    await made(client, "/comments", people.rep, opportunity_id=deal["id"], body="@manager:\nplease  look")
    patched = await client.patch(
        url, headers=people.manager.headers, json={"amount": "2000", "next_step": "Call"}
    )
    assert patched.status_code == 200
    await client.patch(url, headers=people.rep.headers, json={"amount": "3000"})
    await worker.drain()
    assert await texts(client, people.manager, deal["id"]) == [
        ("mention", "Rep mentioned you on “Deal”: @manager: please look")
    ]
    assert await texts(client, people.rep, deal["id"]) == [
        ("deal_changed", "Manager changed amount, next step of “Deal”")
    ]
    assigned = await client.post(
        f"{url}/assign", headers=people.manager.headers, json={"owner_id": str(people.rep2.id)}
    )
    assert assigned.status_code == 200, assigned.text
    task = await made(client, "/activities", people.manager, type="task", subject="Prepare", owner_id=str(people.rep2.id),
                      due_at=(NOW + timedelta(days=9)).isoformat(), opportunity_id=deal["id"])  # fmt: skip
    await client.patch(
        f"/activities/{task['id']}", headers=people.manager.headers, json={"subject": "Prepare it"}
    )
    item = await made(
        client,
        "/plan-items",
        people.manager,
        opportunity_id=deal["id"],
        title="Sign",
        user_id=str(people.rep2.id),
    )
    await worker.drain()
    assert await texts(client, people.rep2, deal["id"]) == [
        ("assignment", "Manager gave you the deal “Deal”"),
        ("assignment", "Manager gave you a task: Prepare it"),
        ("assignment", "Manager gave you “Sign” in the plan of “Deal”"),
    ]
    before = await database.fetchval("SELECT count(*) FROM notifications /* access:notifications */")
    await client.patch(f"/plan-items/{item['id']}", headers=people.manager.headers, json={"position": 3})
    await worker.drain()
    again = await database.fetchval("SELECT count(*) FROM notifications /* access:notifications */")
    assert again == before


async def test_who_no_longer_sees_the_record_is_told_nothing(
    client: httpx.AsyncClient, people: People, worker: Worker, deal: dict[str, Any]
) -> None:
    await made(client, "/comments", people.rep, opportunity_id=deal["id"], body="@manager look")
    moved = await client.post(
        f"/opportunities/{deal['id']}/assign",
        headers=people.ops.headers,
        json={"owner_id": str(people.stranger.id)},
    )
    assert moved.status_code == 200
    await worker.drain()
    assert await texts(client, people.manager, deal["id"]) == []
    assert [kind for kind, _ in await texts(client, people.stranger, deal["id"])] == [
        "room_activity",
        "assignment",
    ]


async def test_what_guests_do_comes_to_the_owner_and_to_who_made_the_link(
    client: httpx.AsyncClient, people: People, worker: Worker, deal: dict[str, Any]
) -> None:
    item = await made(client, "/plan-items", people.rep, opportunity_id=deal["id"], title="Sign")
    link = await made(client, "/guest-links", people.manager, opportunity_id=deal["id"], name="Ann", may_tick=True,
                      may_comment=True)  # fmt: skip
    room = f"http://testserver.local/room/{link['token']}"
    client.cookies.clear()
    assert (await client.get(room)).status_code == 200
    assert (await client.get(room)).status_code == 200
    await client.post(f"{room}/plan/{item['id']}", data={"status": "done"})
    await client.post(f"{room}/comments", data={"body": "Done"})
    client.cookies.clear()
    await worker.drain()
    for person in (people.rep, people.manager):
        assert await texts(client, person, deal["id"]) == [
            ("room_activity", "Ann opened the room of “Deal”"),
            ("room_activity", "Ann marked “Sign” as done in the plan of “Deal”"),
            ("room_activity", "Ann commented on “Deal”: Done"),
        ]  # fmt: skip


async def test_an_inbox_is_read_and_emptied_by_its_own_person_alone(
    client: httpx.AsyncClient, people: People, worker: Worker, deal: dict[str, Any]
) -> None:
    for number in range(3):
        await made(client, "/comments", people.rep, opportunity_id=deal["id"], body=f"@manager {number}")
    await worker.drain()
    unread = await inbox(client, people.manager, "&read_at[is_null]=true")
    first = unread[0]["id"]
    for person in (people.rep, people.admin, people.ops):
        assert (await client.get(f"/notifications/{first}", headers=person.headers)).status_code == 404
        assert (await client.post(f"/notifications/{first}/read", headers=person.headers)).status_code == 404
        assert (await client.delete(f"/notifications/{first}", headers=person.headers)).status_code == 404
        assert all(each["user_id"] == str(person.id) for each in await inbox(client, person))
    read = await client.post(f"/notifications/{first}/read", headers=people.manager.headers)
    at = read.json()["read_at"]
    assert at is not None
    again = await client.post(f"/notifications/{first}/read", headers=people.manager.headers)
    assert again.json()["read_at"] == at
    everything = await client.post("/notifications/read-all", headers=people.manager.headers)
    assert everything.json() == {"read": len(unread) - 1}
    assert await inbox(client, people.manager, "&read_at[is_null]=true") == []
    assert (await client.delete(f"/notifications/{first}", headers=people.manager.headers)).status_code == 204
    assert (await client.get(f"/notifications/{first}", headers=people.manager.headers)).status_code == 404
    assert (await client.get("/notifications?key=x", headers=people.manager.headers)).status_code in (
        200,
        400,
    )
    assert (
        await client.get("/notifications?as_of=2026-01-01T00:00:00Z", headers=people.manager.headers)
    ).status_code == 400
    assert (await client.get("/notifications")).status_code == 401
    assert (
        await client.post(f"/notifications/{uuid4()}/read", headers=people.manager.headers)
    ).status_code == 404


async def test_preferences_are_per_kind(
    client: httpx.AsyncClient, people: People, worker: Worker, deal: dict[str, Any]
) -> None:
    url, headers = "/notifications/preferences", people.manager.headers
    assert (await client.get(url, headers=headers)).json()["mention"] == "inbox"
    assert (await client.put(url, headers=headers, json={"mention": "off"})).json()["mention"] == "off"
    await made(client, "/comments", people.rep, opportunity_id=deal["id"], body="@manager look")
    await worker.drain()
    assert await texts(client, people.manager, deal["id"]) == []
    assert (await client.put(url, headers=headers, json={})).json()["mention"] == "inbox"
    for wrong in ({"mention": "post"}, {"noise": "off"}):
        assert (await client.put(url, headers=headers, json=wrong)).status_code == 422
    assert (await client.get(url, headers=people.rep.headers)).json()["mention"] == "inbox"


async def test_the_clock_fires_reminders_once(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, deal: dict[str, Any]
) -> None:
    body = {"record_type": "opportunity", "record_id": deal["id"], "text": "Call Ann"}
    late = await made(
        client, "/reminders", people.rep, **body, remind_at=(NOW - timedelta(minutes=5)).isoformat()
    )
    ahead = await made(
        client, "/reminders", people.rep, **body, remind_at=(NOW + timedelta(days=5)).isoformat()
    )
    assert "inbox.due" in await schedule.tick(database, datetime.now(UTC))
    await worker.drain()
    assert await texts(client, people.rep, deal["id"]) == [("reminder", "Call Ann")]
    assert (await client.get(f"/reminders/{late['id']}", headers=people.rep.headers)).json()[
        "fired_at"
    ] is not None
    assert (await client.get(f"/reminders/{ahead['id']}", headers=people.rep.headers)).json()[
        "fired_at"
    ] is None
    assert "inbox.due" not in await schedule.tick(database, datetime.now(UTC))
    soon = {"remind_at": (NOW - timedelta(minutes=1)).isoformat()}
    patched = await client.patch(f"/reminders/{late['id']}", headers=people.rep.headers, json=soon)
    assert patched.json()["fired_at"] is None
    await schedule.tick(database, datetime.now(UTC))
    await worker.drain()
    assert len(await texts(client, people.rep, deal["id"])) == 2
    for wrong, pointer in (
        ({"record_type": "nonsense"}, "/record_type"),
        ({"record_id": str(uuid4())}, "/record_id"),
        ({"fired_at": None}, "/fired_at"),
        ({"user_id": str(people.manager.id)}, "/user_id"),
    ):
        answer = await client.post(
            "/reminders", headers=people.rep.headers, json=body | {"remind_at": NOW.isoformat()} | wrong
        )
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    blind = await client.post(
        "/reminders", headers=people.stranger.headers, json=body | {"remind_at": NOW.isoformat()}
    )
    assert blind.status_code == 422


async def test_what_is_due_comes_in_once(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, deal: dict[str, Any]
) -> None:
    today = NOW.date()
    past = (NOW - timedelta(minutes=1)).isoformat()
    task = await made(client, "/activities", people.rep, type="task", subject="Send offer", due_at=past)
    await made(
        client, "/activities", people.rep, type="task", subject="Done", due_at=past, status="completed"
    )
    await made(client, "/plan-items", people.rep, opportunity_id=deal["id"], title="Sign", user_id=str(people.rep.id),
               due_date=today.isoformat())  # fmt: skip
    note = await made(client, "/notes", people.manager, kind="inspection", opportunity_id=deal["id"], body="No buyer",
                      follow_up_on=today.isoformat())  # fmt: skip
    for _ in range(2):
        await schedule.tick(database, datetime.now(UTC))
        await worker.drain()
    assert await texts(client, people.rep, task["id"]) == [("task_due", "Due: Send offer")]
    assert ("task_due", "Due in the plan: Sign") in await texts(client, people.rep, deal["id"])
    assert await texts(client, people.manager, note["id"]) == [("follow_up", "Look again: No buyer")]
    assert not [each for each in await inbox(client, people.rep) if each["text"] == "Due: Done"]
    assert "inbox.due" not in await schedule.tick(database, datetime.now(UTC))


async def test_a_change_of_many_deals_is_one_notice(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database
) -> None:
    deals = [
        await made(client, "/opportunities", people.rep2, name=f"Of many {number}") for number in range(6)
    ]
    await worker.drain()
    before = {each["id"] for each in await inbox(client, people.rep2)}
    async with database.begin() as tx:
        for row in deals:
            old = await writes.locked(tx, opportunities, people.manager.actor, UUID(row["id"]))
            await writes.update(tx, opportunities, people.manager.actor, old, {"next_step": "Call"})
    await worker.drain()
    fresh = [each for each in await inbox(client, people.rep2) if each["id"] not in before]
    assert [each["text"] for each in fresh] == [
        "Manager changed next step of “Of many 0”, and 5 more in the same change"
    ]


# By mail ---------------------------------------------------------------------------------------------


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as opened:
        yield opened


def with_mail(settings: Settings, url: str) -> Settings:
    return msgspec.structs.replace(
        settings, smtp_url=url, public_url="https://sales.example.com", admin="boss@acme.example"
    )


async def test_who_prefers_mail_gets_one(
    client: httpx.AsyncClient,
    people: People,
    settings: Settings,
    database: Database,
    deal: dict[str, Any],
    mailbox: Mailbox,
) -> None:
    await client.put("/notifications/preferences", headers=people.manager.headers, json={"mention": "mail"})
    body = "@manager\nBcc: all@acme.example — grüße"
    await made(client, "/comments", people.rep, opportunity_id=deal["id"], body=body)
    postman = Worker(
        database, handlers(with_mail(settings, f"smtp://me%40acme.example:pass@127.0.0.1:{mailbox.port}"))
    )
    mailbox.refuses = True
    await postman.drain()
    assert mailbox.letters == []
    mailbox.refuses = False
    await database.execute("UPDATE jobs SET run_at = now() WHERE type = 'inbox.mail' AND status = 'queued'")
    await postman.drain()
    await postman.drain()
    (letter,) = mailbox.letters
    assert letter["To"] == "manager@test.example"
    assert letter["From"] == "Sales <me@acme.example>"
    assert letter["Subject"] == "Rep mentioned you on “Deal”: @manager Bcc: all@acme.example — grüße"
    assert letter["Bcc"] is None
    assert f"https://sales.example.com/deals/{deal['id']}" in letter.get_content()
    told = [each for each in await inbox(client, people.manager) if each["opportunity_id"] == deal["id"]]
    assert [each["mailed_at"] is not None for each in told] == [True]
    assert base64.b64decode(mailbox.logins[0]).endswith(b"me@acme.example\0pass")
    await client.put("/notifications/preferences", headers=people.manager.headers, json={})


async def test_without_a_server_nothing_is_mailed_and_nothing_fails(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, deal: dict[str, Any]
) -> None:
    await client.put("/notifications/preferences", headers=people.manager.headers, json={"mention": "mail"})
    await made(client, "/comments", people.rep, opportunity_id=deal["id"], body="@manager look")
    await worker.drain()
    assert [kind for kind, _ in await texts(client, people.manager, deal["id"])] == ["mention"]
    assert (
        await database.fetchval("SELECT count(*) FROM jobs WHERE type LIKE 'inbox.%' AND status = 'failed'")
        == 0
    )
    await client.put("/notifications/preferences", headers=people.manager.headers, json={})


def test_the_sender_is_the_account_or_the_administrator(settings: Settings) -> None:
    letter = mail.Letter(to="a@b.example", subject="x" * 400, text="t", identity=str(UUID(int=1)))
    assert (
        mail.message(with_mail(settings, "smtp://mail.example"), letter)["From"]
        == "Sales <boss@acme.example>"
    )
    made_letter = mail.message(with_mail(settings, "smtp://me%40x.example:p@mail.example"), letter)
    assert made_letter["From"] == "Sales <me@x.example>"
    assert len(made_letter["Subject"]) == mail.MOST_SUBJECT
