"""Exchange rates: what one unit of a currency is worth in the home currency, from a date on."""

from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa

from service import calendar, money
from service import columns as c
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Params, Tx, business_table
from service.errors import Invalid
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Currency, Draft, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

exchange_rates = business_table(
    "exchange_rates",
    sa.Column(
        "currency", sa.Text, sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"), nullable=False
    ),
    c.day("date", required=True),
    sa.Column("rate", sa.Numeric(20, 10), sa.CheckConstraint("rate > 0", name="rate"), nullable=False),
    c.index("uq_exchange_rates_day", "currency", "date", unique=True),
    c.external("exchange_rates"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class ExchangeRateDraft(Draft, kw_only=True):
    """`rate`: how much of the home currency one unit of `currency` buys."""

    currency: Currency
    date: date
    rate: Decimal


ExchangeRatePatch = patch_of(ExchangeRateDraft)
ExchangeRate = item_of(exchange_rates, ExchangeRateDraft)

# Rules ---------------------------------------------------------------------------------------------

MOST = Decimal(10) ** 9
LEAST = Decimal(10) ** -9


def check(new: Row, old: Row | None) -> None:
    """A rate is positive, and of a size that money has."""
    fine = new["rate"].is_finite() and LEAST <= new["rate"] <= MOST
    refuse([] if fine else [fault("rate", "must lie between 10^-9 and 10^9")])


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """The home currency is worth itself, always."""
    if new["currency"] == (await calendar.company(tx)).home_currency:
        raise Invalid.at("/currency", "is the home currency")


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Open deals in this currency take today's rate; a closed deal keeps the rate of its close."""
    settings = await calendar.company(tx)
    today = settings.today(datetime.now(UTC))
    for currency in {new["currency"], old["currency"] if old else new["currency"]}:
        rate = await money.rate(tx, currency, today, settings.home_currency)
        await tx.execute(
            "UPDATE opportunities t SET amount_home = round(t.amount * $2::numeric, 4), version = version + 1,"
            " updated_at = clock_timestamp() WHERE t.currency = $1 AND t.status = 'open' AND t.amount IS NOT NULL"
            " AND t.amount_home IS DISTINCT FROM round(t.amount * $2::numeric, 4)"
            f" AND {visible(SYSTEM, 'opportunities', 't', Params())}",
            currency,
            rate,
        )


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/exchange-rates",
    name="exchange_rate",
    table=exchange_rates,
    draft=ExchangeRateDraft,
    patch=ExchangeRatePatch,
    item=ExchangeRate,
    text=("currency",),
    check=check,
    prepare=prepare,
    after=after,
)

routes = crud(resource)
