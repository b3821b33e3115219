"""Figures, dates and names as a person of a given locale and time zone reads them.

The sentences of the pages are English; separators, the place of the currency and the order of dates follow the
reader. Relative times carry the absolute one beside them.
"""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NARROW = "\u202f"
MINUS = "\u2212"
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CNY": "CN¥", "KRW": "₩", "BRL": "R$"}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
STEPS = ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "K"))
NEAR_DAYS = 183
POINT_GROUPED = frozenset({"de", "nl", "es", "it", "pt", "da", "tr", "id", "el"})
SPACE_GROUPED = frozenset({"fr", "sv", "nb", "no", "fi", "cs", "pl", "ru", "uk", "sk", "hu", "bg"})


def separators(locale: str) -> tuple[str, str]:
    """The signs between groups of thousands and before decimals: `de` → `("." , ",")`."""
    language, _, region = locale.replace("_", "-").partition("-")
    if language == "de" and region.upper() in ("CH", "LI"):
        return "’", "."
    if language in POINT_GROUPED:
        return ".", ","
    if language in SPACE_GROUPED:
        return NARROW, ","
    return ",", "."


def initials(name: str | None) -> str:
    """At most two letters: `Lena Koch` → `LK`."""
    parts = (name or "").split()
    return "".join(part[0] for part in (parts[:1] + parts[1:][-1:])).upper() or "–"


def plain(key: str | None) -> str:
    """A key as words: `no_budget` → `No budget`."""
    return (key or "").replace("_", " ").capitalize()


def joined(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 deal`, `14 deals`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def bytes_text(size: int | None) -> str:
    """`812 B`, `14 KB`, `3.2 MB`."""
    if size is None:
        return "–"
    for step, unit in ((1_000_000, "MB"), (1_000, "KB")):
        if size >= step:
            value = size / step
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size} B"


def _decimal(value: object) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def zone_of(name: str | None) -> ZoneInfo:
    """The zone of an IANA name; UTC for one that is unknown here."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


class Words:
    """How one reader sees figures and times, with `now` being the home's clock (a dormant home's stands still)."""

    def __init__(
        self, *, locale: str = "en-US", zone: str = "UTC", now: datetime | None = None, currency: str = "USD"
    ):
        self.locale = locale or "en-US"
        self.zone = zone_of(zone)
        self.now = (now or datetime.now(UTC)).astimezone(self.zone)
        self.currency = currency
        self.group, self.point = separators(self.locale)
        self.month_first = self.locale.lower().replace("_", "-") in ("en", "en-us", "en-ca")
        self.money_first = self.locale.startswith(("en", "ja", "zh", "nl"))

    # Figures

    def number(self, value: object, digits: int = 0) -> str:
        """A number with grouped thousands and `digits` decimals."""
        quantum = Decimal(1).scaleb(-digits)
        text = f"{abs(_decimal(value)).quantize(quantum, ROUND_HALF_EVEN):,f}"
        text = text.replace(",", "\0").replace(".", self.point).replace("\0", self.group)
        return (MINUS if _decimal(value) < 0 else "") + text

    def percent(self, fraction: object, digits: int = 0) -> str:
        """`0.618` → `62 %`; a chance that is neither 0 nor 1 is never shown as 0 or 100."""
        if fraction is None:
            return "–"
        value = _decimal(fraction) * 100
        shown = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        if digits == 0 and 0 < value < 1:
            return f"< 1{NARROW}%"
        if digits == 0 and 99 < value < 100:
            return f"> 99{NARROW}%"
        return f"{self.number(shown, digits)}{NARROW}%"

    def points(self, difference: object) -> str:
        """A difference of chances in points with its sign: `+4.2`."""
        value = _decimal(difference) * 100
        sign = "+" if value > 0 else ""
        return sign + self.number(value, 1 if abs(value) < Decimal("9.95") else 0)

    def money(self, amount: object, currency: str | None = None, *, compact: bool = False) -> str:
        """`12400` → `$12,400`; compact `$12.4K`. Nothing known: a dash."""
        if amount is None:
            return "–"
        value = _decimal(amount)
        text = self._compact(value) if compact else self.number(value, 0)
        symbol = SYMBOLS.get(currency or self.currency, currency or self.currency)
        if not self.money_first:
            return f"{text} {symbol}"
        gap = " " if len(symbol) > 2 and symbol.isalpha() else ""
        return f"{MINUS}{symbol}{gap}{text[1:]}" if text.startswith(MINUS) else f"{symbol}{gap}{text}"

    def _compact(self, value: Decimal) -> str:
        for step, letter in STEPS:
            if abs(value) >= step * Decimal("0.9995"):
                scaled = value / step
                digits = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
                text = self.number(scaled, digits)
                return (text.rstrip("0").rstrip(self.point) if digits else text) + letter
        return self.number(value, 0)

    # Times

    def day(self, day: date | datetime | None, *, year: bool | None = None) -> str:
        """`Dec 14` or `14 Dec`; with the year when that day is further than half a year."""
        if day is None:
            return "–"
        if isinstance(day, datetime):
            day = day.astimezone(self.zone).date()
        month = MONTHS[day.month - 1]
        text = f"{month} {day.day}" if self.month_first else f"{day.day} {month}"
        shown = abs((day - self.now.date()).days) > NEAR_DAYS if year is None else year
        return (f"{text}, {day.year}" if self.month_first else f"{text} {day.year}") if shown else text

    def instant(self, moment: datetime | None) -> str:
        """The absolute time, for hovering and for those who must be exact."""
        if moment is None:
            return "–"
        local = moment.astimezone(self.zone)
        return f"{self.day(local, year=True)}, {local:%H:%M} {local.tzname()}"

    def hour(self, moment: datetime) -> str:
        """`14:30`, by the reader's clock."""
        return f"{moment.astimezone(self.zone):%H:%M}"

    def ago(self, moment: datetime | None) -> str:
        """`3 h ago`, `in 2 days`, or the date when it is further than two weeks."""
        if moment is None:
            return "–"
        local = moment.astimezone(self.zone)
        seconds = (self.now - local).total_seconds()
        days = (self.now.date() - local.date()).days
        if 0 <= seconds < 60:
            return "just now"
        if 0 <= seconds < 3600:
            return f"{int(seconds // 60)} min ago"
        if 0 <= seconds < 86400 and days == 0:
            return f"{int(seconds // 3600)} h ago"
        return self._days(days) if abs(days) <= 14 else self.day(local)

    @staticmethod
    def _days(days: int) -> str:
        named = {0: "today", 1: "yesterday", -1: "tomorrow"}
        if days in named:
            return named[days]
        return f"{days} days ago" if days > 0 else f"in {-days} days"

    def overdue(self, day: date | None) -> bool:
        """Whether a date lies before today."""
        return day is not None and day < self.now.date()
