"""Standing: whether an arm's difference to plain gradients is told, and after which correction.

"better" and "worse" ask that the difference excludes zero after Holm's correction: over the family
in which the comparison was declared, whatever part of it has run, as the verdicts have it; and for
what nobody declared, over the arms of its setting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chandir.report.judge.artefacts import Part
from chandir.report.judge.finding import Finding
from chandir.report.show.rows import Row
from chandir.report.statistics import holm

Word = Literal["better", "worse", "hint", "open"]


@dataclass(frozen=True)
class Standing:
    """How an arm stands beside plain gradients.

    Attributes:
        word: "hint" where its own 95 % interval excludes zero, and no longer after correction.
        among: The comparisons that the correction is for.
    """

    word: Word
    among: int


def standings(first: Row, others: Sequence[Row], parts: Iterable[Part]) -> tuple[Standing, ...]:
    """Return the standing of each of the arms of a setting, whose plain gradients are `first`."""
    declared = [finding for part in parts for finding in part.findings]
    sizes = Counter(finding.claim.family for finding in declared)
    judged = [_judged(row, first, declared) for row in others]
    own = [None if f or not r.difference else r.difference.p
           for f, r in zip(judged, others, strict=True)]  # fmt: skip
    found = []
    for row, finding, tested in zip(others, judged, holm(own), strict=True):
        p = finding.tested.p if finding and finding.tested else tested.p if tested else 1.0
        among = sizes[finding.claim.family] if finding else len(others)
        way = _way(row)
        word: Word = "open" if way is None else way if p <= 0.05 else "hint"
        found.append(Standing(word, among))
    return tuple(found)


def _judged(row: Row, first: Row, declared: Iterable[Finding]) -> Finding | None:
    """The declared comparison of two cells: of several the one nearest to what was asked for."""

    def fitness(finding: Finding) -> tuple[bool, bool, int]:
        whole = min(len(s.values) for s in finding.present) >= finding.claim.trials
        return whole, not finding.deviations, finding.claim.trials

    of_these = [
        f for f in declared
        if f.claim.kind == "gain" and f.claim.value == "score" and f.tested
        and [id(s.cell) for s in f.present] == [id(row.cell), id(first.cell)]
    ]  # fmt: skip
    return max(of_these, key=fitness, default=None)


def _way(row: Row) -> Literal["better", "worse"] | None:
    """Which way the 95 % interval excludes zero."""
    gain = row.difference
    if gain is None or gain.interval is None:
        return None
    low, high = gain.interval
    if low <= 0 <= high:
        return None
    return "better" if (low > 0) == (row.cell.score["better"] == "higher") else "worse"
