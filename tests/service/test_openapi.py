"""The document of the API covers every route, and no shape that reads a request takes unknown members."""

import re
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("http://testserver.local/schema")
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def operations(app: Litestar) -> list[tuple[str, str]]:
    return [
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path), method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1")
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    ]


async def test_every_route_has_its_entry_and_every_entry_its_route(
    app: Litestar, document: dict[str, Any]
) -> None:
    assert document["openapi"].startswith("3.1")
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert told == set(operations(app))
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {path} does not say what it does"
            assert any(code.startswith("2") for code in operation["responses"]), (method, path)
            if operation.get("security") != []:
                assert "401" in operation["responses"], (method, path)


async def test_no_shape_of_a_request_takes_unknown_members(document: dict[str, Any]) -> None:
    loose = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            for media in content.values():
                loose += [f"{method} {path}: {name}" for name in _loose(media["schema"], document, set())]
    assert sorted(set(loose)) == []


def _loose(schema: Any, document: dict[str, Any], seen: set[str]) -> list[str]:
    """Names of the object shapes within `schema` that would take members that they do not name."""
    if isinstance(schema, list):
        return [name for part in schema for name in _loose(part, document, seen)]
    if not isinstance(schema, dict):
        return []
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[-1]
        if name in seen:
            return []
        seen.add(name)
        return _loose(document["components"]["schemas"][name] | {"title": name}, document, seen)
    found = []
    if "properties" in schema and schema.get("additionalProperties") is not False:
        found.append(str(schema.get("title", "?")))
    return found + [name for value in schema.values() for name in _loose(value, document, seen)]


async def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    text = str(document)
    for name in set(re.findall(r"#/components/schemas/([\w.]+)", text)):
        assert name in document["components"]["schemas"]
