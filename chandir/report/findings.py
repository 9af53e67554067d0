"""Findings: every declared claim with what was measured of it, tested in its family and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chandir.report import verdicts
from chandir.report.cells import Cell
from chandir.report.claims import Artefact, Claim
from chandir.report.samples import Sample, select
from chandir.report.statistics import (
    Contrast,
    Tested,
    brown_forsythe,
    difference,
    holm,
    spread,
    trials_needed,
)  # fmt: skip
from chandir.report.verdicts import OURS, Judgement, Verdict

NOT_RUN = Judgement(Verdict.NOT_RUN)
UNRESOLVABLE = "paper's claim not resolvable at its own sample size"


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
        tested: Its place in the family; None outside the protocol.
        judgement: The verdict.
    """

    claim: Claim
    samples: tuple[Sample | None, ...]
    contrast: Contrast | None
    p: float | None
    paper: float | None
    deviations: tuple[str, ...]
    tested: Tested | None = None
    judgement: Judgement = NOT_RUN

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
    def level(self) -> float:
        """Of the interval that is shown."""
        return self.tested.level if self.tested else 0.95


def findings(artefacts: Sequence[Artefact], cells: Sequence[Cell]) -> list[Finding]:
    """Measure, test and judge every claim.

    Holm's correction runs over each declared family, whatever part of it has run. Claims outside
    the paper's protocol are shown with their own p and take no part.
    """
    found = [_measure(claim, cells) for artefact in artefacts for claim in artefact.claims]
    families: dict[str, list[int]] = {}
    for i, finding in enumerate(found):
        if finding.claim.family:
            families.setdefault(finding.claim.family, []).append(i)
    for members in families.values():
        p_values = [None if found[i].deviations else found[i].p for i in members]
        for i, tested in zip(members, holm(p_values), strict=True):
            found[i] = replace(found[i], tested=tested)
    weak = {i for members in families.values() for i in _unresolvable(found, members)}
    return [replace(f, judgement=_judge(f, i in weak)) for i, f in enumerate(found)]


def paper_contrast(claim: Claim) -> Contrast | None:
    """The paper's own comparison, from its n, means and deviations; None where it has none."""
    if claim.kind != "gain" or any(s.sd is None for s in claim.samples) or not claim.samples:
        return None
    arm, baseline = claim.samples
    return difference(arm, baseline)


def _measure(claim: Claim, cells: Sequence[Cell]) -> Finding:
    arms = (*claim.arms, *claim.baseline)
    samples = tuple(select(arms, claim.trials, claim.value, cells))
    contrast, p = _test(claim, samples)
    paper = claim.paper
    baseline = samples[-1].summary if samples[-1] else None
    if claim.relative is not None and baseline:
        paper = claim.relative / 100 * baseline.mean
    return Finding(claim, samples, contrast, p, paper, _deviations(claim, samples))


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
        config = sample.cell.config
        labels = [x for x in sample.cell.labels if not (claim.ours and "not in the paper" in x)]
        if config["scale"]["name"] != "paper" and not any("scale" in x for x in labels):
            labels.append(f"scale {config['scale']['name']}")
        if config["data"]["source"] != "real" and not any("data" in x for x in labels):
            labels.append(f"{config['data']['source']} data")
        n = len(sample.values)
        if n < claim.trials:
            labels.append(f"{n} of {claim.trials} trials")
        found += labels
    return tuple(dict.fromkeys(found))


def _unresolvable(found: Sequence[Finding], members: Sequence[int]) -> list[int]:
    """Members that the paper's own n and spread leave without significance, after Holm."""
    own = [paper_contrast(found[i].claim) for i in members]
    tested = holm([contrast.p if contrast else None for contrast in own])
    return [i for i, t in zip(members, tested, strict=True) if t and t.p > 0.05]


def _judge(finding: Finding, weak: bool) -> Judgement:
    claim, contrast = finding.claim, finding.contrast
    if claim.kind in ("gain", "trend") and claim.paper is not None:  # noqa: SIM102
        if claim.paper < finding.smallest:
            return Judgement(Verdict.NO_CLAIM)
    judged = _rule(finding)
    if claim.ours:
        judged = replace(judged, verdict=OURS.get(judged.verdict, judged.verdict))
    if judged.verdict is Verdict.INCONCLUSIVE and claim.kind in ("gain", "trend") and contrast:
        judged = replace(judged, detail=_needed(finding))
    notes = [judged.detail, UNRESOLVABLE if weak else ""]
    return replace(judged, detail="; ".join(note for note in notes if note))


def _rule(finding: Finding) -> Judgement:
    claim, contrast, present = finding.claim, finding.contrast, finding.present
    if not present:
        return Judgement(Verdict.NOT_RUN)
    if len(present) < len(finding.samples):
        ran = {sample.arm for sample in present}
        missing = [arm.name for arm in (*claim.arms, *claim.baseline) if arm not in ran]
        return Judgement(Verdict.INCOMPLETE, f"no comparable runs of {'; '.join(missing)}")
    if finding.deviations:
        towards = verdicts.direction(contrast) if claim.kind in ("gain", "trend", "spread") else ""
        detail = "; ".join([*finding.deviations, *([towards] if towards else [])])
        return Judgement(Verdict.NOT_COMPARABLE, detail)
    if contrast is None or (claim.kind != "level" and finding.tested is None):
        return Judgement(Verdict.INCONCLUSIVE, "no spread to judge by")
    if claim.kind == "level":
        assert claim.paper is not None
        assert claim.margin is not None
        return verdicts.level(contrast, claim.paper, claim.margin, claim.trials)
    assert finding.tested is not None
    if claim.kind == "equal":
        assert claim.margin is not None
        return verdicts.equal(contrast, finding.tested.p, finding.level, claim.margin)
    judged = verdicts.gain(contrast, finding.level, finding.paper, finding.smallest, claim.trials)
    if claim.kind == "spread" and finding.tested.p > 0.05 and contrast.value > 0 and (
        judged.verdict in (Verdict.REPRODUCED, Verdict.SMALLER)
    ):  # fmt: skip
        return Judgement(Verdict.INCONCLUSIVE, "the two tests of spread disagree")
    return judged


def _needed(finding: Finding) -> str:
    """The trials for 80 % power at the measured deviations; for a trend, two of the same kind."""
    assert finding.contrast is not None
    terms = [sample for _, sample in finding.contrast.terms]
    half = len(terms) // 2
    sds = [sum((s.sd or 0) ** 2 for s in part) ** 0.5 for part in (terms[:half], terms[half:])]
    effect = finding.paper or finding.smallest
    n = trials_needed(effect, (sds[0], sds[1]), finding.level)
    whose = "paper's gain" if finding.paper else "smallest gain that counts"
    return f"80 % power for the {whose} ({effect:.3g}) needs " + (
        f"{n} trials an arm" if n else "over 10,000 trials an arm"
    )
