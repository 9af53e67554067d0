"""Two arms trial by trial: what pairing by seed is worth, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chandir.report.statistics.contrast import Contrast, summarise

DRAWS = 10_000


@dataclass(frozen=True)
class Paired:
    """Two arms over the trials that both have.

    Attributes:
        n: The number of pairs.
        correlation: Of the two arms over the trials; pairing gains where it is positive. None
            below three pairs or without spread.
        p: The two-sided p-value of the paired t-test.
        sign_flip: Of the test that flips signs of the differences: exact up to 13 pairs, else by
            10,000 seeded draws. It assumes no distribution; n pairs allow no p below 2 / 2^n.
    """

    n: int
    correlation: float | None
    p: float | None
    sign_flip: float | None


def paired(arm: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """Compare trial k of one arm with trial k of the other; None below two pairs."""
    both = sorted(arm.keys() & baseline.keys())
    if len(both) < 2:
        return None
    import numpy as np
    from scipy import stats

    a, b = np.array([arm[k] for k in both]), np.array([baseline[k] for k in both])
    gains = a - b
    if np.all(gains == gains[0]):
        return Paired(len(both), None, None, None)
    constant = len(both) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0
    found = stats.permutation_test(
        (gains,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True,
        n_resamples=DRAWS, random_state=np.random.default_rng(0),
    )  # fmt: skip
    return Paired(
        len(both),
        None if constant else float(np.corrcoef(a, b)[0, 1]),
        Contrast(((1.0, summarise(gains.tolist())),)).p,
        float(found.pvalue),
    )
