"""Search across records by name: a page, and the fragment that the box of `/` shows while one types."""

import asyncio
from typing import Any
from urllib.parse import urlencode

from litestar import MediaType, Response, get
from litestar.di import NamedDependency

from service.access import may
from service.web import catalogue, titles
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web

KINDS = (
    "opportunities", "accounts", "contacts", "leads", "products", "campaigns", "competitors", "quotes", "battle_cards",
    "playbooks", "users", "territories",
)  # fmt: skip
"""Where a name is looked for, in the order of the answer."""
LEAST, EACH = 2, 5


async def found(visit: Visit, text: str) -> list[dict[str, Any]]:
    """What has the name, by kind; nothing for a text so short that everything would have it."""
    if len(text) < LEAST:
        return []
    kinds = [catalogue.ALL[key] for key in KINDS if may(visit.actor, key, "read")]
    lists = await asyncio.gather(*(titles.find(visit, each.source, text, EACH + 1) for each in kinds))
    return [
        {
            "label": catalogue.label(kind),
            "found": [
                {"title": each.title, "more": each.more, "href": catalogue.record_href(kind.key, each.id)}
                for each in some[:EACH]
            ],
            "more": f"{catalogue.href(kind)}?{urlencode({'q': text})}" if len(some) > EACH else "",
        }
        for kind, some in zip(kinds, lists, strict=True)
        if some
    ]


@get("/find", opt={"optional": True}, media_type=MediaType.HTML)
async def find(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The page; with `part=1` the results alone."""
    text = request.query_params.get("q", "")[:100].strip()
    template = "found.html" if request.query_params.get("part") else "find.html"
    return page(
        template, visit.titled("Search", "find"), visit.say, groups=await found(visit, text), text=text,
        long=len(text) >= LEAST,
    )  # fmt: skip


routes: list[Any] = [find]
