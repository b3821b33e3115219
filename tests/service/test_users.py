"""Users: working hours and absences that make sense."""

from typing import Any

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


def away(*spans: str) -> dict[str, Any]:
    days = [span.split("/") for span in spans]
    return {"absences": [{"start_date": start, "end_date": end} for start, end in days]}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (away("2026-01-05/2026-01-09", "2026-02-02/2026-02-02"), None),
        (away("2026-02-02/2026-02-06", "2026-01-05/2026-01-09"), None),
        (away("2026-01-09/2026-01-05"), "/absences/0/end_date"),
        (away("2026-01-05/2026-01-09", "2026-01-09/2026-01-12"), "/absences/1/start_date"),
        (away("2026-01-09/2026-01-12", "2026-01-05/2026-01-09"), "/absences/0/start_date"),
        ({"working_hours": {"monday": "09:00-17:00", "sunday": None}}, None),
        ({"working_hours": {"monday": "17:00-09:00"}}, "/working_hours/monday"),
        ({"working_hours": {"monday": "09:00-09:00"}}, "/working_hours/monday"),
        ({"working_hours": {"monday": "25:00-26:00"}}, "/working_hours/monday"),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, "/end_date"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
    ],
)
async def test_days_and_hours_are_in_order(
    client: httpx.AsyncClient, people: People, change: dict[str, Any], pointer: str | None
) -> None:
    answer = await client.patch(f"/users/{people.rep.id}", headers=people.ops.headers, json=change)
    if pointer is None:
        assert answer.status_code == 200, answer.text
    else:
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
