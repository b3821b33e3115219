"""The catalogue of features, to read: what models look at, where it comes from, who reads it, what drifted last night."""

from typing import Any

from litestar import MediaType, Response, get
from litestar.di import NamedDependency

from features.catalogue import ENTITIES, FEATURES
from features.custom import made
from service.access import require
from service.db import Database
from service.domains.features import described, fields_of_now, is_hidden, readers
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web

NAMES = {
    "opportunity": "Deals",
    "account": "Accounts",
    "contact": "Contacts",
    "user": "Reps",
    "team": "Teams",
    "lead": "Leads",
    "company": "The company",
}

_DRIFTED = """
SELECT DISTINCT ON (model) model, version, day, report -> 'drifted' AS drifted FROM registry.reports
ORDER BY model, day DESC, version DESC"""


async def drifted(database: Database) -> dict[str, str]:
    """Feature → which model's newest report says that it drifted, and when."""
    return {
        name: f"{row['model']} {row['version']}, {row['day']}"
        for row in await database.fetch(_DRIFTED)
        for name in row["drifted"]
    }


@get("/features", opt={"optional": True}, media_type=MediaType.HTML)
async def features_page(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """All features that the reader may see, by entity; `?q=` keeps those whose name or meaning has the words."""
    require(visit.actor, "features", "read")
    wanted = request.query_params.get("q", "")[:100].strip().lower()
    reading, alarms = await readers(visit.database), await drifted(visit.database)
    every = (*FEATURES, *map(made, await fields_of_now(visit.database)))
    shown = [described(one, reading) for one in every if not is_hidden(visit.actor, one)]
    found = [one for one in shown if wanted in f"{one.name} {one.meaning}".lower()]
    groups = [
        {"name": NAMES[entity], "features": [one for one in found if one.entity == entity]}
        for entity in ENTITIES
    ]
    visit.frame.path = "/features"
    return page(
        "features.html", visit.titled("Features", "features"), visit.say, asked=wanted, alarms=alarms,
        groups=[group for group in groups if group["features"]], count=len(found), total=len(shown),
    )  # fmt: skip


routes: list[Any] = [features_page]
