"""Mail, through the server that `SMTP_URL` names: `smtp://USER:PASSWORD@HOST:587` or `smtps://…:465`."""

import asyncio
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

import msgspec

from service.settings import LOOPBACK, Settings

TIMEOUT_SECONDS = 15.0
MOST_SUBJECT = 150


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """`identity` becomes the Message-ID: a mail that is sent twice is recognized as one."""

    to: str
    subject: str
    text: str
    identity: str


def message(settings: Settings, letter: Letter) -> EmailMessage:
    """The letter as it is sent; no line of a subject becomes a header of its own."""
    made = EmailMessage()
    subject = " ".join(letter.subject.split())
    made["Subject"] = subject if len(subject) <= MOST_SUBJECT else f"{subject[: MOST_SUBJECT - 1]}…"
    made["From"] = Address("Sales", addr_spec=sender(settings))
    made["To"] = Address(addr_spec=letter.to)
    made["Date"] = formatdate()
    made["Message-ID"] = f"<{letter.identity}@{sender(settings).partition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.text)
    return made


def sender(settings: Settings) -> str:
    """The account's own address where it is one, else the first administrator's."""
    user = unquote(urlsplit(settings.smtp_url).username or "")
    return user if "@" in user else settings.admin


async def send(settings: Settings, letter: Letter) -> None:
    """Sends one letter; raises `OSError` or `smtplib.SMTPException`, after which a job tries again."""
    await asyncio.to_thread(_send, settings.smtp_url, message(settings, letter))


def _send(url: str, letter: EmailMessage) -> None:
    parts = urlsplit(url)
    host, context = parts.hostname or "localhost", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT_SECONDS)
    with server:
        if parts.scheme == "smtp" and server.ehlo() and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif parts.scheme == "smtp" and parts.username and host not in LOOPBACK:
            raise smtplib.SMTPException("the server offers no TLS: the password is not sent in the clear")
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(letter)
