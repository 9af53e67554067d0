"""Exhibits: the artefacts as the page shows them, each folded under one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from chandir.report.judge.artefacts import Part
from chandir.report.judge.rule import Verdict
from chandir.report.show import evidence
from chandir.report.show import pairing as further
from chandir.report.show.figures.style import Drawing
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import counted

BRIEF = 12  # claims of an artefact that stands open


@dataclass(frozen=True)
class Exhibit:
    """An artefact on the page: its tables and figures."""

    part: Part
    drawings: Sequence[Drawing]

    @cached_property
    def files(self) -> list[Sheet]:
        """Its tables as files."""
        if not self.part.ran:
            return []
        own = [evidence.claims(self.part), evidence.arms(self.part)]
        return [*own, *([self.details] if self.details else [])]

    @cached_property
    def claims(self) -> Sheet | None:
        """Its claims on the page, details beside the verdicts; None where none has its arms."""
        found = evidence.claims(self.part, inline=True)
        return found if found.body else None

    @cached_property
    def arms(self) -> Sheet:
        """Its arms on the page."""
        return evidence.arms(self.part)

    @cached_property
    def details(self) -> Sheet | None:
        """Further statistics."""
        return further.statistics(self.part)

    @property
    def outside(self) -> tuple[str, ...]:
        """What all its claims lack of the paper's protocol."""
        return evidence.deviations(self.part)

    @property
    def line(self) -> str:
        """What came of it, in one line: verdicts by their number, and what waits."""
        counts = Counter(f.judgement.verdict for f in self._judged)
        said = [
            f"{counts[v]} {v.value.lower()}" for v in Verdict if counts[v] and v not in _WAITING
        ]
        waiting = sum(counts[v] for v in _WAITING)
        return " · ".join([*said, *([f"{waiting} waiting for runs"] if waiting else [])])

    @property
    def brief(self) -> bool:
        """Whether it is of the paper and short enough to stand open."""
        return not self.part.artefact.ours and self.claims is not None and (
            len(self.claims.body) <= BRIEF
        )  # fmt: skip

    @property
    def waiting(self) -> str:
        """How many of its claims have no verdict for want of runs, in words; empty if none."""
        counts = Counter(f.judgement.verdict for f in self._judged)
        parts = []
        if n := counts[Verdict.INCOMPLETE]:
            parts.append(f"{counted(n, 'claim')} {'lacks' if n == 1 else 'lack'} an arm")
        if n := counts[Verdict.NOT_RUN]:
            parts.append(f"{counted(n, 'claim')} {'has' if n == 1 else 'have'} not run")
        return " and ".join(parts)

    @property
    def _judged(self) -> list[evidence.Finding]:
        return [f for f in self.part.findings if f.claim.kind != "level"]


_WAITING = (Verdict.INCOMPLETE, Verdict.NOT_RUN)
