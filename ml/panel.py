"""Deals looked at again and again: one row for each deal and instant, and what became of it within a week."""

from dataclasses import dataclass

import numpy as np

from ml.frame import Bools, Floats, Frame, Ints

WON, LOST = -1, -2
"""What `outcome` holds for a deal that was closed within the week; otherwise the open stage that it was in at its
end."""
WEEK = 7.0


@dataclass(frozen=True)
class Panel:
    """Rows (deal, instant) with the features of that instant.

    `deal` numbers the deals; `at` is the instant in float days since 1970-01-01; `stage` the open stage then;
    `outcome` the stage seven days later, or WON or LOST. A row counts only when its week had ended by `known_to`,
    the instant up to when anything is known: keeping early closes of an unfinished week would make young companies
    look quick.
    """

    deal: Ints
    at: Floats
    stage: Ints
    frame: Frame
    outcome: Ints
    known_to: float = np.inf

    def __post_init__(self) -> None:
        if not len(self.deal) == len(self.at) == len(self.stage) == len(self.frame) == len(self.outcome):
            raise ValueError("the columns of a panel differ in length")
        if np.any(self.at + WEEK > self.known_to + 1e-9):
            raise ValueError("a panel holds a week that had not ended: use known_by")

    def __len__(self) -> int:
        return len(self.deal)

    def take(self, rows: Ints | Bools) -> "Panel":
        """Some rows; what is known stays as it is."""
        frame = self.frame.take(rows)
        return Panel(
            self.deal[rows], self.at[rows], self.stage[rows], frame, self.outcome[rows], self.known_to
        )

    def known_by(self, instant: float) -> "Panel":
        """The rows whose week had ended by an instant, as somebody would have had them then."""
        kept = self.take(self.at + WEEK <= instant)
        return Panel(kept.deal, kept.at, kept.stage, kept.frame, kept.outcome, min(instant, self.known_to))

    @property
    def end(self) -> float:
        """Up to when anything is known: `known_to`, or the end of the last week."""
        return float(min(self.known_to, self.at.max() + WEEK)) if len(self) else -np.inf

    @property
    def moved(self) -> Bools:
        """Whether the deal went to another stage, or was won."""
        mask: Bools = (self.outcome != LOST) & (self.outcome != self.stage)
        return mask

    @property
    def lost(self) -> Bools:
        """Whether the deal was lost within the week."""
        mask: Bools = self.outcome == LOST
        return mask

    def fates(self, weeks: int) -> tuple[Floats, Bools]:
        """What became of each row's deal within `weeks`: (1 won, 0 lost, NaN still open; whether that is known
        yet)."""
        closed_at, fate = self._closes()
        in_time = closed_at <= self.at + WEEK * weeks + 1e-9
        return np.where(in_time, fate, np.nan), self.at + WEEK * weeks <= self.end + 1e-9

    def at_last(self) -> tuple[Floats, Bools]:
        """The final fate of each row's deal and whether it has one yet."""
        closed_at, fate = self._closes()
        return fate, np.isfinite(closed_at)

    def _closes(self) -> tuple[Floats, Floats]:
        """When each row's deal was closed at the latest, and how; inf and NaN where it was not."""
        rows = np.flatnonzero(self.outcome < 0)
        rows = rows[np.argsort(-self.at[rows], kind="stable")]
        deals, place = np.unique(self.deal, return_inverse=True)
        closed_at, fate = np.full(len(deals), np.inf), np.full(len(deals), np.nan)
        closed_at[place[rows]] = self.at[rows] + WEEK
        fate[place[rows]] = (self.outcome[rows] == WON).astype(np.float64)
        return closed_at[place], fate[place]
