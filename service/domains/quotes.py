"""Quotes: what a deal's lines were offered at, until when, and what became of the offer.

A quote copies the lines as they are: later changes of the deal or of prices leave it alone. Once sent it is what the
customer has in hand, so it is not edited but revised: the next revision bears the same number.
"""

import hashlib
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta

from service import calendar, ledger, quoting, uploads
from service import columns as c
from service.access import SYSTEM, Actor, require, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table, metadata
from service.domains import documents
from service.domains.opportunities import resource as opportunities
from service.idempotency import idempotent
from service.jobs import Job
from service.resource import Resource, Row
from service.rules import refuse
from service.settings import Settings
from service.shapes import Draft, Given, Line, Maybe, Money, Name, Percent, Text, item_of, patch_of
from service.wire import answer, check_version, etag, expected_version
from service.writes import document, insert, locked, update

Status = Literal["draft", "sent", "accepted", "rejected", "expired"]

# Tables --------------------------------------------------------------------------------------------

numbers = sa.Sequence("quote_numbers", metadata=metadata)

quotes = business_table(
    "quotes",
    c.reference("opportunity_id", "opportunities", required=True),
    c.text("number", required=True),
    c.whole("revision", required=True),
    c.reference("revises_id", "quotes"),
    c.text("name"),
    c.word("status", Status, default="draft"),
    c.reference("contact_id", "contacts"),
    c.day("valid_until"),
    c.items("lines"),
    c.money("total"),
    c.currency(),
    c.text("terms"),
    c.instant("sent_at"),
    c.instant("closed_at"),
    c.loose("document_id"),
    c.index("ix_quotes_opportunity_id", "opportunity_id"),
    c.index("uq_quotes_number", "number", "revision", unique=True),
    c.index("ix_quotes_valid_until", "valid_until", where="status = 'sent'"),
    c.external("quotes"),
)

# Shapes --------------------------------------------------------------------------------------------


class QuoteLine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A product, or anything by its name, at a price in the quote's currency. `total_price` and `position` are reckoned."""

    name: Name
    quantity: Annotated[float, Meta(gt=0, le=1_000_000_000)]
    unit_price: Money
    product_id: UUID | None = None
    code: Line | None = None
    description: Text | None = None
    discount_percent: Percent | None = None
    start_date: date | None = None
    term_months: Annotated[int, Meta(ge=1, le=1200)] | None = None
    total_price: Money | None = None
    position: Annotated[int, Meta(ge=0, le=1000)] | None = None


class QuoteDraft(Draft, kw_only=True):
    """Without `lines` those of the deal are copied. A quote begins as a draft, or as sent."""

    opportunity_id: UUID
    name: Maybe[Name] = UNSET
    status: Given[Status] = UNSET
    contact_id: Maybe[UUID] = UNSET
    valid_until: Maybe[date] = UNSET
    lines: Given[Annotated[list[QuoteLine], Meta(max_length=500)]] = UNSET
    terms: Maybe[Text] = UNSET


QuotePatch = patch_of(QuoteDraft, "opportunity_id")
Quote = item_of(quotes, QuoteDraft)


class QuoteDocument(msgspec.Struct, kw_only=True):
    """`url` holds the page as it was filed, `page_url` the quote as it is now."""

    quote_id: UUID
    document_id: UUID
    url: str
    page_url: str
    content_type: str


# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """Lines cost what they may cost; a quote begins where it may."""
    refuse(quoting.priced(new), quoting.began(new) if old is None else [])


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Number, lines and currency at first; the status by rule; the total always."""
    now = datetime.now(UTC)
    today = (await calendar.company(tx)).today(now)
    if old is None:
        await _begin(tx, actor, new)
    new["lines"] = quoting.reckoned(new["lines"])
    new["total"] = quoting.total(new["lines"])
    new |= quoting.changed(new, old, now, today)
    if new["status"] == "sent" and (old is None or old["status"] != "sent"):
        await _close_earlier(tx, actor, new)


async def _begin(tx: Tx, actor: Actor, new: Row) -> None:
    deal = await locked(tx, opportunities, actor, new["opportunity_id"])
    new.setdefault("status", "draft")
    new["currency"] = deal["currency"]
    if "number" not in new:
        number = await tx.fetchval("SELECT nextval('quote_numbers')")
        new |= {"number": f"Q-{number:06}", "revision": 1}
    if "lines" not in new:
        new["lines"] = await _lines_of(tx, deal["id"])


async def _lines_of(tx: Tx, opportunity_id: UUID) -> list[Row]:
    """The deal's lines as they are, in their order."""
    seen = visible(SYSTEM, "lines", "t", Params())
    rows = await tx.fetch(
        "SELECT p.name, p.code, t.product_id, t.quantity, coalesce(t.unit_price, 0) AS unit_price, t.description,"
        " t.discount_percent, t.start_date, t.term_months"
        " FROM lines t JOIN products p ON p.id = t.product_id"
        f" WHERE t.opportunity_id = $1 AND t.deleted_at IS NULL AND {seen}"
        " ORDER BY t.position NULLS LAST, t.id LIMIT 500",
        opportunity_id,
    )
    return [dict(row) for row in rows]


async def _close_earlier(tx: Tx, actor: Actor, new: Row) -> None:
    """Of one number one revision is out: sending the next ends the one before."""
    await _expire(tx, actor, "t.number = $1 AND t.revision < $2", new["number"], new["revision"])


async def _expire(tx: Tx, actor: Actor, condition: str, *args: Any) -> int:
    """Ends what is sent and meets the condition, each with its event."""
    seen = visible(SYSTEM, "quotes", "t", Params())
    rows = await tx.fetch(
        f"SELECT t.* FROM quotes t WHERE t.status = 'sent' AND t.deleted_at IS NULL AND {condition} AND {seen}"
        " ORDER BY t.id LIMIT 1000 FOR UPDATE OF t",
        *args,
    )
    for row in rows:
        await ledger.record(tx, actor, "quote.updated", "quote", row["id"], version=row["version"] + 1)
        await tx.execute(
            "UPDATE quotes t SET status = 'expired', closed_at = now(), version = version + 1,"
            f" updated_at = clock_timestamp(), updated_by_id = $2 WHERE t.id = $1 AND {seen}",
            row["id"],
            actor.id,
        )
    return len(rows)


async def expire(job: Job) -> dict[str, int]:
    """Ends the offers whose last day is over; each night."""
    today = (await calendar.company(job.database)).today(datetime.now(UTC))
    ended = 0
    while True:
        async with job.database.begin() as tx:
            found = await _expire(tx, SYSTEM, "t.valid_until < $1", today)
        ended += found
        if not found:
            return {"expired": ended}
        await job.progress(ended)


handlers = {"quotes.expire": expire}

# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/quotes",
    name="quote",
    table=quotes,
    draft=QuoteDraft,
    patch=QuotePatch,
    item=Quote,
    references={
        "opportunity_id": "opportunities",
        "contact_id": "contacts",
        "revises_id": "quotes",
        "document_id": "documents",
    },
    text=("number", "name"),
    check=check,
    prepare=prepare,
)


@post("/quotes/{record_id:uuid}/revise", status_code=201, opt={"answer": Quote, "statuses": (409,)})
@idempotent
async def revise(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Makes the next revision of a quote: a draft with the same number, from the deal's lines as they are now."""
    made = await revised(tx, actor, record_id)
    text, version = await document(tx, resource, actor, made["id"])
    return answer(text, 201, {"Location": f"/api/v1/quotes/{made['id']}", "ETag": etag(version)})


async def revised(tx: Tx, actor: Actor, record_id: UUID) -> Row:
    """The next revision of a quote, stored."""
    require(actor, "quotes", "create")
    old = await locked(tx, resource, actor, record_id)
    await locked(tx, opportunities, actor, old["opportunity_id"])
    seen = visible(SYSTEM, "quotes", "t", Params())
    revisions = await tx.fetch(
        f"SELECT t.revision, t.status FROM quotes t WHERE t.number = $1 AND {seen}", old["number"]
    )
    return await insert(tx, resource, actor, quoting.revision(old, [dict(row) for row in revisions]))


async def _sheet(run: Database | Tx, actor: Actor, record_id: UUID) -> str:
    """The printable page of a quote that the actor sees."""
    quote = msgspec.json.decode((await document(run, resource, actor, record_id))[0])
    deal = msgspec.json.decode((await document(run, opportunities, actor, UUID(quote["opportunity_id"])))[0])
    params = Params()
    places = [
        params.add(value)
        for value in (
            deal.get("account_id"),
            quote["contact_id"] or deal.get("primary_contact_id"),
            deal.get("owner_id"),
        )
    ]
    account, contact = (visible(actor, name, name[0], params) for name in ("accounts", "contacts"))
    to = await run.fetchrow(
        f"SELECT (SELECT a.name FROM accounts a WHERE a.id = {places[0]}::uuid AND {account}) AS account,"
        f" (SELECT concat_ws(' ', c.first_name, c.last_name) FROM contacts c WHERE c.id = {places[1]}::uuid AND {contact}) AS contact,"
        f" (SELECT u.name FROM users u WHERE u.id = {places[2]}::uuid) AS owner",
        *params,
    )
    company = await calendar.company(run)
    return quoting.page(quote, deal, dict(to), company.name)


@get("/quotes/{record_id:uuid}/page", opt={"statuses": ()})
async def page(
    database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """The quote as a page to print, or to save as PDF."""
    require(actor, "quotes", "read")
    text = await _sheet(database, actor, record_id)
    return Response(text.encode(), media_type="text/html; charset=utf-8", headers=quoting.HEADERS)


async def _filed(tx: Tx, settings: Settings, actor: Actor, quote: Row, page: bytes) -> UUID:
    """The document of a quote, with the page as its newest content; made where it is missing, or was deleted."""
    seen = visible(SYSTEM, "documents", "t", Params())
    there = await tx.fetchval(
        f"SELECT 1 FROM documents t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", quote["document_id"]
    )
    if there:
        row = await locked(tx, documents.resource, actor, quote["document_id"])
    else:
        require(actor, "documents", "create")
        draft = {
            "name": f"Quote {quoting.title(quote)}",
            "type": "quote",
            "opportunity_id": quote["opportunity_id"],
        }
        row = await insert(tx, documents.resource, actor, draft)
    name, digest = f"{quoting.title(quote)}.html", hashlib.sha256(page).hexdigest()
    upload = uploads.Upload(BytesIO(page), name, "text/html; charset=utf-8", len(page), digest)
    await documents.store(tx, settings, actor, row, upload)
    return row["id"]  # type: ignore[no-any-return]


@post(
    "/quotes/{record_id:uuid}/document",
    status_code=201,
    opt={"answer": QuoteDocument, "statuses": (409, 412, 503)},
)
@idempotent
async def make_document(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Files the printable page of a quote as a document of its deal; again, as that document's next version."""
    require(actor, "quotes", "update")
    old = await locked(tx, resource, actor, record_id)
    check_version(expected_version(request), old["version"])
    document_id = await _filed(tx, settings, actor, old, (await _sheet(tx, actor, record_id)).encode())
    await update(tx, resource, actor, old, {"document_id": document_id})
    made = QuoteDocument(
        quote_id=record_id,
        document_id=document_id,
        url=f"/api/v1/documents/{document_id}/content",
        page_url=f"/api/v1/quotes/{record_id}/page",
        content_type="text/html",
    )
    return answer(made, 201, {"Location": f"/api/v1/documents/{document_id}"})


routes = [*crud(resource), revise, page, make_document]
