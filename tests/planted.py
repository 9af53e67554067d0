"""A full-size synthetic set of run folders with planted effects. For tests only: nothing is real.

Every cell of the paper's artefacts, at the planned trials, with exact means and deviations, so that
each verdict is known beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chandir.report.judge.claims import Arm
from chandir.report.judge.claims_file import arm, published
from tests import fake_runs

# Effects (sobolev, h0_lambda) over h0 in points, and what each then has to be called. The spread
# is 0.2 points an arm, so 25 trials tell 0.2 from nothing within a family of twelve.
TABLE2 = {
    "resnet56-sgd": {
        128: ((0.30, "Reproduced"), (0.00, "Not reproduced")),
        32: ((0.31, "Reproduced"), (-0.50, "Not reproduced")),
        8: ((1.45, "Reproduced"), (0.40, "Reproduced, smaller")),
    },
    "vgg16-sgd": {
        128: ((0.24, "Reproduced"), (0.20, "Reproduced")),
        8: ((0.46, "Reproduced"), (0.48, "Reproduced")),
        6: ((0.10, "Inconclusive"), (0.55, "Reproduced")),
    },
    "resnet56-adam": {
        128: ((0.10, "Inconclusive"), (0.00, "Paper reports no gain")),
        32: ((0.09, "Paper reports no gain"), (0.02, "Paper reports no gain")),
        8: ((0.49, "Reproduced"), (0.10, "Inconclusive")),
    },
}
TRIALS = {"resnet56-sgd": 25, "vgg16-sgd": 25, "resnet56-adam": 10}


def table2(runs: Path, setup: str, sd: float = 0.2, **options: Any) -> None:
    """Write one block of Table 2 at the paper's baselines with TABLE2's effects."""
    for batch, effects in TABLE2[setup].items():
        base = published()["table2"][setup][batch]["h0"]
        gains = (0.0, *(effect for effect, _ in effects))
        for seed, (name, gain) in enumerate(
            zip(("h0", "sobolev", "h0_lambda"), gains, strict=True)
        ):
            _write(runs, name, setup, base + gain, sd, TRIALS[setup], seed,
                   task__batch_size=batch, **options)  # fmt: skip


def table3(runs: Path, **options: Any) -> None:
    """Write Table 3 as the paper prints it."""
    for seed, (name, row) in enumerate(published()["table3"].items()):
        _write(runs, name, "spade-sgd", row["mean"], row["sd"], 24, seed,
               score_spec=fake_runs.FID, **options)  # fmt: skip


def figure5(runs: Path, **options: Any) -> None:
    """Write the further arms of Figures 4, 5 and 10: output best, rasterized on conv worst."""
    for name, mean in {
        "sobolev, input": 86.6, "sobolev, rasterized": 86.0, "sobolev, all": 88.0,
        "sobolev, input, all": 86.7, "sobolev, rasterized, all": 86.8,
        "LS, output, conv": 87.0, "LS, rasterized, conv": 86.0,
        "LS, output, all": 87.2, "LS, rasterized, all": 86.9, "LS, input": 86.4,
        "h0_lambda, input": 86.5, "h0_lambda, rasterized": 86.3,
    }.items():  # fmt: skip
        few = name in ("LS, input", "h0_lambda, input", "h0_lambda, rasterized")
        _write(runs, name, "resnet56-sgd", mean, 0.2, 10 if few else 25, len(name),
               task__batch_size=8, **options)  # fmt: skip


def control(runs: Path, **options: Any) -> None:
    """Write both controls: the larger step alone explains half of a gain of 1.45."""
    for batch in (128, 32, 8):
        base = published()["table2"]["resnet56-sgd"][batch]["h0"]
        for seed, (name, gain) in enumerate({"h0_mean": 0.7, "h0_norm": 0.0}.items()):
            _write(runs, name, "resnet56-sgd", base + gain * (batch == 8), 0.2, 25, seed,
                   task__batch_size=batch, **options)  # fmt: skip


def figure6(runs: Path, **options: Any) -> None:
    """Write Figure 6: every lambda gains 0.8 points."""
    for data, level in (("mnist", 97.0), ("fashion-mnist", 86.0)):
        common = {"data__name": data, **options}
        _write(runs, "h0", "mnist-swap", level, 0.1, 5, 0, **common)
        for seed, lam in enumerate((0.5, 1, 2, 5, 10, 20)):
            for name, key in (("h0_lambda", "metric__lam"), ("sobolev", "metric__weight")):
                _write(runs, name, "mnist-swap", level + 0.8, 0.1, 5, seed, after={key: lam},
                       **common)  # fmt: skip


def figure7(runs: Path, **options: Any) -> None:
    """Write Figure 7, with a network that is not the paper's."""
    score = {"name": "test_iou", "better": "higher", "unit": "%", "smallest": 0.1}
    for seed, (name, mean) in enumerate({"h0": 60.0, "sobolev": 65.0, "h0_lambda": 64.7}.items()):
        extra = {"train_iou": mean + {"h0": 16.3, "sobolev": 15.1, "h0_lambda": 15.0}[name]}
        _write(runs, name, "unet-sgd", mean, 0.5, 3, seed, score_spec=score,
               labels=("not the linked network",), extra=extra, **options)  # fmt: skip


def digits(runs: Path, **options: Any) -> None:
    """Write digits: smoothing gains 1.2 points, the larger step 0.6; no direction is special."""
    means = {"h0": (95.5, 0.6), "h0_mean": (96.1, 0.5), "h0_norm": (95.5, 0.6)}
    for metric in ("sobolev", "h0_lambda"):
        for direction in ("", ", input", ", rasterized"):
            means[metric + direction] = (96.7, 0.25)
    for name, (mean, sd) in means.items():
        _write(runs, name, "digits", mean, sd, 25, len(name),
               labels=("digits is not in the paper",), **options)  # fmt: skip


def digits_rates(runs: Path, **options: Any) -> None:
    """Write digits at five rates: plain gradients at 0.02 reach what the metrics do at 0.01."""
    best = {0.0025: 94.0, 0.005: 95.0, 0.02: 96.7, 0.04: 96.0}
    for lr, mean in best.items():
        for seed, (name, gain) in enumerate({"h0": 0, "sobolev": 0.5, "h0_lambda": 0.5}.items()):
            labels = ("digits is not in the paper", f"optimizer.lr={lr:g} (default: 0.01)")
            _write(runs, name, "digits", mean + gain, 0.25, 10, seed, optimizer__lr=lr,
                   labels=labels, **options)  # fmt: skip


def everything(runs: Path, **options: Any) -> None:
    """Write it all: 540 + 72 + 9 trials of the tables and Figure 7, and every other's."""
    for setup in TABLE2:
        table2(runs, setup, **options)
    for part in (table3, figure5, control, figure6, figure7, digits, digits_rates):
        part(runs, **options)


def correlation(strength: float) -> dict[str, Any]:
    """Return a small ``correlation.json`` whose output direction correlates by `strength`."""

    def part(mean: float) -> dict[str, Any]:
        bins = [0] * 400
        for i in range(-20, 21):
            bins[200 + i + round(200 * mean)] = 21 - abs(i)
        return {"mean": mean, "invariant": mean, "histogram": bins,
                "curve": [mean + 0.2 * 0.8**d for d in range(16)]}  # fmt: skip

    fibers = {"mean": strength, "scaling": 0.02, "curve": [strength] * 15,
              "fiber_means": [0.01 * (i - 8) * (1 + strength) for i in range(16)],
              "fiber_deviations": [0.05 + 0.002 * (i % 5) for i in range(16)]}  # fmt: skip
    layers = [{"name": f"layer{i}", "shape": [16, 16, 9], "output": fibers, "input": fibers}
              for i in range(5)]  # fmt: skip
    return {"output": part(strength), "input": part(strength / 100), "layers": layers}


def _write(
    runs: Path, name: str, setup: str, mean: float, sd: float, n: int, seed: int,
    after: dict[str, Any] | None = None, **options: Any,
) -> None:  # fmt: skip
    where = {key: options.pop(key) for key in list(options) if "__" in key}
    found = arm(name, setup, **where)
    own = {key.replace("__", "."): value for key, value in (after or {}).items()}
    found = Arm(found.name, tuple({**dict(found.where), **own}.items()))
    if setup == "digits" or (setup == "resnet56-sgd" and where.get("task__batch_size") == 8):
        strength = {"h0": 0.05, "sobolev": 0.2, "h0_lambda": 0.18}.get(name, 0.1)
        options["correlation"] = lambda k: correlation(strength + 0.002 * (k % 5))
    fake_runs.arm(runs, found, fake_runs.scores(mean, sd, n, _seed(name, setup, seed, where)),
                  **options)  # fmt: skip


def _seed(*parts: Any) -> int:
    """Return a seed that is the same in every process."""
    from zlib import crc32

    return crc32(repr(parts).encode())
