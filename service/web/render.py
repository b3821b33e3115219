"""From a template and values to an HTML answer with its safety headers. No asset comes from elsewhere."""

import json
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from litestar import Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from service.web import words
from service.web.words import Words

HERE = Path(__file__).parent
STATIC = HERE / "static"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""On every page. No `unsafe-inline`: neither scripts nor styles stand in the HTML."""

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).disable("image")


def markdown(text: str) -> Markup:
    """Markdown of people as HTML: no raw HTML, no images, no links but http, https and mailto."""
    return Markup(_markdown.render(text or ""))  # noqa: S704 - markdown-it escapes all raw HTML


class Frame(msgspec.Struct, kw_only=True):
    """What every page shows around its own content."""

    title: str = "Sales"
    current: str = ""
    """The entry of the navigation that this page belongs to."""
    name: str = ""
    email: str = ""
    role: str = ""
    csrf: str = ""
    theme: str = ""
    path: str = "/"
    places: Any = ()
    """The records that the reader may look at, by groups of the navigation."""
    unread: int = 0
    """Notifications that the reader has not read."""
    as_of: Any = None
    """The instant at which a dormant home's data ends; None where the clock runs."""


def _assets() -> dict[str, str]:
    """Logical name → URL; without a build the page still reads, unstyled, and says so."""
    try:
        files = json.loads((STATIC / "manifest.json").read_text())["files"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: f"/static/{file}" for name, file in files.items()}


def environment() -> jinja2.Environment:
    """The templates, strict: a missing value is an error, not an empty place."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        asset=_assets().get,
        initials=words.initials,
        plain=words.plain,
        count=words.count,
        joined=words.joined,
        bytes=words.bytes_text,
    )
    made.filters["markdown"] = markdown
    return made


_environment: list[jinja2.Environment] = []


def templates() -> jinja2.Environment:
    """The one environment of the process, made at first use: by then the assets are built."""
    if not _environment:
        _environment.append(environment())
    return _environment[0]


def html(template: str, frame: Frame, say: Words, **values: Any) -> str:
    """The page as text."""
    return templates().get_template(template).render(frame=frame, w=say, **values)


def page(template: str, frame: Frame, say: Words, *, status: int = 200, **values: Any) -> Response[bytes]:
    """The page as an answer."""
    return Response(
        html(template, frame, say, **values).encode(),
        status_code=status,
        media_type="text/html; charset=utf-8",
        headers=HEADERS,
    )
