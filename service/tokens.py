"""Access tokens, and what else is made of the installation's one key.

Access tokens are JWTs by the rules of RFC 8725 and RFC 9068: one algorithm, `typ: at+jwt`, issuer, audience and expiry
all required and compared exactly.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from service.errors import Unauthorized
from service.home import Home
from service.ids import new_id
from service.settings import Settings, read_secret

ISSUER, AUDIENCE, TYPE, ALGORITHM = "sales", "sales-api", "at+jwt", "HS256"
ACCESS_SECONDS = 15 * 60
MOST_KEPT = 10_000


def signing_key(settings: Settings) -> bytes:
    """The installation's one key; made at first need where it is the home's own."""
    settings.home.mkdir(parents=True, exist_ok=True)
    Home(settings.home).make_secret(settings.secret_path)
    return read_secret(settings.secret_path)


def derived(key: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose, out of the installation's one key."""
    return hmac.digest(key, purpose.encode(), "sha256")


def digest(secret: str) -> bytes:
    """What is stored of a random secret: nobody can sign in with it."""
    return hashlib.sha256(secret.encode()).digest()


def refused(detail: str = "The credential is not valid.") -> Unauthorized:
    """401 with the challenge that RFC 6750 asks for."""
    return Unauthorized(detail, headers={"WWW-Authenticate": 'Bearer realm="sales"'})


class Claims(msgspec.Struct, frozen=True):
    """What an access token says. `expires` in seconds since 1970."""

    user_id: UUID
    session_id: UUID
    door: str
    expires: float


class Tokens:
    """Signs and reads access tokens; a token read once is kept for its life (joserfc costs 39 µs, the dict 0.2)."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = OctKey.import_key(key)
        self._clock = clock
        self._kept: dict[str, Claims] = {}

    def issue(
        self, user_id: UUID, session_id: UUID, *, door: str = "api", seconds: int = ACCESS_SECONDS
    ) -> str:
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "door": door,
            "iat": now,
            "exp": now + seconds,
            "jti": str(new_id()),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE}, claims, self._key, algorithms=[ALGORITHM])

    def read(self, token: str) -> Claims:
        """The claims of a valid token; anything else is `Unauthorized`, without saying which rule it broke."""
        found = self._kept.get(token) or self._verify(token)
        if found.expires <= self._clock():
            self._kept.pop(token, None)
            raise refused("The access token has expired.")
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[token] = found
        return found

    def _verify(self, token: str) -> Claims:
        if len(token) > 4096:
            raise refused()
        try:
            read = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            return self._judge(read.header, read.claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise refused() from error

    def _judge(self, header: dict[str, Any], claims: dict[str, Any]) -> Claims:
        exact = header.get("typ") == TYPE and claims["iss"] == ISSUER and claims["aud"] == AUDIENCE
        issued, expires = claims["iat"], claims["exp"]
        if not exact or set(header) != {"alg", "typ"} or type(issued) is not int or type(expires) is not int:
            raise ValueError("not an access token of ours")
        if issued > self._clock() + 5 or expires <= issued:
            raise ValueError("instants out of order")
        return Claims(UUID(claims["sub"]), UUID(claims["sid"]), str(claims["door"]), float(expires))
