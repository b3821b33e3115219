"""Figures and dates as people of several locales read them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from service.web.words import MINUS, NARROW, Words, count, initials, joined

NOW = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)


def words(locale: str = "en-US", zone: str = "UTC") -> Words:
    return Words(locale=locale, zone=zone, now=NOW)


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ("en-US", "$1,240,000"),
        ("de", "1.240.000 $"),
        ("de-CH", "1’240’000 $"),
        ("fr", f"1{NARROW}240{NARROW}000 $"),
    ],
)
def test_money_follows_the_reader(locale: str, shown: str) -> None:
    assert words(locale).money(Decimal("1240000.4"), "USD") == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("999", "$999"),
        ("999.6", "$1K"),
        ("12400", "$12.4K"),
        ("842000", "$842K"),
        ("1240000", "$1.24M"),
        ("1200000", "$1.2M"),
        ("-1240000", f"{MINUS}$1.24M"),
        ("0", "$0"),
    ],
)
def test_compact_money_keeps_three_figures(amount: str, shown: str) -> None:
    assert words().money(Decimal(amount), "USD", compact=True) == shown


def test_unknown_amounts_are_a_dash_and_other_currencies_keep_their_name() -> None:
    assert words().money(None) == "–"
    assert words().money(1200, "CHF") == "CHF 1,200"
    assert words().money(1200, "EUR") == "€1,200"


@pytest.mark.parametrize(
    ("chance", "shown"),
    [
        (0.618, f"62{NARROW}%"),
        (0.005, f"< 1{NARROW}%"),
        (0.996, f"> 99{NARROW}%"),
        (0, f"0{NARROW}%"),
        (1, f"100{NARROW}%"),
    ],
)
def test_a_chance_of_an_open_deal_is_never_shown_as_certain(chance: float, shown: str) -> None:
    assert words().percent(chance) == shown


def test_points_carry_their_sign() -> None:
    assert words().points(0.042) == "+4.2"
    assert words().points(-0.031) == f"{MINUS}3.1"
    assert words().points(0.14) == "+14"


def test_days_stand_in_the_readers_order_and_name_the_year_only_when_it_is_far() -> None:
    assert words().day(date(2026, 12, 14)) == "Dec 14"
    assert words("en-GB").day(date(2026, 12, 14)) == "14 Dec"
    assert words().day(date(2027, 12, 14)) == "Dec 14, 2027"
    assert words().day(None) == "–"


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=13), "yesterday"),
        (timedelta(days=6), "6 days ago"),
        (timedelta(days=-2), "in 2 days"),
        (timedelta(days=40), "Oct 15"),
    ],
)
def test_times_are_relative_while_that_is_clearer(step: timedelta, shown: str) -> None:
    assert words().ago(NOW - step) == shown


def test_the_absolute_time_is_in_the_readers_zone() -> None:
    assert words(zone="America/New_York").instant(NOW) == "Nov 24, 2026, 06:00 EST"
    assert words(zone="No/Where").instant(NOW) == "Nov 24, 2026, 11:00 UTC"


def test_names_and_counts() -> None:
    assert [initials(name) for name in ("Lena Koch", "Plato", "Ana de la Cruz", "", None)] == [
        "LK",
        "P",
        "AC",
        "–",
        "–",
    ]
    assert count(1, "deal") == "1 deal"
    assert count(3, "deal") == "3 deals"
    assert joined(["a", "b", "c"]) == "a, b and c"
