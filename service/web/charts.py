"""Geometry of the small charts: figures in, SVG numbers out. The templates draw, nothing here knows HTML."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

import msgspec


class Spark(msgspec.Struct, frozen=True, kw_only=True):
    """A history of chances as a line; `low` and `high` are the ends of the scale, fractions."""

    line: str
    area: str
    x: float
    y: float
    low: float
    high: float
    first: datetime
    last: datetime


def spark(points: Sequence[tuple[datetime, float]], width: float = 220, height: float = 52) -> Spark | None:
    """A step line: a chance holds until the next score. None for fewer than two points."""
    if len(points) < 2:
        return None
    start, end = points[0][0], points[-1][0]
    span = (end - start).total_seconds() or 1.0
    low, high = _rounded_ends([chance for _, chance in points])
    steps: list[str] = []
    x = y = previous = 0.0
    for index, (moment, chance) in enumerate(points):
        x = (moment - start).total_seconds() / span * width
        y = height - (chance - low) / (high - low) * height
        steps.append(f"M{x:.1f} {y:.1f}" if index == 0 else f"L{x:.1f} {previous:.1f}L{x:.1f} {y:.1f}")
        previous = y
    line = "".join(steps)
    area = f"{line}L{width:.1f} {height:.1f}L0 {height:.1f}Z"
    return Spark(line=line, area=area, x=x, y=y, low=low, high=high, first=start, last=end)


def _rounded_ends(values: Sequence[float]) -> tuple[float, float]:
    """The scale, in steps of .1, at least .2 wide, so that noise does not look like a fall."""
    low, high = int(min(values) * 10) / 10, -int(-max(values) * 10 - 0.999) / 10
    if high - low < 0.2:
        low, high = max(0.0, low - 0.1), min(1.0, high + 0.1)
    return low, high


class ReasonBar(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the walk from the base value to the chance, in units of the chart's width."""

    x: float
    width: float
    edge: float
    """Where the step ends."""


def reason_bars(base: float, effects: Sequence[float], width: float = 168) -> tuple[float, list[ReasonBar]]:
    """The place of the base value, and for each effect in turn the bar from where the last one ended."""
    marks = [base]
    for effect in effects:
        marks.append(marks[-1] + effect)
    low, high = min(marks), max(marks)
    room = max((high - low) * 0.06, 0.01)
    scale = width / (high - low + 2 * room)
    places = [(mark - low + room) * scale for mark in marks]
    bars = [
        ReasonBar(x=min(before, after), width=max(abs(after - before), 1.0), edge=after)
        for before, after in pairwise(places)
    ]
    return places[0], bars


class Fan(msgspec.Struct, frozen=True, kw_only=True):
    """The period as a chart: closed to date, then the band to its end, against the quota. Heights are from above."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    closed: str
    band: str
    middle: str
    today: float | None
    """None for a period that is over or has not begun."""
    quota: float | None
    ends: tuple[float, float, float] | None
    """Where P10, P50 and P90 end."""
    ticks: list[tuple[float, float]]
    """(y, value)"""
    days: list[tuple[float, date]]
    """(x, first day of a month)"""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What a fan is drawn from. Times are days since the period began; amounts are running sums."""

    start: date
    days: int
    today: float
    closed: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float, float]]
    """(day, P10, P50, P90)"""
    quota: float | None = None


def fan(course: Course, *, width: float = 960, height: float = 280) -> Fan:
    """Places a course on a canvas of this size."""
    left, right, top, bottom = 8.0, width - 92, 16.0, height - 24
    sums = [amount for _, amount in course.closed] or [0.0]
    ceiling, step = _scale(max([*sums, course.quota or 0.0, *(row[3] for row in course.band)]))

    def x(day: float) -> float:
        return left + min(max(day / course.days, 0.0), 1.0) * (right - left)

    def y(amount: float) -> float:
        return bottom - amount / ceiling * (bottom - top)

    now = x(course.today)
    is_running = 0 < course.today < course.days
    band = [(x(day), y(low), y(middle), y(high)) for day, low, middle, high in course.band]
    return Fan(
        width=width, height=height, left=left, right=right, top=top, bottom=bottom,
        closed=_steps([(x(day), y(amount)) for day, amount in course.closed], y(0.0), left, now),
        band=_outline(band), middle=_line([(place, middle) for place, _, middle, _ in band]),
        today=now if is_running else None, quota=None if course.quota is None else y(course.quota),
        ends=(band[-1][1], band[-1][2], band[-1][3]) if band else None,
        ticks=[(y(step * index), step * index) for index in range(int(ceiling / step) + 1)],
        days=[(x((day - course.start).days), day) for day in _months(course.start, course.days)],
    )  # fmt: skip


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(points))


def _outline(band: Sequence[tuple[float, float, float, float]]) -> str:
    """The upper edge there and the lower edge back."""
    edges = [(x, high) for x, _, _, high in band] + [(x, low) for x, low, _, _ in reversed(band)]
    return f"{_line(edges)}Z" if edges else ""


def _steps(points: Sequence[tuple[float, float]], floor: float, left: float, now: float) -> str:
    path, height = f"M{left:.1f} {floor:.1f}", floor
    for place, value in points:
        path += f"L{place:.1f} {height:.1f}L{place:.1f} {value:.1f}"
        height = value
    return f"{path}L{now:.1f} {height:.1f}"


def _scale(highest: float) -> tuple[float, float]:
    """A round ceiling above `highest` and the step of its three to six ticks."""
    if highest <= 0:
        return 1.0, 1.0
    magnitude = 10.0 ** (len(str(int(highest))) - 1)
    for factor in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5):
        step = magnitude * factor
        if highest * 1.05 / step <= 5:
            return step * (int(highest * 1.05 / step) + 1), step
    return magnitude * 10, magnitude * 2.5


def _months(start: date, days: int) -> list[date]:
    first, found = start.replace(day=1), []
    while first < start + timedelta(days=days):
        if first >= start:
            found.append(first)
        first = (first + timedelta(days=32)).replace(day=1)
    return found[:: max(1, len(found) // 6)]


def spread_labels(places: Sequence[float], gap: float = 14) -> list[float]:
    """The places of labels moved apart until none covers another; order is kept."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [float(place) for place in places]
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved
