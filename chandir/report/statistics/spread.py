"""Whether two samples vary alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chandir.report.statistics.contrast import Contrast, Summary, summarise


def brown_forsythe(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The p-value of equal spreads: Levene's test about the medians.

    Brown and Forsythe, JASA 1974; unlike the F-test it keeps its level where the data are not
    normal. None where it does not exist.
    """
    from scipy import stats

    if min(len(a), len(b)) < 3 or max(len(set(a)), len(set(b))) == 1:
        return None
    p = float(stats.levene(a, b, center="median").pvalue)
    return None if math.isnan(p) else p


def spread(arm: Sequence[float], baseline: Sequence[float]) -> Contrast | None:
    """log(sd of the baseline / sd of the arm), by the jackknife; positive where the arm is tighter.

    Each sample gives n pseudo-values θ_i = n log s² - (n - 1) log s²_(-i); half the difference of
    their means, compared by Welch, is the log ratio (Miller, Ann. Math. Stat. 39 (1968) 567-582).
    Its interval holds without normality. None below four values or where a spread vanishes.
    """
    both = [_pseudo(values) for values in (baseline, arm)]
    if both[0] is None or both[1] is None:
        return None
    return Contrast(((0.5, both[0]), (-0.5, both[1])))


def _pseudo(values: Sequence[float]) -> Summary | None:
    n = len(values)
    if n < 4:
        return None
    whole = summarise(values).sd
    parts = [summarise([*values[:i], *values[i + 1 :]]).sd for i in range(n)]
    if not whole or not all(parts):
        return None
    logs = [2 * math.log(part) for part in parts if part]
    return summarise([n * 2 * math.log(whole) - (n - 1) * log for log in logs])
