"""LightGBM's single-row interface in C: all that a prediction needs is set up once, a row is one call on one thread.

`Booster.predict` checks, copies and parses its options for longer than a few hundred small trees take.
"""

import ctypes
import weakref
from typing import Any

import numpy as np
from lightgbm.libpath import _LIB  # the library that the booster itself was made by

from ml.frame import Floats

FLOAT64, RAW_SCORE, ALL = 1, 1, -1
"""`C_API_DTYPE_FLOAT64`, `C_API_PREDICT_RAW_SCORE`, and every tree."""


class OneRow:
    """Raw scores of rows of so many columns, one at a time. `row` is read by `score` in place; not for two threads at
    once."""

    def __init__(self, booster: Any, columns: int) -> None:
        self.row: Floats = np.full(columns, np.nan)
        self._answer, self._length = ctypes.c_double(), ctypes.c_int64()
        self._prepared = ctypes.c_void_p()
        self._booster = booster  # must outlive what is prepared of it
        _checked(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle, ctypes.c_int(RAW_SCORE), ctypes.c_int(0), ctypes.c_int(ALL), ctypes.c_int(FLOAT64),
                ctypes.c_int32(columns), b"num_threads=1", ctypes.byref(self._prepared),
            )
        )  # fmt: skip
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._prepared)
        self._given = (
            self._prepared, self.row.ctypes.data_as(ctypes.c_void_p), ctypes.byref(self._length),
            ctypes.byref(self._answer),
        )  # fmt: skip

    def score(self) -> float:
        """The raw score of what stands in `row`."""
        _checked(_LIB.LGBM_BoosterPredictForMatSingleRowFast(*self._given))
        return self._answer.value


def _checked(status: int) -> None:
    if status:
        raise RuntimeError(f"LightGBM: {_LIB.LGBM_GetLastError().decode()}")
