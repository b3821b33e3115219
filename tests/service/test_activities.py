"""Activities: who takes part, what fits the type, capture that happens once, sums, and the timeline of a record."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service import summing
from service.db import Database
from tests.conftest import People, Person, define

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC).replace(microsecond=0)


async def _post(client: httpx.AsyncClient, person: Person, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def _activity(
    client: httpx.AsyncClient, person: Person, kind: str = "call", **body: Any
) -> dict[str, Any]:
    when = body.pop("occurred_at", NOW - timedelta(hours=1))
    return await _post(client, person, "/activities", type=kind, occurred_at=str(when.isoformat()), **body)


async def test_both_sides_are_judged(client: httpx.AsyncClient, people: People) -> None:
    hidden = await _post(client, people.stranger, "/contacts", last_name="Theirs")
    account = await _post(client, people.rep, "/accounts", name="Acme")
    known = await _post(client, people.rep, "/contacts", last_name="Ours", account_id=account["id"])
    us, them = {"user_id": str(people.rep.id), "role": "from"}, {"contact_id": known["id"], "role": "to"}
    made = await _activity(client, people.rep, "email", participants=[us, them])
    assert (made["contact_id"], made["account_id"]) == (known["id"], account["id"])
    stray = {"email": "X@y.example", "role": "cc"}
    for participants, pointer in (
        ([us, them, {"contact_id": hidden["id"]}], "/participants/2/contact_id"),
        ([us, {"user_id": str(uuid4())}], "/participants/1/user_id"),
        ([{"lead_id": known["id"]}], "/participants/0/lead_id"),
        ([us, {"user_id": str(people.rep2.id), "role": "from"}], "/participants/1/role"),
        ([us, them, them], "/participants/2"),
        ([stray, stray | {"email": "x@Y.example"}], "/participants/1"),
        ([them | {"user_id": str(people.rep.id)}], "/participants/0"),
    ):
        answer = await client.post(
            "/activities",
            headers=people.rep.headers,
            json={"type": "email", "occurred_at": NOW.isoformat(), "participants": participants},
        )
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "note", "direction": "inbound"}, "/direction"),
        ({"type": "email", "duration_seconds": 60}, "/duration_seconds"),
        ({"type": "email", "outcome": "held"}, "/outcome"),
        ({"type": "call", "outcome": "bounced"}, "/outcome"),
        ({"type": "meeting", "outcome": "voicemail"}, "/outcome"),
        ({"type": "meeting", "status": "no_show", "outcome": "held"}, "/outcome"),
        ({"type": "call", "status": "planned", "outcome": "connected"}, "/outcome"),
    ],
)
async def test_what_does_not_fit_the_type(
    client: httpx.AsyncClient, people: People, body: dict[str, Any], pointer: str
) -> None:
    answer = await client.post(
        "/activities", headers=people.rep.headers, json={"occurred_at": NOW.isoformat()} | body
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_what_fits(client: httpx.AsyncClient, people: People) -> None:
    held = await _activity(client, people.rep, "demo", outcome="held", duration_seconds=1800)
    moved = await _activity(client, people.rep, "meeting", status="canceled", outcome="rescheduled")
    assert (held["status"], moved["outcome"]) == ("completed", "rescheduled")


async def test_nobody_is_going_to_be_called_who_asked_not_to_be(
    client: httpx.AsyncClient, people: People
) -> None:
    lead = await _post(client, people.rep, "/leads", last_name="Lee", do_not_call=True)
    contact = await _post(client, people.rep, "/contacts", last_name="Kim", email_opt_out=True)
    plan = {
        "status": "planned",
        "direction": "outbound",
        "occurred_at": (NOW + timedelta(days=1)).isoformat(),
    }
    for kind, to, status in (
        ("call", {"lead_id": lead["id"]}, 409),
        ("email", {"lead_id": lead["id"]}, 201),
        ("email", {"contact_id": contact["id"]}, 409),
        ("email", {"participants": [{"contact_id": contact["id"]}]}, 409),
        ("call", {"contact_id": contact["id"]}, 201),
    ):
        answer = await client.post("/activities", headers=people.rep.headers, json=plan | {"type": kind} | to)
        assert answer.status_code == status, (kind, to, answer.text)
    await _activity(client, people.rep, "call", lead_id=lead["id"], direction="outbound")


async def test_capture_happens_once(client: httpx.AsyncClient, people: People, database: Database) -> None:
    await define(database, "activity", score="number")
    person = await _post(client, people.rep, "/contacts", last_name="Doe")
    body = {
        "type": "email",
        "occurred_at": "2026-02-01T09:00:00+01:00",
        "subject": "Hello",
        "participants": [{"contact_id": person["id"], "role": "to"}, {"email": "a@b.example"}],
        "cf": {"score": 1.5},
        "source": "mail",
        "source_id": f"<{uuid4()}>",
    }
    answers = await asyncio.gather(
        *(client.post("/activities", headers=people.rep.headers, json=body) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    made = answers[0].json()
    url = f"/activities/{made['id']}"
    edited = await client.patch(url, headers=people.rep.headers, json={"subject": "Corrected"})
    assert edited.status_code == 200
    again = await client.post("/activities", headers=people.rep.headers, json=body | {"owner_id": None})
    assert (again.status_code, again.json()["subject"]) == (200, "Corrected"), "an edit is no other mail"
    other = await client.post("/activities", headers=people.rep.headers, json=body | {"subject": "Bye"})
    assert other.status_code == 409
    assert other.json()["errors"] == [{"pointer": "/subject", "detail": "was captured with another value"}]
    assert other.json()["id"] == made["id"]
    unseen = await client.post("/activities", headers=people.stranger.headers, json=body)
    assert unseen.status_code in (409, 422)
    assert made["id"] not in unseen.text
    events = await database.fetchval(
        "SELECT count(*) FROM ledger.events WHERE entity_id = $1::uuid", made["id"]
    )
    assert events == 2
    await client.delete(url, headers=people.rep.headers)
    fresh = await client.post("/activities", headers=people.rep.headers, json=body)
    assert fresh.status_code == 201, "what was deleted may be captured anew"


@pytest.fixture(scope="module")
async def busy(client: httpx.AsyncClient, people: People) -> dict[str, Any]:
    """A week in 2024: rep with a deal that moves on, a thread of mails that is answered after 1 and 3 hours; rep2."""
    monday = datetime(2024, 3, 4, 9, tzinfo=UTC)
    deal = await _post(client, people.rep, "/opportunities", name="Busy")
    other = await _post(client, people.rep2, "/opportunities", name="Other")
    for person, thread, hours in (
        (
            people.rep,
            "t1",
            [("inbound", 0), ("inbound", 0.5), ("outbound", 1), ("inbound", 24), ("outbound", 27)],
        ),
        (people.rep2, "t2", [("outbound", 0), ("inbound", 2), ("outbound", 12)]),
    ):
        target = deal if person is people.rep else other
        for direction, hour in hours:
            await _activity(
                client, person, "email", direction=direction, thread_id=thread, opportunity_id=target["id"],
                occurred_at=monday + timedelta(hours=hour),
            )  # fmt: skip
    for status, seconds in (("completed", 1800), ("no_show", None)):
        await _activity(
            client, people.rep, "meeting", status=status, duration_seconds=seconds,
            opportunity_id=deal["id"], occurred_at=monday + timedelta(days=30),
        )  # fmt: skip
    return {"deal": deal["id"], "span": "from=2024-03-01&to=2024-05-01"}


async def _summary(client: httpx.AsyncClient, person: Person, text: str) -> dict[str, Any]:
    answer = await client.get(f"/activities/summary?{text}", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_summary_counts_what_one_sees(
    client: httpx.AsyncClient, people: People, busy: dict[str, Any]
) -> None:
    told = await _summary(client, people.manager, f"{busy['span']}&group=rep")
    assert [(item["name"]["rep"], item["count"]) for item in told["items"]] == [("Rep", 7), ("Rep2", 3)]
    first = told["items"][0]
    assert (first["types"]["email"], first["types"]["meeting"], first["statuses"]["no_show"]) == (5, 2, 1)
    assert (first["inbound"], first["outbound"], first["duration_seconds"], first["deals"]) == (3, 2, 1800, 1)
    assert first["replies"] == {"n": 2, "median_seconds": 7200.0, "mean_seconds": 7200.0}
    assert told["items"][1]["replies"] == {"n": 1, "median_seconds": 36000.0, "mean_seconds": 36000.0}
    assert (told["total"]["count"], told["total"]["deals"], told["total"]["replies"]["n"]) == (10, 2, 3)
    assert (await _summary(client, people.rep2, f"{busy['span']}&group=rep"))["total"]["count"] == 3
    assert (await _summary(client, people.stranger, busy["span"]))["total"]["count"] == 0


async def test_a_summary_by_period_team_and_type(
    client: httpx.AsyncClient, people: People, busy: dict[str, Any]
) -> None:
    by_month = await _summary(client, people.ops, f"{busy['span']}&group=period,type")
    found = {(i["key"]["period"], i["key"]["type"]): i["count"] for i in by_month["items"]}
    assert found == {("2024M03", "email"): 8, ("2024M04", "meeting"): 2}
    by_quarter = await _summary(client, people.ops, f"{busy['span']}&group=period&interval=quarter")
    assert {i["key"]["period"]: i["count"] for i in by_quarter["items"]} == {"2024Q1": 8, "2024Q2": 2}
    by_week = await _summary(client, people.ops, f"{busy['span']}&group=period&interval=week")
    assert [i["key"]["period"] for i in by_week["items"]] == ["2024-03-04", "2024-04-01"]
    by_team = await _summary(client, people.ops, f"{busy['span']}&group=team")
    assert [(i["name"]["team"], i["count"]) for i in by_team["items"]] == [("West", 10)]
    filtered = await _summary(client, people.ops, f"{busy['span']}&type=meeting&owner.name=Rep&group=")
    assert (filtered["total"]["count"], filtered["items"]) == (2, [])
    quarter = await _summary(client, people.ops, "period=2024Q1")
    assert quarter["total"]["count"] == 8


async def test_touches_by_stage(client: httpx.AsyncClient, people: People, database: Database) -> None:
    deal = await _post(client, people.rep, "/opportunities", name="Moves")
    await _activity(client, people.rep, "call", opportunity_id=deal["id"], occurred_at=datetime.now(UTC))
    moved = await client.post(
        f"/opportunities/{deal['id']}/stage",
        headers=people.rep.headers | {"If-Match": "*"},
        json={"to": "proposal"},
    )
    assert moved.status_code == 200
    for _ in range(3):
        await _activity(client, people.rep, "email", opportunity_id=deal["id"], occurred_at=datetime.now(UTC))
    start = (NOW - timedelta(minutes=5)).isoformat().replace("+", "%2B")
    told = await _summary(client, people.rep, f"group=stage&opportunity_id={deal['id']}&from={start}")
    assert [(i["name"]["stage"], i["count"], i["deals"], i["per_deal"]) for i in told["items"]] == [
        ("Proposal", 3, 1, 3.0),
        ("Prospecting", 1, 1, 1.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "group=colour", "group=rep,rep", "group=rep,team,type,stage", "interval=century", "from=yesterday",
        "from=2026-01-02&to=2026-01-01", "from=2020-01-01&to=2026-01-01", "period=soon", "sort=type", "no_such=1",
    ],
)  # fmt: skip
async def test_a_summary_of_nonsense(client: httpx.AsyncClient, people: People, text: str) -> None:
    answer = await client.get(f"/activities/summary?{text}", headers=people.rep.headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


async def test_a_summary_is_bounded(
    client: httpx.AsyncClient, people: People, busy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summing, "MOST_READ", 5)
    answer = await client.get(f"/activities/summary?{busy['span']}", headers=people.ops.headers)
    assert answer.status_code == 400
    assert "shorter span" in answer.json()["detail"]


async def _timeline(
    client: httpx.AsyncClient, person: Person, path: str, text: str = ""
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await client.get(f"{path}/timeline?limit=2{text}{cursor}", headers=person.headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        cursor = f"&cursor={answer.json()['next']}"


async def test_a_timeline_has_all_of_it_newest_first(client: httpx.AsyncClient, people: People) -> None:
    account = await _post(client, people.rep, "/accounts", name="Acme")
    contact = await _post(client, people.rep, "/contacts", last_name="Doe", account_id=account["id"])
    deal = await _post(client, people.rep, "/opportunities", name="Deal", account_id=account["id"])
    same = NOW - timedelta(days=1)
    for number in range(3):
        await _activity(
            client, people.rep, "call", subject=str(number), opportunity_id=deal["id"], occurred_at=same
        )
    guests = [{"contact_id": contact["id"]}, {"user_id": str(people.rep2.id)}]
    meeting = await _activity(
        client, people.rep, "meeting", opportunity_id=deal["id"], contact_id=None, participants=guests,
        occurred_at=NOW - timedelta(days=2),
    )  # fmt: skip
    note = await _post(client, people.rep, "/notes", body="They like us.", opportunity_id=deal["id"])
    await client.post(
        f"/opportunities/{deal['id']}/stage",
        headers=people.rep.headers | {"If-Match": "*"},
        json={"to": "proposal"},
    )
    told = await _timeline(client, people.rep, f"/opportunities/{deal['id']}")
    shape = [(item["kind"], item["record"].get("kind") or item["record"].get("type")) for item in told]
    assert shape == [
        ("event", "opportunity.stage_changed"), ("note", "note"), ("event", "opportunity.created"),
        ("activity", "call"), ("activity", "call"), ("activity", "call"), ("activity", "meeting"),
    ]  # fmt: skip
    assert len({item["id"] for item in told}) == 7
    assert told[1]["id"] == note["id"]
    calls = await _timeline(client, people.rep, f"/accounts/{account['id']}", "&kind=activity")
    assert [item["record"]["type"] for item in calls] == ["call"] * 3 + ["meeting"]
    of_contact = await _timeline(client, people.rep, f"/contacts/{contact['id']}", "&kind=activity,note")
    assert [item["id"] for item in of_contact] == [meeting["id"]]


async def test_a_guest_sees_it_in_their_timeline_though_others_took_part(
    client: httpx.AsyncClient, people: People
) -> None:
    guests = [(await _post(client, people.rep, "/contacts", last_name=name))["id"] for name in ("A", "B")]
    met = await _activity(
        client, people.rep, "meeting", participants=[{"contact_id": guest} for guest in guests]
    )
    assert met["contact_id"] is None
    for guest in guests:
        told = await _timeline(client, people.rep, f"/contacts/{guest}", "&kind=activity")
        assert [item["id"] for item in told] == [met["id"]]


async def test_what_was_done_with_a_lead_belongs_to_its_deal(
    client: httpx.AsyncClient, people: People
) -> None:
    lead = await _post(client, people.rep, "/leads", last_name="Lee", company="Lee Ltd")
    call = await _activity(client, people.rep, "call", lead_id=lead["id"])
    made = (await client.post(f"/leads/{lead['id']}/convert", headers=people.rep.headers, json={})).json()
    for path in (f"/opportunities/{made['opportunity']['id']}", f"/contacts/{made['contact']['id']}"):
        told = await _timeline(client, people.rep, path, "&kind=activity")
        assert [item["id"] for item in told] == [call["id"]]
    kinds = [
        item["record"]["kind"]
        for item in await _timeline(client, people.rep, f"/leads/{lead['id']}", "&kind=event")
    ]
    assert kinds == ["lead.converted", "lead.created"]


async def test_a_timeline_shows_only_what_one_sees(client: httpx.AsyncClient, people: People) -> None:
    open_to_all = await _post(client, people.ops, "/accounts", name="Nobody's", owner_id=None)
    theirs = await _post(client, people.stranger, "/opportunities", name="T", account_id=open_to_all["id"])
    await _activity(client, people.stranger, "call", opportunity_id=theirs["id"])
    path = f"/accounts/{open_to_all['id']}"
    assert await _timeline(client, people.rep, path, "&kind=activity") == []
    assert len(await _timeline(client, people.stranger, path, "&kind=activity")) == 1
    unseen = await client.get(f"/opportunities/{theirs['id']}/timeline", headers=people.rep.headers)
    assert unseen.status_code == 404
    for text in ("kind=gossip", "sort=at", "cursor=WzFd", "type=call"):
        assert (await client.get(f"{path}/timeline?{text}", headers=people.rep.headers)).status_code == 400


async def test_what_a_role_hides_is_in_no_conversion(client: httpx.AsyncClient, people: People) -> None:
    role = {"key": "discreet", "name": "Discreet", "base_role": "rep"}
    whole = role | {"hidden_fields": ["activities.body"]}
    refused = await client.post("/roles", headers=people.admin.headers, json=whole)
    assert refused.status_code == 422, "what is searched as one text is seen whole, or not at all"
    hides = role | {"hidden_fields": ["accounts.annual_revenue"]}
    made = await client.post("/roles", headers=people.admin.headers, json=hides)
    assert made.status_code == 201, made.text
    lead = await _post(client, people.rep2, "/leads", company="Rich", annual_revenue="5", currency="USD")
    url = f"/users/{people.rep2.id}"
    await client.patch(url, headers=people.admin.headers, json={"role_id": made.json()["id"]})
    converted = await client.post(f"/leads/{lead['id']}/convert", headers=people.rep2.headers, json={})
    assert converted.status_code == 200, converted.text
    assert "annual_revenue" not in converted.json()["account"]
    await client.patch(url, headers=people.admin.headers, json={"role_id": None})


async def test_capture_by_the_hundred_happens_once_too(client: httpx.AsyncClient, people: People) -> None:
    items = [
        {"type": "email", "occurred_at": NOW.isoformat(), "source": "sync", "source_id": str(number % 3)}
        for number in range(5)
    ]
    told = [
        await client.post(
            "/bulk",
            headers=people.rep.headers,
            json={"resource": "activities", "action": "create", "items": items},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in told] == [201, 201], told[0].text
    assert told[0].json()["ids"] == told[1].json()["ids"]
    assert len(set(told[0].json()["ids"])) == 3
    changed = [items[0] | {"subject": "Other"}]
    refused = await client.post(
        "/bulk",
        headers=people.rep.headers,
        json={"resource": "activities", "action": "create", "items": changed},
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/items/0/subject")
