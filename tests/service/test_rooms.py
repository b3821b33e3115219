"""Deal rooms from our side: the plan, comments with mentions, the room as a whole, and its happenings as facts."""

from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from service.db import Database
from service.mentions import handles
from service.worker import Worker
from tests.conftest import People
from tests.service import files

pytestmark = pytest.mark.anyio


class World(msgspec.Struct):
    deal: str
    other: str
    contact: str
    account: str


@pytest.fixture(scope="module")
async def world(client: httpx.AsyncClient, people: People) -> World:
    headers = people.rep.headers
    account = await made(client, "/accounts", headers, name="Acme")
    contact = await made(client, "/contacts", headers, last_name="Doe", account_id=account["id"])
    deal = await made(client, "/opportunities", headers, name="Deal", account_id=account["id"])
    other = await made(client, "/opportunities", headers, name="Other")
    return World(deal["id"], other["id"], contact["id"], account["id"])


async def made(client: httpx.AsyncClient, path: str, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


async def test_a_plan_has_owners_on_both_sides_and_an_order(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    headers = people.rep.headers
    ours = await made(client, "/plan-items", headers, opportunity_id=world.deal, title="Security review",
                      user_id=str(people.rep.id), due_date="2026-12-01")  # fmt: skip
    theirs = await made(
        client, "/plan-items", headers, opportunity_id=world.deal, title="Sign", contact_id=world.contact
    )
    assert (ours["position"], theirs["position"]) == (0, 1)
    assert (ours["status"], ours["is_shared"], ours["completed_at"]) == ("open", True, None)
    url = f"/plan-items/{ours['id']}"
    done = (await client.patch(url, headers=headers, json={"status": "done"})).json()
    assert (done["completed_side"], done["completed_at"] is not None) == ("ours", True)
    renamed = (await client.patch(url, headers=headers, json={"title": "Review"})).json()
    assert renamed["completed_at"] == done["completed_at"]
    reopened = (await client.patch(url, headers=headers, json={"status": "open"})).json()
    assert (reopened["completed_at"], reopened["completed_side"]) == (None, None)
    moved = await client.patch(f"/plan-items/{theirs['id']}", headers=headers, json={"position": 0})
    assert moved.json()["position"] == 0


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"user_id": "rep", "contact_id": "contact"}, "/contact_id"),
        ({"user_id": "stranger"}, "/user_id"),
        ({"user_id": "nobody"}, "/user_id"),
        ({"title": " "}, "/title"),
        ({"status": "late"}, "/status"),
        ({"due_date": "tomorrow"}, "/due_date"),
        ({"position": -1}, "/position"),
        ({"completed_at": "2026-01-01T00:00:00Z"}, "/completed_at"),
    ],
)
async def test_a_plan_item_that_is_wrong(
    client: httpx.AsyncClient, people: People, world: World, members: dict[str, Any], pointer: str
) -> None:
    named = {
        "rep": str(people.rep.id),
        "stranger": str(people.stranger.id),
        "nobody": str(uuid4()),
        "contact": world.contact,
    }
    body = {"opportunity_id": world.deal, "title": "T"} | {
        name: named.get(value, value) if isinstance(value, str) else value for name, value in members.items()
    }
    answer = await client.post("/plan-items", headers=people.rep.headers, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_handles_are_read_as_people_write_them() -> None:
    assert handles("@lena, ask @Max.Muster@acme.example! mail me@acme.example; at @5pm (@lena)") == [
        "lena", "max.muster@acme.example", "5pm",
    ]  # fmt: skip
    assert handles("no @ here, @@twice") == []
    assert len(handles(" ".join(f"@a{number}" for number in range(50)))) == 20


async def test_comments_mention_who_can_see_the_record(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    headers = people.rep.headers
    said = await made(
        client, "/comments", headers, opportunity_id=world.deal, body="@manager and @ops@test.example, look"
    )
    assert set(said["mention_ids"]) == {str(people.manager.id), str(people.ops.id)}
    assert (said["author_name"], said["side"], said["is_shared"]) == ("Rep", "ours", False)
    listed = await made(client, "/comments", headers, opportunity_id=world.deal, body="both",
                        mention_ids=[str(people.manager.id)])  # fmt: skip
    assert listed["mention_ids"] == [str(people.manager.id)]
    nobody = await made(client, "/comments", headers, opportunity_id=world.deal, body="at @5pm with @acme")
    assert nobody["mention_ids"] == []
    for body, pointer in (
        ({"body": "@stranger, look"}, "/body"),
        ({"body": "@stranger@test.example, look"}, "/body"),
        (
            {"body": "look", "mention_ids": [str(people.manager.id), str(people.stranger.id)]},
            "/mention_ids/1",
        ),
        ({"body": "look", "mention_ids": [str(uuid4())]}, "/mention_ids/0"),
    ):
        answer = await client.post("/comments", headers=headers, json={"opportunity_id": world.deal} | body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), body


async def test_a_comment_belongs_to_the_deal_of_its_thing(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    headers = people.rep.headers
    item = await made(client, "/plan-items", headers, opportunity_id=world.deal, title="T")
    said = await made(client, "/comments", headers, plan_item_id=item["id"], body="soon")
    assert said["opportunity_id"] == world.deal
    of_account = await made(client, "/documents", headers, name="Frame contract", account_id=world.account)
    on_file = await made(client, "/comments", headers, document_id=of_account["id"], body="read")
    assert (on_file["opportunity_id"], on_file["account_id"]) == (None, world.account)
    assert (
        await client.get(f"/comments/{on_file['id']}", headers=people.stranger.headers)
    ).status_code == 404
    wrong = await client.post(
        "/comments",
        headers=headers,
        json={"plan_item_id": item["id"], "opportunity_id": world.other, "body": "x"},
    )
    assert wrong.json()["errors"][0]["pointer"] == "/plan_item_id"
    nowhere = await client.post("/comments", headers=headers, json={"body": "x"})
    assert nowhere.json()["errors"][0]["pointer"] == "/opportunity_id"
    both = {"plan_item_id": item["id"], "document_id": of_account["id"], "body": "x"}
    assert (await client.post("/comments", headers=headers, json=both)).status_code == 422


async def test_a_comment_is_its_authors(client: httpx.AsyncClient, people: People, world: World) -> None:
    said = await made(client, "/comments", people.rep.headers, opportunity_id=world.deal, body="mine")
    url = f"/comments/{said['id']}"
    assert (
        await client.patch(url, headers=people.manager.headers, json={"body": "yours"})
    ).status_code == 403
    changed = await client.patch(url, headers=people.rep.headers, json={"body": "mine, @manager"})
    assert changed.json()["mention_ids"] == [str(people.manager.id)]
    led = await made(client, "/comments", people.manager.headers, opportunity_id=world.deal, body="led")
    assert (await client.delete(f"/comments/{led['id']}", headers=people.rep.headers)).status_code == 403
    assert (await client.delete(url, headers=people.manager.headers)).status_code == 204
    for person in (people.rep2, people.stranger):
        assert (await client.get(f"/comments/{led['id']}", headers=person.headers)).status_code == 404


async def test_the_room_shows_all_its_parts_to_who_sees_the_deal(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    headers = people.rep.headers
    await made(
        client,
        f"/opportunities/{world.deal}/stakeholders",
        headers,
        contact_id=world.contact,
        role="champion",
    )
    await made(client, "/guest-links", headers, opportunity_id=world.deal, name="Ann")
    form = {"opportunity_id": world.deal, "is_shared": "true"}
    file = await client.post("/documents", headers=headers, data=form, files={"file": ("a.pdf", files.PDF)})
    await client.get(f"/documents/{file.json()['id']}/content", headers=people.manager.headers)
    room = (await client.get(f"/opportunities/{world.deal}/room", headers=headers)).json()
    assert room["opportunity_id"] == world.deal
    plan = room["plan"]["items"]
    assert [item["position"] for item in plan] == sorted(item["position"] for item in plan)
    assert any(item["contact"]["last_name"] == "Doe" for item in plan if item["contact_id"])
    assert room["stakeholders"]["items"][0]["contact"]["last_name"] == "Doe"
    assert [each["id"] for each in room["documents"]["items"]] == [file.json()["id"]]
    assert room["comments"]["items"]
    assert room["guests"]["items"][0]["status"] == "active"
    assert "token" not in room["guests"]["items"][0]
    kinds = {(each["kind"], each["side"], each["who"]) for each in room["activity"]}
    assert ("document_viewed", "ours", "Manager") in kinds
    assert ("comment_added", "ours", "Rep") in kinds
    for person in (people.rep2, people.stranger):
        assert (
            await client.get(f"/opportunities/{world.deal}/room", headers=person.headers)
        ).status_code == 404
    assert (await client.get(f"/opportunities/{uuid4()}/room", headers=headers)).status_code == 404
    assert (await client.get(f"/opportunities/{world.deal}/room")).status_code == 401


async def test_happenings_are_facts_with_the_instant_from_which_they_are_known(
    client: httpx.AsyncClient, people: People, world: World, database: Database
) -> None:
    item = await made(client, "/plan-items", people.rep.headers, opportunity_id=world.other, title="T")
    url = f"/plan-items/{item['id']}"
    for body in ({"status": "done"}, {"title": "U"}, {"status": "open"}, {"status": "done"}):
        assert (await client.patch(url, headers=people.rep.headers, json=body)).status_code == 200
    await made(client, "/comments", people.rep.headers, opportunity_id=world.other, body="B")
    rows = await database.fetch(
        "SELECT kind, side, occurred_at, known_from, seen_at FROM known.room_events WHERE opportunity_id = $1"
        " ORDER BY seen_at",
        world.other,
    )
    assert [(row["kind"], row["side"]) for row in rows] == [
        ("plan_item_done", "ours"), ("plan_item_done", "ours"), ("comment_added", "ours"),
    ]  # fmt: skip
    assert all(row["seen_at"] >= max(row["occurred_at"], row["known_from"]) for row in rows)


async def test_inspection_notes_are_a_managers(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    body = {
        "kind": "inspection",
        "opportunity_id": world.deal,
        "body": "No economic buyer yet",
        "follow_up_on": "2026-12-01",
    }
    assert (await client.post("/notes", headers=people.rep.headers, json=body)).status_code == 403
    shown = await made(client, "/notes", people.manager.headers, **body)
    private = await made(client, "/notes", people.manager.headers, **body, is_private=True)
    for person, sees in (
        (people.manager, (200, 200)),
        (people.ops, (200, 200)),
        (people.rep, (200, 404)),
        (people.stranger, (404, 404)),
    ):
        got = [await client.get(f"/notes/{note['id']}", headers=person.headers) for note in (shown, private)]
        assert tuple(each.status_code for each in got) == sees, person.email
    refused = await client.patch(
        f"/notes/{shown['id']}", headers=people.rep.headers, json={"body": "All is well"}
    )
    assert refused.status_code == 403
    plain = {"body": "B", "opportunity_id": world.deal}
    for wrong, pointer in (
        (plain | {"follow_up_on": "2026-12-01"}, "/follow_up_on"),
        (plain | {"is_private": True}, "/is_private"),
        ({"kind": "inspection", "body": "B", "account_id": world.account}, "/opportunity_id"),
    ):
        answer = await client.post("/notes", headers=people.manager.headers, json=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    listed = (await client.get("/notes?kind=inspection", headers=people.rep.headers)).json()["items"]
    assert [note["id"] for note in listed] == [shown["id"]]


async def test_who_may_only_read_a_deal_reads_its_room_and_comments(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    """A share to read opens the room; what changes the deal's affairs, or opens it to others, needs more."""
    body = {
        "resource": "opportunities",
        "record_id": world.deal,
        "user_id": str(people.stranger.id),
        "level": "read",
    }
    shared = await client.post("/shares", headers=people.manager.headers, json=body)
    assert shared.status_code == 201, shared.text
    link = await made(client, "/guest-links", people.rep.headers, opportunity_id=world.deal, name="Ann")
    item = await made(client, "/plan-items", people.rep.headers, opportunity_id=world.deal, title="T")
    stranger = people.stranger.headers
    assert (await client.get(f"/opportunities/{world.deal}/room", headers=stranger)).status_code == 200
    await made(client, "/comments", stranger, opportunity_id=world.deal, body="I have read it")
    of_deal = {"opportunity_id": world.deal}
    for call in (
        client.post("/plan-items", headers=stranger, json=of_deal | {"title": "T"}),
        client.post("/guest-links", headers=stranger, json=of_deal | {"name": "Mine"}),
        client.post("/documents", headers=stranger, json=of_deal | {"name": "Mine"}),
        client.patch(f"/plan-items/{item['id']}", headers=stranger, json={"status": "done"}),
        client.post(f"/guest-links/{link['id']}/revoke", headers=stranger),
    ):
        assert (await call).status_code == 403
    assert (
        await client.delete(f"/shares/{shared.json()['id']}", headers=people.manager.headers)
    ).status_code == 204


async def test_why_one_sees_a_part_of_a_room_or_not(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    item = await made(client, "/plan-items", people.rep.headers, opportunity_id=world.deal, title="T")
    reminder = await made(client, "/reminders", people.rep.headers, record_type="plan_item", record_id=item["id"],
                          remind_at="2030-01-01T00:00:00Z", text="Look")  # fmt: skip
    for record, who, sees in (
        (f"plan_items:{item['id']}", people.rep2, False),
        (f"plan_items:{item['id']}", people.rep, True),
    ):
        asked = await client.get(
            f"/access/explain?record={record}&user={who.id}", headers=people.admin.headers
        )
        assert asked.status_code == 200, asked.text
        assert asked.json()["can_read"] is sees
    mine = await client.get(f"/access/explain?record=reminders:{reminder['id']}", headers=people.rep.headers)
    assert (mine.status_code, mine.json()["can_read"]) == (200, True), mine.text
    other = await client.get(
        f"/access/explain?record=reminders:{reminder['id']}", headers=people.admin.headers
    )
    assert other.status_code == 404


async def test_a_private_inspection_is_not_found_sideways(
    client: httpx.AsyncClient, people: People, world: World, worker: Worker
) -> None:
    """Neither by search, nor in the feed of events, nor by its history."""
    body = {
        "kind": "inspection",
        "opportunity_id": world.deal,
        "body": "The zebrafish budget is a bluff",
        "is_private": True,
    }
    note = await made(client, "/notes", people.manager.headers, **body)
    await worker.drain()
    for person, found in ((people.manager, True), (people.rep, False), (people.stranger, False)):
        search = await client.get("/search?q=zebrafish+budget&kind=note", headers=person.headers)
        assert ("zebrafish" in search.text) is found, person.email
        feed = await client.get("/events?limit=200&kind=note.created", headers=person.headers)
        assert feed.status_code == 200, feed.text
        assert (note["id"] in feed.text) is found, person.email
        history = await client.get(f"/notes/{note['id']}/history", headers=person.headers)
        assert history.status_code == (200 if found else 404), person.email


async def test_a_reminder_is_not_found_sideways(
    client: httpx.AsyncClient, people: People, world: World
) -> None:
    body = {"record_type": "opportunity", "record_id": world.deal, "remind_at": "2030-01-01T00:00:00Z"}
    mine = await made(client, "/reminders", people.rep.headers, **body, text="Ask about the quokka")
    for person in (people.manager, people.ops, people.admin):
        for path in (
            "/events?limit=200&kind=reminder.created",
            "/reminders",
            f"/opportunities/{world.deal}/room",
        ):
            answer = await client.get(path, headers=person.headers)
            assert mine["id"] not in answer.text, (person.email, path)
            assert "quokka" not in answer.text
        assert (
            await client.get(f"/reminders/{mine['id']}/history", headers=person.headers)
        ).status_code == 404
        assert (
            await client.patch(f"/reminders/{mine['id']}", headers=person.headers, json={"text": "x"})
        ).status_code == 404
