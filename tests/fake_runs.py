"""Synthetic run folders in the exact format of the contract. For tests only: no result is real."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

# libyaml writes a thousand configs in a second.
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

SCORE = {"name": "test_accuracy", "better": "higher", "unit": "%", "smallest": 0.1}
FID = {"name": "test_fid", "better": "lower", "unit": "", "smallest": 1}
H0 = {"name": "h0"}
H0_LAMBDA = {"name": "h0_lambda", "direction": "output", "scope": "conv", "lam": 1.0}
SOBOLEV = {
    "name": "sobolev", "direction": "output", "scope": "conv",
    "lam": 1.0, "weight": 1.0, "h0_scale": 1.0,
}  # fmt: skip


def trial(
    runs: Path,
    k: int,
    metric: dict[str, Any],
    score: float,
    *,
    task: str = "digits",
    model: str = "convnet",
    optimizer: str = "sgd",
    lr: float = 0.01,
    batch: int = 100,
    epochs: int = 5,
    scale: str = "paper",
    source: str = "real",
    name: str | None = None,
    labels: tuple[str, ...] = (),
    score_spec: dict[str, Any] = SCORE,
    status: str = "done",
    code: str = "a" * 64,
    own: Mapping[str, str] | None = None,
    checksum: str = "c" * 64,
    dirty: bool = False,
    overrides: Mapping[str, Any] | None = None,
    extra: Mapping[str, float] | None = None,
    correlation: Mapping[str, Any] | None = None,
) -> Path:
    """Write one trial whose last test score is `score`; `status` as in the report's records.

    `overrides` are dotted names and values of config.yaml, `extra` further scores of every epoch,
    `own` sources of a folder of the user's own.
    """
    setting = [task, model, optimizer, lr, batch, epochs, scale, source, name, overrides]
    key = sha256(json.dumps([setting, metric], sort_keys=True).encode()).hexdigest()[:8]
    cell = f"{model}-{optimizer}-{'-'.join(str(value) for value in metric.values())}-{key}"
    folder = runs / task / cell / f"trial-{k}"
    folder.mkdir(parents=True)
    config = {
        "task": {
            "name": task,
            "_target_": "tasks.Fake",
            "shape": {"classes": 10},
            "batch_size": batch,
            "epochs": epochs,
        },
        "model": {"name": model, "_target_": "models.Fake"},
        "optimizer": {"name": optimizer, "lr": lr, "momentum": 0.9, "weight_decay": 5e-4},
        "metric": dict(metric),
        "scale": {"name": scale},
        "trial": k,
        "data": {"root": "data", "source": source, "verify": True, "name": name},
        "device": "cpu",
        "precision": "fp32",
        "determinism": "fast",
        "threads": 1,
        "on_error": "continue",
        "checkpoint": {"seconds": 60},
        "paths": {"results": "results/runs"},
        "tracker": {"name": "none"},
        "artefact": None,
        "score": score_spec,
        "labels": list(labels),
        "notes": ["nesterov is off for sgd"],
    }
    for key, value in (overrides or {}).items():
        part, _, last = key.partition(".")
        config[part][last] = value
    (folder / "config.yaml").write_text(
        yaml.dump(config, Dumper=_DUMPER, sort_keys=False), encoding="utf-8"
    )
    provenance = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": dirty,
        "sources": {"chandir/operators.py": code, **(own or {})},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device": {"kind": "cpu", "name": "Example CPU", "host": "node1", "cores": 2},
        "data": {"checksum": checksum},
        "determinism": "fast",
        "command": f"python run.py task={task} metric={metric['name']} trial={k}",
        "started": f"2025-01-01T00:{k:02d}:00+00:00",
    }
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    rows = [{**row, **(extra or {})} for row in
            _log(score, epochs, lr, score_spec, random.Random(f"{key}{k}"))]  # fmt: skip
    if correlation:
        (folder / "correlation.json").write_text(json.dumps(correlation), encoding="utf-8")
    kept = rows if status in ("done", "diverged") else rows[: epochs // 2]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    if status == "failed":
        (folder / "error.txt").write_text("Traceback:\nOSError: disk full\n")
    if status in ("done", "diverged"):
        sign = 1 if score_spec["better"] == "higher" else -1
        best = max(rows, key=lambda row: sign * row[score_spec["name"]])
        keep = {"lr", "seconds", "images_per_second"}
        final = {
            "status": status,
            "trial": k,
            "score": score_spec,
            "last": {key: value for key, value in rows[-1].items() if key not in keep},
            "best": {key: value for key, value in best.items() if key not in keep},
            "totals": {"epochs": epochs, "steps": 10 * epochs, "images": 1000 * epochs,
                       "seconds": 2.0 * epochs},
            "diverged": None if status == "done" else
            {"epoch": epochs, "step": 3, "last_good_epoch": epochs - 1},
        }  # fmt: skip
        (folder / "final.json").write_text(json.dumps(final), encoding="utf-8")
    return folder


def change(folder: Path, change_rows: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change what a complete trial logged, in place; its result stays what the log says."""
    log = folder / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    change_rows(rows)
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    final = json.loads((folder / "final.json").read_text())
    best = min(final["best"]["epoch"], len(rows))
    for epoch, row in (("last", rows[-1]), ("best", rows[best - 1])):
        final[epoch] = {key: row[key] for key in final[epoch]}
    final["totals"]["epochs"] = len(rows)
    (folder / "final.json").write_text(json.dumps(final))


def cell(runs: Path, metric: dict[str, Any], scores: list[float], **options: Any) -> Path:
    """Write one complete trial per score; return the cell's folder."""
    weights = options.pop("correlation", lambda k: None)
    folders = [
        trial(runs, k, metric, score, correlation=weights(k), **options)
        for k, score in enumerate(scores)
    ]
    return folders[0].parent


def arm(runs: Path, arm: Any, values: list[float], **options: Any) -> Path:
    """Write an arm of claims.yaml, one complete trial per value."""
    where = dict(arm.where)
    options.setdefault("task", where["task.name"])
    names = {"model": where["model.name"], "optimizer": where["optimizer.name"]}
    batch = where.get("task.batch_size", 8)
    metric = {"name": where["metric.name"]}
    name = where.get("data.name")
    options = {**names, "batch": batch, "name": name, "overrides": where, **options}
    return cell(runs, metric, values, **options)


def scores(mean: float, sd: float, n: int, seed: int = 0) -> list[float]:
    """Return `n` scores with exactly this mean and standard deviation (n - 1)."""
    draws = [random.Random(f"{seed}-{k}").gauss(0, 1) for k in range(n)]
    centre = sum(draws) / n
    spread = (sum((draw - centre) ** 2 for draw in draws) / (n - 1)) ** 0.5
    return [mean + sd * (draw - centre) / spread for draw in draws]


def demo(runs: Path, **options: Any) -> None:
    """Write digits x {h0, h0_lambda, sobolev} x 5 trials, with planted means 90, 92 and 93."""
    for seed, (metric, mean) in enumerate([(H0, 90.0), (H0_LAMBDA, 92.0), (SOBOLEV, 93.0)]):
        cell(runs, metric, scores(mean, 0.5, 5, seed), **options)


def lambdas(runs: Path, task: str = "mnist-swap", n: int = 5, **options: Any) -> None:
    """Write the cells of Figure 6: h0, and both metrics at six lambdas, on two data sets."""
    for name, level in (("mnist", 97.5), ("fashion-mnist", 86.0)):
        common = {"task": task, "name": name, **options}
        cell(runs, H0, scores(level, 0.15, n, 1), **common)
        for lam in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0):
            gain = 0.4 * lam / (1 + lam)
            cell(runs, {**H0_LAMBDA, "lam": lam}, scores(level + gain, 0.15, n, 2), **common)
            cell(runs, {**SOBOLEV, "weight": lam}, scores(level + gain, 0.15, n, 3), **common)


def _log(
    score: float, epochs: int, lr: float, spec: dict[str, Any], noise: random.Random
) -> list[dict[str, float]]:
    """Return a learning curve that ends at `score`: an exponential approach with some noise."""
    name = spec["name"]
    start = 10.0 if spec["better"] == "higher" else 3 * score
    rows: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        left = 0.02 ** (epoch / epochs) - 0.02
        value = score + (start - score) * left + (noise.gauss(0, 0.3) if epoch < epochs else 0)
        rows.append({
            "epoch": epoch, "lr": lr, "train_loss": 2.3 * left + 0.1,
            "train_" + name.removeprefix("test_"): value + 2,
            "test_loss": 2.3 * left + 0.2, name: value,
            "seconds": 2.0, "images_per_second": 500.0,
        })  # fmt: skip
    return rows
