"""`docs/salesforce.md` as the tests read it, and the desk at which its tasks are done with the very calls that it names."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest

from service.auth import COOKIE
from service.db import Database
from service.domains.sessions import open_session
from tests.conftest import People, Person

PAGE = Path(__file__).resolve().parents[2] / "docs" / "salesforce.md"
SITE = "http://testserver.local"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Make = Callable[..., Awaitable[dict[str, Any]]]
TESTS: dict[str, list[str]] = {}
"""Task → the tests that do it."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request: as the page names it, or as it was made. Ids in it are `{id}`."""

    method: str
    path: str
    query: dict[str, str] = {}
    members: dict[str, Any] = {}

    def is_made_by(self, made: "Call") -> bool:
        """Whether a request is this one: each parameter and member that the page names, with its value where it has one."""
        return (
            (self.method, self.path) == (made.method, made.path)
            and all(_fits(value, made.query.get(name)) for name, value in self.query.items())
            and all(name in made.members for name in self.members)
            and all(value in (..., made.members[name]) for name, value in self.members.items())
        )


def _fits(said: str, sent: str | None) -> bool:
    if sent is None:
        return False
    return bool(re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(said)), sent))


class Task(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    calls: list[Call]
    pages: list[str]


def task(name: str) -> Callable[[Any], Any]:
    """Says which task of the page a test does."""

    def told(test: Any) -> Any:
        TESTS.setdefault(name, []).append(test.__name__)
        test.task = name
        return test

    return told


def _members(text: str) -> dict[str, Any]:
    """`type: "call", subject?` → the members that must be there, with their value or `...`."""
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition(":")
        if not name.endswith("?"):
            found[name.strip()] = json.loads(value) if value else ...
    return found


def call_of(text: str) -> Call:
    """`POST /leads/{id}/status {to: "working"}`."""
    method, _, rest = text.partition(" ")
    where, _, body = rest.partition(" ")
    path, _, query = where.partition("?")
    members = _members(body.strip().removeprefix("{").removesuffix("}"))
    return Call(method=method, path=path, query=dict(parse_qsl(query)), members=members)


def tasks() -> dict[str, Task]:
    """The rows of the page's tables, by what they are called in Salesforce."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] in ("in Salesforce", "---"):
            continue
        name, here, page = cells
        spans = [text for text in re.findall(r"`([^`]+)`", here) if re.match(r"[A-Z]+ /", text)]
        assert name not in found, f"{name} stands there twice"
        found[name] = Task(
            name=name, calls=[call_of(text) for text in spans], pages=re.findall(r"`([^`]+)`", page)
        )
    return found


class Desk:
    """Sends requests as a person, and keeps which ones they were."""

    def __init__(self, client: httpx.AsyncClient, cookies: dict[str, str]) -> None:
        self.client, self.cookies = client, cookies
        self.made: list[Call] = []
        self.seen: list[str] = []

    async def __call__(
        self, who: Person | dict[str, str], what: str, /, expected: int = 0, **sent: Any
    ) -> Any:
        """`desk(rep, "POST /accounts", name="Acme")`: the answer's JSON, or its text; 2xx unless another status is meant.

        With a `file` among the members they go as a form.
        """
        method, _, url = what.partition(" ")
        headers = dict(who if isinstance(who, dict) else who.headers)
        if method != "GET":
            headers["If-Match"] = "*"
        content: dict[str, Any] = {"json": sent} if method not in ("GET", "DELETE") else {}
        if "file" in sent:
            texts = {name: value for name, value in sent.items() if name != "file"}
            content = {"files": {"file": sent["file"]}, "data": texts}
        where = f"{SITE}{url}" if url.startswith("/graphql") else url
        answer = await self.client.request(method, where, headers=headers, **content)
        good = answer.status_code == expected if expected else answer.is_success
        assert good, (what, answer.status_code, answer.text)
        path, _, query = url.partition("?")
        self.made.append(
            Call(method=method, path=_ID.sub("{id}", path), query=dict(parse_qsl(query)), members=sent)
        )
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    async def page(self, who: Person, path: str) -> str:
        """A page as a browser of this person gets it."""
        answer = await self.client.get(
            f"{SITE}{path}", headers={"Accept": "text/html", "Cookie": self.cookies[who.email]}
        )
        assert answer.status_code == 200, (path, answer.status_code)
        self.seen.append(_ID.sub("{id}", path))
        return answer.text

    def missed(self, task: Task) -> list[str]:
        """The calls and pages of a task that nobody asked for."""
        calls = [
            f"{call.method} {call.path} {call.query} {call.members}"
            for call in task.calls
            if not any(call.is_made_by(made) for made in self.made)
        ]
        return calls + [page for page in task.pages if page not in self.seen]


@pytest.fixture(scope="module")
async def cookies(database: Database, people: People) -> dict[str, str]:
    """E-mail address → the cookie of a session in the browser."""
    found = {}
    for person in (people.rep, people.manager, people.ops):
        _, secret = await open_session(database, person.id, "web")
        found[person.email] = f"{COOKIE}={secret}"
    return found


@pytest.fixture
async def desk(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, cookies: dict[str, str]
) -> AsyncIterator[Desk]:
    """A desk for one test; afterwards each call of the page's line must have been made at it."""
    opened = Desk(client, cookies)
    yield opened
    named = tasks().get(request.function.task)
    assert named is not None, f"the page has no task {request.function.task}"
    assert opened.missed(named) == []


@pytest.fixture
def account(desk: Desk, people: People) -> Make:
    async def made(name: str = "Acme", **members: Any) -> dict[str, Any]:
        return await desk(people.rep, "POST /accounts", name=name, **members)  # type: ignore[no-any-return]

    return made


@pytest.fixture
def deal(desk: Desk, people: People) -> Make:
    async def made(name: str = "Deal", **members: Any) -> dict[str, Any]:
        return await desk(people.rep, "POST /opportunities", name=name, **members)  # type: ignore[no-any-return]

    return made
