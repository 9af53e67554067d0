"""How large an effect is, beside its mean: standardised, as a chance, by the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chandir.report.statistics.contrast import LEVEL, Interval, Summary, quantile

DRAWS = 10_000
FEWEST = 10  # trials for a bootstrap: below, its intervals are too short


def hedges(arm: Summary, baseline: Summary) -> float | None:
    """Hedges' g, the difference in units of the pooled standard deviation, without small-n bias.

    g = J (m1 - m2) / s, s² = Σ (n_i - 1) sd_i² / f, f = n1 + n2 - 2, and
    J = Γ(f / 2) / (sqrt(f / 2) Γ((f - 1) / 2)) (Hedges, J. Educ. Stat. 1981).
    None without any spread, or with one value in an arm.
    """
    if arm.sd is None or baseline.sd is None:
        return None
    f = arm.n + baseline.n - 2
    pooled = math.sqrt(((arm.n - 1) * arm.sd**2 + (baseline.n - 1) * baseline.sd**2) / f)
    log_j = math.lgamma(f / 2) - math.lgamma((f - 1) / 2) - math.log(f / 2) / 2
    return math.exp(log_j) * (arm.mean - baseline.mean) / pooled if pooled else None


def improvement(arm: Sequence[float], baseline: Sequence[float]) -> tuple[float, Interval]:
    """P(arm > baseline) + P(equal) / 2 for one trial of each, with a 95 % score interval.

    With θ the share of the m n pairs that the arm wins, the limits solve
    (θ - t)² = z² t (1 - t) (1 + N ((1 - t) / (2 - t) + t / (1 + t))) / (m n),
    N = (m + n) / 2 - 1: method 5 of Newcombe, Statistics in Medicine 25 (2006) 559-573. Like
    Wilson's interval it has a width where every pair has the same winner.
    """
    from scipy import optimize

    m, n = len(arm), len(baseline)
    wins = sum((a > b) + 0.5 * (a == b) for a in arm for b in baseline)
    theta, z, rest = wins / (m * n), quantile(LEVEL, math.inf), (m + n) / 2 - 1

    def score(t: float) -> float:
        inner = 1 + rest * ((1 - t) / (2 - t) + t / (1 + t))
        return (theta - t) ** 2 - z**2 * t * (1 - t) * inner / (m * n)

    # At θ itself the score is negative, or 0 where every pair has the same winner.
    low = 0.0 if theta == 0 else float(optimize.brentq(score, 0, theta - 1e-9))
    high = 1.0 if theta == 1 else float(optimize.brentq(score, theta + 1e-9, 1))
    return theta, (low, high)


def bca(arm: Sequence[float], baseline: Sequence[float]) -> Interval | None:
    """The 95 % BCa bootstrap interval of the difference of means, 10,000 draws, a fixed seed.

    Efron, JASA 1987. None below ten trials an arm, where it is too short, and without any spread.
    """
    if min(len(arm), len(baseline)) < FEWEST or len(set(arm)) == 1 or len(set(baseline)) == 1:
        return None
    import numpy as np
    from scipy import stats

    def statistic(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    found = stats.bootstrap(
        (np.array(arm), np.array(baseline)), statistic, n_resamples=DRAWS, method="BCa",
        vectorized=True, random_state=np.random.default_rng(0),
    )  # fmt: skip
    low, high = found.confidence_interval
    return float(low), float(high)


def rate(count: int, n: int) -> Interval:
    """Wilson's 95 % interval of a rate, count of n (Wilson, JASA 1927)."""
    from scipy import stats

    found = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def error_reduced(score: float, baseline: float, better: str, unit: str) -> float | None:
    """Return how many per cent of the baseline's error are gone (the paper's Table 2).

    The error is 100 - score for a score in per cent that is better when higher, the score itself
    where lower is better. None where no error is defined, or the baseline has none.
    """
    if better == "higher":
        if unit != "%":
            return None
        score, baseline = 100 - score, 100 - baseline
    return 100 * (baseline - score) / baseline if baseline > 0 else None
