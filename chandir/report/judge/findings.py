"""Findings: every declared claim measured, tested in its family and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chandir.report.judge.claims import Artefact, Claim
from chandir.report.judge.finding import Finding, measure
from chandir.report.judge.influence import hanging
from chandir.report.judge.judging import judge, verdict
from chandir.report.read.cells import Cell
from chandir.report.statistics import Contrast, difference, holm


def findings(artefacts: Sequence[Artefact], cells: Sequence[Cell]) -> list[Finding]:
    """Measure, test and judge every claim.

    Holm's correction runs over each declared family, whatever part of it has run; once for the
    claims within the paper's protocol, which get a verdict, and once for those outside, which get
    a direction at best. Neither makes the other's test milder or stricter.
    """
    found = [measure(claim, cells) for artefact in artefacts for claim in artefact.claims]
    families: dict[str, list[int]] = {}
    for i, finding in enumerate(found):
        if finding.claim.family:
            families.setdefault(finding.claim.family, []).append(i)
    for members in families.values():
        for i, finding in zip(members, _tested([found[i] for i in members]), strict=True):
            found[i] = finding
    weak = {i for members in families.values() for i in _unresolvable(found, members)}
    found = [replace(f, judgement=judge(f, i in weak)) for i, f in enumerate(found)]
    for members in families.values():
        for i, finding in zip(members, hanging([found[i] for i in members], _judged), strict=True):
            found[i] = finding
    return found


def _tested(family: Sequence[Finding]) -> list[Finding]:
    """A family after Holm's correction: those within the protocol, and apart those outside."""
    found = list(family)
    for outside in (False, True):
        own = [bool(finding.deviations) is outside for finding in found]
        p_values = [f.p if mine else None for f, mine in zip(found, own, strict=True)]
        for i, tested in enumerate(holm(p_values)):
            if own[i]:
                found[i] = replace(found[i], tested=tested)
    return found


def _judged(family: Sequence[Finding]) -> list[Finding]:
    return [replace(f, judgement=verdict(f)) for f in _tested(family)]


def paper_contrast(claim: Claim) -> Contrast | None:
    """The paper's own comparison, from its n, means and deviations; None where it has none."""
    if claim.kind != "gain" or any(s.sd is None for s in claim.samples) or not claim.samples:
        return None
    arm, baseline = claim.samples
    return difference(arm, baseline)


def _unresolvable(found: Sequence[Finding], members: Sequence[int]) -> list[int]:
    """Members that the paper's own n and spread leave without significance, after Holm."""
    own = [paper_contrast(found[i].claim) for i in members]
    tested = holm([contrast.p if contrast else None for contrast in own])
    return [i for i, t in zip(members, tested, strict=True) if t and t.p > 0.05]
