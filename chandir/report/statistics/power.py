"""How many trials a comparison needs.

For normal samples the chances here are exact: the degrees of freedom are those that Welch's test
estimates from the trials themselves, which costs it power where these are few or the level strict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NODES = 64  # a side of the grid over which chances are averaged; 200 change no digit shown


def power(effect: float, sds: tuple[float, float], n: int, level: float = 0.95) -> float:
    """P(a Welch interval at `level` leaves zero out) for a true difference, n trials an arm.

    E[P(|D| > h)] over the estimated variances s_i² = sd_i² χ²(n - 1) / (n - 1), which h hangs on
    alone: D ~ N(effect, (sd1² + sd2²) / n) is independent of them, and
    h = t(level, Welch's degrees of freedom of s1, s2) sqrt((s1² + s2²) / n).
    """
    from scipy.special import ndtr

    error, half = _halves(sds, n, level)
    beyond = ndtr((effect - half) / error) + ndtr(-(effect + half) / error)
    return float(_average(beyond))


def power_alike(margin: float, sds: tuple[float, float], n: int, level: float = 0.9) -> float:
    """P(a Welch interval at `level` lies within ± margin) for equal means, n trials an arm.

    E[P(|D| <= margin - h)] with D and h of `power`; no chance where h exceeds the margin.
    """
    import numpy as np
    from scipy.special import ndtr

    error, half = _halves(sds, n, level)
    inside = 2 * ndtr((margin - half) / error) - 1
    return float(_average(np.maximum(inside, 0)))


def trials_needed(
    effect: float, sds: tuple[float, float], level: float = 0.95, most: int = 10_000
) -> int | None:
    """The fewest trials an arm with 80 % power; None beyond `most` or without effect or spread."""
    if effect == 0 or not any(sds):
        return None
    return _fewest(lambda n: power(abs(effect), sds, n, level), most)


def trials_alike(
    margin: float, sds: tuple[float, float], level: float = 0.9, most: int = 10_000
) -> int | None:
    """The fewest trials an arm with 80 % power to find equal means alike; None as above."""
    return _fewest(lambda n: power_alike(margin, sds, n, level), most) if any(sds) else None


def _halves(sds: tuple[float, float], n: int, level: float) -> tuple[float, np.ndarray]:
    """The true standard error, and h of `power` over a grid of equally likely cells.

    Of two χ²(m), m = n - 1, the share of the first is Beta(m / 2, m / 2) and their sum χ²(2 m),
    independent of it. The degrees of freedom hang on the share alone: one quantile for each.
    """
    import numpy as np
    from scipy.special import betaincinv, gammaincinv, stdtrit

    m, (v1, v2) = n - 1, (sd**2 for sd in sds)
    places, _ = _legendre()
    share, total = betaincinv(m / 2, m / 2, places), 2 * gammaincinv(m, places)
    first, second = v1 * share, v2 * (1 - share)
    part = first / (first + second)
    t = stdtrit(m / (part**2 + (1 - part) ** 2), (1 + level) / 2)
    estimated = np.sqrt(np.outer((first + second) / (n * m), total))
    return math.sqrt((v1 + v2) / n), t[:, None] * estimated


def _average(values: np.ndarray) -> float:
    _, weights = _legendre()
    return float(weights @ values @ weights)


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's places and weights on (0, 1)."""
    import numpy as np

    places, weights = np.polynomial.legendre.leggauss(_NODES)
    return (places + 1) / 2, weights / 2


def _fewest(chance: Callable[[int], float], most: int) -> int | None:
    if chance(most) < 0.8:
        return None
    low, high = 1, most  # chance(low) < 0.8 <= chance(high)
    while high - low > 1:
        middle = (low + high) // 2
        if chance(middle) < 0.8:
            low = middle
        else:
            high = middle
    return high
