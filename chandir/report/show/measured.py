"""What no run folder holds: ImageNet networks' correlation (Figure 1) and the speed paragraph.

Both come from JSON beside the run folders: ``results/correlation/*.json``, which
``scripts/correlation.py figure1`` writes, and ``results/bench/*.json``, which
``scripts/bench.py metric --json`` writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chandir.report.judge.claims_file import published
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import DASH, number

FIGURE1 = "python scripts/correlation.py figure1"
SPEED = "python scripts/bench.py metric --batch 128 --json results/bench/metric.json"


def figure1(folder: Path) -> Sheet | None:
    """The paper's four networks beside ours; None if none of them has been measured."""
    body, measured = [], 0
    for name, paper in published()["figure1"].items():
        found = _read(folder / f"{name}.json")
        mine = {d: _part(found, d).get("invariant") for d in ("output", "input")}
        known = [mine["output"], mine["input"]]
        measured += None not in known
        order = DASH
        if mine["output"] is not None and mine["input"] is not None:
            order = "agrees" if mine["output"] > mine["input"] else "opposite"
        body.append((name, *(number(x, 4) for d in mine for x in (paper[d], mine[d])), order))
    if not measured:
        return None
    header = ("Network", "Output, paper", "ours", "Input, paper", "ours ", "Order")
    note = (
        "The paper gives no formula; ours is the mean cosine over all pairs of filters after "
        "scalings are balanced out. No verdict on the numbers: only their order can agree. The "
        "paper says DenseNet, not which."
    )
    return Sheet("Figure 1: correlation of ImageNet networks.", header, tuple(body), (note,))


def speed(folder: Path) -> Sheet | None:
    """The overhead of each metric beside the paper's; None without a benchmark."""
    body = []
    for path in sorted(folder.glob("*.json")):
        record = _read(path)
        models = record.get("models")
        if record.get("benchmark") != "metric" or not isinstance(models, dict):
            continue
        place = record.get("environment", {})
        for model, found in models.items():
            ratios = found.get("ratio_to_step") if isinstance(found, dict) else None
            if not isinstance(ratios, dict):
                continue
            setting = f"{model}, batch size {record.get('batch')}, {place.get('name')}, " + (
                f"torch {place.get('torch')}, {str(place.get('taken'))[:10]}"
            )
            rows = (
                ("h0_lambda", "h0_lambda, output", "negligible"),
                ("sobolev", "sobolev, output", "50 %, in C++ 15 %"),
                ("sobolev by the paper's formulas", "paper: sobolev, Eqs. (10)-(12)", "50 %"),
            )
            for title, key, paper in rows:
                if key in ratios:
                    share = 100 * ratios[key]["median"]
                    body.append((setting, title, paper, number(share, 2, unit=" %")))
                    setting = ""
    if not body:
        return None
    note = (
        "Time to transform the gradients in per cent of a training step with h0: the median of "
        "ratios taken in turn in one process. The paper: CIFAR-10, batch size 128, on a Titan Xp; "
        "other hardware and software, so no verdict."
    )
    header = ("Setting", "Metric", "Paper", "Measured")
    return Sheet("Speed: what a metric adds to a training step.", header, tuple(body), (note,))


def _part(found: dict[str, Any], direction: str) -> dict[str, Any]:
    part = found.get(direction)
    return part if isinstance(part, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    """A JSON mapping; empty where the file is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
