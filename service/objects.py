"""The object store: bytes by key, in a folder of the home or in any store that `SALES_OBJECTS` names.

Keys are made of ids and digests, never of names that people give. What is stored under a key never changes, so an
object that no committed row names does no harm, and writing one twice gives the same object.

    file:///var/lib/sales/objects
    s3://bucket/prefix                                          (keys and region from AWS_* variables or the machine's role)
    s3://KEY:SECRET@bucket/prefix?endpoint=https://host&region=eu-central-1          (any S3-compatible store)
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store, from_url

from service.errors import NotFound, Unavailable

CHUNK = 256 * 1024
_PATIENCE: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=15)}


@cache
def store_at(url: str) -> Any:
    """The store of a URL; one for the process, safe to share."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    if parts.scheme == "s3":
        return _s3(url)
    return from_url(url, retry_config=_PATIENCE)


def _s3(url: str) -> S3Store:
    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    config: Any = {}
    if parts.username and parts.password:
        config = {
            "access_key_id": unquote(parts.username),
            "secret_access_key": unquote(parts.password),
        }
    if endpoint := asked.get("endpoint"):
        config["endpoint"] = endpoint
    if region := asked.get("region"):
        config["region"] = region
    return S3Store(
        parts.hostname,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"allow_http": asked.get("endpoint", "").startswith("http://"), "timeout": "60s"},
        retry_config=_PATIENCE,
    )


async def keep(url: str, key: str, file: IO[bytes]) -> None:
    """Stores the whole of `file` under `key`; raises `Unavailable` when the store cannot be reached."""
    file.seek(0)
    try:
        await obstore.put_async(store_at(url), key, file)
    except (BaseError, OSError) as error:
        raise _away() from error


async def stream(url: str, key: str) -> AsyncIterator[bytes]:
    """The bytes of an object in chunks. The first look happens here, so that a missing object is an error in time."""
    try:
        found = await obstore.get_async(store_at(url), key)
    except FileNotFoundError as error:
        raise NotFound("The document's content is not in the object store.") from error
    except (BaseError, OSError) as error:
        raise _away() from error
    return _chunks(found)


async def _chunks(found: Any) -> AsyncIterator[bytes]:
    async for chunk in found.stream(min_chunk_size=CHUNK):
        yield bytes(chunk)


def _away() -> Unavailable:
    return Unavailable("The object store does not answer.", headers={"Retry-After": "10"})
