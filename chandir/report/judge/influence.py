"""How much of a verdict is one trial's: every finding judged again without each of its trials.

A verdict that another processor's last bits, or one more trial, may turn is near its edge, and this
says so without a model of what turns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from chandir.report.judge.finding import Change, Finding, retest
from chandir.report.judge.samples import Sample

FEWEST = 3  # trials of each arm; fewer leave no spread when one goes
LEGEND = (
    "Leave-one-out, k of n differ: judged n times more, each time without one of the n trials of "
    "its arms, the verdict is k times another."
)

Family = Sequence[Finding]


def hanging(family: Family, adjust: Callable[[Family], list[Finding]]) -> list[Finding]:
    """Every judged finding of a family with the changes that leaving out one trial makes.

    Holm's correction runs anew each time: it is the same trial of every claim that is left out.

    Args:
        family: Findings that are corrected together, judged.
        adjust: Tests and judges a family.
    """
    changes: list[list[Change]] = [[] for _ in family]
    for sample in _distinct(s for f in family for s in f.present):
        for k in sample.values:
            thinner = [_without(finding, sample, k) for finding in family]
            for i, judged in enumerate(adjust(thinner)):
                if (
                    thinner[i] is not family[i]
                    and judged.judgement.word != family[i].judgement.word
                ):
                    changes[i].append(Change(sample.arm.name, k, judged.judgement.word))
    return [replace(f, hangs_on=tuple(own)) for f, own in zip(family, changes, strict=True)]


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    """One sample of each cell, the one with the most trials."""
    found: dict[int, Sample] = {}
    for sample in samples:
        known = found.setdefault(id(sample.cell), sample)
        if len(sample.values) > len(known.values):
            found[id(sample.cell)] = sample
    return list(found.values())


def _without(finding: Finding, of: Sample, k: int) -> Finding:
    """The finding without trial k of a cell; itself where that is none of its trials."""
    if len(finding.present) < len(finding.samples):
        return finding
    if min(len(sample.values) for sample in finding.present) < FEWEST:
        return finding
    if not any(s.cell is of.cell and k in s.values for s in finding.present):
        return finding
    return retest(finding, tuple(
        replace(s, values={i: v for i, v in s.values.items() if i != k})
        if s is not None and s.cell is of.cell else s
        for s in finding.samples
    ))  # fmt: skip
