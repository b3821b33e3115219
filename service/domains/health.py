"""Whether the product is well: alive, ready (each part and its version), its metrics, and the API's document."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from alembic.script import ScriptDirectory
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service import observe, openapi
from service.db import Database
from service.settings import Settings
from service.wire import answer

VERSION = "0.1.0"

# Rules -------------------------------------------------------------------------------------------------------------

_HEAD = ScriptDirectory(str(Path(__file__).resolve().parents[2] / "migrations")).get_current_head()

_UNSCORED = """
SELECT count(*) FROM opportunities t WHERE t.status = 'open' AND t.deleted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM current_scores s WHERE s.opportunity_id = t.id) /* access:opportunities */"""

_UNINDEXED = (
    "SELECT count(*) FROM chunks c WHERE NOT EXISTS (SELECT 1 FROM chunk_vectors v WHERE v.chunk_id = c.id)"
)


class Part(msgspec.Struct, kw_only=True):
    ok: bool
    version: str | None = None
    detail: str | None = None


class Health(msgspec.Struct, kw_only=True):
    status: str
    version: str
    parts: dict[str, Part]


async def database_part(database: Database) -> Part:
    try:
        async with asyncio.timeout(3):
            return Part(ok=True, version=await database.fetchval("SHOW server_version"))
    except Exception as error:
        return Part(ok=False, detail=f"{type(error).__name__}: {error}")


async def redis_part(settings: Settings) -> Part:
    """Redis may be away: reads and writes go on, only slower to follow; so it does not decide readiness."""
    client = Redis.from_url(settings.redis_url, socket_timeout=1, socket_connect_timeout=1)
    try:
        info = await client.info("server")
        return Part(ok=True, version=info.get("valkey_version") or info.get("redis_version"))
    except (RedisError, OSError) as error:
        return Part(ok=False, detail=f"away: {error}")
    finally:
        await client.aclose()


async def counted(database: Database, sql: str, words: str) -> Part:
    left = await database.fetchval(sql)
    return Part(ok=not left, detail=f"{left} {words}" if left else None)


async def parts(database: Database, settings: Settings) -> dict[str, Part]:
    """Each part with its version; `ok` says whether the product can work with it as it is."""
    found = {"database": await database_part(database), "redis": await redis_part(settings)}
    if found["database"].ok:
        current = await database.fetchval("SELECT version_num FROM alembic_version")
        found["migrations"] = Part(
            ok=current == _HEAD, version=current, detail=None if current == _HEAD else f"expected {_HEAD}"
        )
        found["scores"] = await counted(database, _UNSCORED, "open deals have no score yet")
        found["search"] = await counted(database, _UNINDEXED, "chunks are not indexed yet")
        found["champion"] = Part(
            ok=True,
            version=await database.fetchval(
                "SELECT version::text FROM registry.champions WHERE model = 'win'"
            ),
        )
    return found


# Routes ------------------------------------------------------------------------------------------------------------


@get("/health/live", opt={"public": True})
async def live() -> dict[str, str]:
    return {"status": "alive"}


@get(["/health", "/health/ready"], opt={"public": True})
async def ready(database: NamedDependency[Database], settings: NamedDependency[Settings]) -> Response[bytes]:
    """200 when migrations are done and, on a demo home, each open deal has a score and each chunk is indexed."""
    found = await parts(database, settings)
    needed = ["database", "migrations"] + (["scores", "search"] if settings.demo else [])
    ok = all(name in found and found[name].ok for name in needed)
    health = Health(status="ready" if ok else "not ready", version=VERSION, parts=found)
    return answer(health, 200 if ok else 503, None if ok else {"Retry-After": "5"})


@get("/metrics", opt={"public": True})
async def metrics(database: NamedDependency[Database]) -> Response[bytes]:
    return Response(content=await observe.metrics(database), media_type=CONTENT_TYPE_LATEST)


@get("/schema", opt={"public": True})
async def schema(request: Request[Any, Any, State]) -> Response[bytes]:
    """The API's document, OpenAPI 3.1."""
    return answer(openapi.document(request.app))


routes: list[Any] = [live, ready, metrics, schema]
