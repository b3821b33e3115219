"""The working day: each part, its bounds, its time zone, and nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest

from service.db import Database
from service.domains import day
from service.ids import new_id
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio


async def made(client: httpx.AsyncClient, path: str, person: Person, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


async def my(client: httpx.AsyncClient, person: Person) -> dict[str, Any]:
    answer = await client.get("/me/day", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def names(part: dict[str, Any], name: str = "subject") -> list[str]:
    return [item[name] for item in part["items"]]


async def test_a_day_begins_at_ones_own_midnight(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    await client.patch(
        f"/users/{people.rep.id}", headers=people.admin.headers, json={"time_zone": "Pacific/Auckland"}
    )
    zone = ZoneInfo("Pacific/Auckland")
    now = datetime(2026, 3, 10, 14, 0, tzinfo=zone)
    inside, outside = now.replace(hour=0, minute=1), now.replace(hour=23, minute=59) + timedelta(minutes=2)
    for subject, at in (("first", inside), ("next day", outside), ("last", now.replace(hour=23, minute=59))):
        await made(
            client,
            "/activities",
            people.rep,
            type="meeting",
            subject=subject,
            occurred_at=at.isoformat(),
            status="planned",
        )
        await made(client, "/activities", people.rep, type="task", subject=subject, due_at=at.isoformat())
    found = await day.day(database, people.rep.actor, now.astimezone(UTC))
    assert (found["date"].isoformat(), found["time_zone"]) == ("2026-03-10", "Pacific/Auckland")
    assert names(found["meetings"]) == ["first", "last"]
    assert names(found["overdue"]) == ["first"]
    assert names(found["due"]) == ["last"]


async def test_a_day_has_the_length_that_clocks_give_it(people: People) -> None:
    frame = day.Frame(
        actor=people.rep.actor, now=datetime(2026, 3, 29, 10, tzinfo=UTC), zone=ZoneInfo("Europe/Berlin")
    )
    assert frame.midnight(1) - frame.midnight() == timedelta(hours=23)


async def test_the_parts_of_a_day(client: httpx.AsyncClient, people: People, database: Database) -> None:
    rep, now = people.rep2, datetime.now(UTC)
    deal = await made(client, "/opportunities", rep, name="Mine", amount="10", currency="USD")
    account = await made(client, "/accounts", rep, name="Acme")
    await made(
        client,
        "/activities",
        rep,
        type="task",
        subject="late",
        due_at=(now - timedelta(days=3)).isoformat(),
        opportunity_id=deal["id"],
    )
    await made(
        client, "/activities", rep, type="task", subject="far", due_at=(now + timedelta(days=3)).isoformat()
    )
    await made(
        client, "/activities", rep, type="task", subject="done", due_at=now.isoformat(), status="completed"
    )
    await made(
        client,
        "/plan-items",
        rep,
        opportunity_id=deal["id"],
        title="step",
        user_id=str(rep.id),
        due_date="2020-01-01",
    )
    await made(client, "/activities", people.manager, type="demo", subject="attended", occurred_at=now.isoformat(), status="planned",
               account_id=account["id"], participants=[{"user_id": str(rep.id), "role": "attendee"}])  # fmt: skip
    await made(client, "/activities", people.stranger, type="demo", subject="not mine to see", occurred_at=now.isoformat(), status="planned",
               participants=[{"user_id": str(rep.id)}])  # fmt: skip
    urgent = await made(client, "/leads", rep, last_name="Urgent", company="Acme")
    await made(client, "/leads", rep, last_name="New")
    await made(client, "/leads", people.manager, last_name="Not mine")
    answered = await made(client, "/leads", rep, last_name="Answered")
    await client.post(f"/leads/{answered['id']}/status", headers=rep.headers, json={"to": "working"})
    await client.patch(f"/opportunities/{deal['id']}", headers=people.manager.headers, json={"amount": "20"})
    async with database.begin() as tx:
        await tx.execute("SELECT set_config('sales.event', $1, TRUE)", str(new_id()))
        await tx.execute(
            "UPDATE leads SET response_due_at = now() - interval '1 hour' WHERE id = $1 /* access:leads */",
            UUID(urgent["id"]),
        )
    await database.execute(
        "INSERT INTO recommendations (id, opportunity_id, action, title, reason, source, rank, expires_at)"
        " VALUES ($1, $2, 'call', 'Call Ann', 'No call for 14 days', 'rule', 1, now() + interval '1 day')",
        new_id(),
        UUID(deal["id"]),
    )
    found = await my(client, rep)
    assert names(found["overdue"]) == ["step", "late"]
    assert found["overdue"]["items"][1]["opportunity_name"] == "Mine"
    assert names(found["due"]) == []
    assert names(found["meetings"]) == ["attended"]
    assert names(found["leads"], "name") == ["Urgent", "New"]
    assert [item["is_late"] for item in found["leads"]["items"]] == [True, False]
    assert names(found["recommendations"], "title") == ["Call Ann"]
    (change,) = found["changes"]["items"]
    assert (change["name"], change["actor_name"]) == ("Mine", "Manager")
    assert change["changes"] == [{"field": "amount", "old": "10.0000", "new": "20.0000"}]
    nothing = await my(client, people.stranger)
    assert [nothing[part]["count"] for part in ("overdue", "due", "recommendations", "leads", "changes")] == [
        0
    ] * 5


async def test_parts_are_bounded_and_counted(client: httpx.AsyncClient, people: People) -> None:
    for number in range(day.MOST + 3):
        await made(
            client, "/activities", people.ops, type="task", subject=str(number), due_at="2026-01-01T00:00:00Z"
        )
    late = (await my(client, people.ops))["overdue"]
    assert (late["count"], len(late["items"])) == (day.MOST + 3, day.MOST)


async def test_follow_ups_of_inspections_stand_in_a_managers_day(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await made(client, "/opportunities", people.rep, name="Looked at")
    body = {"kind": "inspection", "opportunity_id": deal["id"], "body": "No champion"}
    await made(client, "/notes", people.manager, **body, follow_up_on="2026-01-01")
    await made(client, "/notes", people.manager, **body, follow_up_on="2999-01-01")
    found = (await my(client, people.manager))["follow_ups"]
    assert (found["count"], names(found, "opportunity_name")) == (1, ["Looked at"])


async def test_a_key_that_may_not_read_a_resource_has_that_part_empty(
    client: httpx.AsyncClient, people: People
) -> None:
    key = await made(
        client,
        "/api-keys",
        people.admin,
        name="day",
        scopes=["me:read", "leads:read"],
        user_id=str(people.rep2.id),
    )
    answer = await client.get("/me/day", headers={"X-API-Key": key["key"]})
    assert answer.status_code == 200
    assert answer.json()["overdue"] == {"count": 0, "items": []}
    assert answer.json()["leads"]["count"] > 0
    assert (await client.get("/me/day")).status_code == 401
