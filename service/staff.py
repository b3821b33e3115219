"""People who come and go: what holds for administrators, and for sessions of those who may no longer sign in."""

from uuid import UUID

from service.access import Actor
from service.db import Database, Tx
from service.errors import Conflict, Forbidden

_ADMINS = "SELECT 1 FROM users WHERE role = 'admin' AND is_active AND deleted_at IS NULL LIMIT 1"

_ABOUT_ADMINS = """
SELECT 1 FROM history.users h
WHERE h.change_id = $1 AND (h.role = 'admin' OR EXISTS (
    SELECT 1 FROM history.users b WHERE b.id = h.id AND b.version = h.version - 1 AND b.role = 'admin')) LIMIT 1"""

_END = """
UPDATE sessions s SET ended_at = now(), ended_because = 'the person is not active any more'
FROM users u WHERE u.id = s.user_id AND s.ended_at IS NULL AND (NOT u.is_active OR u.deleted_at IS NOT NULL)
    AND ($1::uuid IS NULL OR u.id = $1)"""


async def end_sessions(tx: Tx, user_id: UUID | None = None) -> None:
    """Ends the sessions of somebody who is not active any more; without a name, of everybody like that."""
    await tx.execute(_END, user_id)


async def keep_an_administrator(tx: Tx, actor: Actor) -> None:
    """Raises `Conflict` when nobody is left who may do everything; who works at the machine itself may do that too.

    One at a time: two who unmake each other at once would both see the other one still there.
    """
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('administrators', 0))")
    if actor.id is not None and not await tx.fetchval(_ADMINS):
        raise Conflict("This is the last active administrator: name another one first.")


async def refusal(run: Database | Tx, actor: Actor, change_id: UUID) -> Exception | None:
    """Only an administrator takes back what was done to administrators."""
    if actor.role != "admin" and await run.fetchval(_ABOUT_ADMINS, change_id):
        return Forbidden("Only an administrator may do this to an administrator.")
    return None


async def settle(tx: Tx, actor: Actor) -> None:
    """After users were written set-based: an administrator is left, and who is not active has no session."""
    await keep_an_administrator(tx, actor)
    await end_sessions(tx)
