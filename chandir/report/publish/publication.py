"""Publication: what of some run folders is kept under version control, and README's headline of it.

A publication is a folder of `results/` that anyone can check and build again from what it carries::

    index.html, tables/, figures/   the report
    summary.json                    every cell and every comparison, see `summary`
    scores.csv                      one line per trial: scores, cost, commit, code, data, device
    provenance.json                 every commit, machine and version; the commands as typed
    runs.tar.xz                     the run folders' light files, see `archive`

Nothing here is typed by hand: the headline is made from ``summary.json`` alone.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chandir import report
from chandir.report.judge import claims_file, influence
from chandir.report.publish import archive
from chandir.report.read import divergence
from chandir.report.read import runs as folders
from chandir.report.read.runs import Trial
from chandir.report.show.words import interval, number
from chandir.runfolder import secrets

BEGIN = "<!-- measured: made by scripts/publish.py, not by hand -->"
END = "<!-- /measured -->"


def publish(runs: Path, out: Path) -> Path:
    """Write the publication of the trials below `runs` to `out`; return its page.

    A trial that is under way is left out, of the page too: it shows what the publication carries.

    What looks like a secret is published as ``***`` and a home folder as ``~``, see
    `chandir.runfolder.secrets`.

    Raises:
        ValueError: for trials of an unknown commit or a changed tree, which nobody could repeat,
            for trials that measured nothing (synthetic data, scale smoke), and if there is nothing
            complete.
    """
    trials = [_private(trial) for trial in divergence.settle(folders.read(runs))]
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
    out.mkdir(parents=True, exist_ok=True)
    archive.pack((trial for trial in trials if trial.status != "incomplete"), out / archive.NAME)
    with archive.opened(out) as carried:
        page = report.build(carried, out, links=False, beside=out.parent)
    _table(out / "scores.csv", [_score(trial) for trial in complete])
    text = json.dumps(_origins(complete), indent=1, ensure_ascii=False)
    (out / "provenance.json").write_text(text + "\n", encoding="utf-8")
    return page


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


def headline(results: Path, variants: bool = True) -> str:
    """What every publication below `results` says of the claims, as Markdown.

    With `variants` false, without the experiments that are named so: they are many rows.

    Of a claim that several publications answer, the one with the least deviations is shown, of
    equals the one with the most trials.
    """
    chosen: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    for folder in published(results):
        file = folder / "summary.json"
        for found in json.loads(file.read_text(encoding="utf-8"))["comparisons"]:
            identity = (found["artefact"], found["context"], found["kind"], found["claim"])
            if _shown(found) and (
                identity not in chosen or _rank(found) > _rank(chosen[identity][1])
            ):
                chosen[identity] = file.parent.name, found
    lines: list[str] = []
    for artefact in claims_file.artefacts():
        if artefact.name.startswith("variant-") and not variants:
            continue
        rows = [(name, f) for name, f in chosen.values() if f["artefact"] == artefact.name]
        if rows:
            lines += ["", *_block(artefact.title, results.name, rows)]
    if any("(hangs on " in line for line in lines):
        lines += ["", influence.LEGEND]
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


def _shown(found: Mapping[str, Any]) -> bool:
    """Whether a comparison was made; those of a curve over lambda are the figure's to show."""
    usual = all("lam " not in arm and "weight " not in arm for arm in found["arms"])
    strength = usual or any(arm.endswith((" lam 1", " weight 1")) for arm in found["arms"])
    told = found["kind"] in ("gain", "trend", "spread") or (found["ours"] and found["question"])
    return bool(told and strength and min(found["n"]) > 0)


def _rank(found: Mapping[str, Any]) -> tuple[int, int]:
    return -len(found["outside_protocol"]), min(found["n"])


def _block(title: str, results: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """One artefact: a line with what its claims share, then a table, a row per question."""
    publication, first = rows[0]
    folder = f"{results}/{publication}"
    shared = [x for x in first["outside_protocol"]
              if all(x in found["outside_protocol"] for _, found in rows)]  # fmt: skip
    outside = f" Not as in the paper: {'; '.join(shared)}." if shared else ""
    whose = "question" if first["ours"] else "claim"
    papers = any(_paper(found) for _, found in rows)  # our own questions have none
    lines = [
        f"**{title}** ([page]({folder}/index.html), [scores]({folder}/scores.csv)).{outside}",
        "",
        f"| {whose} {'| paper ' * papers}| effect [interval] | trials | verdict |",
        f"|---{'|--:' * papers}|---|--:|---|",
    ]
    questions: dict[str, list[Mapping[str, Any]]] = {}
    for _, found in rows:
        context = f"{found['context']}: " if found["context"] else ""
        asked = found["question"] or found["claim"]
        margin = f" (within {found['margin']:g})" if found["kind"] == "equal" else ""
        questions.setdefault(context + asked + margin, []).append(found)
    for question, answers in questions.items():
        several = len(answers) > 1
        columns = (
            *["<br>".join(_paper(found) for found in answers)] * papers,
            "<br>".join(f"{_who(found)}: " * several + _effect(found) for found in answers),
            "<br>".join(dict.fromkeys(_trials(found) for found in answers)),
            "<br>".join(_verdict(found) for found in answers),
        )
        lines.append(f"| {question} | {' | '.join(columns)} |")
    return lines


def _who(found: Mapping[str, Any]) -> str:
    base = found["baseline"][0] if found["baseline"] else ""
    arm = found["arms"][0]
    return f"{arm} against {base}" if base not in ("h0", "h0_mean", "h0_norm") else arm


def _effect(found: Mapping[str, Any]) -> str:
    places = _places(found)
    text = number(found["difference"], places, sign=True)
    pair = found["interval"]
    text = f"{text} {interval((pair[0], pair[1]), places, sign=True)}" if pair else text
    return f"log sd ratio {text}" if found["kind"] == "spread" else text


def _paper(found: Mapping[str, Any]) -> str:
    if found["paper"] is None or found["ours"]:
        return ""
    return number(found["paper"], _places(found), sign=True)


def _places(found: Mapping[str, Any]) -> int:
    """As the report's tables: one decimal more than the least difference that counts has."""
    return max(2, 1 - math.floor(math.log10(found["smallest"])))


def _trials(found: Mapping[str, Any]) -> str:
    return " and ".join(str(n) for n in dict.fromkeys(found["n"]))


def _verdict(found: Mapping[str, Any]) -> str:
    word = "likeness" if found["kind"] == "equal" else "direction"
    towards = f", {word} {found['direction']}" if found["direction"] else ""
    worse = ", significantly worse" if found["detail"].split("; ")[0] == "opposite" else ""
    trials = found.get("hangs_on")  # not in publications that are older than the question
    hangs = f" (hangs on {len(trials)} of {sum(found['n'])} trials)" if trials else ""
    return f"{found['verdict']}{worse}{towards}{hangs}"


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
