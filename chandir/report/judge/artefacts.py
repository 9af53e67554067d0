"""Parts: what the runs allow of each artefact, its findings and its arms side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from chandir.report.judge.claims import Arm, Artefact
from chandir.report.judge.claims_file import arm
from chandir.report.judge.finding import Finding
from chandir.report.judge.findings import findings
from chandir.report.judge.samples import Sample, select
from chandir.report.read.cells import Cell

# Our controls stand beside the paper's arms wherever both ran.
_CONTROLS = {"table2-resnet56-sgd": ("h0_mean", "h0_norm"), "fig5": ("h0_mean", "h0_norm")}


@dataclass(frozen=True)
class Group:
    """Arms of an artefact under one setting, under the same circumstances.

    Attributes:
        name: The setting, e.g. ``batch size 8``; empty if the artefact has one alone.
        arms: Every arm, h0 first.
        samples: Their scores at the last epoch; None for an arm that did not run.
    """

    name: str
    arms: tuple[Arm, ...]
    samples: tuple[Sample | None, ...]

    def __getitem__(self, name: str) -> Sample | None:
        """The sample of an arm by its name; None if it did not run, or is no arm of this."""
        found = (s for a, s in zip(self.arms, self.samples, strict=True) if a.name == name)
        return next(found, None)

    @property
    def present(self) -> list[Sample]:
        """The samples with values."""
        return [sample for sample in self.samples if sample and sample.values]


@dataclass(frozen=True)
class Part:
    """An artefact, its findings and its groups."""

    artefact: Artefact
    findings: tuple[Finding, ...]
    groups: tuple[Group, ...]

    @property
    def ran(self) -> bool:
        """Whether any of it has: two arms side by side, or one at the artefact's own settings.

        A lone arm of a shortened run compares with nothing; it is among all results.
        """
        several = any(len(group.present) > 1 for group in self.groups)
        return several or any(self._full(sample) for sample in self.samples)

    @cached_property
    def missing(self) -> list[str]:
        """What has not run, in words; empty when every arm has its trials."""
        found = []
        for group in self.groups:
            for own, sample in zip(group.arms, group.samples, strict=True):
                if own not in self.artefact.arms:  # a control, shown where it ran
                    continue
                done = len(sample.values) if sample and self._full(sample) else 0
                if done < self.artefact.trials:
                    where = f", {group.name}" if group.name else ""
                    found.append(f"{own.name}{where}: {done} of {self.artefact.trials} trials")
        return found

    @property
    def reduced(self) -> bool:
        """Whether any of it ran at other settings than its own: shorter, on fewer or other data."""
        return not all(self._full(sample) for sample in self.samples)

    def _full(self, sample: Sample) -> bool:
        """Whether its trials are those that the artefact's command runs."""
        return not sample.outside(self.artefact.ours)

    @property
    def samples(self) -> list[Sample]:
        """Everything that it shows."""
        return [sample for group in self.groups for sample in group.present]


def parts(artefacts: Sequence[Artefact], cells: Sequence[Cell]) -> list[Part]:
    """Return every declared artefact with what has run of it."""
    found = findings(artefacts, cells)
    own = {a.name: tuple(f for f in found if f.claim.artefact == a.name) for a in artefacts}
    return [Part(a, own[a.name], tuple(_groups(a, cells))) for a in artefacts]


def _groups(artefact: Artefact, cells: Sequence[Cell]) -> list[Group]:
    groups: dict[str, list[Arm]] = {}
    rates = {dict(own.where).get("optimizer.lr") for own in artefact.arms}
    for own in artefact.arms:
        groups.setdefault(_place(own, len(rates) > 1), []).append(own)
    several = len(groups) > 1
    found = []
    for place, arms in groups.items():
        arms.sort(key=lambda own: own.name != "h0")  # the baseline first, else as declared
        samples = select(arms, artefact.trials, "score", cells)
        for name in _CONTROLS.get(artefact.name, ()):
            batch = dict(arms[0].where)["task.batch_size"]
            control = arm(name, "resnet56-sgd", task__batch_size=batch)
            beside = select([*arms, control], artefact.trials, "score", cells)
            if beside[-1] is not None and beside[:-1] == samples:
                arms, samples = [*arms, control], beside
        found.append(Group(place if several else "", tuple(arms), tuple(samples)))
    return found


def _place(own: Arm, rate: bool) -> str:
    where = dict(own.where)
    names = [str(where["data.name"])] if "data.name" in where else []
    names.append(f"batch size {where['task.batch_size']}")
    return ", ".join([*names, *([f"lr {where['optimizer.lr']:g}"] if rate else [])])
