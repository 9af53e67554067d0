"""What the publications say of the claims, as Markdown: in full, and in a line each.

Nothing here is typed by hand: it is made from each publication's ``summary.json`` alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chandir.report.judge import claims_file, influence
from chandir.report.judge.rule import Verdict
from chandir.report.publish.publication import published
from chandir.report.show.words import DASH, interval, number

BEGIN = "<!-- measured: made by scripts/publish.py, not by hand -->"
END = "<!-- /measured -->"
# Of the brief table: the paper's metrics, and what they are held against, in words.
COLUMNS = ("sobolev", "h0_lambda")
BASELINES = {
    "h0": "plain gradients",
    "h0_mean": "`h0_mean`: plain gradients, learning rate times 1 + λ",
}
_JUDGED = (Verdict.REPRODUCED, Verdict.SMALLER, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)

Summaries = Mapping[str, Mapping[str, Any]]  # ``summary.json`` of each publication, by its name
Answer = tuple[str, Mapping[str, Any]]  # the publication's name, one of its comparisons
Trials = frozenset[tuple[Any, ...]]  # what a row compares: publication, cells, trials of each
Chosen = Mapping[tuple[str, ...], Answer]  # by artefact, context, kind and claim


def full(results: Path) -> str:
    """A table for each artefact that was asked about.

    Of a claim that several publications answer, the one with the least deviations is shown, of
    equals the one with the most trials.
    """
    lines: list[str] = []
    for title, rows in _answers(_chosen(_summaries(results))):
        lines += ["", *_block(title, results.name, rows)]
    if any("(hangs on " in line for line in lines):
        lines += ["", influence.LEGEND]
    return "\n".join(lines).strip() + "\n" if lines else "Nothing is published yet.\n"


def brief(results: Path) -> str:
    """How many of the paper's claims are judged, and both metrics against both baselines.

    One row for each setting and baseline that was run, variants left out: plain gradients, and
    those at the learning rate that makes their step along the mean as long as the metrics'. A
    later artefact that so far has an earlier one's trials and no others adds none.
    """
    summaries = _summaries(results)
    chosen = _chosen(summaries)
    rows: dict[Trials, tuple[str, ...]] = {}
    for title, answers in _answers(chosen):
        if not _variant(answers):
            for trials, row in _rows(title, answers, results.name, summaries):
                rows.setdefault(trials, row)
    if not rows:
        return "Nothing is published yet.\n"
    header = ["| setting | baseline | its score | `sobolev` minus it | `h0_lambda` minus it |",
              "|---|---|--:|---|---|"]  # fmt: skip
    lines, before = [_claims(chosen), "", *header], ""
    for setting, *rest in rows.values():
        lines.append(f"| {' | '.join(['' if setting == before else setting, *rest])} |")
        before = setting
    return "\n".join(lines) + "\n"


def _summaries(results: Path) -> Summaries:
    return {
        folder.name: json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        for folder in published(results)
    }


def _answers(chosen: Chosen) -> Iterator[tuple[str, list[Answer]]]:
    """Each artefact that was asked about: its title, and the comparisons to show."""
    for artefact in claims_file.artefacts():
        rows = [(name, f) for name, f in chosen.values()
                if f["artefact"] == artefact.name and _shown(f)]  # fmt: skip
        if rows:
            yield artefact.title, rows


def _chosen(summaries: Summaries) -> Chosen:
    """The best of the publications' answers to each claim and question; the paper's also unrun."""
    chosen: dict[tuple[str, ...], Answer] = {}
    for name, summary in summaries.items():
        for found in summary["comparisons"]:
            identity = (found["artefact"], found["context"], found["kind"], found["claim"])
            if identity not in chosen or _rank(found) > _rank(chosen[identity][1]):
                chosen[identity] = name, found
    return chosen


def _variant(rows: Sequence[Answer]) -> bool:
    return str(rows[0][1]["artefact"]).startswith("variant-")


def _claims(chosen: Chosen) -> str:
    """What became of the paper's claims; levels are not among them."""
    claims = [f for _, f in chosen.values() if not f["ours"] and f["kind"] != "level"]
    judged = Counter(f["verdict"] for f in claims if f["verdict"] in {v.value for v in _JUDGED})
    words = ", ".join(f"{count} {verdict.lower()}" for verdict, count in judged.items())
    apart = sum(f["verdict"] == Verdict.NOT_COMPARABLE.value for f in claims)
    return (
        f"Of the paper's {len(claims)} claims "
        f"**{words or 'none has been judged by the full protocol yet'}**; "
        f"{apart} ran in a shortened form, which can neither confirm nor refute them."
    )


def _rows(
    title: str, answers: Sequence[Answer], results: str, summaries: Summaries
) -> Iterator[tuple[Trials, tuple[str, ...]]]:
    """An artefact's rows of the brief table: a setting, a baseline, each metric's difference."""
    found: dict[tuple[str, str], dict[str, Answer]] = {}
    for name, each in answers:
        metric, baseline = each["arms"][0].split(",")[0], (each["baseline"] or [""])[0]
        if each["kind"] == "gain" and metric in COLUMNS and baseline in BASELINES:
            row = found.setdefault((each["context"], baseline), {})
            row.setdefault(metric, (name, each))  # first the scores, as declared
    for (context, baseline), row in found.items():
        trials = frozenset((name, *each["cells"], *each["n"]) for name, each in row.values())
        publication, first = next(iter(row.values()))
        link = f"[{title}]({_table(f'{results}/{publication}', first)})"
        strengths = [each["arms"][0].partition(", ")[2] for _, each in row.values()]
        strength = " and ".join(dict.fromkeys(filter(None, strengths)))
        setting = [link, *filter(None, (context, strength)), f"{_trials(first)} trials each"]
        text = "; ".join([*setting, *_shared(list(row.values()))])
        differences = (
            f"{_effect(row[metric][1])}: **{_verdict(row[metric][1]).lower()}**"
            if metric in row else DASH for metric in COLUMNS
        )  # fmt: skip
        mean = _mean(summaries[publication], first["cells"][1])
        yield trials, (text, BASELINES[baseline], mean, *differences)


def _mean(summary: Mapping[str, Any], folder: str) -> str:
    """A cell's mean ± standard deviation, as published; none of a folder that holds two codes."""
    found, *others = (each for each in summary["cells"] if each["folder"] == folder)
    if others:
        return DASH
    unit = f" {found['score']['unit']}" if found["score"]["unit"] else ""
    spread = "" if found["sd"] is None else f" ± {number(found['sd'], 2)}"
    return f"{number(found['mean'], 2)}{spread}{unit}"


def _shared(rows: Sequence[Answer]) -> list[str]:
    """How all of an artefact's comparisons deviate from the paper."""
    return [x for x in rows[0][1]["outside_protocol"]
            if all(x in found["outside_protocol"] for _, found in rows)]  # fmt: skip


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


def _rank(found: Mapping[str, Any]) -> tuple[bool, int, int]:
    """Of two answers: one at all, then the one nearer to the protocol, then the larger."""
    return min(found["n"]) > 0, -len(found["outside_protocol"]), min(found["n"])


def _block(title: str, results: str, rows: Sequence[Answer]) -> list[str]:
    """One artefact: a line with what its claims share, then a table, a row per question."""
    publication, first = rows[0]
    folder = f"{results}/{publication}"
    shared = _shared(rows)
    outside = f" Not as in the paper: {'; '.join(shared)}." if shared else ""
    whose = "question" if first["ours"] else "claim"
    papers = any(_paper(found) for _, found in rows)  # our own questions have none
    lines = [
        f"**{title}** ([table]({_table(folder, first)}), [page]({folder}/index.html), "
        f"[scores]({folder}/scores.csv)).{outside}",
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


def _table(folder: str, found: Mapping[str, Any]) -> str:
    """Where an artefact's claims are; a code host shows Markdown, and of a page its source."""
    return f"{folder}/tables/{found['artefact']}.md"


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
