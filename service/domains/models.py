"""Models: which serves and why, which wait or were refused; learned on demand, promoted and rolled back."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from registry import champion, silent
from registry.bundle import Refused
from registry.champion import NotPublishable, Unknown
from registry.serving import checked
from service.access import Actor, require
from service.db import Database, Tx
from service.errors import Conflict, Invalid, NotFound
from service.idempotency import idempotent
from service.jobs import enqueue
from service.ledger import record
from service.settings import Settings
from service.wire import Web, answer, body, raw_body

NAMES = ("win", "lead", "amount", "arrivals")
SCORED = frozenset({"win", "lead", "amount"})
"""Models whose change asks for new scores; the others ask for a new forecast."""
WATCHED = frozenset({"win", "lead"})
"""Models whose scores are compared with those of silent versions."""
MIRROR_SECONDS = 30
"""MLflow hears of a run so much later: scores come first."""
MOST_VERSIONS = 50


# Shapes --------------------------------------------------------------------------------------------


class Promotion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version is to serve. `override`: the written reason for which a refused version may serve all the same."""

    version: Annotated[int, Meta(ge=1, le=2_000_000_000)]
    reason: Annotated[str, Meta(max_length=2000)] = ""
    override: Annotated[str, Meta(max_length=2000)] = ""


class Reason(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=2000)] = ""


class Gate(msgspec.Struct, kw_only=True):
    name: str
    passed: bool
    words: str


class Version(msgspec.Struct, kw_only=True):
    """A trained version. `status`: candidate, published (has served), refused, retired."""

    version: int
    tier: str
    status: str
    is_champion: bool
    is_publishable: bool
    gates: list[Gate]
    metrics: dict[str, Any]
    sha256: str
    run_id: str | None
    training_as_of: datetime
    created_at: datetime


class Model(msgspec.Struct, kw_only=True):
    """A model by name. Without a champion `reason` says what speaks in its place, and why. `aliases`: the versions that
    score silently."""

    name: str
    version: int | None
    tier: str | None
    is_pinned: bool
    promoted_at: datetime | None
    promotion_reason: str | None
    previous_version: int | None
    reason: str | None
    aliases: dict[str, int]
    versions: list[Version]


class ModelList(msgspec.Struct, kw_only=True):
    items: list[Model]
    next: str | None


class Served(msgspec.Struct, kw_only=True):
    """The version that serves from now on, and the one before it."""

    model: str
    version: int
    previous_version: int | None


# Rules ---------------------------------------------------------------------------------------------


def id_of(name: str) -> UUID:
    """The id by which the ledger knows a model: always the same for a name."""
    return uuid5(NAMESPACE_URL, f"model:{name}")


def known(name: str) -> str:
    """The name, if there is such a model."""
    if name not in NAMES:
        raise NotFound(f"There is no model {name!r}; there are {', '.join(NAMES)}.")
    return name


async def overview(database: Database, names: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    """Each model with its champion and its versions, newest first."""
    return [await _one(database, name) for name in names]


async def _one(database: Database, name: str) -> dict[str, Any]:
    serving = await champion.champion(database, name)
    rows = await champion.versions(database, name, MOST_VERSIONS)
    versions = [_version(row) for row in rows]
    tier = next((row["tier"] for row in rows if row["is_champion"]), None)
    return {
        "name": name,
        "version": serving["version"] if serving else None,
        "tier": tier,
        "is_pinned": bool(serving and serving["pinned"]),
        "promoted_at": serving["promoted_at"] if serving else None,
        "promotion_reason": serving["reason"] if serving else None,
        "previous_version": serving["previous_version"] if serving else None,
        "reason": None if serving else _why_none(versions),
        "aliases": {row["alias"]: row["version"] for row in await silent.aliases(database, name)},
        "versions": versions,
    }


def _version(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": row["version"],
        "tier": row["tier"],
        "status": row["status"],
        "is_champion": row["is_champion"],
        "is_publishable": bool(row["verdict"].get("is_publishable")),
        "gates": row["verdict"].get("gates", []),
        "metrics": row["metrics"],
        "sha256": row["sha256"],
        "run_id": row["run_id"],
        "training_as_of": row["training_as_of"],
        "created_at": row["created_at"],
    }


def _why_none(versions: list[dict[str, Any]]) -> str:
    if not versions:
        return "Nothing was trained yet, or there is too little history: the built-in baseline speaks."
    failed = [gate["words"] for gate in versions[0]["gates"] if not gate["passed"]]
    return "No version may serve: the built-in baseline speaks. " + "; ".join(failed)


async def promote(
    tx: Tx, actor: Actor, name: str, promotion: Promotion, folder: Path, *, pinned: bool
) -> dict[str, Any]:
    """Makes a version serve, tells of it, and asks for what follows; a refused one needs a written reason. Its files in
    `folder` must be what was registered: no reason helps against that."""
    await _can_speak(tx, folder, name, promotion.version)
    before = await champion.champion(tx, name)
    said = {
        "model": name,
        "version": promotion.version,
        "previous_version": before["version"] if before else None,
    }
    if not (before and before["version"] == promotion.version):
        await record(tx, actor, "model.promoted", "model", id_of(name), version=promotion.version, data=said)
        await _follow(tx, name)
    try:
        return await champion.promote(
            tx, name, promotion.version, by=str(actor.id or actor.name), reason=promotion.reason, pinned=pinned,
            override=promotion.override,
        )  # fmt: skip
    except NotPublishable as error:
        raise Conflict(f"{error}. To promote it all the same give the reason as `override`.") from None


async def _can_speak(tx: Tx, folder: Path, name: str, version: int) -> None:
    """Raises 422 for a version that there is not, 409 for one whose files are not what was registered, or are understood no
    more. Whoever serves goes on serving."""
    try:
        row = await champion.version_row(tx, name, version)
        await asyncio.to_thread(checked, folder, row)
    except Unknown as error:
        raise Invalid.at("/version", str(error)) from None
    except Refused as error:
        raise Conflict(
            f"{str(error).rstrip('.')}. Nothing has changed: what served goes on serving."
        ) from None


async def rollback(tx: Tx, actor: Actor, name: str, reason: str, folder: Path) -> dict[str, Any]:
    """Lets the version before serve again, if its files are still what was registered, and unpins the model."""
    now = await champion.champion(tx, name)
    if now is None or now["previous_version"] is None:
        raise Conflict(f"The model {name} has no earlier version to return to.")
    before = now["previous_version"]
    await _can_speak(tx, folder, name, before)
    said = {"model": name, "version": before, "previous_version": now["version"]}
    await record(tx, actor, "model.promoted", "model", id_of(name), version=before, data=said)
    await _follow(tx, name)
    return await champion.rollback(tx, name, by=str(actor.id or actor.name), reason=reason)


async def name_version(
    tx: Tx, actor: Actor, name: str, alias: str, version: int | None, reason: str = ""
) -> None:
    """Lets a version score silently, or (None) ends that. Raises `Unknown` and `NotPublishable` of the registry."""
    said = {"model": name, "alias": alias, "version": version}
    await record(tx, actor, "model.alias_set", "model", id_of(name), version=version, data=said)
    if version is None:
        await silent.unname(tx, name, alias)
    else:
        await silent.name(tx, name, alias, version, by=str(actor.id or actor.name), reason=reason)


async def _follow(tx: Tx, name: str) -> None:
    """What a new champion asks for: new scores or a new forecast at once, MLflow's mirror a little later."""
    await enqueue(tx, "score.all" if name in SCORED else "forecast.refresh", key="all")
    later = datetime.now(UTC) + timedelta(seconds=MIRROR_SECONDS)
    await enqueue(tx, "models.mirror", run_at=later, key="all")


# Routes --------------------------------------------------------------------------------------------


@get("/models", opt={"answer": ModelList})
async def listed(database: NamedDependency[Database], actor: NamedDependency[Actor]) -> Response[bytes]:
    """All models: what serves, and what was refused for which reason."""
    require(actor, "models", "read")
    return answer({"items": await overview(database), "next": None})


@get("/models/{name:str}/card", opt={"answer": dict, "query": ("version",)})
async def card(
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    name: FromPath[str],
    version: FromQuery[int | None] = None,
) -> Response[bytes]:
    """The card of a version, by default of the one that serves: data, figures beside trivial forecasts, limits."""
    require(actor, "models", "read")
    serving = await champion.champion(database, known(name))
    wanted = version or (serving["version"] if serving else None)
    if wanted is None:
        raise NotFound(f"No version of {name} serves; name one with `version`.")
    if not 1 <= wanted <= 2_000_000_000:
        raise NotFound(f"There is no version {wanted} of the model {name!r}.")
    try:
        row = await champion.version_row(database, name, wanted)
    except Unknown as error:
        raise NotFound(str(error)) from None
    return answer(row["card"])


@post(
    "/models/{name:str}/promote",
    opt={"body": Promotion, "answer": Served, "statuses": (409,)},
    status_code=200,
)
@idempotent
async def promote_version(
    request: Web,
    tx: NamedDependency[Tx],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    name: FromPath[str],
) -> Response[bytes]:
    """Lets a version serve, and pins it: training replaces it no more until it is rolled back."""
    require(actor, "models", "promote")
    given, folder = await body(request, Promotion), settings.home / "models"
    return answer(await promote(tx, actor, known(name), given, folder, pinned=True))


@post(
    "/models/{name:str}/rollback", opt={"body": Reason, "answer": Served, "statuses": (409,)}, status_code=200
)
@idempotent
async def rollback_version(
    request: Web,
    tx: NamedDependency[Tx],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    name: FromPath[str],
) -> Response[bytes]:
    """Lets the version before serve again, and unpins the model."""
    require(actor, "models", "promote")
    given = await body(request, Reason) if await raw_body(request) else Reason()
    return answer(await rollback(tx, actor, known(name), given.reason, settings.home / "models"))


@post("/models/{name:str}/train", opt={"statuses": (404,)}, status_code=202)
@idempotent
async def train(
    request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor], name: FromPath[str]
) -> Response[bytes]:
    """Queues a training; the job shows how far it is, and what came of it."""
    require(actor, "models", "train")
    job = await enqueue(tx, "models.learn", {"models": [known(name)]}, actor=actor, key=name)
    return answer({"job": job}, 202)


routes: list[Any] = [listed, card, promote_version, rollback_version, train]
