"""A finding: one declared claim with what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chandir.report.judge.claims import Claim
from chandir.report.judge.rule import Judgement, Verdict
from chandir.report.judge.samples import Sample, select
from chandir.report.read.cells import Cell
from chandir.report.statistics import Contrast, Tested, brown_forsythe, spread

NOT_RUN = Judgement(Verdict.NOT_RUN)
LEFT_OUT = "leave-one-out"


@dataclass(frozen=True)
class Change:
    """What leaving out one trial makes of a verdict.

    Attributes:
        arm: Whose trial.
        trial: Its index.
        word: The other verdict.
    """

    arm: str
    trial: int
    word: str


def left_out(differ: int, of: int) -> str:
    """Return how many verdicts differ of those with one trial left out, in words."""
    return f"{LEFT_OUT}: {differ} of {of} differ{'s' if differ == 1 else ''}"


def fewer(n: int, planned: int) -> str:
    """Return how many trials a claim has of those it is to have, in words."""
    return f"{n} of {planned} trials"


@dataclass(frozen=True)
class Finding:
    """A claim and what came of it.

    Attributes:
        claim: The claim.
        samples: One per arm, then one per baseline; None where nothing ran.
        contrast: The effect, signed so that positive supports the claim; of several equal arms
            the one that is least equal.
        p: Of the claim's test, unadjusted.
        paper: The paper's effect, or its mean for a level.
        deviations: Why this is not the paper's protocol; empty if it is.
        tested: Its Holm-adjusted p and level. Those within the paper's protocol and those outside
            of it are adjusted apart.
        judgement: The verdict.
        hangs_on: The trials without any one of which the verdict would be another.
    """

    claim: Claim
    samples: tuple[Sample | None, ...]
    contrast: Contrast | None
    p: float | None
    paper: float | None
    deviations: tuple[str, ...]
    tested: Tested | None = None
    judgement: Judgement = NOT_RUN
    hangs_on: tuple[Change, ...] = ()

    @property
    def smallest(self) -> float:
        """The least difference that counts."""
        if self.claim.smallest is not None:
            return self.claim.smallest
        cell = next((sample.cell for sample in self.samples if sample), None)
        if cell is not None:
            return float(cell.score.get("smallest") or 0.1)
        return 1.0 if self.claim.artefact == "table3" else 0.1

    @property
    def present(self) -> list[Sample]:
        """The samples that have values."""
        return [sample for sample in self.samples if sample and sample.values]

    @property
    def hanging(self) -> str:
        """How many trials the verdict hangs on, one at a time, in words; empty where on none."""
        if not self.hangs_on:
            return ""
        of = sum(len(sample.values) for sample in self.present)
        words = " or ".join(dict.fromkeys(self._beside(change.word) for change in self.hangs_on))
        which = "any one of them"
        if len(self.hangs_on) == 1:
            which = f"trial {self.hangs_on[0].trial} of {self.hangs_on[0].arm}"
        return f"{left_out(len(self.hangs_on), of)}, without {which}: {words}"

    def _beside(self, word: str) -> str:
        """Another verdict in words, told apart from this: "No, opposite" became a plain "No"."""
        own, _, way = self.judgement.word.partition(", ")
        return f"{word}, not {way}" if way and word == own else word

    @property
    def level(self) -> float:
        """Of the interval that is shown: it tells what the adjusted p-value tells.

        For two one-sided tests at α that is the interval at 1 - 2 α, not 1 - α: both reject
        exactly when it lies within ± margin.
        """
        level = self.tested.level if self.tested else 0.95
        return 2 * level - 1 if self.claim.kind == "equal" else level


def measure(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """Take what has run of a claim and test it by itself."""
    arms = (*claim.arms, *claim.baseline)
    samples = tuple(select(arms, claim.trials, claim.value, cells))
    contrast, p = _test(claim, samples)
    paper = claim.paper
    baseline = samples[-1].summary if samples[-1] else None
    if claim.relative is not None and baseline:
        paper = claim.relative / 100 * baseline.mean
    return Finding(claim, samples, contrast, p, paper, _deviations(claim, samples))


def retest(finding: Finding, samples: tuple[Sample | None, ...]) -> Finding:
    """The finding from other samples of the same arms, whatever their protocol."""
    contrast, p = _test(finding.claim, samples)
    return replace(finding, samples=samples, contrast=contrast, p=p)


def _test(claim: Claim, samples: Sequence[Sample | None]) -> tuple[Contrast | None, float | None]:
    """The claim's contrast and the p-value of its test."""
    summaries = [sample.summary for sample in samples if sample and sample.summary]
    if len(summaries) < len(samples):
        return None, None
    if claim.kind == "level":
        return Contrast(((1.0, summaries[0]),)), None
    if claim.kind == "spread":
        arm, base = (list(sample.values.values()) for sample in samples if sample)
        return spread(arm, base), brown_forsythe(arm, base)
    if claim.kind == "equal":
        n = len(claim.arms)
        assert claim.margin is not None
        base_term = [(-1.0, s) for s in summaries[n:]]
        options = [Contrast(((1.0, s), *base_term)) for s in summaries[:n]]
        tested = [(p, o) for o in options if (p := o.equivalence(claim.margin)) is not None]
        if len(tested) < n:  # one without spread
            return options[0], None
        p, worst = max(tested, key=lambda pair: pair[0])  # all equal if this one is: no correction
        return worst, p
    lower = claim.value == "gap" or (
        claim.value == "score" and samples[0] is not None
        and samples[0].cell.score["better"] == "lower"
    )  # fmt: skip
    sign = -1.0 if lower else 1.0
    signs = (sign, -sign, -sign, sign)
    contrast = Contrast(tuple(zip(signs, summaries, strict=False)))
    return contrast, contrast.p


def _deviations(claim: Claim, samples: Sequence[Sample | None]) -> tuple[str, ...]:
    found: list[str] = []
    for sample in samples:
        if sample is None:
            continue
        labels = list(sample.outside(claim.ours))
        n = len(sample.values)
        if n < claim.trials:
            labels.append(fewer(n, claim.trials))
        found += labels
    return tuple(dict.fromkeys(found))
