"""Relationships: between people, and from people to companies; seen by who sees both ends."""

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


async def test_a_tie_has_two_ends_and_is_seen_with_both(client: httpx.AsyncClient, people: People) -> None:
    rep, stranger = people.rep.headers, people.stranger.headers
    ann, bob = [
        (await client.post("/contacts", headers=rep, json={"last_name": name})).json()["id"]
        for name in ("A", "B")
    ]
    theirs = (await client.post("/accounts", headers=stranger, json={"name": "Theirs"})).json()["id"]
    tie = {"contact_id": ann, "related_contact_id": bob, "type": "mentor", "strength": "strong"}
    made = await client.post("/relationships", headers=rep, json=tie)
    assert made.status_code == 201, made.text
    assert (await client.post("/relationships", headers=rep, json=tie)).status_code == 409
    listed = await client.get(f"/relationships?contact_id={ann}&expand=related_contact", headers=rep)
    assert listed.json()["items"][0]["related_contact"]["last_name"] == "B"
    board = {"contact_id": ann, "related_account_id": theirs, "type": "board_member"}
    unseen = await client.post("/relationships", headers=rep, json=board)
    assert (unseen.status_code, unseen.json()["errors"][0]["pointer"]) == (422, "/related_account_id")
    over_both = await client.post("/relationships", headers=people.ops.headers, json=board)
    assert over_both.status_code == 201
    url = f"/relationships/{over_both.json()['id']}"
    assert (await client.get(url, headers=rep)).status_code == 404, "one end is out of sight"
    assert (await client.get(url, headers=stranger)).status_code == 404
    assert (
        await client.get(f"/relationships/{made.json()['id']}", headers=people.manager.headers)
    ).is_success


async def test_ends_that_make_no_sense(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep.headers
    ann = (await client.post("/contacts", headers=rep, json={"last_name": "A"})).json()["id"]
    firm = (await client.post("/accounts", headers=rep, json={"name": "F"})).json()["id"]
    for more in ({}, {"related_contact_id": ann}, {"related_contact_id": ann, "related_account_id": firm}):
        answer = await client.post(
            "/relationships", headers=rep, json={"contact_id": ann, "type": "friend"} | more
        )
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/related_contact_id")
    days = {"start_date": "2026-02-01", "end_date": "2026-01-01"}
    backwards = {"contact_id": ann, "related_account_id": firm, "type": "employee"} | days
    answer = await client.post("/relationships", headers=rep, json=backwards)
    assert answer.json()["errors"][0]["pointer"] == "/end_date"


async def test_ties_of_people_who_are_merged(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep.headers
    kept, merged, one, two = [
        (await client.post("/contacts", headers=rep, json={"last_name": name})).json()["id"]
        for name in ("Kept", "Merged", "One", "Two")
    ]
    for contact, other in ((kept, one), (merged, one), (merged, two)):
        tie = {"contact_id": contact, "related_contact_id": other, "type": "colleague"}
        assert (await client.post("/relationships", headers=rep, json=tie)).status_code == 201
    done = await client.post(
        "/merge",
        headers=people.ops.headers,
        json={"resource": "contacts", "winner_id": kept, "loser_ids": [merged]},
    )
    assert done.is_success, done.text
    ties = (await client.get(f"/relationships?contact_id={kept}", headers=rep)).json()["items"]
    assert sorted(tie["related_contact_id"] for tie in ties) == sorted([one, two])
