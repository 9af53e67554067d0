"""How many trials a comparison needs."""

from __future__ import annotations

import math
from collections.abc import Callable

from chandir.report.statistics.contrast import quantile


def power(effect: float, sds: tuple[float, float], n: int, level: float = 0.95) -> float:
    """P(a Welch interval at `level` leaves zero out) for a true difference, n trials an arm.

    P(|T| > t) for a noncentral t with Welch's degrees of freedom at the true deviations and
    noncentrality effect / sqrt((sd1² + sd2²) / n). Estimated degrees of freedom make the test
    itself a little weaker: by 0.1 at three trials, by nothing to speak of from ten.
    """
    from scipy import stats

    v1, v2 = (sd**2 for sd in sds)
    freedom = (n - 1) * (v1 + v2) ** 2 / (v1**2 + v2**2)
    shift, t = abs(effect) / math.sqrt((v1 + v2) / n), quantile(level, freedom)
    return float(stats.nct.sf(t, freedom, shift) + stats.nct.cdf(-t, freedom, shift))


def power_alike(margin: float, sds: tuple[float, float], n: int, level: float = 0.9) -> float:
    """P(a Welch interval at `level` lies within ± margin) for equal means, n trials an arm.

    2 F(margin / error - t) - 1, where F is Student's distribution with Welch's degrees of freedom
    at the true deviations and t its two-sided quantile at `level`.
    """
    from scipy import stats

    v1, v2 = (sd**2 for sd in sds)
    freedom = (n - 1) * (v1 + v2) ** 2 / (v1**2 + v2**2)
    inner = margin / math.sqrt((v1 + v2) / n) - quantile(level, freedom)
    return max(0.0, 2 * float(stats.t.cdf(inner, freedom)) - 1)


def trials_needed(
    effect: float, sds: tuple[float, float], level: float = 0.95, most: int = 10_000
) -> int | None:
    """The fewest trials an arm with 80 % power; None beyond `most` or without effect or spread."""
    if effect == 0 or not any(sds):
        return None
    return _fewest(lambda n: power(effect, sds, n, level), most)


def trials_alike(
    margin: float, sds: tuple[float, float], level: float = 0.9, most: int = 10_000
) -> int | None:
    """The fewest trials an arm with 80 % power to find equal means alike; None as above."""
    return _fewest(lambda n: power_alike(margin, sds, n, level), most) if any(sds) else None


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
