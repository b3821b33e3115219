"""Money: amounts with their currency, and what they are worth at home by the rate of a day.

Sums, sorts and filters go by the home amount. A deal's rate is today's while it is open, and that of the day of its
close ever after.
"""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from service.db import Database, Tx

CENT = Decimal("0.0001")
"""What PostgreSQL keeps of an amount: numeric(19, 4)."""

_RATE = """
SELECT rate FROM exchange_rates
WHERE currency = $1 AND deleted_at IS NULL
ORDER BY date <= $2 DESC, abs(date - $2) LIMIT 1"""


def kept(amount: Decimal) -> Decimal:
    """The amount as it is stored, rounded half up to four places."""
    return amount.quantize(CENT, ROUND_HALF_UP)


async def rate(run: Database | Tx, currency: str, day: date, home: str) -> Decimal | None:
    """What one unit is worth at home: the newest rate up to `day`, else the first one after it, else None."""
    if currency == home:
        return Decimal(1)
    found: Decimal | None = await run.fetchval(_RATE, currency, day)
    return found


async def at_home(
    run: Database | Tx, amount: Decimal | None, currency: str | None, day: date, home: str
) -> Decimal | None:
    """`amount` in the home currency; None where there is no amount, or no rate for its currency."""
    if amount is None:
        return None
    factor = await rate(run, currency or home, day, home)
    return None if factor is None else kept(amount * factor)


async def convert(
    run: Database | Tx, amount: Decimal | None, currency: str, into: str, day: date, home: str
) -> Decimal | None:
    """`amount` of one currency in another, by way of the home currency; None where a rate is missing."""
    if amount is None or currency == into:
        return amount
    worth = await at_home(run, amount, currency, day, home)
    factor = await rate(run, into, day, home)
    return None if worth is None or factor is None else kept(worth / factor)
