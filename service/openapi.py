"""The document of the API (OpenAPI 3.1), made from the routes themselves: shapes, filters, statuses and security.

The framework's own generator does not know strict bodies, the grammar of lists or our error statuses; ours reads
them from the resource that a route belongs to (`opt`), so the document cannot say less than the code does.
"""

import re
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from service import query
from service.querystring import RESERVED
from service.resource import Resource

REFERENCE = "#/components/schemas/{name}"
PROBLEM_REF = {"$ref": REFERENCE.format(name="Problem")}
API = "/api/v1"
TITLE, VERSION = "Sales intelligence", "1"
_COMMON = (401, 403, 429)
_ROLES = {
    "list": (200, (400,)),
    "one": (200, (400, 404)),
    "create": (201, (400, 409, 413, 422)),
    "patch": (200, (400, 404, 409, 412, 413, 422)),
    "put": (200, (400, 404, 409, 412, 413, 422, 428)),
    "delete": (204, (404, 409, 412)),
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def document(app: Litestar) -> dict[str, Any]:
    """The whole document, as plain data."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute) and route.path.startswith(API)]
    known, schemas = _components([handler for route in routes for handler in route.route_handlers])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operations = {
            method.lower(): _operation(route, method, handler, known)
            for handler in route.route_handlers
            for method in handler.http_methods
            if method != "OPTIONS"
        }
        paths[re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)] = operations
    _link(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())) | {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{"bearer": []}, {"key": []}],
    }


def _link(paths: dict[str, dict[str, Any]]) -> None:
    """Says at each answer that names a new record, or a job, which operations take its id."""
    for path, operations in paths.items():
        responses = operations.get("post", {}).get("responses", {})
        if f"{path}/{{record_id}}" in paths and "201" in responses:
            here = {"parent_id": "$request.path.parent_id"} if "{parent_id}" in path else {}
            links = _links(paths, f"{path}/{{record_id}}", here | {"record_id": "$response.body#/id"})
            links |= _links(paths, f"{path}/{{parent_id}}", {"parent_id": "$response.body#/id"})
            responses["201"]["links"] = links
        if "202" in responses:
            responses["202"]["links"] = _links(
                paths, f"{API}/jobs/{{job_id}}", {"job_id": "$response.body#/job"}
            )


def _links(
    paths: dict[str, dict[str, Any]], below: str, parameters: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """A link to each operation under a path that takes these parameters and no others."""
    return {
        operation["operationId"]: {"operationId": operation["operationId"], "parameters": parameters}
        for path, operations in paths.items()
        if path.startswith(below) and set(re.findall(r"\{(\w+)\}", path)) == set(parameters)
        for operation in operations.values()
    }


def _components(handlers: list[Any]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The schema of each shape, and the components that they refer to: made together, for shapes may share a name."""
    found = [
        shape
        for handler in handlers
        for shape in (*_shapes(handler, *_role(handler)), *handler.opt.get("also", {}).values())
        if shape is not None
    ]
    unique = list(dict.fromkeys(found))
    schemas, components = msgspec.json.schema_components(unique, ref_template=REFERENCE, schema_hook=_unknown)
    return dict(zip(unique, schemas, strict=True)), components


def _unknown(kind: Any) -> dict[str, Any]:
    return {"title": getattr(kind, "__name__", str(kind))}


def _role(handler: Any) -> tuple[Resource | None, str | None]:
    """The resource that an ordinary route belongs to, and what it does with it."""
    role = next((name for name in _ROLES if isinstance(handler.opt.get(name), Resource)), None)
    return (handler.opt[role], role) if role else (None, None)


def _operation(route: HTTPRoute, method: str, handler: Any, known: dict[Any, Any]) -> dict[str, Any]:
    opt = handler.opt
    resource, role = _role(handler)
    status, failures = _ROLES[role] if role else (handler.status_code, (400, 404, *opt.get("statuses", ())))
    body, answer = _shapes(handler, resource, role)
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "summary": (opt.get("summary") or handler.fn.__doc__ or handler.name or f"{method} {route.path}")
        .strip()
        .split("\n")[0],
        "parameters": [
            *_path_parameters(route),
            *_query_parameters(handler, resource, role),
            *_headers(method),
        ],
        "responses": {
            str(status): _response(known.get(answer), role),
            **(
                {"200": _response(known.get(answer), role)}
                if role == "create" and resource and resource.once
                else {}
            ),
            **{
                str(code): _problem()
                for code in sorted({*_COMMON, *failures, *_sent(method, opt, body), *_nested(resource)})
            },
        },
    }
    for code, shape in opt.get("also", {}).items():
        operation["responses"][str(code)] = _response(known[shape], None)
    if role == "create" and resource is not None and resource.warn:
        operation["responses"][str(status)]["headers"] = {
            "Duplicate-Candidates": {
                "description": "Ids of records that this one may be, each with its score (RFC 9651)",
                "schema": {"type": "string"},
            }
        }
    if opt.get("public"):
        operation["security"] = []
    if "304" in operation["responses"]:
        operation["responses"]["304"] = {
            "description": "Not changed since the version that `If-None-Match` names"
        }
    if opt.get("file"):
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["responses"]["200"] = {"description": "The file", "content": content}
    if media := opt.get("media"):
        operation["requestBody"] = {"required": True, "content": {media: {"schema": known[body]}}}
    elif content := _body(body, known, opt.get("form", False)):
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _sent(method: str, opt: dict[str, Any], body: Any) -> tuple[int, ...]:
    """What a body, or an `Idempotency-Key`, may be refused with."""
    keyed = (409, 422) if method == "POST" and not opt.get("public") else ()
    return (*keyed, *((413, 422) if body else ()))


def _nested(resource: Resource | None) -> tuple[int, ...]:
    """Below a record that is not there, or not for these eyes."""
    return (404,) if resource is not None and resource.nested else ()


def _body(body: Any, known: dict[Any, Any], form: bool) -> dict[str, Any]:
    """What a request may hold: JSON of a shape, a form with a file and the shape's plain members, or either."""
    content: dict[str, Any] = {"application/json": {"schema": known[body]}} if body is not None else {}
    if form:
        names = [field.name for field in msgspec.structs.fields(body)] if body is not None else []
        members: dict[str, Any] = {
            name: {"type": "string"} for name in names if name not in ("cf", "external_ids")
        }
        schema = {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": members | {"file": {"type": "string", "format": "binary"}},
        }
        content["multipart/form-data"] = {"schema": schema}
    return content


def _shapes(handler: Any, resource: Resource | None, role: str | None) -> tuple[Any, Any]:
    if resource is not None:
        body = {"create": resource.draft, "patch": resource.patch, "put": resource.patch}.get(role or "")
        return body, None if role == "delete" else handler.opt.get("answer", resource.item)
    field = getattr(handler, "parsed_data_field", None)
    body = handler.opt.get("body") or (field.annotation if field is not None else None)
    answer = handler.opt.get("answer")
    if answer is None:
        returned = handler.parsed_return_field.annotation
        answer = returned if isinstance(returned, type) and issubclass(returned, msgspec.Struct) else None
    return body if isinstance(body, type) and issubclass(body, msgspec.Struct) else None, answer


def _response(schema: Any, role: str | None) -> dict[str, Any]:
    if schema is None:
        return {"description": "Done"}
    if role == "list":
        schema = {
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": {"type": "array", "items": schema},
                "next": {"type": ["string", "null"]},
                "count": {"type": ["integer", "string"]},
            },
        }
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    return {"description": "Problem", "content": {"application/problem+json": {"schema": PROBLEM_REF}}}


def _path_parameters(route: HTTPRoute) -> list[dict[str, Any]]:
    kinds = re.findall(r"\{(\w+):(\w+)\}", route.path)
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"} if kind == "uuid" else {"type": "string"},
        }
        for name, kind in kinds
    ]


def _query_parameters(handler: Any, resource: Resource | None, role: str | None) -> list[dict[str, Any]]:
    if resource is None:
        return [
            {"name": name, "in": "query", "required": False, "schema": {}}
            for name in handler.opt.get("query", ())
        ]
    if role == "one":
        names: tuple[str, ...] = ("fields", "expand", "as_of")
    elif role == "list":
        names = tuple(sorted(RESERVED - ({"q"} if not resource.text else set())))
        names += tuple(
            name
            for name in query.columns(resource.table.name)
            if query.columns(resource.table.name)[name] == "text"
        )
    else:
        return []
    return [{"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in names]


def _headers(method: str) -> list[dict[str, Any]]:
    named = {"POST": "Idempotency-Key", "PATCH": "If-Match", "PUT": "If-Match", "DELETE": "If-Match"}.get(
        method
    )
    return [{"name": named, "in": "header", "required": False, "schema": {"type": "string"}}] if named else []
