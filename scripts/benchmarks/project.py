"""Project the hours of each artefact at the paper's scale from step times measured in this run.

    python scripts/bench.py project
    python scripts/bench.py project --only cifar10 --pack pack-8.json precision=bf16

One step time is measured for each task x model x batch size x optimizer, with the Sobolev metric,
by the harness's own training on stand-in data (see workload.py), and the time of an evaluation
likewise. Extrapolated are the paper's steps and epochs, and the same time for every metric and
direction. ``packed`` has the step times of ``bench.py pack --longer ... --json FILE``, given with
``--pack``, at the same precision on the same device, which hold that sweep's own evaluations. The
limit is what the steps have to move and compute, counted, at rates measured in this run: traffic
from main memory, for trials side by side leave nothing in a cache; evaluations are not in it.

An artefact of which a part was not measured gets no number. Trials that artefacts share are counted
in each, and once in the sums.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from scripts.benchmarks import measure, rates, workload
from scripts.benchmarks.projection import Kind, Measured, Trial, name, planned, projection, text

# Not in an experiment's file: how many images an evaluation has, by task, at the paper's scale.
# Segmentation and SPADE are not here: their stand-ins' pictures are too small to time it with.
TEST_IMAGES = {"cifar10": 10_000, "mnist-swap": 60_000, "digits": 1_540}


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    options = _options(arguments)
    device = torch.device(options.device)
    artefacts = planned(options.overrides)
    kinds = wanted(artefacts, options.only)
    print(measure.heading(device), flush=True)
    print(f"{'measured, Sobolev metric':44}{'ms / step':>11}{'limit':>9}{'x limit':>9}")
    found: dict[Kind, Measured] = {}
    skipped: dict[str, str] = {}
    start = time.monotonic()
    for kind in kinds:
        if time.monotonic() - start > 60 * options.minutes:
            skipped[name(kind)] = f"not measured: {options.minutes:g} minutes were over"
        else:
            try:
                found[kind] = timed(kind, options, device)
                print(line(kind, found[kind]), flush=True)
            except Exception as error:  # the others are still worth measuring
                skipped[name(kind)] = f"not measured: {type(error).__name__}: {error}"
    notes = take_packed(found, options, measure.environment(device)["name"])
    table = projection(artefacts, found)
    print()
    print(text(table))
    for what, why in skipped.items():
        print(f"{what}: {why.splitlines()[0]}")
    for note in notes:
        print(note)
    print(
        "extrapolated: steps and epochs to the paper's; each step time to every metric and "
        "direction; evaluations as measured"
    )
    if options.json:
        record = {
            "benchmark": "project",
            "environment": measure.environment(device),
            "overrides": options.overrides,
            "measured": {name(kind): vars(entry) for kind, entry in found.items()},
            "not_measured": skipped,
            "notes": notes,
            "artefacts": table,
        }
        measure.write(options.json, record)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py project",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("overrides", nargs="*", help="of every experiment: precision=bf16, ...")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--only", nargs="+", metavar="TASK", help="measure these tasks alone")
    parser.add_argument("--pack", nargs="+", type=Path, default=[], help="bench.py pack's JSON")
    parser.add_argument("--minutes", type=float, default=10, help="start none after these")
    parser.add_argument("--steps", type=int, default=100 if gpu else 2, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--test-images", type=int, default=2000 if gpu else 100)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def wanted(artefacts: Mapping[str, list[Trial]], only: Sequence[str] | None) -> list[Kind]:
    """Each kind of trial once, Table 2's first."""
    kinds = dict.fromkeys(trial.kind for trials in artefacts.values() for trial in trials)
    return [kind for kind in kinds if only is None or kind[0] in only]


def timed(kind: Kind, options: argparse.Namespace, device: torch.device) -> Measured:
    """Measure one kind: its step, its evaluation, its limit."""
    task, model, batch, optimizer = kind
    metric = "h0" if optimizer == "LS" else "sobolev"  # LS smooths by itself
    ours = workload.build(
        [
            f"task={task}",
            f"model={model}",
            f"optimizer={optimizer}",
            f"task.batch_size={batch}",
            f"metric={metric}",
            *options.overrides,
            f"device={options.device}",
        ],
        device,
        options.steps,
        options.test_images,
    )
    seconds = measure.alternate({"step": ours.train()}, options.rounds, device)
    step = measure.medians(seconds, options.steps)["step"]
    evaluation = None
    if ours.test_images and task in TEST_IMAGES:
        tested = measure.alternate({"test": ours.evaluate}, options.rounds, device)
        evaluation = measure.medians(tested, ours.test_images)["test"] * TEST_IMAGES[task]
    counted = ours.count()
    measured = rates.measured(device, ours.config.precision)
    return Measured(
        step=step,
        limit=measured.least(counted, packed=True),
        evaluation=evaluation,
        details={
            **workload.identity(ours.config),
            "steps_a_round": options.steps,
            "rounds": options.rounds,
            **rates.record(counted, measured),
        },
    )


def take_packed(found: dict[Kind, Measured], options: argparse.Namespace, device: str) -> list[str]:
    """Take packed step times from records of `pack`; say which were, and why others were not."""
    notes = []
    for path in options.pack:
        if not path.exists():
            notes.append(f"{path}: not used, there is no such file")
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        each = record.get("seconds_per_step", {}).get("packed")
        of = record.get("workload", {})
        kind = tuple(of.get(key) for key in ("task", "model", "batch_size", "optimizer"))
        entry = found.get(kind)  # type: ignore[call-overload]
        if record.get("benchmark") != "pack" or each is None:
            notes.append(f"{path}: not used, no packed step time (bench.py pack --longer ...)")
        elif entry is None:
            notes.append(f"{path}: not used, {kind} is not among what was measured")
        elif record["environment"]["name"] != device:
            notes.append(f"{path}: not used, measured on {record['environment']['name']}")
        elif of["precision"] != entry.details["precision"]:
            notes.append(f"{path}: not used, at precision {of['precision']}")
        else:
            entry.packed = each
            taken = record["environment"]["taken"]
            notes.append(f"{path}: packed {name(kind)}, {1e3 * each:.3f} ms a step, {taken}")  # type: ignore[arg-type]
    return notes


def line(kind: Kind, entry: Measured) -> str:
    """One measured kind."""
    ratio = entry.step / entry.limit
    return f"{name(kind):44}{1e3 * entry.step:11.3f}{1e3 * entry.limit:9.3f}{ratio:9.1f}"
