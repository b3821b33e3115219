"""Rows of features: a float matrix whose columns have names and whose categories have words.

    >>> frame = Frame.of({"age_weeks": [3.0, 8.5], "stage": [0, 1]}, words={"stage": ("proposal", "negotiation")})

NaN means "not known". A category holds integer codes into its words; estimators match columns by name and categories
by word, so neither the order of columns nor the order of a vocabulary matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """`values` is (rows, columns), float64; `words[column][code]` is the word of a category."""

    columns: tuple[str, ...]
    values: Floats
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns):
            raise ValueError(f"{len(self.columns)} names for an array of shape {self.values.shape}")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("two columns have the same name")

    @classmethod
    def of(
        cls, columns: Mapping[str, ArrayLike], words: Mapping[str, Sequence[str]] | None = None
    ) -> "Frame":
        """A frame from named columns of equal length."""
        names = tuple(columns)
        values = [np.asarray(columns[name], dtype=np.float64) for name in names]
        matrix = np.column_stack(values) if names else np.zeros((0, 0))
        return cls(names, matrix, {name: tuple(of) for name, of in (words or {}).items() if name in columns})

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Floats:
        """One column (rows,). KeyError with the name where there is none."""
        return self.values[:, self._place(name)]

    def places(self, names: Sequence[str]) -> Ints:
        """Where these columns stand. KeyError with the name where there is none."""
        return np.array([self._place(name) for name in names], dtype=np.int64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.columns)}

    def _place(self, name: str) -> int:
        if name not in self._places:
            raise KeyError(f"no column {name!r}")
        return self._places[name]

    def take(self, rows: Ints | Bools | slice) -> "Frame":
        """Some rows, by mask, indices or slice."""
        return Frame(self.columns, self.values[rows], self.words)

    def only(self, columns: Sequence[str], words: Mapping[str, Sequence[str]] | None = None) -> "Frame":
        """These columns in this order; categories recoded to `words` where given, words unknown there become NaN."""
        wanted = words or {}
        values = (
            self.values[:, [self._place(name) for name in columns]] if columns else np.zeros((len(self), 0))
        )
        for j, name in enumerate(columns):
            if name in wanted and self.words.get(name) not in (None, tuple(wanted[name])):
                values[:, j] = self._coded(name, wanted[name])
        kept = {name: tuple(wanted.get(name, self.words.get(name, ()))) for name in columns}
        return Frame(tuple(columns), values, {name: of for name, of in kept.items() if of})

    def without(self, columns: Sequence[str]) -> "Frame":
        """All columns but these."""
        return self.only([name for name in self.columns if name not in columns])

    def replaced(self, columns: Mapping[str, ArrayLike | float]) -> "Frame":
        """The same rows with some columns overwritten, by an array or one value for all."""
        values = self.values.copy()
        for name, new in columns.items():
            values[:, self.columns.index(name)] = new
        return Frame(self.columns, values, self.words)

    def joined(
        self, columns: Mapping[str, ArrayLike], words: Mapping[str, Sequence[str]] | None = None
    ) -> "Frame":
        """The same rows with further columns at the right."""
        other = Frame.of(columns, words)
        return Frame(
            self.columns + other.columns,
            np.hstack([self.values, other.values]),
            {**self.words, **other.words},
        )

    def _coded(self, name: str, words: Sequence[str] | None) -> Floats:
        values = self.column(name)
        mine = self.words.get(name)
        if words is None or mine is None or tuple(words) == mine:
            return values
        codes = np.array([words.index(word) if word in words else np.nan for word in mine], dtype=np.float64)
        known = np.isfinite(values) & (values >= 0) & (values < len(mine))
        return np.where(known, codes[np.where(known, values, 0).astype(np.int64)], np.nan)


def times(rows: Floats, weights: Floats) -> Floats:
    """`rows @ weights`, row by row in one order of adding: BLAS takes another for one row than for a thousand, and a
    score of a batch must come out alone bit for bit."""
    found: Floats = np.einsum("nk,k->n" if weights.ndim == 1 else "nk,kj->nj", rows, weights)
    return found


def stacked(frames: Sequence[Frame]) -> Frame:
    """Frames with the same columns below each other."""
    first = frames[0]
    return Frame(
        first.columns,
        np.vstack([frame.only(first.columns, first.words).values for frame in frames]),
        first.words,
    )
