"""Explanations of a champion's rows, kept by (version, feature row): who asks again about the same facts waits for none.

A row is its values bit for bit, its stage and its instant; the bundle that they are kept with is one version.
"""

from collections.abc import Callable

import numpy as np

from features.facts import Array
from registry.bundle import Bundle

MOST_KEPT = 5_000
"""Rows of a version: some 700 bytes each."""

Told = tuple[Array, Array]
"""Base values (n,) and effects (n, columns)."""


def keys_of(columns: dict[str, Array], rows: Array, at: Array) -> list[bytes]:
    """What names each row."""
    numbers = [column[rows] for column in columns.values() if column.dtype.kind != "U"]
    words = [column[rows] for column in columns.values() if column.dtype.kind == "U"]
    matrix = np.column_stack([*numbers, at]) if numbers else at[:, None]
    texts = zip(*(column.tolist() for column in words), strict=True) if words else [()] * len(at)
    return [
        row.tobytes() + "\x1f".join(text).encode()
        for row, text in zip(np.ascontiguousarray(matrix), texts, strict=True)
    ]


def explained(bundle: Bundle, keys: list[bytes], ask: Callable[[Array], Told]) -> Told:
    """Base and effects of each row; `ask` explains those (by place) that are not kept."""
    kept = bundle.explanations
    unknown = np.array([place for place, key in enumerate(keys) if key not in kept], dtype=np.int64)
    if len(unknown):
        base, effects = ask(unknown)
        for place, one, row in zip(unknown.tolist(), base.tolist(), effects, strict=True):
            kept[keys[place]] = (one, row)
    found = [kept[key] for key in keys]
    while len(kept) > MOST_KEPT:
        del kept[next(iter(kept))]
    return np.array([one for one, _ in found]), np.vstack([row for _, row in found])
