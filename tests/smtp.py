"""A mail server for tests: it speaks SMTP on a free port and keeps what it was given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec


class Mailbox(msgspec.Struct):
    """Where the server listens, what arrived, and whether it refuses (with a 4xx) for now."""

    port: int = 0
    letters: list[EmailMessage] = []
    refuses: bool = False
    logins: list[str] = []


async def _talk(mailbox: Mailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def say(line: str) -> None:
        writer.write(f"{line}\r\n".encode())

    say("220 tests")
    while line := await reader.readline():
        verb = line.split()[0].upper() if line.split() else b""
        if verb == b"EHLO":
            say("250-tests\r\n250-AUTH PLAIN\r\n250 SMTPUTF8")
        elif verb == b"AUTH":
            mailbox.logins.append(line.split()[-1].decode())
            say("235 in")
        elif verb == b"MAIL" and mailbox.refuses:
            say("451 try again later")
        elif verb == b"DATA":
            say("354 go on")
            content = await reader.readuntil(b"\r\n.\r\n")
            mailbox.letters.append(message_from_bytes(content[:-5], policy=policy.default))  # type: ignore[arg-type]
            say("250 kept")
        elif verb == b"QUIT":
            say("221 bye")
            break
        else:
            say("250 ok")
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _talk(mailbox, reader, writer)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
