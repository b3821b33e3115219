"""Whether one forecaster is better than another, asked after every outcome without losing the error rate.

A gambler who may bet on "the challenger's loss is smaller" with stakes set before each outcome cannot expect to win while
that is false; so wealth above 1 / alpha has a chance of at most alpha, however often one looks (Ville 1939). The stakes are
those of Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting" (aGRAPA).
"""

import numpy as np

from ml.frame import Floats

ALPHA = 0.05
MOST_STAKE = 0.5
"""Of what one has, at a loss difference of the bound: wealth cannot fall to 0."""


def wealth(gains: Floats, bound: float = 1.0) -> Floats:
    """The wealth after each outcome. `gains` are the champion's losses less the challenger's, within ±`bound`, in the
    order in which outcomes became known; the hypothesis bet against is that their mean is not above 0."""
    held, found = 1.0, np.ones(len(gains))
    total = 0.0
    squares = 0.25 * bound**2
    for index, gain in enumerate(np.clip(gains, -bound, bound).tolist()):
        mean = total / (index + 1)
        spread = squares / (index + 1)
        stake = min(max(mean / (spread + mean**2), 0.0), MOST_STAKE / bound) if mean > 0 else 0.0
        held *= 1 + stake * gain
        found[index] = held
        total += gain
        squares += (gain - total / (index + 2)) ** 2
    return found


def is_better(gains: Floats, alpha: float = ALPHA, bound: float = 1.0) -> bool:
    """Whether wealth has ever passed 1 / `alpha`."""
    path = wealth(gains, bound)
    return bool(len(path) and path.max() >= 1 / alpha)
