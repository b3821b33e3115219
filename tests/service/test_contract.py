"""The document is the contract: cases that schemathesis makes from it meet no server error and no undocumented answer.

Half of the cases with ids in their path name a record that exists, so that they reach what lies behind the 404. Scenarios
follow the links of the document: what makes a record is followed by what can be done with it, in any order.
"""

import json
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from anyio import from_thread, to_thread
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response

from tests.conftest import People
from tests.service.test_operations import World

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

load_all_checks()
JUDGED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
OVER_TIME = ("use_after_free", "ensure_resource_availability")
"""What is deleted is gone, and what was made is there: judged in scenarios."""
LEFT_OUT = {"POST /auth/logout", "POST /auth/password"}
"""They end the very session that asks."""
SEED, MOST_SAID = 7, 500


@pytest.fixture(scope="module")
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("http://testserver.local/schema")).json()  # type: ignore[no-any-return]


def made(operation: Any, mode: GenerationMode, count: int) -> list[Case]:
    """Some cases of an operation, the same in each run. To make one takes longer than to send it."""
    cases: list[Case] = []

    @seed(SEED)
    @settings(
        max_examples=count, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        cases.append(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return cases


def _part(value: Any) -> Any:
    """One part of a form: a file as it is, anything else as text."""
    if isinstance(value, tuple):
        name, content, *rest = value
        return (name, content if isinstance(content, (str, bytes)) else json.dumps(content), *rest)
    return value if isinstance(value, (str, bytes)) else json.dumps(value)


async def sent(client: httpx.AsyncClient, case: Case, headers: dict[str, str]) -> httpx.Response:
    """The answer to a case."""
    kwargs = case.as_transport_kwargs(base_url="http://testserver.local")
    asked = {name: kwargs[name] for name in ("params", "json", "files") if kwargs.get(name) is not None}
    if "files" in asked:
        asked["files"] = [(name, _part(value)) for name, value in dict(asked["files"]).items()]
    content = kwargs.get("data")
    if content is not None:
        asked["data" if isinstance(content, dict) else "content"] = content
    told = {
        name: value
        for name, value in (kwargs.get("headers") or {}).items()
        if value.isprintable() and value.isascii()
    }
    request = client.build_request(kwargs["method"], kwargs["url"], headers=told | headers, **asked)
    await request.aread()
    return await client.send(request)


def faults(
    case: Case, answer: httpx.Response | Response, checks: tuple[str, ...] = JUDGED, **known: Any
) -> list[str]:
    """What the checks find, one line each."""
    try:
        case.validate_response(answer, checks=list(CHECKS.get_by_names(list(checks))), **known)
    except FailureGroup as group:
        found: list[Any] = list(group.exceptions)
    except Failure as failure:
        found = [failure]
    else:
        return []
    where = f"{case.method} {case.operation.path}"
    return [f"{where} {answer.status_code}: {' '.join(str(each).split())[:MOST_SAID]}" for each in found]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
async def test_the_api_keeps_to_its_document(
    client: httpx.AsyncClient,
    people: People,
    document: dict[str, Any],
    mode: GenerationMode,
    size: Callable[[int, int], int],
) -> None:
    world = World(client, people)
    await world.begin()
    makers, found, count = world.makers(), [], 0
    most = size(2 if mode == GenerationMode.POSITIVE else 1, 6)
    schema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        operation = result.ok()
        name = f"{operation.method.upper()} {operation.path.removeprefix('/api/v1')}"
        if name in LEFT_OUT:
            continue
        make = makers.get(name.split(" ")[1].partition("/{record_id}")[0])
        known = {"parent_id": world.ids["deal"]} if "{parent_id}" in name else {}
        if make and "{record_id}" in name:
            known["record_id"] = await make()
        for case in made(operation, mode, most):
            for path in (case.path_parameters, known) if known else (case.path_parameters,):
                case.path_parameters = case.path_parameters | path
                count += 1
                answer = await sent(client, case, people.admin.headers)
                found += faults(case, answer)
    assert found == [], f"{len(found)} faults in {count} answers:\n" + "\n".join(sorted(set(found)))


def workflow(schema: Any, send: Callable[[Case], Response], known: dict[str, str], found: list[str]) -> Any:
    """Scenarios along the document's links; what the checks find goes into `found`, so that none ends with the first."""

    class Workflow(schema.as_state_machine()):  # type: ignore[misc]  # a class made of the document
        restored = False

        def before_call(self, case: Case) -> None:
            """References lead to records that are there, and versions match, or hardly anything would ever happen."""
            case.headers["If-Match"] = "*"
            if isinstance(case.body, dict):
                case.body |= {name: known[name] for name in case.body.keys() & known.keys()}

        def call(self, case: Case, **kwargs: Any) -> Response:
            return send(case)

        def validate_response(self, response: Response, case: Case, *args: Any, **kwargs: Any) -> None:
            """The history of a deleted record is there, and so is what was restored."""
            self.restored = self.restored or case.operation.path.endswith(("/restore", "/undo"))
            over_time = () if self.restored or case.operation.path.endswith("/history") else OVER_TIME
            found.extend(faults(case, response, JUDGED + over_time, recorder=self.recorder))

    return Workflow


async def test_scenarios_along_its_links_keep_to_the_document(
    client: httpx.AsyncClient, people: People, document: dict[str, Any], size: Callable[[int, int], int]
) -> None:
    world, found, statuses = World(client, people), [], []  # type: ignore[var-annotated]
    await world.begin()
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/auth/")
    schema.config.phases.stateful.inference.algorithms = []  # the document says its links itself
    known = {f"{name}_id": world.ids[name] for name in ("account", "contact", "lead", "product")} | {
        "opportunity_id": world.ids["deal"],
        "user_id": world.ids["rep"],
        "owner_id": world.ids["rep"],
    }

    def send(case: Case) -> Response:
        answer = from_thread.run(sent, client, case, people.admin.headers)
        statuses.append(answer.status_code)
        return Response.from_any(answer)

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            workflow(schema, send, known, found).run(
                settings=settings(
                    max_examples=size(25, 500),
                    stateful_step_count=10,
                    database=None,
                    phases=[Phase.generate],
                    deadline=None,
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                )
            )

    await to_thread.run_sync(run)
    assert found == [], f"{len(found)} faults in {len(statuses)} answers:\n" + "\n".join(sorted(set(found)))
    made = sum(status < 300 for status in statuses)
    assert made > len(statuses) / 10, f"only {made} of {len(statuses)} requests were let in"
