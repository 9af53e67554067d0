"""From a finding to a verdict: what is missing, the rule, and what would settle it."""

from __future__ import annotations

from dataclasses import replace

from chandir.report.judge import rule
from chandir.report.judge.finding import Finding
from chandir.report.judge.rule import OURS, Judgement, Verdict
from chandir.report.statistics import trials_alike, trials_needed

UNRESOLVABLE = "paper's claim not resolvable at its own sample size"


def judge(finding: Finding, weak: bool) -> Judgement:
    """Judge a finding whose family has been tested.

    `weak`: at the paper's own number of trials its claim would not be significant.
    """
    contrast, judged = finding.contrast, verdict(finding)
    if judged.verdict is Verdict.NO_CLAIM:
        return judged
    notes = [judged.detail, UNRESOLVABLE if weak else ""]
    if judged.verdict is Verdict.INCONCLUSIVE and contrast and contrast.error:
        notes.insert(1, _needed(finding))
    return replace(judged, detail="; ".join(note for note in notes if note))


def verdict(finding: Finding) -> Judgement:
    """The rule's own word, without what would settle it."""
    claim = finding.claim
    if claim.kind in ("gain", "trend") and claim.paper is not None:  # noqa: SIM102
        if claim.paper < finding.smallest:
            return Judgement(Verdict.NO_CLAIM)
    judged = _rule(finding)
    if claim.ours:
        judged = replace(judged, verdict=OURS.get(judged.verdict, judged.verdict))
    return judged


def _rule(finding: Finding) -> Judgement:
    claim, contrast, present = finding.claim, finding.contrast, finding.present
    if not present:
        return Judgement(Verdict.NOT_RUN)
    if len(present) < len(finding.samples):
        ran = {sample.arm for sample in present}
        missing = [arm.name for arm in (*claim.arms, *claim.baseline) if arm not in ran]
        return Judgement(Verdict.INCOMPLETE, f"no comparable runs of {'; '.join(missing)}")
    if finding.deviations:
        towards = _towards(finding)
        what = "likeness" if claim.kind == "equal" else "direction"
        detail = "; ".join([*finding.deviations, *([f"{what} {towards}"] if towards else [])])
        return Judgement(Verdict.NOT_COMPARABLE, detail, towards)
    if contrast is None or (claim.kind != "level" and finding.tested is None):
        return Judgement(Verdict.INCONCLUSIVE, "no spread to judge by")
    if claim.kind == "level":
        assert claim.paper is not None
        assert claim.margin is not None
        return rule.level(contrast, claim.paper, claim.margin, claim.trials)
    assert finding.tested is not None
    if claim.kind == "equal":
        assert claim.margin is not None
        return rule.equal(contrast, finding.tested.p, finding.level, claim.margin)
    judged = rule.gain(contrast, finding.level, finding.paper, finding.smallest, claim.trials)
    if claim.kind == "spread" and finding.tested.p > 0.05 and contrast.value > 0 and (
        judged.verdict in (Verdict.REPRODUCED, Verdict.SMALLER)
    ):  # fmt: skip
        return Judgement(Verdict.INCONCLUSIVE, "the two tests of spread disagree")
    return judged


def _needed(finding: Finding) -> str:
    """The trials for 80 % power at the measured deviations; for a trend, two of the same kind."""
    claim, contrast = finding.claim, finding.contrast
    assert contrast is not None
    terms = [c**2 * (sample.sd or 0) ** 2 for c, sample in contrast.terms]
    half = (len(terms) + 1) // 2
    sds = (sum(terms[:half]) ** 0.5, sum(terms[half:]) ** 0.5)
    if claim.kind == "equal":
        assert claim.margin is not None
        n = trials_alike(claim.margin, sds, finding.level)
        if n and n <= min(len(sample.values) for sample in finding.present):
            return ""  # there were enough, had they been equal
        what = f"to find equals, if they are, within {claim.margin:g}"
    else:
        effect = finding.paper or finding.smallest
        n = trials_needed(effect, sds, finding.level)
        noun = "log ratio" if claim.kind == "spread" else "gain"
        whose = f"paper's {noun}" if finding.paper else f"smallest {noun} that counts"
        what = f"for the {whose} ({effect:.3g})"
    return f"80 % power {what} needs {n if n else 'over 10,000'} trials an arm"


def _towards(finding: Finding) -> str:
    """Which way a claim went outside the protocol; empty where there is nothing to tell."""
    claim, contrast, tested = finding.claim, finding.contrast, finding.tested
    if contrast is None or tested is None or claim.kind == "level":
        return ""
    if claim.kind == "equal":
        assert claim.margin is not None
        found = rule.equal(contrast, tested.p, finding.level, claim.margin).verdict
        return {Verdict.REPRODUCED: "agrees", Verdict.NOT_REPRODUCED: "opposite"}.get(found, "open")
    if claim.kind == "spread" and tested.p > 0.05:
        return "open"  # the test of Brown and Forsythe has to agree with the interval
    return rule.direction(contrast, finding.level)
