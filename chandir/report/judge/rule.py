"""The verdict rule: from an interval, the paper's effect and what counts, to one word."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from chandir.report.statistics import Contrast


class Verdict(Enum):
    """What came of a claim; the value is printed."""

    REPRODUCED = "Reproduced"
    SMALLER = "Reproduced, smaller"
    NOT_REPRODUCED = "Not reproduced"
    INCONCLUSIVE = "Inconclusive"
    AGREES = "Level agrees"
    DIFFERS = "Level differs"
    YES = "Yes"
    LITTLE = "Yes, but little"
    NO = "No"
    NOT_COMPARABLE = "Not comparable"
    INCOMPLETE = "Incomplete"
    NOT_RUN = "Not run"
    NO_CLAIM = "Paper reports no gain"


# Our own questions have answers: nothing was there to be reproduced.
OURS = {
    Verdict.REPRODUCED: Verdict.YES,
    Verdict.SMALLER: Verdict.LITTLE,
    Verdict.NOT_REPRODUCED: Verdict.NO,
}


@dataclass(frozen=True)
class Judgement:
    """A verdict and the words beside it.

    Attributes:
        verdict: The verdict.
        detail: Why, how far, what is missing.
        towards: Where it is not comparable: whether it "agrees", is "open" or "opposite".
    """

    verdict: Verdict
    detail: str = ""
    towards: str = ""

    @property
    def word(self) -> str:
        """The verdict as it is told apart from others: which way it went included."""
        opposite = self.detail.split("; ")[0] == "opposite"
        parts = (self.verdict.value, "opposite" * opposite, self.towards)
        return ", ".join(part for part in parts if part)


def threshold(paper: float | None, smallest: float) -> float:
    """Return s = max(paper / 2, smallest): half the paper's effect, never less than what counts."""
    return max((paper or 0) / 2, smallest)


def limits(
    kind: str, paper: float | None, smallest: float, margin: float | None
) -> tuple[float, float]:
    """Return what the ends of the interval are held against: what decides the verdict."""
    if kind == "equal" and margin is not None:
        return -margin, margin
    return 0.0, threshold(paper, smallest)


def gain(
    measured: Contrast, level: float, paper: float | None, smallest: float, paper_n: int
) -> Judgement:
    """Judge "arm beats baseline by `paper`".

    With [lo, hi] the interval at `level` and s = `threshold`:
    reproduced if lo > 0 and hi >= s; smaller if lo > 0 and hi < s; not reproduced if lo <= 0 and
    hi < s, or hi < 0; else inconclusive. The size agrees if the paper's effect lies in the 95 %
    prediction interval of a repeat with the paper's trials.
    """
    interval, s = measured.at(level), threshold(paper, smallest)
    if interval is None:
        return Judgement(Verdict.INCONCLUSIVE, "no spread to judge by")
    low, high = interval
    if low > 0:
        repeat = measured.repeat(paper_n)
        agrees = paper is not None and repeat is not None and repeat[0] <= paper <= repeat[1]
        size = "" if paper is None else f"size {'agrees' if agrees else 'differs'}"
        return Judgement(Verdict.REPRODUCED if high >= s else Verdict.SMALLER, size)
    if high < 0:
        return Judgement(Verdict.NOT_REPRODUCED, "opposite")
    if high < s:
        return Judgement(Verdict.NOT_REPRODUCED, f"a gain of {s:.3g} is excluded")
    return Judgement(Verdict.INCONCLUSIVE)


def level(mean: Contrast, paper: float, margin: float, paper_n: int) -> Judgement:
    """Judge "the arm reaches `paper`": within `margin`, and where a repeat of ours could fall."""
    repeat, distance = mean.repeat(paper_n), mean.value - paper
    inside = repeat is not None and repeat[0] <= paper <= repeat[1]
    detail = f"{distance:+.2f}".replace("-", "\N{MINUS SIGN}")
    agrees = inside and abs(distance) <= margin
    return Judgement(Verdict.AGREES if agrees else Verdict.DIFFERS, detail)


def equal(measured: Contrast, p: float, level: float, margin: float) -> Judgement:
    """Judge "arm and baseline are alike": by two one-sided tests, never by a large p.

    Reproduced if `p`, adjusted, is at most 0.05; not if the interval lies outside ± `margin`.
    Both tests reject at α exactly when the interval at 1 - 2 α lies within.
    """
    if p <= 0.05:
        return Judgement(Verdict.REPRODUCED)
    low, high = measured.at(level) or (0.0, 0.0)
    outside = low > margin or high < -margin
    return Judgement(Verdict.NOT_REPRODUCED if outside else Verdict.INCONCLUSIVE)


def direction(measured: Contrast, level: float) -> str:
    """All that runs under other conditions can say: which way it went, by the interval."""
    interval = measured.at(level)
    if interval is None:
        return ""
    low, high = interval
    return "agrees" if low > 0 else "opposite" if high < 0 else "open"
