"""Publication: what of some run folders is kept under version control, and README's headline of it.

A publication is a folder of `results/` that anyone can check without the run folders::

    index.html, tables/, figures/   the report
    scores.csv                      one line per trial: scores, cost, commit, code, data, device
    findings.csv                    one line per declared claim that has runs
    provenance.json                 every commit, machine and version; the commands as typed

Nothing here is typed by hand: the headline is made from ``findings.csv`` alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chandir import report
from chandir.report import cells, declared, failures, parts
from chandir.report import runs as folders
from chandir.report.findings import Finding
from chandir.report.runs import Trial
from chandir.report.words import interval, number

BEGIN = "<!-- measured: made by scripts/publish.py, not by hand -->"
END = "<!-- /measured -->"


def publish(runs: Path, out: Path) -> Path:
    """Write the publication of all complete trials below `runs` to `out`; return its page.

    Raises:
        ValueError: for trials of an unknown commit or a changed tree, which nobody could repeat,
            and if there is nothing complete.
    """
    trials = failures.settle(folders.read(runs))
    complete = [trial for trial in trials if trial.complete]
    if not complete:
        raise ValueError(
            f"{runs} holds no complete trial: expected some to publish; `make status` shows them"
        )
    loose = [t for t in complete if not t.provenance.get("commit") or t.provenance.get("dirty")]
    if loose:
        raise ValueError(
            f"{len(loose)} trials ran with uncommitted changes or without git, the first "
            f"{loose[0].folder}: expected a commit that others can check out; commit, and run them "
            "anew in a clean clone"
        )
    page = report.build(runs, out)
    found = [f for part in parts.parts(declared.artefacts(), cells.cells(trials))
             for f in part.findings if f.present]  # fmt: skip
    titles = {artefact.name: artefact.title for artefact in declared.artefacts()}
    _table(out / "scores.csv", [_score(trial) for trial in complete])
    _table(out / "findings.csv", [_finding(f, titles[f.claim.artefact]) for f in found])
    text = json.dumps(_origins(complete), indent=1, ensure_ascii=False)
    (out / "provenance.json").write_text(text + "\n", encoding="utf-8")
    return page


def headline(results: Path) -> str:
    """What every publication below `results` says of the claims, as Markdown.

    Of a claim that several publications answer, the one with the least deviations is shown, of
    equals the one with the most trials.
    """
    chosen: dict[tuple[str, ...], tuple[str, dict[str, str]]] = {}
    for file in sorted(results.glob("*/findings.csv")):
        for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))):
            if row["headline"] != "yes":
                continue
            identity = (row["artefact"], row["context"], row["claim"])
            if identity not in chosen or _rank(row) > _rank(chosen[identity][1]):
                chosen[identity] = file.parent.name, row
    lines: list[str] = []
    for artefact in dict.fromkeys(row["artefact"] for _, row in chosen.values()):
        rows = [(n, r) for n, r in chosen.values() if r["artefact"] == artefact]
        lines += ["", *_block(results.name, rows)]
    return "\n".join(lines).strip() + "\n" if lines else "Nothing is published yet.\n"


def into(text: str, block: str) -> str:
    """`text` with `block` between its two markers.

    Raises:
        ValueError: if it has no markers.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the headline: expected {BEGIN!r} and {END!r} around it")
    return f"{head}{begin}\n\n{block}\n{end}{tail}"


def _block(results: str, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """One artefact's claims: a line above with what they share, then a table."""
    first = rows[0][1]
    page = f"[page]({results}/{rows[0][0]}/index.html)"
    scores = f"[scores]({results}/{rows[0][0]}/scores.csv)"
    shared = [x for x in first["deviations"].split("; ") if x
              and all(x in r["deviations"].split("; ") for _, r in rows)]  # fmt: skip
    outside = f" Not as in the paper: {'; '.join(shared)}." if shared else ""
    lines = [f"**{first['title']}** ({page}, {scores}).{outside}", ""]
    lines += ["| claim | paper | measured, interval | trials | verdict |", "|---|--:|--:|--:|---|"]
    for _, row in rows:
        context = f"{row['context']}: " if row["context"] else ""
        places = int(row["places"])
        measured = number(_float(row["effect"]), places, sign=True)
        low, high = _float(row["low"]), _float(row["high"])
        if low is not None and high is not None:
            measured += " " + interval((low, high), places, sign=True)
        paper = number(_float(row["paper"]), places, sign=True) if row["paper"] else ""
        verdict = row["verdict"] + (f", {row['towards']}" if row["towards"] else "")
        line = (f"{context}{row['claim']}", paper, measured, row["trials"], verdict)
        lines.append(f"| {' | '.join(line)} |")
    return lines


def _rank(row: Mapping[str, str]) -> tuple[int, int]:
    deviations = len([x for x in row["deviations"].split("; ") if x])
    return -deviations, min(int(n) for n in row["trials"].split(", "))


def _float(text: str) -> float | None:
    return float(text) if text else None


def _finding(f: Finding, title: str) -> dict[str, Any]:
    from chandir.report.evidence import places
    from chandir.report.verdicts import direction

    contrast = f.contrast
    low, high = (contrast.at(f.level) if contrast else None) or ("", "")
    sizes = Counter(len(sample.values) for sample in f.present)
    plain = f.claim.kind in ("gain", "trend", "spread")
    towards = direction(contrast) if contrast and plain and f.deviations else ""
    return {
        "artefact": f.claim.artefact,
        "title": title,
        "kind": f.claim.kind,
        "family": f.claim.family,
        "context": f.claim.context,
        "claim": f.claim.text,
        "paper": "" if f.paper is None else f.paper,
        "effect": contrast.value if contrast else "",
        "low": low,
        "high": high,
        "level": f.level,
        "places": places(f),
        "p": "" if f.p is None else f.p,
        "holm": f.tested.p if f.tested else "",
        "trials": ", ".join(map(str, sorted(sizes))),
        "verdict": f.judgement.verdict.value,
        "towards": towards,
        "detail": f.judgement.detail,
        "deviations": "; ".join(f.deviations),
        "headline": "yes" if plain and len(f.present) == len(f.samples) and _usual(f) else "no",
    }


def _usual(f: Finding) -> bool:
    """Whether its arms have the default strength: a curve over lambda is the figure's to show."""
    where = [dict(arm.where) for arm in f.claim.arms]
    return all(w.get(key, 1) == 1 for w in where for key in ("metric.lam", "metric.weight"))


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
    }


def _origins(trials: Iterable[Trial]) -> dict[str, Any]:
    """Each distinct origin with how many trials came from it, and each command as typed."""
    origins: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for trial in trials:
        kept = {key: trial.provenance[key] for key in ("commit", "versions", "data", "determinism")}
        device = {k: v for k, v in trial.provenance["device"].items() if k != "host"}
        kept |= {"device": device, "code": trial.code, "sources": trial.provenance["sources"]}
        origins[json.dumps(kept, sort_keys=True)] += 1
        commands[str(trial.provenance.get("command") or "unknown")] += 1
    return {
        "claims": f"sha256 {declared.digest()}",
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
