"""No request leaves for an address that is not public, however it is written, redirected or resolved."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest

from service import outbound
from service.outbound import Blocked, is_public

pytestmark = pytest.mark.anyio

FORMS = [
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1"),
    *("0177.0.0.1", "017700000001", "127.0.0.1.", "0", "0.0.0.0", "10.0.0.1", "10.1", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "169.254.169.254", "0xa9fea9fe", "2852039166", "100.64.0.1"),
    *("100.127.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]"),
    *("[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    *("[2002:c0a8:101::1]", "[2001:0:7f00:1::1]", "[2001:db8::1]", "[3fff::1]", "[fe80::1]"),
    *("[fe80::1%25eth0]", "[fec0::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[100::1]", "[5f00::1]"),
    *("[2001:4860::5efe:7f00:1]", "[2001:4860::200:5efe:7f00:1]"),
    *("localhost", "LOCALHOST", "localhost.", "ip6-localhost", "a.localhost", "db.internal", "printer.local"),
]

MALFORMED = [
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//127.0.0.1/",
    "http://",
    "http:///path",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://exam ple.com/",
    "http://example.com/\r\nX: y",
    "http://ex\u0430mple.com/",
    "http://１２７.0.0.1/",
    "http://[::1",
    "http://example..com/",
    "http://-example.com/",
    "http://example.com/#" + "x",
    "http://example.com/" + "x" * 2000,
]


class Canary:
    """A server on loopback that counts who comes; nobody may."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    canary = Canary()
    server = await asyncio.start_server(canary.serve, "127.0.0.1", 0)
    canary.port = server.sockets[0].getsockname()[1]
    yield canary
    server.close()
    await server.wait_closed()


def resolving(*answers: list[str]) -> Any:
    """A resolver that gives these answers, the last one for ever."""
    waiting = list(answers)

    async def resolver(host: str, port: int) -> list[str]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return resolver


def test_there_are_forms_enough() -> None:
    assert len(set(FORMS)) >= 60


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_of_a_closed_address_is_reached(form: str, canary: Canary) -> None:
    url = f"http://{form}:{canary.port}/hook"
    with pytest.raises(Blocked):
        await outbound.check(url, frozenset())
    answer = await outbound.post(url, b"{}", {})
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("not sent")
    assert canary.connections == 0


@pytest.mark.parametrize("url", MALFORMED)
async def test_unusual_urls_are_refused(url: str) -> None:
    with pytest.raises(Blocked):
        outbound.parse(url)
    assert (await outbound.post(url, b"", {})).status is None


async def test_the_guard_bites_only_what_it_must(canary: Canary) -> None:
    """The control: without the guard the canary would be reached."""
    allow = frozenset({f"127.0.0.1:{canary.port}"})
    answer = await outbound.post(f"http://127.0.0.1:{canary.port}/hook?a=1", b"{}", {}, allow=allow)
    assert answer.status == 200
    assert canary.connections == 1
    assert canary.requests[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    for text in ("8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"):
        assert is_public(ip_address(text)), text


async def test_an_exception_is_for_its_port_and_host_only(canary: Canary) -> None:
    for allowed in ("127.0.0.1:1", "localhost:" + str(canary.port), "127.0.0.1"):
        answer = await outbound.post(f"http://127.0.0.1:{canary.port}/", b"", {}, allow=frozenset({allowed}))
        assert answer.status is None
    assert canary.connections == 0


async def test_one_closed_address_among_public_ones_is_enough(canary: Canary) -> None:
    resolver = resolving(["93.184.216.34", "127.0.0.1"])
    answer = await outbound.post(f"http://hook.example:{canary.port}/", b"", {}, resolver=resolver)
    assert answer.error is not None
    assert "not a public address" in answer.error
    assert canary.connections == 0


async def test_a_rebinding_resolver_gains_nothing(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is public, every later one is loopback: the connection goes to the first, or nowhere."""
    tried: list[str] = []

    async def sending(target: Any, address: str, body: bytes, headers: Any) -> tuple[int, dict[str, str]]:
        tried.append(address)
        return 200, {}

    monkeypatch.setattr(outbound, "_send", sending)
    resolver = resolving(["93.184.216.34"], ["127.0.0.1"])
    assert (
        await outbound.post(f"http://rebind.example:{canary.port}/", b"", {}, resolver=resolver)
    ).status == 200
    assert tried == ["93.184.216.34"]
    answer = await outbound.post(f"http://rebind.example:{canary.port}/", b"", {}, resolver=resolver)
    assert answer.status is None
    assert tried == ["93.184.216.34"]


async def test_redirects_are_not_followed(canary: Canary) -> None:
    other = Canary()
    server = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    other.port = server.sockets[0].getsockname()[1]
    place = f"http://127.0.0.1:{other.port}/".encode()
    canary.answer = b"HTTP/1.1 307 Temporary\r\nlocation: " + place + b"\r\ncontent-length: 0\r\n\r\n"
    allow = frozenset({f"127.0.0.1:{canary.port}", f"127.0.0.1:{other.port}"})
    assert (await outbound.post(f"http://127.0.0.1:{canary.port}/", b"", {}, allow=allow)).status == 307
    assert other.connections == 0
    server.close()
    await server.wait_closed()


async def test_host_stays_the_name_while_the_address_is_pinned(canary: Canary) -> None:
    allow = frozenset({f"hook.example:{canary.port}"})
    answer = await outbound.post(
        f"http://Hook.Example:{canary.port}/x", b"1", {}, allow=allow, resolver=resolving(["127.0.0.1"])
    )
    assert answer.status == 200
    assert f"host: hook.example:{canary.port}\r\n".encode() in canary.requests[0].lower()


async def test_proxies_of_the_environment_are_not_used(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{canary.port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    answer = await outbound.post("http://127.0.0.1:1/", b"", {}, allow=frozenset({"127.0.0.1:1"}))
    assert answer.status is None
    assert canary.connections == 0


async def test_a_slow_or_endless_answer_is_cut_off(canary: Canary) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(b"x" * 8192)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for handler, status in ((drip, 200), (silence, None)):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answer = await outbound.post(
            f"http://127.0.0.1:{port}/", b"", {}, allow=frozenset({f"127.0.0.1:{port}"}), timeout=0.5
        )
        assert answer.status == status
        assert answer.duration_ms < 1000
        server.close()
        await server.wait_closed()
