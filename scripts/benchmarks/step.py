"""Time the harness's training step against bare loops that do the same work, and its limit.

    python scripts/bench.py step
    python scripts/bench.py step --batch 128 --threads 2
    python scripts/bench.py step --model vgg16 optimizer=adam precision=bf16

Every row trains ResNet-56 (or another network) on CIFAR-10-shaped random images, augmented, with
SGD, from the same weights; rows take turns, some steps each. ``bare`` is the shortest PyTorch loop
over the same device-resident data; ``harness`` adds the order of the epoch, the record of losses
and scores, and the check that they are finite. ``DataLoader`` is the conventional data path: PIL
images through torchvision's transforms. On a GPU there are rows for channels_last, tf32, bf16 and
the harness's own settings. Evaluation is timed likewise, and the data path alone.

Below the rows: what a step has to move and compute, counted, and the least time that this device
could take for it, from rates measured in the same run (see limits.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from chandir.harness.command.options import settings
from scripts.benchmarks import measure, peers, rates, workload

# Rows of the harness under other settings, on a GPU, where the configuration has them.
VARIANTS = {
    "harness, tf32": "precision=tf32",
    "harness, bf16": "precision=bf16",
    "harness, channels_last": "task.channels_last=true",
    "harness, graphs": "graphs=true",
    "harness, no graphs": "graphs=false",
}


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    options = _options(arguments)
    device = torch.device(options.device)
    batch = options.batch or (8 if device.type == "cpu" else 128)
    overrides = [
        "task=cifar10",
        f"model={options.model}",
        f"metric={options.metric}",
        f"task.batch_size={batch}",
        f"threads={options.threads}",
        f"device={options.device}",
        *options.overrides,
    ]
    ours = workload.build(overrides, device, options.steps, options.test_images)
    actions, skipped = training(ours, overrides, options)
    seconds = measure.alternate(actions, options.rounds, device, clock=options.clock)
    tested = measure.alternate(peers.evaluations(ours), 3, device, clock=options.clock)
    paths = measure.alternate(peers.data_paths(ours, options), 3, device, clock=options.clock)
    counted = ours.count()
    measured = rates.measured(device, ours.config.precision, counted.held, options.clock)
    each = measure.medians(seconds, options.steps)
    print(measure.heading(device))
    print(f"{' '.join(overrides)}; {options.clock} clock")
    _table("training", "ms / step", each, measure.ratios(seconds, "bare"), "bare")
    for line in skipped:
        print(line)
    same = {name: taken for name, taken in each.items() if name in ("bare", "harness")}
    print(rates.text(counted, measured, min(same.values())))
    per_image = measure.medians(tested, ours.test_images)
    _table("evaluation", "ms / image", per_image, measure.ratios(tested, "bare"), "bare")
    data_each = measure.medians(paths, options.steps)
    _table("data path", "ms / step", data_each, measure.ratios(paths, "resident"), "resident")
    if options.json:
        record = {
            "benchmark": "step",
            "environment": measure.environment(device),
            "workload": workload.identity(ours.config),
            "overrides": overrides,
            "rounds": options.rounds,
            "clock": options.clock,
            "seconds_per_step": each,
            "ratio_to_bare": measure.ratios(seconds, "bare"),
            "seconds_per_test_image": per_image,
            "evaluation_ratio_to_bare": measure.ratios(tested, "bare"),
            "data_seconds_per_step": data_each,
            "skipped": skipped,
            "limit": rates.record(counted, measured),
        }
        measure.write(options.json, record)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="of the configuration: precision=bf16, ...")
    parser.add_argument("--model", choices=("resnet56", "vgg16"), default="resnet56")
    parser.add_argument("--metric", choices=("h0", "h0_lambda", "sobolev"), default="h0")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: 8 on a CPU, 128 on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8, help="of a row in a round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1, help="of the DataLoader")
    parser.add_argument("--test-images", type=int, default=200, help="of an evaluation")
    parser.add_argument("--clock", choices=measure.CLOCKS, default="wall", help="see measure.py")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def _table(
    title: str,
    unit: str,
    seconds: dict[str, float],
    ratio: dict[str, dict[str, float]],
    reference: str,
) -> None:
    print(f"{title:26}{unit:>11}{f'/ {reference}':>11}  quartiles")
    for name, taken in seconds.items():
        r = ratio[name]
        row = f"{name:26}{1e3 * taken:11.3f}{r['median']:11.3f}"
        print(f"{row}  {r['low']:.3f} to {r['high']:.3f}")


def training(
    ours: workload.Workload, overrides: list[str], options: argparse.Namespace
) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """The rows that train, and what was left out."""
    device, steps = ours.device, options.steps
    peer = workload.build(overrides, device, steps)
    actions = {"bare": peers.bare(peer), "harness": ours.train()}
    skipped = []
    for workers in dict.fromkeys((0, options.workers)):
        loader = peers.batches(ours, workers)
        row = workload.build(overrides, device, 1)
        actions[f"DataLoader, {workers} workers"] = peers.conventional(row, loader, steps)
    if device.type == "cuda":
        last = workload.build(overrides, device, steps)
        last.task.channels_last = True
        last.model.to(memory_format=torch.channels_last)
        actions["bare, channels_last"] = peers.bare(last)
        for name, setting in VARIANTS.items():
            if setting.partition("=")[0] in settings():
                variant = workload.build([*overrides, setting], device, steps)
                actions[name] = variant.train()
            else:
                skipped.append(f"{name}: left out, there is no setting {setting}")
    return actions, skipped
