"""Comments: on a deal, on an item of its plan, on a document; with mentions, and shared with guests when so marked."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta

from service import columns as c
from service import mentions
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Params, Tx, business_table
from service.errors import Forbidden, Invalid, Pointer
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Draft, Given, Maybe, item_of, patch_of

Side = Literal["ours", "theirs"]
Said = Annotated[str, Meta(min_length=1, max_length=10_000, pattern=r"\S")]

# Tables --------------------------------------------------------------------------------------------

comments = business_table(
    "comments",
    c.text("body", required=True),
    c.reference("opportunity_id", "opportunities"),
    c.reference("account_id", "accounts"),
    c.reference("plan_item_id", "plan_items"),
    c.reference("document_id", "documents"),
    c.flag("is_shared"),
    c.ids("mention_ids"),
    c.word("side", Side, default="ours"),
    c.text("author_name"),
    c.reference("guest_link_id", "guest_links"),
    c.index("ix_comments_opportunity_id", "opportunity_id", "id", where="opportunity_id IS NOT NULL"),
    c.index("ix_comments_account_id", "account_id", where="account_id IS NOT NULL"),
    c.index("ix_comments_plan_item_id", "plan_item_id", where="plan_item_id IS NOT NULL"),
    c.index("ix_comments_document_id", "document_id", where="document_id IS NOT NULL"),
    c.external("comments"),
)
"""A comment on an item or a document belongs to their deal (or, for a document of an account alone, to that)."""

# Shapes --------------------------------------------------------------------------------------------


class CommentDraft(Draft, kw_only=True):
    """On one of deal, plan item and document. `@lena` in the body mentions, as `mention_ids` do."""

    body: Said
    opportunity_id: Maybe[UUID] = UNSET
    plan_item_id: Maybe[UUID] = UNSET
    document_id: Maybe[UUID] = UNSET
    is_shared: Given[bool] = UNSET
    mention_ids: Given[Annotated[list[UUID], Meta(max_length=mentions.MOST)]] = UNSET


CommentPatch = patch_of(CommentDraft, "opportunity_id", "plan_item_id", "document_id")
Comment = item_of(comments, CommentDraft)

# Rules ---------------------------------------------------------------------------------------------


def _about_one(row: Row) -> Iterator[Pointer]:
    if row.get("plan_item_id") is not None and row.get("document_id") is not None:
        yield fault("document_id", "a comment is on one thing: a plan item or a document")
    if all(row.get(name) is None for name in ("opportunity_id", "plan_item_id", "document_id")):
        yield fault("opportunity_id", "a comment is on a deal, a plan item or a document")


def check(new: Row, old: Row | None) -> None:
    """A comment is on one thing."""
    refuse(_about_one(new) if old is None else [])


async def _place(tx: Tx, new: Row) -> None:
    """The deal, or the account, of the thing that the comment is on. Raises `Invalid` for another deal's thing."""
    for name, table in (("plan_item_id", "plan_items"), ("document_id", "documents")):
        if new.get(name) is None:
            continue
        account = "NULL::uuid" if table == "plan_items" else "t.account_id"
        seen = visible(SYSTEM, table, "t", Params())
        row = await tx.fetchrow(
            f"SELECT t.opportunity_id, {account} AS account_id FROM {table} t WHERE t.id = $1 AND {seen}",
            new[name],
        )
        if new.get("opportunity_id") not in (None, row["opportunity_id"]):
            raise Invalid.at(f"/{name}", "belongs to another deal")
        new["opportunity_id"] = row["opportunity_id"]
        new["account_id"] = row["account_id"] if row["opportunity_id"] is None else None


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Place, author and mentions; who is mentioned must be able to see what it is about."""
    if old is None:
        await _place(tx, new)
        new.setdefault("author_name", actor.name or None)
    elif actor.id is None or actor.id != old["created_by_id"]:
        raise Forbidden("A comment is changed by its author only.")
    if actor.door == "room":
        return
    named = list(dict.fromkeys(new.get("mention_ids") or []))
    pointers = [f"/mention_ids/{index}" for index, _ in enumerate(named)]
    for user_id in await mentions.called(tx, new["body"]):
        if user_id not in named:
            named.append(user_id)
            pointers.append("/body")
    about = (
        ("opportunity", new["opportunity_id"]) if new["opportunity_id"] else ("account", new["account_id"])
    )
    known = set(old["mention_ids"]) if old else set()
    fresh = [
        (user_id, pointer) for user_id, pointer in zip(named, pointers, strict=True) if user_id not in known
    ]
    await mentions.must_see(tx, [each for each, _ in fresh], *about, [pointer for _, pointer in fresh])
    new["mention_ids"] = named


MODERATORS = frozenset({"manager", "ops", "admin"})


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Somebody else's comment is removed by those who lead; a guest's by whoever keeps the deal."""
    removed = old is not None and old["deleted_at"] != new["deleted_at"]
    theirs = old is not None and old["created_by_id"] not in (None, actor.id)
    if removed and theirs and actor.role not in MODERATORS:
        raise Forbidden("A comment is removed by its author, or by a manager.")


# Routes --------------------------------------------------------------------------------------------

_references: dict[str, Any] = {
    "opportunity_id": "opportunities",
    "account_id": "accounts",
    "plan_item_id": "plan_items",
    "document_id": "documents",
    "created_by_id": "users",
}

resource = Resource(
    path="/comments",
    name="comment",
    table=comments,
    draft=CommentDraft,
    patch=CommentPatch,
    item=Comment,
    references=_references,
    text=("body",),
    check=check,
    prepare=prepare,
    after=after,
)

routes = crud(resource)
