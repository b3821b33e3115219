"""What goes over the wire: bodies judged strictly by their shape, answers as JSON bytes, ETags, problem documents."""

from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from service.access import Actor
from service.db import Database, to_json
from service.errors import (
    BadRequest,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    Problem,
    TooLarge,
)

JSON = "application/json"
_JSON = JSON.encode()
PROBLEM = "application/problem+json"
BODY_LIMIT = 1_048_576
"""Bytes of a JSON body; files have limits of their own."""

Web = Request[Any, Any, Any]

T = TypeVar("T")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def header(request: Web, name: bytes) -> str | None:
    """One header by its lower-case name, without the framework's table of all of them."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def database_of(request: Web) -> Database:
    """The application's database."""
    return request.app.state.database  # type: ignore[no-any-return]


def actor_of(request: Web) -> Actor:
    """Who asks: set by `auth` before any handler runs."""
    return request.scope["actor"]  # type: ignore[typeddict-item,no-any-return]


def parent_of(request: Web) -> UUID | None:
    """The record under which a nested URL stands."""
    return request.path_params.get("parent_id")


async def raw_body(request: Web) -> bytes:
    """The bytes of a JSON body, read once a request. Raises 413 as soon as there are more than a body may have."""
    scope: Any = request.scope
    if (known := scope.get("raw_body")) is not None:
        return known  # type: ignore[no-any-return]
    read = b""
    more = True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The connection ended before the body did.")
        read += message["body"]
        more = message["more_body"]
        if len(read) > BODY_LIMIT:
            raise TooLarge(f"A body may have {BODY_LIMIT} bytes.")
    scope["raw_body"] = read
    request.receive = _replay(read, request.receive)
    return read


def _replay(read: bytes, receive: Receive) -> Receive:
    """For the framework, which reads the body of a handler with a `data` parameter once more."""
    first: list[Any] = [{"type": "http.request", "body": read, "more_body": False}]

    async def again() -> Any:
        return first.pop() if first else await receive()

    return again


async def body(request: Web, shape: type[T]) -> T:
    """The body as `shape`. Raises 413, 400 (not JSON) or 422 with a pointer to the member that is wrong."""
    length = header(request, b"content-length") or "0"
    if length.isdigit() and int(length) > BODY_LIMIT:
        raise TooLarge(f"A body may have {BODY_LIMIT} bytes.")
    return decode(await raw_body(request), shape)


def decode(raw: bytes, shape: type[T]) -> T:
    """JSON bytes as `shape`, strictly: no coercion, no unknown members."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        value: T = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise from_msgspec(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    if b"\\u0000" in raw:
        raise Invalid(
            "A text must not hold the character NUL.", errors=[{"pointer": "", "detail": "holds NUL"}]
        )
    return value


def from_msgspec(message: str) -> Invalid:
    """msgspec's sentence, its `$.a[0].b` as the pointer `/a/0/b`."""
    detail, _, path = message.partition(" - at `")
    pointer = (
        path.rstrip("`")
        .removeprefix("$")
        .replace("[...]", "")
        .replace("[", "/")
        .replace("]", "")
        .replace(".", "/")
    )
    unknown = detail.partition("unknown field `")[2].rstrip("`")
    missing = detail.partition("missing required field `")[2].rstrip("`")
    if name := unknown or missing:
        pointer = f"{pointer}/{name}"
    return Invalid(f"{pointer or 'body'}: {detail}", errors=[{"pointer": pointer, "detail": detail}])


def etag(version: int) -> str:
    return f'"{version}"'


def expected_version(request: Web, *, required: bool = False) -> int | None:
    """The version that `If-Match` names; None when there is no header or it is `*`. 428 when required and missing."""
    text = header(request, b"if-match")
    if text is None:
        if required:
            raise PreconditionRequired("Send the version that you saw as If-Match, or * for any.")
        return None
    if text.strip() == "*":
        return None
    text = text.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise PreconditionFailed("If-Match does not name a version of this record.")
    return int(text)


def check_version(expected: int | None, actual: int) -> None:
    """Raises 412 when somebody changed the record meanwhile."""
    if expected is not None and expected != actual:
        raise PreconditionFailed(f"The record is at version {actual}, not {expected}.", version=actual)


class Answer(Response[bytes]):
    """An answer whose bytes are ready: it goes out without the framework's rendering, unless cookies were added."""

    def __init__(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.content, self.status_code, self.headers = content, status, headers
        self.media_type, self.encoding = JSON, "utf-8"
        self.background, self.response_type_encoders = None, {}
        self.cookies = []

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """The ASGI application that sends it."""
        return super().to_asgi_response(*args, **kwargs) if self.cookies else self._send

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = str(len(self.content)).encode()
        headers = [(b"content-type", _JSON), (b"content-length", length)]
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        start: Any = {"type": "http.response.start", "status": self.status_code, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A JSON answer; `content` may be JSON text already (str or bytes), else anything `to_json` takes."""
    if isinstance(content, str):
        content = content.encode()
    elif not isinstance(content, bytes):
        content = to_json(content).encode()
    return Answer(content, status, headers or {})


def on_problem(request: Web, error: Exception) -> Response[bytes]:
    """Any error of ours as `application/problem+json`."""
    problem = error if isinstance(error, Problem) else Problem()
    request_id = str(request.scope.get("request_id") or "")
    headers = problem.headers
    if not request_id:  # no route took it, so no middleware named it
        request_id = uuid4().hex
        headers = headers | {"X-Request-Id": request_id}
    document = problem.document(request.scope["path"], request_id)
    return Response(
        to_json(document).encode(), status_code=problem.status, media_type=PROBLEM, headers=headers
    )


_BY_STATUS = {cls.status: cls for cls in Problem.__subclasses__()}


def on_http_error(request: Web, error: Exception) -> Response[bytes]:
    """The framework's own errors (no route, wrong method, bad path) in our form."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and "{" in request.scope.get("path_template", ""):
        return on_problem(request, NotFound())
    kind = _BY_STATUS.get(error.status_code, Problem)
    problem = kind(error.detail if error.status_code < 500 else "")
    if kind is Problem:
        problem.status = error.status_code
        problem.title = error.detail or "Error"
    problem.headers = dict(error.headers or {})
    return on_problem(request, problem)
