"""Models: which serves and why, which wait or were refused; learned on demand, promoted and rolled back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from registry import champion, silent
from registry.champion import NotPublishable, Unknown
from service import calendar, trainer
from service.access import SYSTEM, Actor, require
from service.db import Database, Tx
from service.errors import Conflict, Invalid, NotFound
from service.idempotency import idempotent
from service.jobs import Job, enqueue
from service.ledger import record
from service.settings import Settings
from service.wire import answer, body, raw_body
from service.worker import Handler

NAMES = ("win", "lead", "amount", "arrivals")
SCORED = frozenset({"win", "lead", "amount"})
"""Models whose change asks for new scores; the others ask for a new forecast."""
WATCHED = frozenset({"win", "lead"})
"""Models whose scores are compared with those of silent versions."""
MIRROR_SECONDS = 30
"""MLflow hears of a run so much later: scores come first."""
MOST_VERSIONS = 50

Web = Request[Any, Any, Any]
Tell = Callable[[str, int, int], Awaitable[None]]

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


async def promote(tx: Tx, actor: Actor, name: str, promotion: Promotion, *, pinned: bool) -> dict[str, Any]:
    """Makes a version serve, tells of it, and asks for what follows; a refused one needs a written reason."""
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
    except Unknown as error:
        raise Invalid(str(error), errors=[{"pointer": "/version", "detail": str(error)}]) from None
    except NotPublishable as error:
        raise Conflict(f"{error}. To promote it all the same give the reason as `override`.") from None


async def rollback(tx: Tx, actor: Actor, name: str, reason: str) -> dict[str, Any]:
    """Lets the version before serve again, and unpins the model."""
    serving = await champion.champion(tx, name)
    if serving is None or serving["previous_version"] is None:
        raise Conflict(f"The model {name} has no earlier version to return to.")
    said = {"model": name, "version": serving["previous_version"], "previous_version": serving["version"]}
    await record(
        tx, actor, "model.promoted", "model", id_of(name), version=serving["previous_version"], data=said
    )
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


async def learn(
    database: Database,
    settings: Settings,
    names: Sequence[str],
    tell: Tell,
    *,
    as_of: datetime | None = None,
    actor: Actor = SYSTEM,
) -> list[dict[str, Any]]:
    """Trains in a process of its own, then promotes the best publishable version of each model that nobody pinned."""
    now = as_of or await calendar.data_now(database, datetime.now(UTC))
    results: list[dict[str, Any]] = []
    arguments = ("learn", "--models", ",".join(names), "--as-of", now.isoformat())
    try:
        async for line in trainer.lines(settings, "training", *arguments):
            if "result" in line:
                results.append(line["result"])
            elif "progress" in line:
                said = line["progress"]
                await tell(said["what"], said["done"], said["total"])
    finally:  # models that were learned serve, whatever became of another
        for result in results:
            if result["is_chosen"]:
                result["is_promoted"] = await _seat(database, actor, result)
    return results


async def _seat(database: Database, actor: Actor, result: dict[str, Any]) -> bool:
    """Promotes what training chose, unless a person pinned another version."""
    name = result["model"]
    async with database.begin() as tx:
        serving = await champion.champion(tx, name)
        if serving and serving["pinned"]:
            if name in WATCHED:  # it is watched beside the pinned one
                await silent.name(
                    tx, name, "shadow", result["version"], by="training", reason="another version is pinned"
                )
            return False
        chosen = Promotion(
            version=result["version"], reason="the best rolling loss among versions that passed all gates"
        )
        await promote(tx, actor, name, chosen, pinned=False)
    return True


async def backtest(database: Database, settings: Settings, name: str, tell: Tell) -> list[dict[str, Any]]:
    """Trains and judges like `learn`, and registers nothing."""
    now = await calendar.data_now(database, datetime.now(UTC))
    results = []
    async for line in trainer.lines(
        settings, "training", "judge", "--models", name, "--as-of", now.isoformat()
    ):
        if "result" in line:
            results.append(line["result"])
        elif "progress" in line:
            await tell(*(line["progress"][key] for key in ("what", "done", "total")))
    return results


async def mirror(settings: Settings) -> dict[str, Any]:
    """Shows MLflow all versions that it does not know yet, and the champions."""
    told: dict[str, Any] = {}
    async for line in trainer.lines(settings, "training", "mirror"):
        told = line.get("result", told)
    return told


def handlers(settings: Settings) -> dict[str, Handler]:
    """`models.learn` (`models` in its payload: all by default) and `models.mirror`."""

    async def run_learn(job: Job) -> dict[str, Any]:
        async def tell(what: str, done: int, total: int) -> None:
            await job.progress(done, total)

        names = [known(name) for name in job.payload.get("models", NAMES)]
        try:
            results = await learn(job.database, settings, names, tell)
        except Conflict:
            await enqueue(job.database, "score.all", key="all")  # whoever speaks meanwhile
            raise
        if not any(result.get("is_promoted") for result in results if result["model"] in SCORED):
            await enqueue(job.database, "score.all", key="all")
        return {"models": results}

    async def run_mirror(job: Job) -> dict[str, Any]:
        return await mirror(settings)

    return {"models.learn": run_learn, "models.mirror": run_mirror}


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
    request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor], name: FromPath[str]
) -> Response[bytes]:
    """Lets a version serve, and pins it: training replaces it no more until it is rolled back."""
    require(actor, "models", "promote")
    return answer(await promote(tx, actor, known(name), await body(request, Promotion), pinned=True))


@post(
    "/models/{name:str}/rollback", opt={"body": Reason, "answer": Served, "statuses": (409,)}, status_code=200
)
@idempotent
async def rollback_version(
    request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor], name: FromPath[str]
) -> Response[bytes]:
    """Lets the version before serve again, and unpins the model."""
    require(actor, "models", "promote")
    given = await body(request, Reason) if await raw_body(request) else Reason()
    return answer(await rollback(tx, actor, known(name), given.reason))


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
