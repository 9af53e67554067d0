"""The report as one JSON object, for other programs: every cell and every comparison."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chandir.report.judge import claims_file
from chandir.report.judge.artefacts import Part
from chandir.report.judge.finding import Finding
from chandir.report.read.cells import Cell
from chandir.report.read.runs import Trial
from chandir.report.show.rows import Row
from chandir.report.show.sheet import Sheet

FORMAT = 1  # goes up when a name or a meaning changes; what is added leaves it


def summary(
    runs: Path, trials: Sequence[Trial], rows: Sequence[Row], parts: Sequence[Part],
    apart: Sequence[Sheet | None],
) -> str:  # fmt: skip
    """Return the JSON text. Numbers are unrounded, in the score's unit; null: does not exist.

    ``cells``: one per row of the tables, its last-epoch scores by trial, n, mean, sd and 95 %
    interval, the difference to h0 with Welch's, the labels, and what ran. ``comparisons``: one per
    declared claim, with n, mean and sd of the trials that it takes of each of its ``cells``, its
    effect (positive supports it), the interval at ``level``, p raw and after Holm, the verdict, and
    the trials that it hangs on.

    Args:
        runs: Folders are relative to it.
        trials: All that was read.
        rows: All cells.
        parts: All artefacts.
        apart: What no run folder holds, as tables.
    """
    found = {
        "format": FORMAT,
        "claims_sha256": claims_file.digest(),
        "trials": dict(Counter(trial.status for trial in trials)),
        "cells": [_cell(row, runs) for row in rows],
        "comparisons": [_comparison(f, runs) for part in parts for f in part.findings],
        "beside": {one.caption: [dict(zip(one.header, line, strict=True)) for line in one.body]
                   for one in apart if one},
    }  # fmt: skip
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(row: Row, runs: Path) -> dict[str, Any]:
    cell, config, gain = row.cell, row.cell.config, row.difference
    complete = cell.complete
    return {
        "folder": _folder(cell, runs),
        "setting": row.setting.name,
        "name": row.metric,
        "task": cell.task,
        "data": config["data"].get("name"),
        "source": config["data"]["source"],
        "model": config["model"]["name"],
        "optimizer": config["optimizer"]["name"],
        "batch_size": config["task"]["batch_size"],
        "epochs": config["task"]["epochs"],
        "scale": config["scale"]["name"],
        "metric": dict(config["metric"]),
        "score": dict(cell.score),
        "trials": dict(cell.counts),
        "values": {str(t.index): v for t, v in zip(complete, cell.scores(), strict=True)},
        "diverged": [trial.index for trial in complete if trial.status == "diverged"],
        "n": len(complete),
        "mean": row.last.mean if row.last else None,
        "sd": row.last.sd if row.last else None,
        "interval": _pair(row.last.interval if row.last else None),
        "best_epoch_mean": row.best.mean if row.best else None,
        "difference_to_h0": gain.value if gain else None,
        "difference_interval": _pair(gain.interval if gain else None),
        "difference_p": gain.p if gain else None,
        "error_reduced_percent": row.reduced,
        "labels": list(row.labels),
        "notes": list(cell.notes),
        **_origin(complete or tuple(trial for trial in cell.trials if trial.config)),
    }


def _origin(trials: Sequence[Trial]) -> dict[str, Any]:
    known = [trial for trial in trials if trial.provenance]
    seconds = [(trial.final.get("totals") or {}).get("seconds") for trial in trials]
    return {
        "commit": _distinct(str(t.provenance.get("commit")) for t in known),
        "dirty": any(bool(trial.provenance.get("dirty")) for trial in known),
        "code": _distinct(trial.code for trial in known),
        "checksum": _distinct(trial.checksum for trial in known),
        "device": _distinct(str(t.provenance["device"].get("name")) for t in known),
        "machines": _distinct(machine for t in known for machine in t.machines),
        "torch": _distinct(str(t.provenance["versions"].get("torch")) for t in known),
        "seconds": sum(float(s) for s in seconds if s is not None),
    }


def _comparison(f: Finding, runs: Path) -> dict[str, Any]:
    claim, contrast = f.claim, f.contrast
    return {
        "artefact": claim.artefact,
        "kind": claim.kind,
        "family": claim.family,
        "question": claim.question,
        "context": claim.context,
        "claim": claim.text,
        "ours": claim.ours,
        "arms": [arm.name for arm in claim.arms],
        "baseline": [arm.name for arm in claim.baseline],
        "cells": [_folder(sample.cell, runs) if sample else None for sample in f.samples],
        "n": [len(sample.values) if sample else 0 for sample in f.samples],
        "means": [s.summary.mean if s and s.summary else None for s in f.samples],
        "sds": [s.summary.sd if s and s.summary else None for s in f.samples],
        "planned": claim.trials,
        "paper": f.paper,
        "smallest": f.smallest,
        "margin": claim.margin,
        "difference": contrast.value if contrast else None,
        "interval": _pair(contrast.at(f.level) if contrast else None),
        "level": f.level,
        "interval_95": _pair(contrast.interval if contrast else None),
        "p": f.p,
        "p_holm": f.tested.p if f.tested else None,
        "verdict": f.judgement.verdict.value,
        "detail": f.judgement.detail,
        "direction": f.judgement.towards,
        "hangs_on": [{"arm": c.arm, "trial": c.trial, "verdict": c.word} for c in f.hangs_on],
        "outside_protocol": list(f.deviations),
    }


def _folder(cell: Cell, runs: Path) -> str:
    return cell.folder.relative_to(runs).as_posix()


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval else None


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
