"""Labels: what became of whom, as definitions, each with the instant from which on its outcome counts as known.

An outcome within so many days is known when those days have passed, not before: an early win of an interval that has not
ended would be kept where an early silence is not, and make a young company look better than it is. A close counts from
when it was known, not from the day that it states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from features.facts import DAY, Array, instant, moment
from features.reading import Fetch, Spine
from features.spec import SPINES

_FATES = """
WITH spine AS ({spine})
SELECT s.pair, o.status, {amount} AS amount, max(h.from_at) AS since
FROM spine s
JOIN known.{table} o ON o.id = s.entity_id AND o.from_at <= $4 AND $4 < o.to_at
LEFT JOIN known.{table} h ON h.id = o.id AND h.from_at <= o.from_at AND h.status = o.status AND NOT EXISTS (
    SELECT 1 FROM known.{table} b WHERE b.id = h.id AND b.status = h.status AND b.from_at < b.to_at
        AND (b.from_at, b.version) < (h.from_at, h.version) AND b.to_at = h.from_at)
WHERE NOT o.is_deleted
GROUP BY s.pair, o.status, 3"""

TABLES = {"opportunity": "opportunities", "lead": "leads"}


@dataclass(frozen=True)
class Fates:
    """How records stand at the end of what is known: status, since when without a break, amount (deals)."""

    status: Array
    since: Array
    """In microseconds; a close counts from when it was known, not from the day that it states."""
    amount: Array

    def take(self, rows: Array) -> "Fates":
        """Those of some records, in their order, as often as they are named."""
        return Fates(self.status[rows], self.since[rows], self.amount[rows])

    @property
    def is_won(self) -> Array:
        found: Array = self.status == "won"
        return found

    @property
    def closed_at(self) -> Array:
        """Since when a deal is closed; NaN while it is open."""
        return np.where(np.isin(self.status, DEAL_ENDS), self.since, np.nan)


DEAL_ENDS, LEAD_ENDS = ("won", "lost"), ("converted", "unqualified")


@dataclass(frozen=True)
class Label:
    """A named outcome. `days` is its maturity: None where it is known once the record has ended, whenever that is."""

    name: str
    entity: str
    meaning: str
    days: float | None
    value: Callable[[Fates, Array], Array]
    """From the fates and the instants of the looks: the outcome, as if all were known."""
    ends: tuple[str, ...]

    def of(self, fates: Fates, as_of: Array, until: float) -> Array:
        """The outcome of each look by what is known at `until`; NaN where it has not matured yet, or where the look came
        after the end. Instants in microseconds."""
        ended = np.isin(fates.status, self.ends)
        late = ended & (fates.since <= as_of)
        known = ended if self.days is None else (as_of + self.days * DAY <= until) & (fates.status != "")
        return np.where(known & ~late, self.value(fates, as_of), np.nan)


def _within(status: str, days: float) -> Callable[[Fates, Array], Array]:
    def value(fates: Fates, as_of: Array) -> Array:
        found: Array = (fates.status == status) & (fates.since <= as_of + days * DAY)
        return found.astype(np.float64)

    return value


def _at_last(fates: Fates, as_of: Array) -> Array:
    return np.asarray(fates.status == "won", dtype=np.float64)


def _final_amount(fates: Fates, as_of: Array) -> Array:
    return np.where(fates.status == "won", fates.amount, np.nan)


def won_within(days: float) -> Label:
    """Won within so many days, known once they have passed."""
    name, words = f"won_{days:g}d", f"Won within {days:g} days."
    return Label(name, "opportunity", words, float(days), _within("won", days), DEAL_ENDS)


def converted_within(days: float) -> Label:
    """Converted within so many days, known once they have passed."""
    name, words = f"converted_{days:g}d", f"Converted within {days:g} days."
    return Label(name, "lead", words, float(days), _within("converted", days), LEAD_ENDS)


WON_AT_LAST = Label("won_at_last", "opportunity", "Won in the end.", None, _at_last, DEAL_ENDS)
FINAL_AMOUNT = Label(
    "final_amount", "opportunity", "Amount when it was won, in home currency.", None, _final_amount, DEAL_ENDS
)

LABELS: dict[str, Label] = {
    one.name: one
    for one in (
        *(won_within(days) for days in (30, 60, 90)),
        WON_AT_LAST,
        FINAL_AMOUNT,
        *(converted_within(days) for days in (30, 60, 90)),
    )
}


async def labels_of(
    fetch: Fetch, names: Sequence[str], entity: str, spine: Spine, until: float
) -> dict[str, Array]:
    """Each label of each pair by what is known at `until` (microseconds); NaN where it has not matured yet, or where
    the look came after the end. Raises KeyError for a label that the entity does not have."""
    wanted = [LABELS[name] for name in names]
    if not wanted:
        return {}
    for label in wanted:
        if label.entity != entity:
            raise KeyError(label.name)
    fates = await fates_of(fetch, entity, spine, until)
    return {label.name: label.of(fates, spine.as_of, until) for label in wanted}


async def fates_of(fetch: Fetch, entity: str, spine: Spine, until: float) -> Fates:
    """How each pair's record stands by what is known at `until` (microseconds)."""
    amount_of = "o.amount" if entity == "opportunity" else "NULL::numeric"
    sql = _FATES.format(spine=SPINES["postgresql"], table=TABLES[entity], amount=amount_of)
    size = len(spine)
    status, since, amount = np.full(size, "", dtype=object), np.full(size, np.nan), np.full(size, np.nan)
    for pair, was, worth, at in await fetch(sql, *spine.parameters(), moment(until)):
        status[pair - 1], since[pair - 1] = was, instant(at)
        amount[pair - 1] = np.nan if worth is None else float(worth)
    return Fates(status.astype(np.str_), since, amount)
