"""Pipelines and their stages: the steps of a deal, the chance that each stands for, and what leaving it asks for."""

from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table
from service.domains.users import Role
from service.errors import Conflict, Invalid, Pointer
from service.resource import Resource, Row
from service.rules import askable, fault, one_default, refuse
from service.shapes import Criteria, Draft, Fraction, Given, Key, Maybe, Name, item_of, patch_of

Status = Literal["open", "won", "lost"]
Category = Literal["omitted", "pipeline", "best_case", "commit", "closed"]

# Tables --------------------------------------------------------------------------------------------

pipelines = business_table(
    "pipelines",
    c.text("key", required=True),
    c.text("name", required=True),
    c.flag("is_default"),
    c.flag("is_active", default=True),
    c.texts("reopen_roles"),
    c.whole("reopen_within_days"),
    c.text("reopen_stage"),
    c.index("uq_pipelines_key", "key", unique=True),
    c.index("uq_pipelines_default", "is_default", unique=True, where="is_default"),
    c.external("pipelines"),
    guarded=False,
)

stages = business_table(
    "stages",
    c.reference("pipeline_id", "pipelines", required=True),
    c.text("key", required=True),
    c.text("name", required=True),
    c.whole("position", required=True),
    c.word("status", Status, required=True),
    sa.Column(
        "probability",
        sa.Double,
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        nullable=False,
    ),
    c.word("forecast_category", Category, required=True),
    c.items("entry_criteria"),
    c.items("exit_criteria"),
    c.whole("rotting_days"),
    c.index("uq_stages_key", "pipeline_id", "key", unique=True),
    c.external("stages"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class PipelineDraft(Draft, kw_only=True):
    """One pipeline is the default: making another one so unmakes it.

    A closed deal is reopened by `reopen_roles` (empty: by all whom the permission table lets), within
    `reopen_within_days` of its close (null: ever), into `reopen_stage` (null: into any open stage).
    """

    key: Key
    name: Name
    is_default: Given[bool] = UNSET
    is_active: Given[bool] = UNSET
    reopen_roles: Given[Annotated[list[Role], Meta(max_length=10)]] = UNSET
    reopen_within_days: Maybe[Annotated[int, Meta(ge=0, le=3650)]] = UNSET
    reopen_stage: Maybe[Key] = UNSET


PipelinePatch = patch_of(PipelineDraft)
Pipeline = item_of(pipelines, PipelineDraft)


class StageDraft(Draft, kw_only=True):
    """What a deal must have to come in (`entry_criteria`), and to go on from here (`exit_criteria`).

    `rotting_days`: after how many days without a sign of life a deal in this stage looks forgotten.
    """

    pipeline_id: UUID
    key: Key
    name: Name
    position: Annotated[int, Meta(ge=0, le=1000)]
    status: Status
    probability: Fraction
    forecast_category: Category
    entry_criteria: Given[Criteria] = UNSET
    exit_criteria: Given[Criteria] = UNSET
    rotting_days: Maybe[Annotated[int, Meta(ge=1, le=3650)]] = UNSET


StagePatch = patch_of(StageDraft, "pipeline_id")
Stage = item_of(stages, StageDraft)

# Rules ---------------------------------------------------------------------------------------------

_CERTAIN = {"won": (1.0, "closed"), "lost": (0.0, "omitted")}


def _sense(stage: Row) -> Iterator[Pointer]:
    chance, category = stage["probability"], stage["forecast_category"]
    if stage["status"] in _CERTAIN:
        sure, name = _CERTAIN[stage["status"]]
        if chance != sure:
            yield fault("probability", f"is {sure:g} where deals are {stage['status']}")
        if category != name:
            yield fault("forecast_category", f"is {name} where deals are {stage['status']}")
        return
    if not 0 < chance < 1:
        yield fault("probability", "lies between 0 and 1 while a deal is open")
    if category == "closed":
        yield fault("forecast_category", "an open stage is not closed")


def check_stage(new: Row, old: Row | None) -> None:
    """Won is certain and closed, lost is impossible and omitted; an open stage is neither certain nor closed."""
    refuse(
        _sense(new),
        *(askable("opportunities", new.get(name), name) for name in ("entry_criteria", "exit_criteria")),
    )


async def prepare_pipeline(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """The default moves: there is one. Closed deals come back into an open stage of this pipeline."""
    await one_default(tx, actor, "pipelines", "pipeline", new, old)
    wanted = new.get("reopen_stage")
    if wanted is not None and (old is None or wanted != old["reopen_stage"]):
        stages = await stages_of(tx, new["id"]) if old else []
        if not any(stage["key"] == wanted and stage["status"] == "open" for stage in stages):
            raise Invalid.at("/reopen_stage", "is no open stage of this pipeline")


async def _deals_in(tx: Tx, pipeline_id: UUID, stage: str | None = None) -> bool:
    """Whether a deal that is not deleted stands there."""
    seen = visible(SYSTEM, "opportunities", "t", Params())
    return bool(
        await tx.fetchval(
            f"SELECT 1 FROM opportunities t WHERE t.pipeline_id = $1 AND t.stage = coalesce($2, t.stage)"
            f" AND t.deleted_at IS NULL AND {seen} LIMIT 1",
            pipeline_id,
            stage,
        )
    )


async def after_pipeline(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """A pipeline with deals in it stays."""
    if new["deleted_at"] and await _deals_in(tx, new["id"]):
        raise Conflict("There are deals in this pipeline.")


async def after_stage(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """A stage in which deals stand keeps its key and status and is not deleted; its open deals take its new chance."""
    if old is None:
        return
    gone = new["deleted_at"] is not None or any(new[name] != old[name] for name in ("key", "status"))
    if gone and await _deals_in(tx, old["pipeline_id"], old["key"]):
        raise Conflict("There are deals in this stage.")
    if gone and await tx.fetchval(
        "SELECT 1 FROM pipelines WHERE id = $1 AND reopen_stage = $2", old["pipeline_id"], old["key"]
    ):
        raise Conflict("Closed deals of this pipeline are reopened into this stage: name another one first.")
    if any(new[name] != old[name] for name in ("probability", "forecast_category")):
        seen = visible(SYSTEM, "opportunities", "t", Params())
        await tx.execute(
            "UPDATE opportunities t SET probability = $3, forecast_category ="
            " CASE WHEN forecast_category_source = 'stage' THEN $4 ELSE forecast_category END,"
            " version = version + 1, updated_at = clock_timestamp()"
            f" WHERE t.pipeline_id = $1 AND t.stage = $2 AND t.status = 'open' AND {seen}",
            new["pipeline_id"],
            new["key"],
            new["probability"],
            new["forecast_category"],
        )


_DEFAULT = """
SELECT id FROM pipelines WHERE deleted_at IS NULL AND is_active ORDER BY is_default DESC, id LIMIT 1"""


async def stages_of(run: Database | Tx, pipeline_id: UUID | None) -> list[Row]:
    """The stages of a pipeline (None: the default, else the oldest that is active) in their order.

    As remembered for a moment: whoever changes a row copies it first.
    """
    return await run.remember(f"stages {pipeline_id}", lambda: _stages_of(run, pipeline_id))


async def _stages_of(run: Database | Tx, pipeline_id: UUID | None) -> list[Row]:
    rows = await run.fetch(
        "SELECT s.* FROM stages s JOIN pipelines p ON p.id = s.pipeline_id"
        f" WHERE p.id = coalesce($1::uuid, ({_DEFAULT})) AND s.deleted_at IS NULL AND p.deleted_at IS NULL"
        " ORDER BY s.position, s.id",
        pipeline_id,
    )
    return [dict(row) for row in rows]


async def reopening_rule(tx: Tx, pipeline_id: UUID) -> Row:
    """Who reopens a deal of this pipeline, how long after its close, and into which stage."""
    return dict(
        await tx.fetchrow(
            "SELECT reopen_roles, reopen_within_days, reopen_stage FROM pipelines WHERE id = $1", pipeline_id
        )
    )


# Routes --------------------------------------------------------------------------------------------

pipeline = Resource(
    path="/pipelines",
    name="pipeline",
    table=pipelines,
    draft=PipelineDraft,
    patch=PipelinePatch,
    item=Pipeline,
    text=("key", "name"),
    prepare=prepare_pipeline,
    after=after_pipeline,
)

resource = Resource(
    path="/stages",
    name="stage",
    table=stages,
    draft=StageDraft,
    patch=StagePatch,
    item=Stage,
    references={"pipeline_id": "pipelines"},
    text=("key", "name"),
    check=check_stage,
    after=after_stage,
)

routes = [*crud(pipeline), *crud(resource)]
