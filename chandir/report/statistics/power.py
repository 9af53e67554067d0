"""How many trials a comparison needs."""

from __future__ import annotations

import math

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


def trials_needed(
    effect: float, sds: tuple[float, float], level: float = 0.95, most: int = 10_000
) -> int | None:
    """The fewest trials an arm with 80 % power; None beyond `most` or without effect or spread."""
    if effect == 0 or not any(sds) or power(effect, sds, most, level) < 0.8:
        return None
    low, high = 1, most  # power(low) < 0.8 <= power(high)
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, sds, middle, level) < 0.8:
            low = middle
        else:
            high = middle
    return high
