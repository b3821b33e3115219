"""The daily tasks of `docs/salesforce.md`: administration; and that the page and the tests have the same tasks."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from service import calendar
from service.db import Database
from tests.conftest import People
from tests.service import test_salesforce_customers, test_salesforce_deals, test_salesforce_office
from tests.service.salesforce_page import TESTS, Desk, cookies, desk, task, tasks

__all__ = ["cookies", "desk", "test_salesforce_customers", "test_salesforce_deals", "test_salesforce_office"]
pytestmark = pytest.mark.anyio


# Administration ------------------------------------------------------------------------------------


@task("New Custom Field")
async def test_custom_field(desk: Desk, people: People) -> None:
    await desk(
        people.ops, "POST /fields", entity="account", key="region", label="Region", type="select",
        options=["emea", "apac"],
    )  # fmt: skip
    await desk(people.rep, "POST /accounts", name="Fielded", cf={"region": "emea"})
    await desk(people.rep, "POST /accounts", 422, name="Fielded", cf={"region": "mars"})
    found = await desk(people.rep, "GET /accounts?cf.region=emea")
    assert [item["name"] for item in found["items"]] == ["Fielded"]


@task("Validation Rules")
async def test_validation_rules(desk: Desk, people: People) -> None:
    rule = await desk(
        people.ops, "POST /validation-rules", entity="opportunity", name="Close date",
        when=[{"field": "amount", "op": "gt", "value": 900_000}],
        require=[{"field": "close_date", "op": "is_null", "value": False}], message="A large deal has a close date.",
    )  # fmt: skip
    refused = await desk(people.rep, "POST /opportunities", 422, name="D", amount="1000000")
    assert refused["errors"] == [
        {"pointer": "/close_date", "detail": "A large deal has a close date.", "rule": rule["name"]}
    ]


@task("Field History Tracking")
async def test_field_history(desk: Desk, people: People) -> None:
    account = await desk(people.rep, "POST /accounts", name="Followed", industry="steel")
    await desk(people.rep, f"PATCH /accounts/{account['id']}", industry="retail")
    told = await desk(people.rep, f"GET /accounts/{account['id']}/history")
    changes = [(c["field"], c["old"], c["new"]) for c in told["items"][0]["changes"]]
    assert ("industry", "steel", "retail") in changes


@task("Setup Audit Trail")
async def test_audit_trail(desk: Desk, people: People) -> None:
    team = await desk(people.ops, "POST /teams", name="Audited")
    newest = (await desk(people.ops, "GET /changes"))["items"][0]
    told = await desk(people.ops, f"GET /changes/{newest['id']}")
    assert team["id"] in str(told)
    assert str(people.ops.id) in str(told)


async def somebody(desk: Desk, people: People, name: str, **members: Any) -> dict[str, Any]:
    address = f"{name.lower()}@office.example"
    return await desk(people.admin, "POST /users", email=address, name=name, role="rep", **members)  # type: ignore[no-any-return]


@task("New User")
async def test_new_user(desk: Desk, people: People) -> None:
    made = await somebody(desk, people, "Novice", manager_id=str(people.manager.id))
    assert (made["role"], made["is_active"]) == ("rep", True)


@task("Role Hierarchy")
async def test_role_hierarchy(desk: Desk, people: People) -> None:
    person = await somebody(desk, people, "Report")
    account = await desk(people.ops, "POST /accounts", name="Theirs", owner_id=person["id"])
    deal = await desk(
        people.ops, "POST /opportunities", name="T", account_id=account["id"], owner_id=person["id"]
    )
    await desk(people.manager, f"GET /opportunities/{deal['id']}", 404)
    await desk(people.admin, f"PATCH /users/{person['id']}", manager_id=str(people.manager.id))
    assert (await desk(people.manager, f"GET /opportunities/{deal['id']}"))["id"] == deal["id"]


@task("Deactivate User")
async def test_deactivate_user(desk: Desk, people: People) -> None:
    person = await somebody(desk, people, "Leaver")
    deal = await desk(people.ops, "POST /opportunities", name="Left", owner_id=person["id"])
    await desk(people.admin, f"POST /users/{person['id']}/transfer", to=str(people.rep.id))
    left = await desk(people.admin, f"POST /users/{person['id']}/deactivate")
    assert (left["user"]["is_active"], left["holdings"]) == (False, [])
    assert (await desk(people.rep, f"GET /opportunities/{deal['id']}"))["owner_id"] == str(people.rep.id)


@task("Manual Sharing")
async def test_manual_sharing(desk: Desk, people: People) -> None:
    account = await desk(people.rep, "POST /accounts", name="Shared")
    await desk(people.stranger, f"GET /accounts/{account['id']}", 404)
    await desk(
        people.rep, "POST /shares", resource="accounts", record_id=account["id"], user_id=str(people.stranger.id),
        level="read",
    )  # fmt: skip
    assert (await desk(people.stranger, f"GET /accounts/{account['id']}"))["name"] == "Shared"
    await desk(people.stranger, f"PATCH /accounts/{account['id']}", 403, phone="1")


@task("Why a record is visible (Sharing Hierarchy)")
async def test_why_visible(desk: Desk, people: People) -> None:
    account = await desk(people.rep, "POST /accounts", name="Explained")
    url = f"GET /access/explain?record=accounts:{account['id']}&user="
    for person, expected in ((people.manager, True), (people.stranger, False)):
        told = await desk(people.ops, f"{url}{person.id}")
        assert (told["can_read"], len(told["chain"]) > 2) == (expected, True)


async def with_role(desk: Desk, people: People, key: str, **taken: Any) -> dict[str, str]:
    """Gives the second rep a custom role and returns what they send."""
    role = await desk(people.admin, "POST /roles", key=key, name=key.title(), base_role="rep", **taken)
    await desk(people.admin, f"PATCH /users/{people.rep2.id}", role_id=role["id"])
    return people.rep2.headers


@task("Permission Sets")
async def test_permission_sets(desk: Desk, people: People) -> None:
    who = await with_role(desk, people, "careful", removed_permissions=["accounts:delete"])
    account = await desk(who, "POST /accounts", name="Kept")
    await desk(who, f"DELETE /accounts/{account['id']}", 403)


@task("Field-Level Security")
async def test_field_level_security(desk: Desk, people: People) -> None:
    who = await with_role(desk, people, "blind", hidden_fields=["accounts.annual_revenue"])
    account = await desk(who, "POST /accounts", name="Seen")
    assert "annual_revenue" not in account
    await desk(who, "GET /accounts?annual_revenue[gt]=1", 400)


@task("Territories")
async def test_territories(desk: Desk, people: People) -> None:
    model = await desk(people.ops, "POST /territory-models", name="2027")
    made = await desk(
        people.ops, "POST /territories", model_id=model["id"], name="North", owner_id=str(people.rep.id)
    )
    assert (model["status"], made["model_id"]) == ("draft", model["id"])


@task("Holidays and Business Hours")
async def test_holidays(desk: Desk, people: People) -> None:
    company = await desk(people.ops, "PATCH /company", holidays=["2027-12-25", "2027-01-01"])
    assert company["holidays"] == ["2027-01-01", "2027-12-25"]
    away = [{"start_date": "2027-07-01", "end_date": "2027-07-14"}]
    person = await desk(
        people.admin, f"PATCH /users/{people.rep.id}", working_hours={"monday": "09:00-17:00"}, absences=away
    )
    assert person["absences"] == away


@task("Fiscal Year")
async def test_fiscal_year(desk: Desk, people: People, database: Database) -> None:
    await desk(people.ops, "PATCH /company", fiscal_year_start=2)
    database.forget(("company",))
    settings = await calendar.company(database)
    assert calendar.period_of(settings, datetime(2026, 2, 1, tzinfo=UTC).date()).key == "2027Q1"
    await desk(people.ops, "PATCH /company", fiscal_year_start=1)


@task("Dated Exchange Rates")
async def test_exchange_rates(desk: Desk, people: People) -> None:
    await desk(people.ops, "POST /exchange-rates", currency="CHF", date="2026-01-01", rate="1.25")
    deal = await desk(people.rep, "POST /opportunities", name="D", amount="100", currency="CHF")
    assert deal["amount_home"] == "125.0000"


@task("Connected Apps")
async def test_connected_apps(desk: Desk, people: People) -> None:
    key = await desk(people.admin, "POST /api-keys", name="Dashboard", scopes=["accounts:read"])
    app = {"X-API-Key": key["key"]}
    assert UUID((await desk(app, "GET /accounts?limit=1"))["items"][0]["id"])
    await desk(app, "POST /accounts", 403, name="Not mine")


# The page ------------------------------------------------------------------------------------------


def test_each_task_of_the_page_is_done_by_a_test_and_none_else() -> None:
    found = tasks()
    assert len(found) >= 40
    assert set(TESTS) == set(found)
    assert [name for name, each in found.items() if not each.calls] == []
