"""Identifiers: UUID version 7 (RFC 9562), made in Python so that a row knows its id before it is stored."""

import os
import time
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as QuickUUID


def new_id() -> UUID:
    """A time-ordered UUID: 48 bits of milliseconds, then 74 random bits. Of the driver's kind, as rows hold it."""
    parts = bytearray(os.urandom(16))
    parts[0:6] = (time.time_ns() // 1_000_000).to_bytes(6)
    parts[6] = parts[6] & 0x0F | 0x70
    parts[8] = parts[8] & 0x3F | 0x80
    made: UUID = QuickUUID(bytes(parts))
    return made
