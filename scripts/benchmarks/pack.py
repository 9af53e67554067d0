r"""Time a sweep packed onto this machine against one trial after the other.

    python scripts/bench.py pack                                   # the demo's 15 trials, on a CPU
    python scripts/bench.py pack experiment=demo --rounds 3
    python scripts/bench.py pack task=cifar10 data.source=synthetic task.batch_size=8 \
        task.epochs=2 precision=tf32 'trial=range(25)' --longer task.epochs=6

Rows take turns, and each starts from an empty folder:

- ``packed``: the local launcher as it comes, one thread per trial;
- ``one by one``: the basic launcher, one trial after the other, with one thread and, on a CPU, with
  all cores;
- ``a process per trial``: each trial its own ``run.py``, started side by side: on a CPU as many at
  a time as there are cores, on a GPU ``--processes``.

Whole commands are timed, from start to last line. With ``--longer``, each row also runs under these
overrides, and the difference gives the time of a step without what a process costs at its start.
With ``--few N`` the rows beside ``packed`` run the first N trials only (side by side: as many as
there are processes), which does not change what one of theirs takes; compare trials per second. A
step's time holds its share of the evaluations and checkpoints. For CIFAR-10's networks the
conventional DataLoader loop, which has neither, is then timed beside them, in this process. Other
overrides go to every row.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from chandir.harness.sweep.plan import Job, jobs
from scripts.benchmarks import measure, peers, workload

PACKED, ONE, SEPARATE = "packed", "one by one, 1 thread", "a process per trial"
CONVENTIONAL = "conventional DataLoader loop"


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    options = _options(arguments)
    device = torch.device(options.device)
    overrides = [*options.overrides, f"device={options.device}"]
    seconds = timed(overrides, options)
    trials = len(_planned(overrides))
    counts = {row: len(_planned(overrides)[: _few(row, options)]) for row in seconds}
    per_trial = {row: [t / counts[row] for t in times] for row, times in seconds.items()}
    record: dict[str, Any] = {
        "benchmark": "pack",
        "environment": measure.environment(device),
        "overrides": overrides,
        "rounds": options.rounds,
        "trials": trials,
        "trials_of_row": counts,
        "steps": _steps(overrides),
        "processes": options.processes,
        "workload": workload.identity(_planned(overrides)[0].resolved.config),
        "seconds": measure.medians(seconds),
        "seconds_per_trial": measure.medians(per_trial),
        "ratio_to_packed": measure.ratios(per_trial, PACKED),
    }
    print(measure.heading(device))
    print(f"{' '.join(overrides)}: {record['trials']} trials, {record['steps']:,} steps")
    _print(record)
    if options.longer:
        record |= _marginal(overrides, seconds, options)
        config = _planned(overrides)[0].resolved.config
        if config.task.name == "cifar10":
            record["seconds_per_step"][CONVENTIONAL] = conventional(config, device)
        _print_marginal(record)
    if options.json:
        measure.write(options.json, record)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py pack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = len(os.sched_getaffinity(0))
    gpu = torch.cuda.is_available()
    parser.add_argument("overrides", nargs="*", default=["experiment=demo"])
    parser.add_argument("--longer", nargs="+", metavar="OVERRIDE", help="of a second, longer sweep")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument(
        "--processes", type=int, default=cores, help="side by side (default: cores)"
    )
    parser.add_argument("--few", type=int, help="trials of the rows beside packed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], help="rows that begin with one of these")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def rows(overrides: list[str], options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    cores = len(os.sched_getaffinity(0))
    few, side = _few(ONE, options), _few(SEPARATE, options)
    found: dict[str, Callable[[], object]] = {
        PACKED: lambda: sweep([*overrides, "hydra/launcher=local", "threads=1"]),
        ONE: lambda: one_by_one([*overrides, "threads=1"], few),
        SEPARATE: lambda: separate([*overrides, "threads=1"], side, options.processes),
    }
    if options.device == "cpu" and cores > 1:
        name = f"one by one, {cores} threads"
        found[name] = lambda: one_by_one([*overrides, f"threads={cores}"], few)
    return {
        name: action
        for name, action in found.items()
        if name == PACKED or not any(name.startswith(skip) for skip in options.skip)
    }


def _few(row: str, options: argparse.Namespace) -> int | None:
    """How many trials a row runs; None for all."""
    if row == PACKED or options.few is None:
        return None
    return max(int(options.few), options.processes) if row == SEPARATE else int(options.few)


def timed(overrides: list[str], options: argparse.Namespace) -> measure.Times:
    """Every row in turn. A GPU's work is in other processes, whose end is waited for."""
    return measure.alternate(
        rows(overrides, options), options.rounds, torch.device("cpu"), warm_up=False
    )


def _marginal(
    overrides: list[str], seconds: measure.Times, options: argparse.Namespace
) -> dict[str, Any]:
    """Seconds of one trial's step in each row, from what the longer sweep takes more."""
    keys = {override.partition("=")[0] for override in options.longer}
    kept = [override for override in overrides if override.partition("=")[0] not in keys]
    longer = [*kept, *options.longer]
    more = {}
    for row in seconds:
        few = _few(row, options)
        more[row] = _steps(longer, few) - _steps(overrides, few)
        if more[row] <= 0:
            raise SystemExit(
                f"--longer {' '.join(options.longer)}: {more[row]} steps more: expected a sweep "
                "of more steps; raise task.epochs"
            )
    short, long = measure.medians(seconds), measure.medians(timed(longer, options))
    each = {row: (long[row] - short[row]) / more[row] for row in short}
    negative = [row for row, taken in each.items() if taken <= 0]
    for row in negative:  # noise was larger than the work: not a measurement
        del each[row]
    return {
        "longer": longer,
        "more_steps": more[PACKED],
        "too_noisy": negative,
        "seconds_longer": long,
        "seconds_per_step": each,
    }


def conventional(config: Any, device: torch.device, steps: int = 20) -> float:
    """Seconds of a step of the usual loop, its data from one worker process; fp32 or as asked."""
    peer = workload.build(
        [
            "task=cifar10",
            f"model={config.model.name}",
            f"optimizer={config.optimizer.name}",
            "metric=h0",
            f"task.batch_size={config.task.batch_size}",
            f"precision={config.precision}",
            f"device={device.type}",
        ],
        device,
        steps,
    )
    action = peers.conventional(peer, peers.batches(peer, 1), steps)
    times = measure.alternate({CONVENTIONAL: action}, 3, device)
    return measure.medians(times, steps)[CONVENTIONAL]


def _planned(overrides: Sequence[str]) -> list[Job]:
    return jobs(tuple(item for item in overrides if not item.startswith("hydra")))


def _steps(overrides: Sequence[str], few: int | None = None) -> int:
    return sum(workload.steps(job) for job in _planned(overrides)[:few])


def _print(record: dict[str, Any]) -> None:
    print(f"{'':32}{'s':>9}{'trials/s':>10}{'x packed':>10}  quartiles, per trial")
    for name, taken in record["seconds"].items():
        r = record["ratio_to_packed"][name]
        row = (
            f"{name:32}{taken:9.1f}{record['trials_of_row'][name] / taken:10.3f}{r['median']:10.2f}"
        )
        print(f"{row}  {r['low']:.2f} to {r['high']:.2f}")


def _print_marginal(record: dict[str, Any]) -> None:
    print(f"per step, without the start: {record['more_steps']:,} steps more")
    each = record["seconds_per_step"]
    for name in record["too_noisy"]:
        print(f"{name:32} took no longer: not measured; take more rounds or steps")
    for name, taken in each.items():
        row = f"{name:32}{1e3 * taken:9.3f} ms a step"
        print(f"{row}{taken / each[PACKED]:10.2f} x packed" if PACKED in each else row)


def sweep(overrides: list[str]) -> None:
    """One command of run.py, into a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        _run([*overrides, f"paths.results={folder}/runs", "paths.page=null"], multirun=True)


def one_by_one(overrides: list[str], few: int | None) -> None:
    """The same in one process, without packing; of many, the first few trials alone."""
    basic = "hydra/launcher=basic"
    if few is None:
        sweep([*overrides, basic])
        return
    first = _planned(overrides)[:few]
    cells = dict.fromkeys(job.overrides for job in first)
    for cell in cells:
        trials = [str(job.trial) for job in first if job.overrides == cell]
        sweep([*cell, f"trial={','.join(trials)}", basic])


def separate(overrides: list[str], few: int | None, processes: int) -> None:
    """A process of run.py for each trial, so many side by side."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        own = [f"paths.results={folder}/runs", "paths.page=null"]
        lines = [[*job.overrides, f"trial={job.trial}", *own] for job in _planned(overrides)[:few]]
        list(pool.map(_run, lines))


def _run(overrides: list[str], multirun: bool = False) -> None:
    flags = ["-m"] if multirun else []
    command = [sys.executable, "run.py", *flags, *overrides]
    done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])}: exit {done.returncode}\n{done.stderr[-2000:]}")
