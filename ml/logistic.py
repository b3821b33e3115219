"""Logistic regression that knows groups: one shared line, and by stage as much of its own as the data carry.

Columns are unfolded into a basis before the fit: words into indicators, few whole numbers into indicators and a line,
other numbers into a line with bends at quartiles; a missing value is its own indicator and otherwise stands at the
mean. Lines are standardised, indicators are not: there the ridge is the precision of a random effect, so rare words
stay small. The ridge is chosen on the newest fifth of the rows. Newton's method; no randomness at all.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ml.estimator import Classifier, sigmoid
from ml.frame import Bools, Floats, Frame, times

RIDGE, PULL = 30.0, 1000.0
"""What serves unless the newest rows clearly ask for another: a column is then worth about a fifth in log odds."""
RIDGES, PULLS = (3.0, 30.0, 300.0), (100.0, 1000.0)
INTERCEPT = 0.3
FEWEST = 25
"""An indicator needs that many rows."""
KEPT_ROWS = 1_000
"""Rows that are unfolded once for several questions."""


@dataclass(eq=False)
class Logistic(Classifier):
    """Ridge logistic regression, by `by` (a category, for instance the stage) drawn towards the pooled fit.

    `ridge`: how strongly coefficients of standardised columns are drawn to 0; None chooses. `monotone` maps a column
    to +1 or -1: the chance never falls (rises) as it grows. `prior`: the chance that a handful of rows lean on.
    """

    tier = "logistic"
    by: str | None = None
    ridge: float | None = None
    pull: float | None = None
    prior: float = 0.5
    monotone: dict[str, int] = field(default_factory=dict)
    columns_: tuple[str, ...] = field(init=False, repr=False)
    words_: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    basis_: list[dict[str, object]] = field(init=False, repr=False)
    pooled_: Floats = field(init=False, repr=False)
    groups_: Floats = field(init=False, repr=False)
    ridge_: float = field(init=False, repr=False)
    pull_: float = field(init=False, repr=False)

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        self.columns_ = tuple(sorted(name for name in frame.columns if name != self.by))
        self.words_ = {name: of for name, of in frame.words.items() if name in (*self.columns_, self.by)}
        given = frame.only(self.columns_, self.words_)
        self.__dict__.pop("_kept", None)
        self.basis_ = [
            unfolding(given.values[:, j], name, len(self.words_.get(name, ())), name in self.monotone)
            for j, name in enumerate(self.columns_)
        ]
        matrix, group = self._matrix(frame), self._group(frame)
        signs, worth = self._signs(), np.ones(len(outcome)) if weight is None else weight
        self.ridge_, self.pull_ = self.ridge or RIDGE, self.pull or PULL
        if self.ridge is None or (self.by is not None and self.pull is None):
            self.ridge_, self.pull_ = self._strengths(matrix, group, outcome, at, signs, worth)
        start, weights = self._start(matrix.shape[1]), self._weights(self.ridge_)
        self.pooled_ = newton(matrix, outcome, start, weights, signs, worth=worth)
        self.groups_ = self._by_group(matrix, group, outcome, self.pooled_, self.pull_, signs, worth)
        return self

    def margin(self, frame: Frame) -> Floats:
        return self._own_margin(self._matrix(frame), self._group(frame), self.pooled_, self.groups_)

    def margins(self, frame: Frame, column: str, size: int) -> Floats:
        """For the groups' own category the rows are unfolded once."""
        if column != self.by or len(self.groups_) < size:
            return super().margins(frame, column, size)
        return times(self._matrix(frame), self.groups_[:size].T)

    def terms(self, frame: Frame) -> tuple[Floats, Floats]:
        """The margin taken apart: (intercepts (n,), contributions (n, columns_)); their sum is the margin exactly."""
        parts = self._matrix(frame) * self._coefficients(frame)
        return parts[:, 0], np.add.reduceat(parts[:, 1:], self._starts(), axis=1)

    @property
    def strengths(self) -> dict[str, Any]:
        return {"ridge": self.ridge_, "pull": self.pull_}

    def _matrix(self, frame: Frame) -> Floats:
        """The unfolded rows. The last ones are kept: the roll-forward asks about the same rows once for every stage."""
        values = frame.only(self.columns_, self.words_).values
        key = values.tobytes() if len(values) <= KEPT_ROWS else None
        kept = self.__dict__.get("_kept")
        if key is not None and kept is not None and kept[0] == key:
            last: Floats = kept[1]
            return last
        blocks = [unfolded(values[:, j], basis) for j, basis in enumerate(self.basis_)]
        matrix = np.hstack([np.ones((len(values), 1)), *blocks])
        if key is not None:
            self.__dict__["_kept"] = (key, matrix)
        return matrix

    def _start(self, size: int) -> Floats:
        """Coefficients before the first row: the prior chance, and nothing that changes it."""
        return np.array([np.log(self.prior / (1 - self.prior)), *np.zeros(size - 1)])

    def _starts(self) -> list[int]:
        widths = [_width(basis) for basis in self.basis_]
        return [0, *np.cumsum(widths)[:-1].tolist()]

    def _signs(self) -> Floats:
        signs = [0.0]
        for name, basis in zip(self.columns_, self.basis_, strict=True):
            own = np.zeros(_width(basis))
            own[0] = self.monotone.get(name, 0)
            signs.extend(own)
        return np.array(signs)

    def _weights(self, ridge: float) -> Floats:
        return np.array([INTERCEPT, *np.full(sum(_width(basis) for basis in self.basis_), ridge)])

    def _group(self, frame: Frame) -> Floats:
        if self.by is None:
            return np.full(len(frame), np.nan)
        return frame.only([self.by], self.words_).values[:, 0]

    def _size(self, group: Floats) -> int:
        if self.by is None:
            return 0
        return len(self.words_.get(self.by, ())) or int(np.nanmax(group, initial=-1)) + 1

    def _coefficients(self, frame: Frame) -> Floats:
        group = self._group(frame)
        known = np.isfinite(group) & (group >= 0) & (group < len(self.groups_))
        if not len(self.groups_):
            return np.broadcast_to(self.pooled_, (len(frame), len(self.pooled_)))
        own = self.groups_[np.where(known, group, 0).astype(np.int64)]
        return np.where(known[:, None], own, self.pooled_)

    def _by_group(
        self,
        matrix: Floats,
        group: Floats,
        outcome: Floats,
        pooled: Floats,
        pull: float,
        signs: Floats,
        worth: Floats,
    ) -> Floats:
        coefficients = np.tile(pooled, (self._size(group), 1))
        weights = self._weights(pull)
        weights[0] = 1.0
        for code in range(len(coefficients)):
            here = group == code
            if here.any():
                coefficients[code] = newton(
                    matrix[here], outcome[here], pooled, weights, signs, worth=worth[here]
                )
        return coefficients

    def _strengths(
        self, matrix: Floats, group: Floats, outcome: Floats, at: Floats | None, signs: Floats, worth: Floats
    ) -> tuple[float, float]:
        """Ridge and pull: the usual ones, unless the newest rows speak for others beyond their own noise."""
        early = earlier(len(outcome), at)
        if early.all() or outcome[early].sum() < 10:
            return self.ridge or RIDGE, self.pull or PULL
        learn, judge = (matrix[early], outcome[early], worth[early]), (matrix[~early], outcome[~early])
        start = centre = self._start(matrix.shape[1])
        lines, losses = {}, {}
        for ridge in [self.ridge] if self.ridge is not None else sorted(RIDGES, reverse=True):
            start = newton(learn[0], learn[1], start, self._weights(ridge), signs, centre, learn[2])
            lines[ridge], losses[ridge] = start, row_losses(judge[0] @ start, judge[1])
        ridge = preferred(losses, self.ridge or RIDGE)
        losses = {}
        for pull in [self.pull or PULL] if self.by is None or self.pull is not None else PULLS:
            own = self._by_group(learn[0], group[early], learn[1], lines[ridge], pull, signs, learn[2])
            margin = self._own_margin(judge[0], group[~early], lines[ridge], own)
            losses[pull] = row_losses(margin, judge[1])
        return ridge, preferred(losses, self.pull or PULL)

    def _own_margin(self, matrix: Floats, group: Floats, pooled: Floats, groups: Floats) -> Floats:
        """The margin with each group's own coefficients; the pooled ones where the group is unknown."""
        total = times(matrix, pooled)
        for code in np.unique(group[np.isfinite(group)]):
            if 0 <= code < len(groups):
                total[group == code] = times(matrix[group == code], groups[int(code)])
        return total


def row_losses(margin: Floats, outcome: Floats) -> Floats:
    """The log loss of each row, from log odds."""
    losses: Floats = np.logaddexp(0.0, margin) - outcome * margin
    return losses


def preferred(losses: dict[float, Floats], usual: float) -> float:
    """The usual strength, unless another's mean loss is lower by more than two standard errors of the difference (rows
    of one deal go together, so one would be too few)."""
    if usual not in losses:
        return next(iter(losses))
    best, gain = usual, 0.0
    for strength, rows in losses.items():
        gap = losses[usual] - rows
        sure = float(gap.mean()) - 2 * float(gap.std()) / max(len(gap), 1) ** 0.5
        if sure > 0 and float(gap.mean()) > gain:
            best, gain = strength, float(gap.mean())
    return best


def earlier(n: int, at: Floats | None, share: float = 0.8) -> Bools:
    """All but the newest fifth of the rows; whole instants stay together. Without instants, the order is time."""
    if n < 50:
        return np.ones(n, dtype=bool)
    when = np.arange(n, dtype=np.float64) if at is None else at
    mask: Bools = when <= np.quantile(when, share)
    return mask


def newton(
    matrix: Floats,
    outcome: Floats,
    start: Floats,
    weights: Floats,
    signs: Floats,
    prior: Floats | None = None,
    worth: Floats | None = None,
    steps: int = 30,
) -> Floats:
    """Minimise worth · log loss + Σ weights · (coefficient - prior)² / 2 from `start`, which is the prior unless one
    is given. Where `signs` is not 0 a coefficient of the other sign is set to 0 and the rest fitted again."""
    centre = start if prior is None else prior
    free = np.ones(len(start), dtype=bool)
    worth = np.ones(len(outcome)) if worth is None else worth
    coefficients = start.copy()
    for _ in range(4):
        coefficients[~free] = 0.0
        coefficients = _newton(matrix, outcome, worth, coefficients, centre, weights, free, steps)
        wrong = free & (signs * coefficients < 0)
        if not wrong.any():
            return coefficients
        free &= ~wrong
    coefficients[signs * coefficients < 0] = 0.0
    return coefficients


def _newton(
    matrix: Floats,
    outcome: Floats,
    worth: Floats,
    start: Floats,
    centre: Floats,
    weights: Floats,
    free: Bools,
    steps: int,
) -> Floats:
    coefficients, used = start.copy(), matrix if free.all() else matrix[:, free]
    best = _objective(matrix, outcome, worth, coefficients, centre, weights)
    for _ in range(steps):
        chance = sigmoid(matrix @ coefficients)
        gradient = (matrix.T @ (worth * (chance - outcome)) + weights * (coefficients - centre))[free]
        scaled = used * np.sqrt(worth * chance * (1 - chance))[:, None]
        curvature = scaled.T @ scaled + np.diag(weights[free])  # of one array: half the work
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while True:
            moved = coefficients.copy()
            moved[free] -= size * step
            value = _objective(matrix, outcome, worth, moved, centre, weights)
            if value <= best or size < 1e-4:
                break
            size /= 2
        done = best - value < 1e-7 * (1 + abs(value))
        coefficients, best = (moved, value) if value <= best else (coefficients, best)
        if done:
            break
    return coefficients


def _objective(
    matrix: Floats, outcome: Floats, worth: Floats, coefficients: Floats, centre: Floats, weights: Floats
) -> float:
    margin = matrix @ coefficients
    misfit = np.sum(worth * (np.logaddexp(0.0, margin) - outcome * margin))
    return float(misfit + 0.5 * np.sum(weights * (coefficients - centre) ** 2))


def unfolding(values: Floats, name: str, words: int, is_plain: bool) -> dict[str, object]:
    """How a column becomes a basis: everything `unfolded` needs, learned from the column's values."""
    known = values[np.isfinite(values)]
    if words:
        counts = [int(np.sum(known == code)) for code in range(words)]
        kept = [float(code) for code, count in enumerate(counts) if count >= FEWEST]
        return _centred({"kind": "words", "levels": kept, "name": name}, values)
    if not len(known):
        return {"kind": "nothing", "name": name, "means": [0.0], "scales": [1.0]}
    low, high = (float(x) for x in np.quantile(known, [0.005, 0.995]))
    basis: dict[str, object] = {
        "kind": "number",
        "name": name,
        "low": low,
        "high": high,
        "bends": [],
        "levels": [],
    }
    levels, many = np.unique(known, return_counts=True)
    if not is_plain and 2 < len(levels) <= 16 and np.all(levels == np.round(levels)):
        basis["levels"] = [float(level) for level, count in zip(levels, many, strict=True) if count >= FEWEST]
    elif not is_plain and len(levels) > 2:
        bends = np.unique(np.quantile(known, [0.25, 0.5, 0.75, 0.9]))
        basis["bends"] = [float(bend) for bend in bends if low < bend < high]
    basis["is_missing"] = bool(len(values) - len(known) >= FEWEST) and not is_plain
    return _centred(basis, values)


def unfolded(values: Floats, basis: dict[str, object]) -> Floats:
    """The basis of a column, (n, width), standardised; a missing number stands at the mean."""
    raw = _raw(values, basis)
    means, scales = (
        np.asarray(basis["means"], dtype=np.float64),
        np.asarray(basis["scales"], dtype=np.float64),
    )
    scaled: Floats = np.where(np.isfinite(raw), (raw - means) / scales, 0.0)
    return scaled


def _raw(values: Floats, basis: dict[str, object]) -> Floats:
    levels = np.asarray(basis.get("levels", []), dtype=np.float64)
    if basis["kind"] == "nothing":
        return np.zeros((len(values), 1))
    if basis["kind"] == "words":
        return (values[:, None] == levels).astype(np.float64) if len(levels) else np.zeros((len(values), 1))
    clipped = np.clip(values, float(basis["low"]), float(basis["high"]))  # type: ignore[arg-type]
    bends = np.asarray(basis["bends"], dtype=np.float64)
    unknown = ~np.isfinite(values)
    steps = np.where(unknown[:, None], np.nan, (np.round(values)[:, None] == levels).astype(np.float64))
    parts = [clipped[:, None], np.maximum(clipped[:, None] - bends, 0.0), steps]
    if basis["is_missing"]:
        parts.append(unknown[:, None].astype(np.float64))
    return np.hstack(parts)


def _centred(basis: dict[str, object], values: Floats) -> dict[str, object]:
    raw = _raw(values, basis)
    known = np.isfinite(raw)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, raw, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (raw - means) ** 2, 0.0).sum(axis=0) / count)
    basis["means"] = means.tolist()
    lines = 0 if basis["kind"] == "words" else 1 + len(basis["bends"])  # type: ignore[arg-type]
    is_line = (np.arange(len(means)) < lines) & (spread > 1e-9)
    basis["scales"] = np.where(is_line, spread, 1.0).tolist()
    return basis


def _width(basis: dict[str, object]) -> int:
    return len(basis["means"])  # type: ignore[arg-type]
