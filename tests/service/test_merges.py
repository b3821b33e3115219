"""Merge and un-merge: which values stay, who is re-parented, what an undo weeks later brings back."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from service.db import Database
from service.merging import references_to
from tests.conftest import People, Person, define

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, person: Person, path: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def get(client: httpx.AsyncClient, person: Person, path: str) -> dict[str, Any]:
    answer = await client.get(path, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def merge(
    client: httpx.AsyncClient, person: Person, resource: str, winner: Any, *losers: Any, **more: Any
) -> httpx.Response:
    ids = [one if isinstance(one, str) else one["id"] for one in (winner, *losers)]
    body = {"resource": resource, "winner_id": ids[0], "loser_ids": ids[1:]} | more
    return await client.post("/merge", headers=person.headers, json=body)


async def undo(client: httpx.AsyncClient, person: Person, merged: httpx.Response) -> httpx.Response:
    return await client.post(f"/changes/{merged.json()['change_id']}/undo", headers=person.headers)


async def test_children_go_along_and_come_back(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    winner = await make(client, rep, "/accounts", name="Acme", phone="1", external_ids={"erp": "1"})
    loser = await make(
        client,
        rep,
        "/accounts",
        name="Acme Inc",
        industry="steel",
        phone="2",
        external_ids={"crm": "9", "erp": "2"},
    )
    contact = await make(client, rep, "/contacts", last_name="Doe", account_id=loser["id"])
    deal = await make(client, rep, "/opportunities", name="Deal", account_id=loser["id"])
    child = await make(client, rep, "/accounts", name="Acme West", parent_id=loser["id"])
    note = await make(client, rep, "/notes", body="Hello", account_id=loser["id"])
    body = {"resource": "accounts", "winner_id": winner["id"], "loser_ids": [loser["id"]]}
    said = await client.post("/merge/preview", headers=rep.headers, json=body)
    assert said.status_code == 200, said.text
    assert {f["field"]: f["value"] for f in said.json()["fields"]} == {
        "industry": "steel", "external_ids": {"crm": "9", "erp": "1"},
    }  # fmt: skip
    counts = {
        "accounts.parent_id": 1, "contacts.account_id": 1, "notes.account_id": 1, "opportunities.account_id": 1,
    }  # fmt: skip
    assert said.json()["children"] == counts
    assert (await get(client, rep, f"/accounts/{winner['id']}"))["version"] == 1, "a preview changes nothing"

    merged = await merge(client, rep, "accounts", winner, loser)
    assert merged.status_code == 200, merged.text
    assert merged.json()["children"] == counts
    record = merged.json()["record"]
    assert (record["name"], record["phone"], record["industry"]) == ("Acme", "1", "steel")
    assert record["external_ids"] == {"crm": "9", "erp": "1"}
    assert (await client.get(f"/accounts/{loser['id']}", headers=rep.headers)).status_code == 404
    for path, name in (
        (f"/contacts/{contact['id']}", "account_id"), (f"/opportunities/{deal['id']}", "account_id"),
        (f"/accounts/{child['id']}", "parent_id"), (f"/notes/{note['id']}", "account_id"),
    ):  # fmt: skip
        assert (await get(client, rep, path))[name] == winner["id"], path
    past = (await get(client, rep, f"/accounts/{loser['id']}/history"))["items"][0]
    assert {"field": "merged_into_id", "old": None, "new": winner["id"]} in past["changes"]
    revived = await client.post(f"/accounts/{loser['id']}/restore", headers=rep.headers)
    assert revived.status_code == 409

    await client.patch(f"/contacts/{contact['id']}", headers=rep.headers, json={"title": "Buyer"})
    await client.patch(f"/accounts/{winner['id']}", headers=rep.headers, json={"phone": "3"})
    newer = await make(client, rep, "/contacts", last_name="New", account_id=winner["id"])
    assert (await undo(client, rep, merged)).status_code == 200
    back = await get(client, rep, f"/contacts/{contact['id']}")
    assert (back["account_id"], back["title"]) == (loser["id"], "Buyer")
    assert (await get(client, rep, f"/contacts/{newer['id']}"))["account_id"] == winner["id"]
    assert (await get(client, rep, f"/opportunities/{deal['id']}"))["account_id"] == loser["id"]
    again = await get(client, rep, f"/accounts/{loser['id']}")
    assert (again["name"], again["merged_into_id"]) == ("Acme Inc", None)
    now = await get(client, rep, f"/accounts/{winner['id']}")
    assert (now["phone"], now["industry"], now["external_ids"]) == ("3", None, {"erp": "1"})


async def test_an_unmerge_that_would_make_a_ring_is_refused(
    client: httpx.AsyncClient, people: People
) -> None:
    rep = people.rep
    above, winner, loser = [await make(client, rep, "/accounts", name=name) for name in "ABC"]
    below = await make(client, rep, "/accounts", name="D", parent_id=loser["id"])
    for one, parent in ((loser, above), (winner, None)):
        parents = {"parent_id": parent and parent["id"]}
        await client.patch(f"/accounts/{one['id']}", headers=rep.headers, json=parents)
    merged = await merge(client, rep, "accounts", winner, loser, fields={"parent_id": winner["id"]})
    under = {"parent_id": below["id"]}
    assert (
        await client.patch(f"/accounts/{above['id']}", headers=rep.headers, json=under)
    ).status_code == 200
    answer = await undo(client, rep, merged)
    assert answer.status_code == 409
    assert [(c["id"], c["field"]) for c in answer.json()["conflicts"]] == [(below["id"], "parent_id")]


async def test_why_a_loser_was_given_up_is_not_said_of_the_winner(
    client: httpx.AsyncClient, people: People
) -> None:
    rep = people.rep
    winner, loser = [await make(client, rep, "/leads", last_name="Doe") for _ in range(2)]
    given_up = {"to": "unqualified", "reason": "no need"}
    answer = await client.post(f"/leads/{loser['id']}/status", headers=rep.headers, json=given_up)
    assert answer.status_code == 200, answer.text
    record = (await merge(client, rep, "leads", winner, loser)).json()["record"]
    assert (record["status"], record["unqualified_reason"]) == ("new", None)


async def test_what_a_loser_points_at_may_be_deleted(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    account = await make(client, rep, "/accounts", name="Gone")
    winner = await make(client, rep, "/contacts", last_name="Doe")
    loser = await make(client, rep, "/contacts", last_name="Doe", account_id=account["id"])
    await client.delete(f"/accounts/{account['id']}", headers=rep.headers)
    merged = await merge(client, rep, "contacts", winner, loser)
    assert merged.status_code == 200, merged.text
    assert merged.json()["record"]["account_id"] == account["id"]


async def test_values_stay_by_rule_and_by_choice(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    await define(database, "contact", a="integer", b="integer")
    rep = people.rep
    winner = await make(client, rep, "/contacts", last_name="Doe", title="Buyer", cf={"a": 1})
    older = await make(
        client, rep, "/contacts", last_name="Doh", phone="1", department="IT", cf={"a": 2, "b": 3}
    )
    newer = await make(client, rep, "/contacts", last_name="D", phone="2", title="Boss", email_opt_out=True)
    merged = await merge(
        client,
        rep,
        "contacts",
        winner,
        older,
        newer,
        fields={"last_name": newer["id"], "department": winner["id"]},
    )
    assert merged.status_code == 200, merged.text
    record = merged.json()["record"]
    assert (record["last_name"], record["title"], record["phone"]) == ("D", "Buyer", "2")
    assert (record["department"], record["email_opt_out"], record["cf"]) == (None, True, {"a": 1, "b": 3})


async def test_a_merge_into_what_was_merged_points_on(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    first, second, third = [await make(client, rep, "/accounts", name=name) for name in "ABC"]
    await merge(client, rep, "accounts", second, first)
    await merge(client, rep, "accounts", third, second)
    past = (await get(client, rep, f"/accounts/{first['id']}/history"))["items"]
    assert past[0]["changes"] == [{"field": "merged_into_id", "old": second["id"], "new": third["id"]}]
    assert (await merge(client, rep, "accounts", third, first)).status_code == 404


async def test_a_tree_stays_a_tree(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    top = await make(client, rep, "/accounts", name="Top")
    middle = await make(client, rep, "/accounts", name="Middle", parent_id=top["id"])
    low = await make(client, rep, "/accounts", name="Low", parent_id=middle["id"])
    ring = await merge(client, rep, "accounts", low, top)
    assert ring.status_code == 409
    assert ring.json()["errors"][0]["pointer"] == "/fields/parent_id"
    assert (await get(client, rep, f"/accounts/{top['id']}"))["version"] == 1
    merged = await merge(client, rep, "accounts", middle, top)
    assert merged.status_code == 200
    assert merged.json()["record"]["parent_id"] is None, "its parent is now itself"


async def test_bad_merges_are_refused(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    one, two = [await make(client, rep, "/leads", last_name=name) for name in "AB"]
    theirs = await make(client, people.stranger, "/leads", last_name="C")
    assert (await merge(client, rep, "leads", one, one)).status_code == 409
    assert (await merge(client, rep, "leads", one, two, two)).status_code == 409
    assert (await merge(client, rep, "leads", one, theirs)).status_code == 404
    assert (await merge(client, rep, "leads", theirs, one)).status_code == 404
    assert (await merge(client, rep, "opportunities", one, two)).status_code == 422
    assert (await merge(client, people.data, "leads", one, two)).status_code == 403
    assert (await merge(client, rep, "leads", one)).status_code == 422
    for fields, pointer in (
        ({"nose": one["id"]}, "/fields/nose"),
        ({"title": theirs["id"]}, "/fields/title"),
    ):
        answer = await merge(client, rep, "leads", one, two, fields=fields)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    stale = await merge(client, rep, "leads", one, two, versions={two["id"]: 7})
    assert stale.json()["conflicts"] == [{"id": two["id"], "expected": 7, "version": 1}]
    headers = rep.headers | {"If-Match": '"7"'}
    body = {"resource": "leads", "winner_id": one["id"], "loser_ids": [two["id"]]}
    assert (await client.post("/merge", headers=headers, json=body)).status_code == 412
    await client.post(f"/leads/{two['id']}/convert", headers=rep.headers, json={})
    assert (await merge(client, rep, "leads", one, two)).status_code == 409


async def test_who_gives_a_record_away_by_a_merge_needs_the_permission(
    client: httpx.AsyncClient, people: People
) -> None:
    one = await make(client, people.ops, "/accounts", name="One", owner_id=str(people.rep.id))
    two = await make(client, people.ops, "/accounts", name="Two", owner_id=str(people.rep.id))
    assert (
        await merge(client, people.rep, "accounts", one, two, fields={"owner_id": two["id"]})
    ).status_code == 403


async def test_a_field_that_was_edited_since_stands_in_the_way(
    client: httpx.AsyncClient, people: People
) -> None:
    rep = people.rep
    winner = await make(client, rep, "/accounts", name="A")
    loser = await make(client, rep, "/accounts", name="B", industry="steel")
    merged = await merge(client, rep, "accounts", winner, loser)
    await client.patch(f"/accounts/{winner['id']}", headers=rep.headers, json={"industry": "mining"})
    answer = await undo(client, rep, merged)
    assert answer.status_code == 409
    assert answer.json()["conflicts"] == [
        {"resource": "accounts", "id": winner["id"], "field": "industry", "made": "steel", "now": "mining"}
    ]
    assert (await client.get(f"/accounts/{loser['id']}", headers=rep.headers)).status_code == 404


async def test_each_record_of_a_merge_is_heard_of(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    winner, loser = [await make(client, rep, "/accounts", name=name) for name in "AB"]
    deal = await make(client, rep, "/opportunities", name="Deal", account_id=loser["id"])
    merged = await merge(client, rep, "accounts", winner, loser)
    kinds = {}
    for record in (winner, loser, deal):
        events = (await get(client, rep, f"/events?entity_id={record['id']}"))["items"]
        assert events[-1]["change_id"] == merged.json()["change_id"]
        kinds[record["name"]] = [event["kind"] for event in events]
    assert kinds == {
        "A": ["account.created", "account.merged"],
        "B": ["account.created", "account.deleted"],
        "Deal": ["opportunity.created", "opportunity.updated"],
    }
    key = rep.headers | {"Idempotency-Key": "merge-once"}
    third = await make(client, rep, "/accounts", name="C")
    body = {"resource": "accounts", "winner_id": winner["id"], "loser_ids": [third["id"]]}
    answers = [await client.post("/merge", headers=key, json=body) for _ in range(2)]
    assert answers[0].text == answers[1].text


def test_what_points_at_a_record_is_read_from_the_tables() -> None:
    found = {reference.name for reference in references_to("accounts")}
    assert {
        "contacts.account_id",
        "accounts.parent_id",
        "leads.converted_account_id",
        "accounts.merged_into_id",
    } <= found
    assert "territories.account_ids" in found
    assert {"stakeholders.contact_id", "contacts.reports_to_id"} <= {
        r.name for r in references_to("contacts")
    }


async def test_lists_of_ids_follow_too(client: httpx.AsyncClient, people: People) -> None:
    ops = people.ops
    winner, loser = [await make(client, ops, "/accounts", name=name) for name in "AB"]
    model = await make(client, ops, "/territory-models", name="Model")
    territory = await make(
        client,
        ops,
        "/territories",
        model_id=model["id"],
        name="West",
        account_ids=[loser["id"], winner["id"]],
    )
    merged = await merge(client, ops, "accounts", winner, loser)
    assert merged.status_code == 200, merged.text
    assert (await get(client, ops, f"/territories/{territory['id']}"))["account_ids"] == [winner["id"]]
    assert (await undo(client, ops, merged)).status_code == 200
    back = await get(client, ops, f"/territories/{territory['id']}")
    assert set(map(UUID, back["account_ids"])) == {UUID(loser["id"]), UUID(winner["id"])}


async def test_who_took_part_is_the_winner_from_now_on(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    winner, loser, friend = [await make(client, rep, "/contacts", last_name=name) for name in "ABC"]

    async def meeting(*taking_part: dict[str, Any]) -> str:
        there = [{"contact_id": one["id"]} for one in taking_part] + [{"email": "x@else.example"}]
        body = {
            "type": "meeting",
            "subject": "Talk",
            "occurred_at": "2026-01-05T09:00:00Z",
            "participants": there,
        }
        return str((await make(client, rep, "/activities", **body))["id"])

    async def there(activity: str) -> list[str]:
        found = (await get(client, rep, f"/activities/{activity}"))["participants"]
        return [one.get("contact_id") or one["email"] for one in found]

    names = {"winner": winner["id"], "loser": loser["id"], "friend": friend["id"]}
    moved, double = await meeting(friend, loser), await meeting(loser, winner, friend)
    merged = await merge(client, rep, "contacts", winner, loser)
    assert merged.status_code == 200, merged.text
    assert merged.json()["children"]["activities.participants"] == 2
    assert await there(moved) == [names["friend"], names["winner"], "x@else.example"]
    assert await there(double) == [names["winner"], names["friend"], "x@else.example"]
    assert (await undo(client, rep, merged)).status_code == 200
    assert await there(moved) == [names["friend"], names["loser"], "x@else.example"]
    assert await there(double) == [names["loser"], names["winner"], names["friend"], "x@else.example"]


async def test_ties_are_not_doubled_nor_turned_on_oneself(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    winner, loser, friend = [await make(client, rep, "/contacts", last_name=name) for name in "ABC"]

    async def tie(one: dict[str, Any], other: dict[str, Any], kind: str) -> str:
        body = {"contact_id": one["id"], "related_contact_id": other["id"], "type": kind}
        return str((await make(client, rep, "/relationships", **body))["id"])

    kept = await tie(winner, friend, "mentor")
    double = await tie(loser, friend, "mentor")
    moved = await tie(friend, loser, "friend")
    within = await tie(loser, winner, "colleague")
    other = await tie(loser, friend, "friend")
    merged = await merge(client, rep, "contacts", winner, loser)
    assert merged.status_code == 200, merged.text

    async def ends(record: str) -> tuple[str, str] | None:
        answer = await client.get(f"/relationships/{record}", headers=rep.headers)
        found = answer.json()
        return (found["contact_id"], found["related_contact_id"]) if answer.status_code == 200 else None

    assert [await ends(one) for one in (kept, double, moved, within, other)] == [
        (winner["id"], friend["id"]), None, (friend["id"], winner["id"]), None, (winner["id"], friend["id"]),
    ]  # fmt: skip
    assert (await undo(client, rep, merged)).status_code == 200
    assert [await ends(one) for one in (double, moved, within)] == [
        (loser["id"], friend["id"]), (friend["id"], loser["id"]), (loser["id"], winner["id"]),
    ]  # fmt: skip


async def test_shares_and_reminders_of_a_record_go_along(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    winner, loser = [await make(client, rep, "/accounts", name=name) for name in "AB"]
    share = {
        "resource": "accounts",
        "record_id": loser["id"],
        "user_id": str(people.stranger.id),
        "level": "read",
    }
    await make(client, rep, "/shares", **share)
    reminder = {
        "record_type": "account",
        "record_id": loser["id"],
        "remind_at": "2030-01-01T00:00:00Z",
        "text": "Call",
    }
    remind = await make(client, rep, "/reminders", **reminder)
    assert (await merge(client, rep, "accounts", winner, loser)).status_code == 200
    assert (await get(client, rep, f"/reminders/{remind['id']}"))["record_id"] == winner["id"]
    shares = (await get(client, rep, f"/shares?record_id={winner['id']}"))["items"]
    assert [one["user_id"] for one in shares] == [str(people.stranger.id)]
