"""Statistics for few trials: means, contrasts, effects, spreads, families and power.

Few trials decide the choice: the t-interval and Welch's test keep their level from three trials an
arm upwards and when the spreads differ; a percentile bootstrap errs in one of five comparisons.
"""

from __future__ import annotations

from chandir.report.statistics.contrast import Contrast, Summary, difference, summarise
from chandir.report.statistics.effects import bca, error_reduced, hedges, improvement, rate
from chandir.report.statistics.family import Tested, holm
from chandir.report.statistics.paired import Paired, paired
from chandir.report.statistics.power import power, power_alike, trials_alike, trials_needed
from chandir.report.statistics.spread import brown_forsythe, spread

__all__ = [
    "Contrast", "Paired", "Summary", "Tested", "bca", "brown_forsythe", "difference",
    "error_reduced", "hedges", "holm", "improvement", "paired", "power", "power_alike",
    "rate", "spread", "summarise", "trials_alike", "trials_needed",
]  # fmt: skip
