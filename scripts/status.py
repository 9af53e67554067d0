"""Show how far sweeps are, from their run folders alone.

    python scripts/status.py                              # everything under results/runs
    python scripts/status.py experiment=fig6              # against what that command would run
    python scripts/status.py --watch 5 -m task=cifar10 'trial=range(25)'

What is planned is known only if the sweep's own arguments are given, as to run.py. Exit status: 2
if they or the folder were refused, otherwise 0.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir import runfolder
from chandir.harness.base import folders
from chandir.harness.base.errors import UserError
from chandir.harness.base.output import columns, outlast
from chandir.harness.base.words import cut, duration, many
from chandir.harness.config.schema import Config
from chandir.harness.durable import claim, provenance
from chandir.harness.durable.provenance import machines
from chandir.harness.sweep.summary import unlike
from chandir.harness.sweep.table import aligned
from chandir.harness.trial import origins
from chandir.harness.trial.origins import Origin
from chandir.runfolder import find, log, origin

RUNS = Path("results/runs")
LONGEST = 86_400  # seconds between two looks
ILL = ("diverged", "failed", "damaged")
HEADER = ("cell", "planned", "done", "diverged", "running", "failed", "damaged", "epochs", "left")


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
    damaged: dict[Path, str] = field(default_factory=dict)  # why, by folder
    others: list[Origin] = field(default_factory=list)  # of complete trials of other code
    data: list[str] = field(default_factory=list)  # checksums, of complete trials, each once
    compared: bool = True  # whether all complete trials are known to be of the data here

    def count(self, state: str) -> int:
        """Trials in a state."""
        return self.states.count(state)

    @property
    def results(self) -> int:
        """Trials that are complete."""
        return self.count("done") + self.count("diverged")

    def left(self, pace: float | None = None) -> float | None:
        """Seconds of work left, one trial after the other; None if nothing tells how long."""
        own = sum(self.paces) / len(self.paces) if self.paces else pace
        return None if own is None else own * (self.epochs - self.ran)


def trial(cell: Cell, folder: Path, config: Config | None = None) -> None:
    """Add what a run folder says.

    Args:
        cell: the trial's.
        folder: the trial's.
        config: as planned; None: as the folder says, if that can be read.
    """
    found = runfolder.state(folder)
    epochs = found.config["task"]["epochs"] if found.config else 0
    epochs = config.task.epochs or epochs if config else epochs
    cell.planned += 1
    cell.machines += [m for m in machines(found.provenance) if m not in cell.machines]
    if found.complete:
        totals = found.final["totals"]
        cell.states.append(found.status)
        cell.epochs += totals["epochs"]  # a diverged trial is shorter
        cell.ran += totals["epochs"]
        cell.paces.append(totals["seconds"] / totals["epochs"])
        code = provenance.code(config) if config else provenance.sources(*_targets(found.config))
        if other := origins.differing(found, code, None):
            cell.others.append(other)
        cell.data += [data for data in origin.checksums(found.provenance) if data not in cell.data]
        cell.compared &= config is not None and origins.held_to_checksums(found, config)
        return
    cell.epochs += epochs
    running = claim.running(folder)
    if found.status == "damaged" and not running:  # it is run again
        cell.states.append("damaged")
        cell.damaged[folder] = found.reason
        return
    if rows := log.rows(folder / log.NAME):
        cell.ran += len(rows)
        cell.paces.append(sum(row["seconds"] for row in rows) / len(rows))
    failed = found.status == "failed"
    cell.states.append("running" if running else "failed" if failed else "waiting")


def _targets(config: Mapping[str, Any]) -> list[str]:
    """The classes that a trial is made of, as its folder says; names that Python allows, alone."""
    parts = [part for part in config.values() if isinstance(part, Mapping)]
    told = [str(part["_target_"]) for part in parts if "_target_" in part]
    return [name for name in told if re.fullmatch(r"[a-zA-Z]\w*(\.[a-zA-Z]\w*)+", name, re.ASCII)]


def found(runs: Path) -> list[Cell]:
    """Every cell below a results folder."""
    cells: dict[Path, Cell] = {}
    for folder in find.folders(runs):
        trial(cells.setdefault(folder.parent, Cell(folder.parent.name)), folder)
    return list(cells.values())


def planned(arguments: Iterable[str]) -> list[Cell]:
    """Every cell that a command line asks for.

    Raises:
        UserError: for arguments that run.py refuses.
    """
    from chandir.harness.sweep.sweep import prepare

    cells: dict[str, Cell] = {}
    for job in prepare(list(arguments)):
        name = job.folder.parent.name
        trial(cells.setdefault(name, Cell(name)), job.folder, job.resolved.config)
    return list(cells.values())


def text(cells: list[Cell], planned: bool = True) -> str:
    """The table, and the time left: of a whole plan, or of what has begun."""
    paces = [pace for cell in cells for pace in cell.paces]
    typical = sum(paces) / len(paces) if paces else None
    rows: list[tuple[str, ...]] = [HEADER]
    shared, names = short([cell.name for cell in cells])
    for cell, name in zip(cells, names, strict=True):
        counts = (cell.planned, cell.results, cell.count("diverged"), cell.count("running"))
        epochs = f"{cell.ran}/{cell.epochs}"
        left = _left(cell.left(typical))
        ill = (str(cell.count("failed")), str(cell.count("damaged")))
        rows.append((name, *map(str, counts), *ill, epochs, left))
    lines = [f"cells: {shared}"] if shared else []
    lines.append(fitted(rows, columns()))
    lines += [unlike(cell.name, cell.machines) for cell in cells if len(cell.machines) > 1]
    for cell in cells:
        for other, count in Counter(cell.others).items():
            lines.append(
                f"{cell.name}: {count} of {cell.results} ran with {other}: {other.changes}"
            )
        if len(cell.data) > 1:
            several = ", ".join(data[:12] for data in cell.data)
            lines.append(f"{cell.name}: its trials ran on {len(cell.data)} sets of data: {several}")
    if not all(cell.compared for cell in cells):
        lines.append(
            "not compared: whether complete trials ran on the data that are here now; run.py does"
        )
    if cells:
        lines.append(_outlook(cells, typical))
        if not planned:
            lines[-1] += ", of what has begun; give the sweep's own arguments for all of it"
    for cell in cells:
        lines += [f"damaged: {folder}: {why}" for folder, why in cell.damaged.items()]
    return "\n".join(lines)


def _outlook(cells: list[Cell], typical: float | None) -> str:
    """What runs, what is left and how long that takes; all is done when every trial has a result.

    Epochs do not tell: a trial may be killed after its last one, or before it says how many it has.
    """
    running = sum(cell.count("running") for cell in cells)
    lacking = sum(cell.planned - cell.results for cell in cells)
    times = [left for cell in cells if (left := cell.left(typical)) is not None]
    total = sum(times) if len(times) == len(cells) else None
    if not lacking:
        return "all done"
    if running:
        known = "" if total is None else f"; about {duration(total / running)} left at this pace"
        return f"{running} running{known}"
    work = f"about {duration(total)} of work left; " if total else ""
    them = "it" if lacking == 1 else "them"
    have = many(lacking, "trial has", "trials have")
    return f"nothing runs; {work}{have} no result: the same command runs {them}"


def short(names: list[str]) -> tuple[str, list[str]]:
    """What tells the cells apart, of their folders' names, and what they share around it.

    The key at the end of a name is left out where the rest tells them apart.
    """
    bare = [re.sub(r"-[0-9a-f]{10}$", "", name) for name in names]
    if len(set(bare)) < len(names) or len(names) < 2:
        return "", bare if len(names) == 1 else names
    parts = [name.split("-") for name in bare]
    least = min(map(len, parts)) - 1
    before = next((i for i in range(least) if len({p[i] for p in parts}) > 1), least)
    after = next(
        (i for i in range(least - before) if len({p[-1 - i] for p in parts}) > 1), least - before
    )
    own = ["-".join(p[before : len(p) - after]) for p in parts]
    around = ["-".join(parts[0][:before]), "-".join(parts[0][len(parts[0]) - after :])]
    return (f"{around[0]}-*-{around[1]}".strip("-") if before or after else ""), own


def fitted(rows: list[tuple[str, ...]], width: int) -> str:
    """The table, no wider than the terminal: without columns of zeros, then with cut names."""
    ill = [index for index in range(len(HEADER)) if HEADER[index] in ILL]
    for index in reversed(ill):
        if max(map(len, aligned(rows, left=(0,)).splitlines())) <= width:
            break
        if all(row[index] == "0" for row in rows[1:]):
            rows = [row[:index] + row[index + 1 :] for row in rows]
    others = len(aligned([("", *row[1:]) for row in rows], left=(0,)).splitlines()[0])
    room = max(8, width - others)
    return aligned([(cut(row[0], room), *row[1:]) for row in rows], left=(0,))


def _left(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _pause(text: str) -> float:
    """Seconds between two looks.

    Raises:
        ArgumentTypeError: for what is none.
    """
    try:
        if 0 < (seconds := float(text)) <= LONGEST:
            return seconds
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text}: expected seconds above 0, at most {LONGEST}")


def main(arguments: list[str] | None = None) -> int:
    """Print the table once, or again and again."""
    parser = argparse.ArgumentParser(
        description="progress of sweeps, from their run folders",
        epilog="With a sweep's own arguments (experiment=fig6), against all that it plans.",
    )
    parser.add_argument("--runs", type=Path, metavar="RUNS", help=f"default: {RUNS}")
    parser.add_argument("--watch", type=_pause, metavar="S", help="again, every S seconds")
    options, sweep = parser.parse_known_args(arguments)
    while True:
        try:
            if sweep and options.runs is not None:
                raise UserError(
                    f"--runs {options.runs} has no effect on a sweep, which says where its runs "
                    "are: expected one of the two; give paths.results"
                )
            if options.runs is not None and not options.runs.is_dir() and not options.watch:
                raise UserError(
                    f"--runs {options.runs}: there is no such folder; expected a results folder, "
                    "such as results/runs"
                )
            sweep = folders.take(sweep)
            cells = planned(sweep) if sweep else found(options.runs or RUNS)
        except UserError as error:
            print(f"refused: {error}", file=sys.stderr)
            return 2
        if options.watch and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        told = text(cells, bool(sweep)) if cells else f"no trial under {options.runs or RUNS}"
        print(told, flush=True)  # a reader at the end of a pipe watches, too
        if not options.watch:
            return 0
        time.sleep(options.watch)


if __name__ == "__main__":
    outlast()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
