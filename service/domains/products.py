"""Products: what is sold, at which list price."""

from typing import Literal

from msgspec import UNSET

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.resource import Resource, Row
from service.rules import amounts, refuse
from service.shapes import Currency, Draft, Given, Line, Maybe, Money, Name, Text, item_of, patch_of

BillingPeriod = Literal["one_time", "monthly", "annual"]

# Tables --------------------------------------------------------------------------------------------

products = business_table(
    "products",
    c.text("code", required=True),
    c.text("name", required=True),
    c.text("family"),
    c.text("description"),
    c.money("list_price"),
    c.currency(),
    c.word("billing_period", BillingPeriod),
    c.flag("is_active", default=True),
    c.index("uq_products_code", "lower(code)", unique=True),
    c.external("products"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class ProductDraft(Draft, kw_only=True):
    code: Name
    name: Name
    family: Maybe[Line] = UNSET
    description: Maybe[Text] = UNSET
    list_price: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    billing_period: Maybe[BillingPeriod] = UNSET
    is_active: Given[bool] = UNSET


ProductPatch = patch_of(ProductDraft)
Product = item_of(products, ProductDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """A list price is not negative."""
    refuse(amounts(new, "list_price"))


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/products",
    name="product",
    table=products,
    draft=ProductDraft,
    patch=ProductPatch,
    item=Product,
    text=("code", "name"),
    check=check,
)

routes = crud(resource)
