"""How a cell of Salesforce becomes a value of ours, and back: each codec is a pair of pure functions.

`write(read(cell))` is the cell as we write it. Where that differs from the cell as it stood, the import keeps the cell, and
the export gives it back for as long as the value is what it was.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from service.importing.cells import slug
from service.importing.records import Ref


class Codec(msgspec.Struct, frozen=True, eq=False):
    """`read` raises `ValueError` with what is wrong; an empty cell is never read, and None is written as one."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


@lru_cache(4_096)
def _decimal(cell: str) -> Decimal:
    try:
        value = Decimal(cell.replace(",", ""))
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not value.is_finite() or abs(value.adjusted()) > 20:
        raise ValueError("is not a number of this size")
    return value


@lru_cache(4_096)
def plain(value: Any) -> str:
    """A number without needless zeros."""
    number = Decimal(str(value))
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(4_096)
def exactly(value: float) -> Decimal:
    """A number as it is written."""
    return Decimal(str(value))


@lru_cache(4_096)
def _share(cell: str) -> float:
    return float(_decimal(cell) / 100)


@lru_cache(4_096)
def _percent(value: float) -> str:
    return plain(round(exactly(value) * 100, 6))


def _whole(cell: str) -> int:
    value = _decimal(cell)
    if value != value.to_integral_value():
        raise ValueError("is not a whole number")
    return int(value)


def _bool(cell: str) -> bool:
    word = cell.lower()
    if word not in ("true", "false", "1", "0"):
        raise ValueError("is neither true nor false")
    return word in ("true", "1")


@lru_cache(4_096)
def _date(cell: str) -> date:
    try:
        return date.fromisoformat(cell[:10])
    except ValueError:
        raise ValueError("is not a date") from None


def _instant(cell: str) -> datetime:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError("is not an instant") from None
    if moment.tzinfo is UTC:
        return moment
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def instant_cell(value: datetime) -> str:
    """With milliseconds, as Salesforce writes them."""
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def same_id(cell: str) -> str:
    """An id of 15 signs as one of 18: three more say which letters are capitals."""
    if len(cell) != 15 or not cell.isalnum():
        return cell
    marks = "".join(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[sum(cell[start + n].isupper() << n for n in range(5))]
        for start in (0, 5, 10)
    )
    return cell + marks


def choice(words: Mapping[str, str], other: str | None = None) -> Codec:
    """Labels ↔ our words; the first label of a word is the one that is written. An unknown one is `other`."""
    ours = {slug(label): word for label, word in words.items()}
    labels: dict[str, str] = {}
    for label, word in words.items():
        labels.setdefault(word, label)

    def read(cell: str) -> str | None:
        return ours.get(slug(cell), other)

    return Codec(read, lambda value: labels.get(value, str(value).replace("_", " ").capitalize()))


TEXT = Codec(str, str)
NUMBER = Codec(_decimal, plain)
WHOLE = Codec(_whole, plain)
QUANTITY = Codec(lambda cell: float(_decimal(cell)), plain)
PERCENT = Codec(_share, _percent)
BOOL = Codec(_bool, lambda value: "true" if value else "false")
DATE = Codec(_date, lambda value: value.isoformat())
INSTANT = Codec(_instant, instant_cell)
MINUTES = Codec(lambda cell: _whole(cell) * 60, lambda value: plain(Decimal(value) / 60))
ID = Codec(same_id, lambda value: value.external_id if type(value) is Ref else str(value))

ACCOUNT_TYPE = choice({
    "Prospect": "prospect", "Customer": "customer", "Customer - Direct": "customer", "Customer - Channel": "customer",
    "Partner": "partner", "Channel Partner / Reseller": "partner", "Installation Partner": "partner",
    "Technology Partner": "partner", "Competitor": "competitor", "Former Customer": "former_customer",
})  # fmt: skip
DEAL_TYPE = choice({
    "New Business": "new_business", "New Customer": "new_business", "Existing Business": "expansion",
    "Existing Customer - Upgrade": "expansion", "Existing Customer - Replacement": "expansion",
    "Existing Customer - Downgrade": "expansion", "Expansion": "expansion", "Upsell": "expansion",
    "Renewal": "renewal", "Existing Customer - Renewal": "renewal",
})  # fmt: skip
LOSS_REASON = choice({
    "Price": "price", "Product": "product", "Lost to Competitor": "competitor", "Competitor": "competitor",
    "No Budget": "no_budget", "Lost to No Budget": "no_budget", "No Decision": "no_decision",
    "No Decision / Non-Responsive": "no_decision", "Timing": "timing", "Relationship": "relationship",
    "Disqualified": "disqualified", "Other": "other",
}, "other")  # fmt: skip
CATEGORY = choice({
    "Pipeline": "pipeline", "Best Case": "best_case", "BestCase": "best_case", "Most Likely": "best_case",
    "MostLikely": "best_case", "Commit": "commit", "Forecast": "commit", "Closed": "closed", "Omitted": "omitted",
})  # fmt: skip
LEAD_STATUS = choice({
    "Open - Not Contacted": "new", "New": "new", "Open": "new", "Working - Contacted": "working", "Working": "working",
    "Contacted": "working", "Nurturing": "nurturing", "Qualified": "qualified", "Closed - Converted": "converted",
    "Converted": "converted", "Closed - Not Converted": "unqualified", "Unqualified": "unqualified",
}, "new")  # fmt: skip
LEAD_SOURCE = choice({
    "Web": "web", "Website": "web", "Phone Inquiry": "inbound_call", "Inbound Call": "inbound_call",
    "Partner Referral": "partner", "Partner": "partner", "Employee Referral": "referral",
    "External Referral": "referral", "Referral": "referral", "Word of mouth": "referral", "Trade Show": "event",
    "Seminar - Internal": "event", "Seminar - Partner": "event", "Event": "event", "Purchased List": "outbound",
    "Outbound": "outbound", "Cold Call": "outbound", "Advertisement": "marketing", "Marketing": "marketing",
    "Public Relations": "marketing", "Other": "other",
}, "other")  # fmt: skip
RATING = choice({"Hot": "hot", "Warm": "warm", "Cold": "cold"})
ROLE = choice({
    "Economic Buyer": "economic_buyer", "Economic Decision Maker": "economic_buyer",
    "Decision Maker": "decision_maker", "Business User": "end_user", "End User": "end_user",
    "Champion": "champion", "Influencer": "influencer", "Evaluator": "technical_evaluator",
    "Technical Evaluator": "technical_evaluator", "Technical Buyer": "technical_evaluator",
    "Executive Sponsor": "executive_sponsor", "Procurement": "procurement", "Legal": "legal", "Other": "other",
}, "other")  # fmt: skip
DIRECTION = choice({"Outbound": "outbound", "Inbound": "inbound"})
TASK_STATUS = choice({
    "Completed": "completed", "Not Started": "planned", "In Progress": "planned",
    "Waiting on someone else": "planned", "Deferred": "canceled",
}, "planned")  # fmt: skip
TASK_TYPE = choice({
    "Task": "task", "Call": "call", "Email": "email", "List Email": "email", "Meeting": "meeting", "Demo": "demo",
}, "task")  # fmt: skip
EVENT_TYPE = choice({"Meeting": "meeting", "Demo": "demo", "Call": "call", "Email": "email"}, "meeting")

_COUNTRIES = {
    "United States": "US", "United States of America": "US", "USA": "US", "United Kingdom": "GB", "UK": "GB",
    "Germany": "DE", "France": "FR", "Italy": "IT", "Spain": "ES", "Portugal": "PT", "Netherlands": "NL",
    "Belgium": "BE", "Luxembourg": "LU", "Austria": "AT", "Switzerland": "CH", "Ireland": "IE", "Denmark": "DK",
    "Sweden": "SE", "Norway": "NO", "Finland": "FI", "Iceland": "IS", "Poland": "PL", "Czech Republic": "CZ",
    "Czechia": "CZ", "Slovakia": "SK", "Hungary": "HU", "Romania": "RO", "Bulgaria": "BG", "Greece": "GR",
    "Turkey": "TR", "Canada": "CA", "Mexico": "MX", "Brazil": "BR", "Argentina": "AR", "Chile": "CL", "Colombia": "CO",
    "Japan": "JP", "China": "CN", "India": "IN", "South Korea": "KR", "Korea": "KR", "Singapore": "SG",
    "Australia": "AU", "New Zealand": "NZ", "South Africa": "ZA", "Israel": "IL", "United Arab Emirates": "AE",
    "Kenya": "KE", "Jordan": "JO", "Panama": "PA", "Philippines": "PH", "Indonesia": "ID", "Malaysia": "MY",
    "Thailand": "TH", "Vietnam": "VN", "Taiwan": "TW", "Hong Kong": "HK", "Egypt": "EG", "Nigeria": "NG",
    "Saudi Arabia": "SA", "Ukraine": "UA", "Croatia": "HR", "Slovenia": "SI", "Estonia": "EE", "Latvia": "LV",
    "Lithuania": "LT",
}  # fmt: skip
_BY_NAME = {name.lower(): code for name, code in _COUNTRIES.items()}


def _country(cell: str) -> str | None:
    if len(cell) == 2 and cell.isascii() and cell.isalpha():
        return cell.upper()
    return _BY_NAME.get(cell.lower())


COUNTRY = Codec(_country, str)
