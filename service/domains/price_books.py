"""Price books: what products cost by currency, region or channel. One of them is the default."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from service import calendar, money
from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import Tx, business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import amounts, exist, one_default, refuse
from service.shapes import Currency, Draft, Given, Maybe, Money, Name, Text, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

price_books = business_table(
    "price_books",
    c.text("name", required=True),
    c.text("description"),
    c.currency(),
    c.flag("is_default"),
    c.flag("is_active", default=True),
    c.items("entries"),
    c.index("uq_price_books_name", "lower(name)", unique=True),
    c.index("uq_price_books_default", "is_default", unique=True, where="is_default"),
    c.external("price_books"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What one unit of a product costs, in the book's currency."""

    product_id: UUID
    unit_price: Money


class PriceBookDraft(Draft, kw_only=True):
    """Making a book the default unmakes the one before. All `entries` are sent at once: they are one list."""

    name: Name
    currency: Currency
    description: Maybe[Text] = UNSET
    is_default: Given[bool] = UNSET
    is_active: Given[bool] = UNSET
    entries: Given[Annotated[list[Entry], Meta(max_length=5000)]] = UNSET


PriceBookPatch = patch_of(PriceBookDraft)
PriceBook = item_of(price_books, PriceBookDraft)

# Rules ---------------------------------------------------------------------------------------------


def _entries(row: Row) -> Iterator[Pointer]:
    """Each product once, at a price that is a price."""
    seen: set[str] = set()
    for number, entry in enumerate(row.get("entries") or ()):
        for error in amounts({"unit_price": Decimal(entry["unit_price"])}, "unit_price"):
            yield error | {"pointer": f"/entries/{number}/unit_price"}
        if str(entry["product_id"]) in seen:
            yield {"pointer": f"/entries/{number}/product_id", "detail": "stands in the book twice"}
        seen.add(str(entry["product_id"]))


def _default(row: Row) -> Iterator[Pointer]:
    if row.get("is_default") and row.get("is_active") is False:
        yield {"pointer": "/is_active", "detail": "the default book is in use"}


def check(new: Row, old: Row | None) -> None:
    """Prices are not negative, each product stands in the book once, and the default book is active."""
    refuse(_entries(new), _default(new))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """There is one default; products exist; prices are kept as money is, so that equal ones compare equal."""
    await one_default(tx, actor, "price_books", "price_book", new, old)
    entries = [
        {
            "product_id": str(entry["product_id"]),
            "unit_price": format(money.kept(Decimal(entry["unit_price"])), "f"),
        }
        for entry in new.get("entries") or ()
    ]
    if entries and (old is None or entries != old["entries"]):
        await _products_exist(tx, actor, entries)
    if old is not None or entries:
        new["entries"] = entries


async def _products_exist(tx: Tx, actor: Actor, entries: list[dict[str, Any]]) -> None:
    named = [UUID(entry["product_id"]) for entry in entries]
    await exist(tx, actor, "products", "entries", named, member="product_id")


_BOOK = """
SELECT b.currency, (SELECT e ->> 'unit_price' FROM jsonb_array_elements(b.entries) e
                    WHERE e ->> 'product_id' = $2::text LIMIT 1)::numeric AS price
FROM price_books b WHERE b.deleted_at IS NULL AND b.is_active AND (b.id = $1 OR $1 IS NULL AND b.is_default)"""


async def unit_price(tx: Tx, deal: Row, product_id: UUID, day: date) -> Decimal | None:
    """What a product costs in a deal: its book's price, else the product's list price, in the deal's currency.

    The book is the deal's own, else the default one. Other currencies are turned into the deal's by the rates of `day`;
    None where there is no price, or no rate.
    """
    home = (await calendar.company(tx)).home_currency
    book = await tx.fetchrow(_BOOK, deal["price_book_id"], str(product_id))
    if book is not None and book["price"] is not None:
        return await money.convert(tx, book["price"], book["currency"], deal["currency"], day, home)
    product = await tx.fetchrow("SELECT list_price, currency FROM products WHERE id = $1", product_id)
    return await money.convert(
        tx, product["list_price"], product["currency"] or home, deal["currency"], day, home
    )


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/price-books",
    name="price_book",
    table=price_books,
    draft=PriceBookDraft,
    patch=PriceBookPatch,
    item=PriceBook,
    text=("name",),
    check=check,
    prepare=prepare,
)

routes = crud(resource)
