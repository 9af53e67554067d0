"""How the verdict rule behaves: its chances if the paper is right, and if there is no effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chandir.report.judge.rule import Verdict, threshold
from chandir.report.statistics import Contrast

if TYPE_CHECKING:
    import numpy as np

DRAWS = 10_000


@dataclass(frozen=True)
class Chances:
    """The probability of each verdict of `verdicts.gain`, from simulated sweeps."""

    reproduced: float
    smaller: float
    not_reproduced: float
    inconclusive: float


def chances(
    effect: float, paper: float, own: Contrast, smallest: float, level: float = 0.95,
    draws: int = DRAWS,
) -> Chances:  # fmt: skip
    """Simulate the rule for one claim, with normal scores and a fixed seed.

    Args:
        effect: The true difference.
        paper: The paper's difference, which the rule refers to.
        own: The paper's comparison: its trials and deviations are taken as true.
        smallest: The least difference that counts.
        level: Of the interval; 0.95 for a claim by itself, 1 - 0.05 / k for the strictest of k.
        draws: How many sweeps.
    """
    import numpy as np
    from scipy import stats

    noise = np.random.default_rng(0)
    mean = np.full(draws, effect)
    error, freedom = np.zeros(draws), np.zeros(draws)
    for c, sample in own.terms:
        sd, n = sample.sd or 0.0, sample.n
        mean = mean + c * noise.normal(0, sd / n**0.5, draws)
        v = c**2 * sd**2 * noise.chisquare(n - 1, draws) / (n - 1) / n
        error, freedom = error + v, freedom + v**2 / (n - 1)
    freedom = error**2 / freedom
    grid = np.linspace(freedom.min(), freedom.max(), 300)  # the t-quantile is smooth, and slow
    half = np.interp(freedom, grid, stats.t.ppf((1 + level) / 2, grid)) * np.sqrt(error)
    found = classify(mean - half, mean + half, threshold(paper, smallest))
    return Chances(*(float(np.mean(found[verdict])) for verdict in found))


def classify(low: np.ndarray, high: np.ndarray, s: float) -> dict[Verdict, np.ndarray]:
    """The rule of `verdicts.gain` for many intervals at once, in the order of `Chances`."""
    above = low > 0
    failed = (high < 0) | (~above & (high < s))
    return {
        Verdict.REPRODUCED: above & (high >= s),
        Verdict.SMALLER: above & (high < s),
        Verdict.NOT_REPRODUCED: failed,
        Verdict.INCONCLUSIVE: ~above & ~failed,
    }
