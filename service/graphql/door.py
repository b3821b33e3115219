"""`POST /graphql`: one question, read only, by the same credentials, limits and sight as every other door."""

from functools import lru_cache
from inspect import isawaitable
from typing import Annotated, Any

import msgspec
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLFormattedError,
    execute,
    get_operation_ast,
    parse,
    validate,
)
from litestar import Response, post
from msgspec import Meta

from service.errors import BadRequest, Problem
from service.graphql import limits
from service.graphql.loads import Reading
from service.graphql.schema import Sight, schema_of, sight_of
from service.wire import Web, answer, body, header

log = structlog.get_logger()


class Question(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A GraphQL request as clients send it."""

    query: Annotated[str, Meta(min_length=1, max_length=50_000)]
    variables: dict[str, Any] | None = None
    operationName: Annotated[str, Meta(max_length=200)] | None = None  # GraphQL's own name
    extensions: dict[str, Any] | None = None


@lru_cache(500)
def _judged(sight: Sight, text: str) -> tuple[DocumentNode | None, tuple[GraphQLError, ...]]:
    """The document of a text, parsed and validated; kept, for clients ask the same again and again."""
    try:
        document = parse(text, max_tokens=limits.MOST_TOKENS)
    except (GraphQLError, RecursionError) as error:
        return None, (
            error if isinstance(error, GraphQLError) else GraphQLError("The question is too large."),
        )
    return document, tuple(validate(schema_of(sight), document, max_errors=20))


async def answered(reading: Reading, asked: Question) -> ExecutionResult:
    """The result of a question; what is wrong with it stands in its errors."""
    sight = sight_of(reading.actor)
    document, errors = _judged(sight, asked.query)
    variables = asked.variables or {}
    if document is None or errors:
        return ExecutionResult(None, list(errors))
    if too_much := limits.judge(document, variables):
        return ExecutionResult(None, too_much)
    if get_operation_ast(document, asked.operationName) is None:
        return ExecutionResult(None, [GraphQLError("operationName: name one operation of the document.")])
    running = execute(
        schema_of(sight),
        document,
        context_value=reading,
        variable_values=variables,
        operation_name=asked.operationName,
    )
    return await running if isawaitable(running) else running


def told(error: GraphQLError, request_id: str) -> GraphQLFormattedError:
    """An error with its path, and under `extensions` the members of our problem documents."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if cause is not None and not isinstance(cause, Problem):
        log.error("crashed", path="/graphql", request_id=request_id, exc_info=cause)
    problem = (
        BadRequest(error.message) if cause is None else cause if isinstance(cause, Problem) else Problem()
    )
    formatted = error.formatted
    extensions = problem.document("/graphql", request_id)
    return {**formatted, "message": problem.detail, "extensions": extensions}


@post("/graphql", status_code=200, name="graphql")
async def graphql(request: Web) -> Response[bytes]:
    """Answers a question about the records that the caller sees."""
    if (header(request, b"content-type") or "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Send the question as application/json.")  # which no form of another site can
    actor = msgspec.structs.replace(request.scope["actor"], door="graphql")  # type: ignore[typeddict-item]
    asked = await body(request, Question)
    result = await answered(Reading(request.app.state.database, actor), asked)
    request_id = str(request.scope.get("request_id") or "")
    document: dict[str, Any] = {"data": result.data} if result.data is not None or not result.errors else {}
    if result.errors:
        document["errors"] = [told(error, request_id) for error in result.errors]
    return answer(document)


routes: tuple[Any, ...] = (graphql,)
