"""A chance does not depend on who was asked about beside it: a batch's scores come out one by one, bit for bit."""

import numpy as np

from ml.frame import times


def test_sums_of_rows_are_the_same_alone_and_in_company():
    random = np.random.default_rng(0)
    rows = random.normal(size=(257, 163))
    for weights in (random.normal(size=163), random.normal(size=(163, 4)), random.normal(size=(4, 163)).T):
        whole = times(rows, weights)
        assert all(np.array_equal(times(rows[i : i + 1], weights)[0], whole[i]) for i in range(len(rows)))
