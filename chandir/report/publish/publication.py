"""Publication: what of some run folders is kept under version control.

A publication is a folder of `results/` that anyone can check and build again from what it carries::

    index.html, tables/, figures/   the report
    summary.json                    every cell and every comparison, see `summary`
    scores.csv                      one line per trial: scores, cost, commit, code, data, device
    provenance.json                 every commit, machine and version; the commands as typed
    runs.tar.xz                     the run folders' light files, see `archive`
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chandir import report
from chandir.report.judge import claims_file
from chandir.report.publish import archive, whole
from chandir.report.read.runs import Trial
from chandir.runfolder import secrets


def publish(runs: Path, out: Path) -> Path:
    """Write the publication of the trials below `runs` to `out`; return its page.

    A trial that is under way is left out, of the page too: it shows what the publication carries.

    What looks like a secret is published as ``***`` and a home folder as ``~``, see
    `chandir.runfolder.secrets`.

    If it fails, what is in `out` stays as it is.

    Raises:
        ValueError: for trials of an unknown commit or a changed tree, which nobody could repeat,
            for trials that measured nothing (synthetic data, scale smoke), for two of one name, and
            if there is nothing complete.
    """
    trials = [_private(trial) for trial in report.gather(runs)]
    complete = [trial for trial in trials if trial.complete]
    if not complete:
        raise ValueError(
            f"{runs} holds no complete trial: expected some to publish; `make status` shows them"
        )
    loose = [trial for trial in complete if _loose(trial.provenance)]
    if loose:
        raise ValueError(
            f"{len(loose)} trials ran with uncommitted changes or without git, the first "
            f"{loose[0].folder}: expected a commit that others can check out; commit, and run them "
            "anew in a clean clone"
        )
    made_up = [
        t for t in complete
        if t.config["data"]["source"] == "synthetic" or t.config["scale"]["name"] == "smoke"
    ]  # fmt: skip
    if made_up:
        raise ValueError(
            f"{len(made_up)} trials ran on synthetic data or at scale smoke, the first "
            f"{made_up[0].folder}: expected measurements; give a folder of runs without them"
        )
    packed = archive.packed(trial for trial in trials if trial.status != "incomplete")
    with whole.together(out) as place:
        (place / archive.NAME).write_bytes(packed)
        with archive.opened(place) as carried:
            page = report.build(carried, place, links=False, beside=out.parent)
        _table(place / "scores.csv", [_score(trial) for trial in complete])
        text = json.dumps(_origins(complete), indent=1, ensure_ascii=False)
        (place / "provenance.json").write_text(text + "\n", encoding="utf-8")
    return out / page.name


def _private(trial: Trial) -> Trial:
    """The trial without secrets and names of home folders, in commands, settings and errors."""
    return replace(
        trial,
        reason=secrets.masked(trial.reason),
        config=secrets.mask(trial.config),
        provenance=secrets.mask(trial.provenance),
    )


def _loose(provenance: Mapping[str, Any]) -> bool:
    """Whether a trial, or a part of it before it was continued, ran what nobody can check out."""
    ran = [provenance, *(provenance.get("segments") or [])]
    return any(not each.get("commit") or each.get("dirty") for each in ran)


def published(results: Path) -> list[Path]:
    """The publications: `make report` writes to results/page, beside them, but no scores."""
    return sorted(path.parent for path in results.glob("*/scores.csv"))


def _score(trial: Trial) -> dict[str, Any]:
    name, origin = trial.config["score"]["name"], trial.provenance
    totals = trial.final.get("totals") or {}
    return {
        "task": trial.config["task"]["name"],
        "cell": trial.folder.parent.name,
        "trial": trial.index,
        "status": trial.status,
        "score": name,
        "last": trial.final["last"][name],
        "best": trial.final["best"][name],
        "epochs": totals.get("epochs", ""),
        "steps": totals.get("steps", ""),
        "seconds": totals.get("seconds", ""),
        "started": origin.get("started", ""),
        "commit": origin["commit"],
        "code": trial.code[:12],
        "data": trial.checksum[:12],
        "device": origin["device"].get("name", ""),
        "torch": origin["versions"].get("torch", ""),
        "machine": "; ".join(trial.machines),
    }


def _origins(trials: Iterable[Trial]) -> dict[str, Any]:
    """Each distinct origin with how many trials came from it, and each command as typed."""
    origins: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for trial in trials:
        kept = {key: trial.provenance[key] for key in ("commit", "versions", "data", "determinism")}
        device = {k: v for k, v in trial.provenance["device"].items() if k != "host"}
        kept |= {name: trial.provenance[name] for name in ("machine", "numerics")
                 if name in trial.provenance}  # fmt: skip
        kept |= {"device": device, "code": trial.code, "sources": trial.provenance["sources"]}
        origins[json.dumps(kept, sort_keys=True)] += 1
        commands[str(trial.provenance.get("command") or "unknown")] += 1
    return {
        "claims": f"sha256 {claims_file.digest()}",
        "commands": dict(commands),
        "origins": [{"trials": n} | json.loads(text) for text, n in origins.items()],
    }


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8")
