"""The publications' answers to the claims and questions: which are shown, and in which words.

Nothing here is typed by hand: it is made from each publication's ``summary.json`` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chandir.report.judge import claims_file
from chandir.report.judge.claims import Artefact
from chandir.report.judge.finding import left_out
from chandir.report.judge.rule import limits
from chandir.report.publish.publication import published
from chandir.report.show.words import decimals, interval, number

Summaries = Mapping[str, Mapping[str, Any]]  # ``summary.json`` of each publication, by its name
Comparison = Mapping[str, Any]  # of a summary's: a claim or question, and what came of it
# The publication's name and its comparison, by artefact, context, kind and claim.
Chosen = Mapping[tuple[str, ...], tuple[str, Comparison]]


def read(results: Path) -> Summaries:
    """Return the summary of each publication."""
    return {
        folder.name: json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        for folder in published(results)
    }


def choose(summaries: Summaries) -> Chosen:
    """Return the best of the publications' answers to each claim and question; also to those unrun.

    That is the one with the most of the trials that were asked for: a run at the paper's scale that
    has begun is not yet the answer. Of equals, the one nearer to the protocol; then the larger.
    """
    chosen: dict[tuple[str, ...], tuple[str, Comparison]] = {}
    for name, summary in summaries.items():
        for found in summary["comparisons"]:
            identity = (found["artefact"], found["context"], found["kind"], found["claim"])
            if identity not in chosen or _rank(found) > _rank(chosen[identity][1]):
                chosen[identity] = name, found
    return chosen


def by_artefact(chosen: Chosen) -> Iterator[tuple[Artefact, str, list[Comparison]]]:
    """Yield each artefact that was asked about, a publication, and what to show of it there."""
    for artefact in claims_file.artefacts():
        shown: dict[str, list[Comparison]] = {}
        for name, found in chosen.values():
            if found["artefact"] == artefact.name and _shown(found):
                shown.setdefault(name, []).append(found)
        for name, rows in shown.items():
            yield artefact, name, rows


def shared(rows: Sequence[Comparison]) -> list[str]:
    """Return how all of the comparisons deviate from the paper."""
    return [x for x in rows[0]["outside_protocol"]
            if all(x in found["outside_protocol"] for found in rows)]  # fmt: skip


def table(folder: str, found: Comparison) -> str:
    """Return where an artefact's claims are; a code host shows Markdown, of a page its source."""
    return f"{folder}/tables/{found['artefact']}.md"


def effect(found: Comparison) -> str:
    """Return the difference and its interval, in words."""
    figures = places(found)
    text = number(found["difference"], figures, sign=True)
    pair = found["interval"]
    text = f"{text} {interval((pair[0], pair[1]), figures, sign=True)}" if pair else text
    return f"log sd ratio {text}" if found["kind"] == "spread" else text


def places(found: Comparison) -> int:
    """Return the decimals of an effect, as many as the report's tables give it."""
    paper, smallest = found["paper"], found["smallest"]
    decisive = limits(found["kind"], paper, smallest, found["margin"])
    return decimals(smallest, found["interval"], decisive)


def trials(found: Comparison) -> str:
    """Return how many trials each arm has; one number, where they have as many."""
    return " and ".join(str(n) for n in dict.fromkeys(found["n"]))


def verdict(found: Comparison) -> str:
    """Return the verdict, which way it went, and how many single trials decide it."""
    word = "likeness" if found["kind"] == "equal" else "direction"
    towards = f", {word} {found['direction']}" if found["direction"] else ""
    worse = ", significantly worse" if found["detail"].split("; ")[0] == "opposite" else ""
    pivotal = found.get("hangs_on")  # not in publications that are older than the question
    out = f" ({left_out(len(pivotal), sum(found['n']))})" if pivotal else ""
    return f"{found['verdict']}{worse}{towards}{out}"


def _rank(found: Comparison) -> tuple[int, int, int]:
    n = min(found["n"])
    return min(n, found["planned"]), -len(found["outside_protocol"]), n


def _shown(found: Comparison) -> bool:
    """Whether a comparison was made, and says something.

    What has all its trials and no deviation is always shown, but for levels. Of the rest those of
    other strengths than 1 are the figure's to show, and the paper's likenesses the tables'.
    """
    if min(found["n"]) >= found["planned"] and not found["outside_protocol"]:
        return bool(found["kind"] != "level")
    usual = all("lam " not in arm and "weight " not in arm for arm in found["arms"])
    strength = usual or any(arm.endswith((" lam 1", " weight 1")) for arm in found["arms"])
    told = found["kind"] in ("gain", "trend", "spread") or (found["ours"] and found["question"])
    return bool(told and strength and min(found["n"]) > 0)
