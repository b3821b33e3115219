"""The errors that a caller may meet; each is one answer of `application/problem+json` (RFC 9457).

Problem
├── BadRequest 400            malformed: a filter, a cursor, JSON that does not parse
├── Unauthorized 401          no valid credential
├── Forbidden 403             signed in, but this role may not
├── NotFound 404              no such record, or none that you may see
├── Conflict 409              the state of the record forbids it
├── PreconditionFailed 412    If-Match names an older version
├── TooLarge 413              the body is over the limit
├── Invalid 422               the body is understood and wrong; `errors` point at the members
├── PreconditionRequired 428  If-Match is missing where it is required
├── TooManyRequests 429       with Retry-After
└── Unavailable 503           a part is away, with Retry-After
"""

from typing import Any

Pointer = dict[str, str]


class Problem(Exception):
    """An error with its status; raising it inside a transaction rolls that back."""

    status = 500
    title = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: list[Pointer] | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors or []
        self.headers = headers or {}
        self.extra = extra

    def document(self, instance: str, request_id: str) -> dict[str, Any]:
        """The body of the answer, ready for JSON."""
        body: dict[str, Any] = {
            "type": f"urn:sales:problem:{type(self).__name__.lower()}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return body | self.extra


class BadRequest(Problem):
    status, title = 400, "Bad request"


class Unauthorized(Problem):
    status, title = 401, "Sign in first"


class Forbidden(Problem):
    status, title = 403, "Not allowed"


class NotFound(Problem):
    status, title = 404, "Not found"


class Conflict(Problem):
    status, title = 409, "Conflict"


class PreconditionFailed(Problem):
    status, title = 412, "Changed meanwhile"


class TooLarge(Problem):
    status, title = 413, "Too large"


class Invalid(Problem):
    status, title = 422, "Invalid"

    @classmethod
    def at(cls, pointer: str, detail: str) -> "Invalid":
        """One member of the body is wrong: `Invalid.at("/amount", "must not be negative")`."""
        return cls(f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}])


class PreconditionRequired(Problem):
    status, title = 428, "If-Match is required"


class TooManyRequests(Problem):
    status, title = 429, "Too many requests"


class Unavailable(Problem):
    status, title = 503, "Unavailable for now"
