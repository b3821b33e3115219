"""Cells as people write them: dates with points or slashes, numbers with separators, yes and no, choices by their label."""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

YES = frozenset({"true", "yes", "y", "1", "x", "ja", "wahr", "oui", "si", "sí"})
NO = frozenset({"false", "no", "n", "0", "nein", "falsch", "non"})
_NUMBER = re.compile(r"[-+(]?[^\d(+-]{0,4}[-+]?\d[\d.,'\s\u00a0\u202f]*%?[^\d]{0,4}\)?")
_DATE = re.compile(r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:[ T](.+))?")
_NAMED = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y")


@cache
def slug(text: str) -> str:
    """A label as a choice is written: “New Business” → new_business."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def number(text: str) -> str:
    """A number with its separators and signs of currency removed; what is none comes back as it is."""
    bare = text.strip()
    if not _NUMBER.fullmatch(bare):
        return text
    negative = bare.startswith("(") and bare.endswith(")")
    digits = re.sub(r"[^\d.,\-]", "", bare)
    digits = _pointed(digits)
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return text
    return format(-value if negative else value, "f")


def _pointed(digits: str) -> str:
    """The last of `.` and `,` is the decimal point, unless it stands more than once or before exactly three digits alone."""
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0:
        return digits
    sign = digits[last]
    other = "," if sign == "." else "."
    tail = len(digits) - last - 1
    groups = digits.count(sign) > 1 or (sign == "," and other not in digits and tail == 3)
    if groups:
        return digits.replace(sign, "").replace(other, ".")
    return digits.replace(other, "").replace(sign, ".")


def boolean(text: str) -> str:
    word = text.strip().lower()
    return "true" if word in YES else "false" if word in NO else text


def order_of(samples: Iterable[str]) -> str | None:
    """Whether dates with slashes or points put the day first (`dmy`) or the month (`mdy`); None where both could be."""
    found = [match for text in samples if (match := _DATE.fullmatch(text.strip())) and len(match[1]) <= 2]
    if not found:
        return None
    if any(int(match[1]) > 12 for match in found) or all("." in match[0] for match in found):
        return "dmy"
    return "mdy" if any(int(match[2]) > 12 for match in found) else None


def date(text: str, order: str | None = None) -> str:
    """A date in ISO's form where it can be read one way only; what cannot comes back as it is, and is refused there."""
    bare = text.strip()
    match = _DATE.fullmatch(bare)
    if match is None:
        return _named(bare) or text
    first, second, third = match[1], match[2], match[3]
    if len(first) == 4:
        return f"{first}-{second:0>2}-{third:0>2}"
    order = order or order_of([bare])
    if order is None or len(third) == 3:
        return text
    day, month = (first, second) if order == "dmy" else (second, first)
    year = third if len(third) == 4 else f"20{third:0>2}"
    return f"{year}-{month:0>2}-{day:0>2}"


def _named(text: str) -> str | None:
    if not re.search(r"[A-Za-z]{3}", text):
        return None
    for form in _NAMED:
        try:
            return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007  # a day, not an instant
        except ValueError:
            continue
    return None


def instant(text: str, order: str | None = None) -> str:
    """An instant in RFC 3339's form; a day is its beginning, and without a zone it is UTC."""
    bare = text.strip()
    match = _DATE.fullmatch(bare)
    day = date(f"{match[1]}/{match[2]}/{match[3]}" if match else bare, order)
    clock = (match[4] or "").strip() if match else ""
    try:
        moment = datetime.fromisoformat(f"{day}T{_clock(clock)}" if clock else day)
    except ValueError:
        return text
    return moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}+00:00"


def _clock(text: str) -> str:
    half = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp])\.?[Mm]\.?", text)
    if half:
        hour = int(half[1]) % 12 + (12 if half[4] in "Pp" else 0)
        return f"{hour:02}:{half[2]}:{half[3] or '00'}"
    clock = re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", text.replace("Z", "+00:00").replace(" ", ""))
    return clock if re.match(r"\d{2}:", clock) else f"0{clock}"


def convert(kind: str, cell: Any, order: str | None = None, choices: frozenset[str] = frozenset()) -> Any:
    """A cell as a field of `kind` takes it; what cannot be read stays, so that the shape refuses it in its own words."""
    if not isinstance(cell, str):
        return cell
    match kind:
        case "number" | "integer":
            return number(cell)
        case "fraction":
            return _fraction(cell)
        case "boolean":
            return boolean(cell)
        case "date":
            return date(cell, order)
        case "instant":
            return instant(cell, order)
        case "choice":
            return cell if cell in choices or slug(cell) not in choices else slug(cell)
        case "currency":
            return cell.strip().upper()
        case "list":
            return [part.strip() for part in re.split(r"[;|]", cell) if part.strip()]
        case _:
            return cell


def _fraction(cell: str) -> str:
    value = number(cell)
    try:
        return str(float(value) / 100) if cell.strip().endswith("%") or float(value) > 1 else value
    except ValueError:
        return cell
