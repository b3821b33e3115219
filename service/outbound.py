"""Requests to addresses that users name, without letting them reach what only we can reach (SSRF).

The name is resolved once, every address it has is judged, and the connection goes to the judged address, while Host
and SNI stay those of the name: a resolver that answers differently the next time gains nothing. Redirects are not
followed, proxies of the environment are not used, a connection serves one request, and answers are read to 64 KB.
`ipaddress.is_global` alone is no guard: it takes 6to4, NAT64, IPv4-compatible, multicast and site-local for global.
"""

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import httpx
import msgspec

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

MOST_URL = 2000
MOST_ANSWER = 64 * 1024
TIMEOUT_SECONDS = 10.0
RESOLVE_SECONDS = 3.0

PUBLIC_V6 = ip_network("2000::/3")
CLOSED = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
        *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
"""IANA's special-purpose registries; of IPv6 only what lies within 2000::/3 can be public at all, so the mapped,
compatible, NAT64, local, link-local, site-local and multicast forms need no line of their own."""
ISATAP = re.compile(r"(0000|0200):5efe:[0-9a-f]{4}:[0-9a-f]{4}$")
NUMERIC = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?", re.IGNORECASE)
NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.?"
)


LOCAL_NAMES = (".localhost", ".local", ".localdomain", ".internal", ".home.arpa")


class Blocked(Exception):
    """The URL is not one that we send to; the text says why, in words for the user."""


class Target(msgspec.Struct, frozen=True):
    """A judged place: what to connect to, and what to call it."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


class Answer(msgspec.Struct, frozen=True):
    """What came back: `status` None when nothing did, and then `error` says why."""

    status: int | None
    headers: Mapping[str, str]
    duration_ms: int
    error: str | None = None


def is_public(address: Address) -> bool:
    """Whether anyone on the internet could reach this address, in its own right and in what it embeds."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address not in PUBLIC_V6 or ISATAP.search(address.exploded):
            return False
        return not any(address in network for network in CLOSED if network.version == 6)
    return not any(address in network for network in CLOSED if network.version == 4)


def parse(url: str) -> Target:
    """The parts of a URL that may be sent to at all; raises `Blocked` for anything unusual in its form."""
    if len(url) > MOST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise Blocked(f"must be an ASCII URL of at most {MOST_URL} characters without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Blocked("is not a URL") from None
    if parts.scheme not in ("https", "http"):
        raise Blocked("must begin with https:// or http://")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise Blocked("must not hold a user name or password")
    if parts.fragment:
        raise Blocked("must not hold a fragment")
    if port == 0:
        raise Blocked("has the port 0")
    host = _host((parts.hostname or "").lower())
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def _host(host: str) -> str:
    if not host:
        raise Blocked("names no host")
    if ":" in host or NUMERIC.fullmatch(host):
        try:
            return str(ip_address(host))
        except ValueError:
            raise Blocked("spells an address in a way that is not taken: write it out in full") from None
    if not NAME.fullmatch(host):
        raise Blocked("names a host that cannot exist")
    return host


def excepted(target: Target, allow: frozenset[str]) -> bool:
    """Whether the operator has named exactly this host and port."""
    return f"{target.host}:{target.port}" in allow or f"[{target.host}]:{target.port}" in allow


def judge(target: Target, addresses: list[str], allow: frozenset[str]) -> str:
    """The address to connect to. All of them must be public, or the host and port be excepted by the operator."""
    if not addresses:
        raise Blocked(f"the host {target.host} has no address")
    if not excepted(target, allow):
        for text in addresses:
            if not is_public(ip_address(text)):
                raise Blocked(f"the host {target.host} lies at {text}, which is not a public address")
    return addresses[0]


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system's resolver; empty when there are none."""
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def look(target: Target, resolver: Resolve) -> list[str]:
    """The addresses of a target; a literal is its own."""
    try:
        return [str(ip_address(target.host))]
    except ValueError:
        return await resolver(target.host, target.port)


async def check(url: str, allow: frozenset[str], resolver: Resolve = resolve) -> None:
    """Judges a URL as soon as it is entered. A name without an address yet passes: it is judged again at each send."""
    target = parse(url)
    name = target.host.rstrip(".")
    if not excepted(target, allow) and ":" not in name and ("." not in name or name.endswith(LOCAL_NAMES)):
        raise Blocked(f"the host {target.host} is a name of a local network")
    addresses = await look(target, resolver)
    if addresses:
        judge(target, addresses, allow)


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow: frozenset[str] = frozenset(),
    resolver: Resolve = resolve,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109  # it bounds resolving, sending and reading together, below
) -> Answer:
    """POSTs to the judged address. Never raises for what the other side does: the `Answer` says what happened."""
    started = time.perf_counter()

    def after(status: int | None, got: Mapping[str, str], error: str | None = None) -> Answer:
        return Answer(status, got, round((time.perf_counter() - started) * 1000), error)

    try:
        async with asyncio.timeout(timeout):
            target = parse(url)
            address = judge(target, await look(target, resolver), allow)
            status, got = await _send(target, address, body, headers)
            return after(status, got)
    except Blocked as error:
        return after(None, {}, f"not sent: {error}")
    except (TimeoutError, httpx.TimeoutException):
        return after(None, {}, f"no answer within {timeout:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return after(None, {}, f"{type(error).__name__}: {error}"[:500])


async def _send(
    target: Target, address: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, dict[str, str]]:
    host = f"[{address}]" if ":" in address else address
    async with httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as client:
        request = client.build_request(
            "POST",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            content=body,
            headers={**headers, "Host": target.authority},
            extensions={"sni_hostname": target.host},
        )
        answer = await client.send(request, stream=True)
        try:
            read = 0
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > MOST_ANSWER:
                    break
        finally:
            await answer.aclose()
        return answer.status_code, dict(answer.headers)
