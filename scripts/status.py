"""Show how far sweeps are, from their run folders alone.

    python scripts/status.py                              # everything under results/runs
    python scripts/status.py experiment=fig6              # against what that command would run
    python scripts/status.py --watch 5 -m task=cifar10 'trial=range(25)'

What is planned is known only if the sweep's own arguments are given, as to run.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir.harness import claim
from chandir.harness.errors import UserError
from chandir.harness.record import Record
from chandir.harness.summary import aligned, unlike

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RUNS = Path("results/runs")
HEADER = ("cell", "planned", "done", "diverged", "running", "failed", "epochs", "left")


@dataclass
class Cell:
    """One cell's trials, as their folders stand now. Times in seconds."""

    name: str
    planned: int = 0
    epochs: int = 0  # of all its trials together
    ran: int = 0
    states: list[str] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)  # seconds per epoch
    machines: list[str] = field(default_factory=list)  # kinds that ran them, each once

    def count(self, state: str) -> int:
        """Trials in a state."""
        return self.states.count(state)

    def left(self, pace: float | None = None) -> float | None:
        """Seconds of work left, one trial after the other; None if nothing tells how long."""
        own = sum(self.paces) / len(self.paces) if self.paces else pace
        return None if own is None else own * (self.epochs - self.ran)


def trial(cell: Cell, folder: Path, epochs: int) -> None:
    """Add what a run folder says."""
    record = Record(folder)
    rows = record.rows()
    cell.planned += 1
    cell.epochs += epochs
    cell.ran += len(rows)
    cell.machines += [found for found in record.machines() if found not in cell.machines]
    if rows:
        cell.paces.append(sum(row["seconds"] for row in rows) / len(rows))
    if record.complete:
        status = _status(record)
        cell.states.append(status)
        cell.epochs += len(rows) - epochs  # a diverged trial is shorter
    elif claim.running(folder):
        cell.states.append("running")
    elif (folder / "error.txt").exists():
        cell.states.append("failed")
    else:
        cell.states.append("waiting")


def _status(record: Record) -> str:
    try:
        return str(record.final()["status"])
    except (OSError, ValueError, KeyError):
        return "failed"


def found(runs: Path) -> list[Cell]:
    """Every cell below a results folder."""
    cells: dict[Path, Cell] = {}
    names = ("config.yaml", "error.txt")  # what fails before its first step has no config.yaml
    paths = {path.parent for name in names for path in runs.glob(f"**/trial-*/{name}")}
    for folder in sorted(paths):
        config = folder / "config.yaml"
        try:
            epochs = int(yaml.load(config.read_bytes(), _LOADER)["task"]["epochs"])
        except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError):
            epochs = 0  # it has none yet, or a damaged one
        trial(cells.setdefault(folder.parent, Cell(folder.parent.name)), folder, epochs)
    return list(cells.values())


def planned(arguments: Iterable[str]) -> list[Cell]:
    """Every cell that a command line asks for.

    Raises:
        UserError: for arguments that run.py refuses.
    """
    from chandir.harness.sweep import prepare

    cells: dict[str, Cell] = {}
    for job in prepare(list(arguments)):
        name = job.folder.parent.name
        trial(cells.setdefault(name, Cell(name)), job.folder, job.resolved.config.task.epochs or 0)
    return list(cells.values())


def text(cells: list[Cell], planned: bool = True) -> str:
    """The table, and the time left: of a whole plan, or of what has begun."""
    paces = [pace for cell in cells for pace in cell.paces]
    typical = sum(paces) / len(paces) if paces else None
    rows: list[tuple[str, ...]] = [HEADER]
    for cell in cells:
        done = cell.count("done") + cell.count("diverged")
        counts = (cell.planned, done, cell.count("diverged"), cell.count("running"))
        epochs = f"{cell.ran}/{cell.epochs}"
        left = _duration(cell.left(typical))
        rows.append((cell.name, *map(str, counts), str(cell.count("failed")), epochs, left))
    running = sum(cell.count("running") for cell in cells)
    left_of = [cell.left(typical) for cell in cells]
    lines = [aligned(rows, left=(0,))]
    lines += [unlike(cell.name, cell.machines) for cell in cells if len(cell.machines) > 1]
    if all(value is not None for value in left_of) and cells:
        total = sum(value or 0.0 for value in left_of)
        about = f"about {_duration(total / max(running, 1))} left at this pace"
        idle = f"nothing runs; about {_duration(total)} of work left" if total else "all done"
        lines.append(f"{running} running; {about}" if running else idle)
        if not planned:
            lines[-1] += ", of what has begun; give the sweep's own arguments for all of it"
    return "\n".join(lines)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{seconds / 60:.1f} min"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table once, or again and again."""
    parser = argparse.ArgumentParser(
        description="progress of sweeps, from their run folders",
        epilog="With a sweep's own arguments (experiment=fig6), against all that it plans.",
    )
    parser.add_argument("--runs", type=Path, metavar="RUNS", help=f"default: {RUNS}")
    parser.add_argument("--watch", type=float, metavar="S", help="again, every S seconds")
    options, sweep = parser.parse_known_args(arguments)
    while True:
        try:
            if sweep and options.runs is not None:
                raise UserError(
                    f"--runs {options.runs} has no effect on a sweep, which says where its runs "
                    "are: expected one of the two; give paths.results"
                )
            cells = planned(sweep) if sweep else found(options.runs or RUNS)
        except UserError as error:
            print(f"refused: {error}", file=sys.stderr)
            return 2
        if options.watch and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        print(text(cells, bool(sweep)) if cells else f"no trial under {options.runs or RUNS}")
        if not options.watch:
            return 0
        time.sleep(options.watch)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
