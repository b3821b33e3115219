"""Training sets: a spine of (entity, instant) pairs becomes a Parquet file of what was known then."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import File
from msgspec import Meta

from service import historical
from service.access import Actor, require
from service.db import Database, Params, Tx
from service.domains.features import Entity, chosen
from service.errors import BadRequest, Conflict, NotFound
from service.ids import new_id
from service.jobs import enqueue
from service.settings import Settings
from service.wire import Web, answer, header

# Shapes --------------------------------------------------------------------------------------------

KINDS = {"text/csv": "csv", "application/vnd.apache.parquet": "parquet"}
Names = Annotated[str, Meta(max_length=20_000)]


class Asked(msgspec.Struct, kw_only=True):
    """The job that makes the set, and where its file will be."""

    job: UUID
    set: UUID
    rows: int
    url: str


# Rules ---------------------------------------------------------------------------------------------


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def kind_of(request: Web) -> str:
    """What the body is: `csv` or `parquet`. Raises 400."""
    given = (header(request, b"content-type") or "").partition(";")[0].strip().lower()
    if given not in KINDS:
        raise BadRequest(
            f"Send the spine as one of {', '.join(KINDS)}, not {given or 'without a content type'}."
        )
    return KINDS[given]


async def _status(database: Database, actor: Actor, set_id: UUID) -> str:
    """How the set stands; 404 for one that is not this actor's."""
    params = Params([str(set_id)])
    mine = "TRUE" if actor.role == "admin" else f"actor_id = {params.add(actor.id)}"
    status: str | None = await database.fetchval(
        f"SELECT status FROM jobs WHERE type = 'features.historical' AND payload ->> 'set' = $1 AND {mine}",
        *params,
    )
    if status is None:
        raise NotFound("There is no such training set.")
    return status


# Routes --------------------------------------------------------------------------------------------


@post(
    "/features/historical/spines",
    opt={"answer": Asked, "query": ("entity", "feature_set", "features", "labels"), "file": tuple(KINDS)},
    status_code=202,
)
async def ask(
    request: Web,
    tx: NamedDependency[Tx],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    entity: FromQuery[Entity],
    feature_set: FromQuery[str | None] = None,
    features: FromQuery[str | None] = None,
    labels: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Queues a training set of a spine: a CSV or Parquet file with `entity_id`, `as_of` and whatever is to stand beside."""
    require(actor, "features", "query")
    kind, now, wanted = kind_of(request), datetime.now(UTC), _listed(labels)
    seen = await chosen(database, actor, entity, _listed(features) or None, feature_set)
    historical.check_labels(entity, wanted)
    spine = historical.read_spine(await request.body(), kind, now)
    set_id, folder = new_id(), historical.folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    spine.write_parquet(folder / f"{set_id}.spine.parquet")
    payload = {
        "set": str(set_id), "entity": entity, "feature_set": feature_set or "", "features": list(seen.names),
        "labels": wanted, "until": now.isoformat(), "fields": msgspec.to_builtins(list(seen.declared.values())),
    }  # fmt: skip
    job = await enqueue(tx, "features.historical", payload, actor=actor)
    url = f"/api/v1/features/historical/{set_id}/file"
    await tx.execute("UPDATE jobs SET result_url = $2, total = $3 WHERE id = $1", job, url, len(spine))
    return answer({"job": job, "set": set_id, "rows": len(spine), "url": url}, 202)


@get("/features/historical/{set_id:uuid}/file", opt={"answer": bytes, "statuses": (404, 409)})
async def download(
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    set_id: FromPath[UUID],
) -> File:
    """The training set as Parquet, once its job is done."""
    require(actor, "features", "query")
    status = await _status(database, actor, set_id)
    path = historical.folder_of(settings) / f"{set_id}.parquet"
    if status != "done":
        raise Conflict(f"The job that makes it is {status}.")
    if not path.is_file():
        raise NotFound(f"The file is gone: sets are kept for {historical.KEPT_DAYS} days.")
    return File(path, filename=f"{set_id}.parquet", media_type="application/vnd.apache.parquet")


routes: list[Any] = [ask, download]
