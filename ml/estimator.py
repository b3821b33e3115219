"""What every estimator promises, and how it is written down.

An estimator is a dataclass: its fields are parameters, stored and nothing else; what it learns are fields that end in
`_` and are set by `fit`, which returns the estimator. It is deterministic by its seed, blind to the order of columns,
at ease with missing values, and written as text: JSON whose numbers round-trip exactly, LightGBM's own text inside.
Never a pickle: reading a model runs no code of its author's.

    text = model.to_text()
    same = load(text)
"""

import importlib
import json
import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from ml.frame import Floats, Frame

TIERS = ("baseline", "logistic", "gbm")
FORMAT = 1
MOST_BYTES = 1_024
"""Of one item of an array."""


class Estimator:
    """The base of all estimators: parameters, learned state, and both as text."""

    @classmethod
    def kind(cls) -> str:
        """`module.Class` within this package: what stands in the text."""
        return f"{cls.__module__.removeprefix('ml.')}.{cls.__name__}"

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has run."""
        return any(name in self.__dict__ for name in _state_names(type(self)))

    def parameters(self) -> dict[str, Any]:
        """What the estimator was made with."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]

    def fresh(self, **changes: Any) -> Self:
        """An unfitted estimator with the same parameters, some of them changed."""
        return type(self)(**{**self.parameters(), **changes})

    def to_text(self) -> str:
        """Parameters and learned state as text."""
        return json.dumps(
            {"format": FORMAT, **_written(self)}, allow_nan=False, separators=(",", ":"), sort_keys=True
        )


@dataclass(eq=False)
class Classifier(Estimator):
    """An estimator of a chance from one row: the protocol that `Logistic`, `Gbm` and the baselines share."""

    tier = "baseline"

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        """Learn from rows and their outcomes, 0 or 1. `at`: the instant of each row in days, for those that hold the
        newest rows back; `weight`: how much each row counts."""
        raise TypeError(f"{type(self).__name__} does not say how it learns")

    @property
    def strengths(self) -> dict[str, Any]:
        """What the fit has chosen by itself, as parameters for a next fit that need not choose again."""
        return {}

    def probability(self, frame: Frame) -> Floats:
        """The chance of each row, inside (0, 1)."""
        return sigmoid(self.margin(frame))

    def margin(self, frame: Frame) -> Floats:
        """The log odds of each row."""
        chance = self.probability(frame)
        return np.log(chance) - np.log1p(-chance)

    def margins(self, frame: Frame, column: str, size: int) -> Floats:
        """The log odds of each row for every code of a category from 0 on, whatever code it has: (n, size)."""
        rows = frame.take(np.tile(np.arange(len(frame)), size))
        codes = np.repeat(np.arange(size, dtype=np.float64), len(frame))
        return self.margin(rows.replaced({column: codes})).reshape(size, len(frame)).T

    def terms(self, frame: Frame) -> tuple[Floats, Floats]:
        """The margin taken apart: (base (n,), contributions (n, columns_)); their sum is the margin."""
        return self.margin(frame), np.zeros((len(frame), 0))


def load(text: str) -> Any:
    """The estimator that `to_text` wrote. ValueError where the text is not one."""
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"this is no model: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT or "estimator" not in document:
        raise ValueError(f"this model is not of format {FORMAT}")
    try:
        return _read(document)
    except (TypeError, LookupError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"this is no model of this version: {type(error).__name__}: {error}") from error


def sigmoid(margin: Floats) -> Floats:
    """Log odds to chances, without overflow."""
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * margin))
    return half


def logit(chance: Floats) -> Floats:
    """Chances to log odds; 0 and 1 are taken as one part in a billion from the edge."""
    inside = np.clip(chance, 1e-9, 1 - 1e-9)
    odds: Floats = np.log(inside) - np.log1p(-inside)
    return odds


def _state_names(kind: type) -> list[str]:
    return [f.name for f in fields(kind) if not f.init]


def _written(value: Any) -> Any:
    if isinstance(value, Estimator):
        state = {
            name: _written(getattr(value, name))
            for name in _state_names(type(value))
            if name in value.__dict__
        }
        parameters = {name: _written(item) for name, item in value.parameters().items()}
        return {"estimator": value.kind(), "parameters": parameters, "state": state}
    if isinstance(value, np.ndarray):
        flat = [_written(item) for item in value.ravel().tolist()]
        return {"array": flat, "shape": list(value.shape), "type": str(value.dtype)}
    if isinstance(value, tuple):
        return {"tuple": [_written(item) for item in value]}
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[_written(key), _written(item)] for key, item in value.items()]}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else {"number": repr(float(value))}
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    return value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "estimator" in value:
        return _read_estimator(value)
    if "array" in value:
        return np.array([_read(item) for item in value["array"]], dtype=_plain(value["type"])).reshape(
            value["shape"]
        )
    if "tuple" in value:
        return tuple(_read(item) for item in value["tuple"])
    if "dict" in value:
        return {_read(key): _read(item) for key, item in value["dict"]}
    if "number" in value:
        return float(value["number"])
    raise ValueError(f"this model holds something unknown: {sorted(value)}")


def _plain(name: str) -> np.dtype[Any]:
    """A type of numbers, truths or short words, and none that holds Python's objects."""
    kind = np.dtype(name)
    if kind.kind not in "fiubU" or kind.itemsize > MOST_BYTES:
        raise ValueError(f"this model holds an array of {name!r}")
    return kind


def _read_estimator(document: dict[str, Any]) -> Estimator:
    module, _, name = str(document["estimator"]).partition(".")
    if not module.isidentifier() or not name.isidentifier():
        raise ValueError(f"{document['estimator']!r} names no estimator")
    try:
        kind = getattr(importlib.import_module(f"ml.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{document['estimator']!r} names no estimator of this version") from error
    if not (isinstance(kind, type) and issubclass(kind, Estimator)):
        raise ValueError(f"{document['estimator']!r} is not an estimator")
    made: Estimator = kind(**{key: _read(item) for key, item in document["parameters"].items()})
    known = _state_names(kind)
    for key, item in document["state"].items():
        if key not in known:
            raise ValueError(f"{document['estimator']} does not know {key!r}")
        setattr(made, key, _read(item))
    return made
