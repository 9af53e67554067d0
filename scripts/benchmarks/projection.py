"""From measured step times to hours: the paper's trials, each artefact's and all, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chandir.harness.sweep.plan import Job, jobs
from scripts.benchmarks import measure, workload

EXPERIMENTS = measure.ROOT / "conf" / "experiment"
TABLE2 = "Table 2"
Kind = tuple[str, str, int, str]  # task, model, batch size, optimizer


@dataclass(frozen=True)
class Trial:
    """One planned trial: what its time depends on. ``folder`` tells trials apart."""

    folder: str
    kind: Kind
    steps: int
    epochs: int


@dataclass
class Measured:
    """Of one kind of trial; seconds, and None where nothing measured it.

    Attributes:
        step: of the harness alone on the device.
        evaluation: of a test set of the paper's size.
        packed: a trial's share of a step with others beside it, its evaluations included.
        limit: the least that a step takes.
    """

    step: float
    limit: float
    evaluation: float | None = None
    packed: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def seconds(self, trial: Trial, column: str) -> float | None:
        """Of a whole trial: "one by one", "packed" or "limit"."""
        if column == "limit":
            return self.limit * trial.steps
        if column == "packed":
            return None if self.packed is None else self.packed * trial.steps
        return self.step * trial.steps + (self.evaluation or 0) * trial.epochs


COLUMNS = ("one by one", "packed", "limit")


def planned(overrides: Sequence[str]) -> dict[str, list[Trial]]:
    """The trials of every experiment, Table 2 as one, with these overrides on top."""
    found: dict[str, list[Trial]] = {TABLE2: []}
    for file in sorted(EXPERIMENTS.glob("*.yaml")):
        trials = _trials(jobs((f"experiment={file.stem}", *overrides)))
        if file.stem.startswith("table2-"):
            found[TABLE2] += trials
        else:
            found[file.stem] = trials
    return found


def _trials(planned: Iterable[Job]) -> list[Trial]:
    steps: dict[str, int] = {}
    found = []
    for job in planned:
        config = job.resolved.config
        assert config.task.batch_size is not None
        assert config.task.epochs is not None
        cell = str(job.folder.parent)
        if cell not in steps:
            steps[cell] = workload.steps(job)
        kind = config.task.name, config.model.name, config.task.batch_size, config.optimizer.name
        found.append(Trial(str(job.folder), kind, steps[cell], config.task.epochs))
    return found


def projection(
    artefacts: Mapping[str, list[Trial]], found: Mapping[Kind, Measured]
) -> dict[str, dict[str, Any]]:
    """Hours of each artefact, and of all together, each trial once."""
    table: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    everything: dict[str, Trial] = {}
    for artefact, trials in artefacts.items():
        own = list({trial.folder: trial for trial in trials}.values())
        new = [trial for trial in own if trial.folder not in seen]
        seen |= {trial.folder for trial in own}
        everything |= {trial.folder: trial for trial in own}
        table[artefact] = _row(own, found) | {"new_trials": len(new)}
    table["everything, once"] = _row(list(everything.values()), found)
    return table


def _row(trials: Sequence[Trial], found: Mapping[Kind, Measured]) -> dict[str, Any]:
    missing = sorted({name(trial.kind) for trial in trials if trial.kind not in found})
    untested = sorted(
        {
            name(trial.kind)
            for trial in trials
            if trial.kind in found and found[trial.kind].evaluation is None
        }
    )
    hours = {}
    for column in COLUMNS:
        each = [
            found[trial.kind].seconds(trial, column) if trial.kind in found else None
            for trial in trials
        ]
        known = [seconds for seconds in each if seconds is not None]
        hours[column] = sum(known) / 3600 if len(known) == len(each) else None
    return {
        "trials": len(trials),
        "steps": sum(trial.steps for trial in trials),
        "hours": hours,
        "not_measured": missing,
        "without_evaluation": untested,
    }


def text(table: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of artefacts."""
    head = f"{'hours at the paper scale':24}{'trials':>8}{'new':>6}{'Msteps':>9}"
    lines = [head + "".join(f"{column:>12}" for column in COLUMNS) + f"{'x limit':>9}"]
    for artefact, row in table.items():
        hours = row["hours"]
        line = f"{artefact:24}{row['trials']:8}{row.get('new_trials', ''):>6}"
        line += f"{row['steps'] / 1e6:9.2f}"
        line += "".join(f"{_hours(hours[column]):>12}" for column in COLUMNS)
        best = hours["packed"] or hours["one by one"]
        line += f"{best / hours['limit']:9.1f}" if best and hours["limit"] else f"{'':9}"
        if row["not_measured"]:
            line += f"  not measured: {len(row['not_measured'])} kinds"
        elif row["without_evaluation"]:
            line += "  training alone"
        lines.append(line)
    return "\n".join(lines)


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.3g}" if hours < 1000 else f"{hours:,.0f}"


def name(kind: Kind) -> str:
    """For people: ``cifar10 resnet56 batch 8 sgd``."""
    task, model, batch, optimizer = kind
    return f"{task} {model} batch {batch} {optimizer}"
