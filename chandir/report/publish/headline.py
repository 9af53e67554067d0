"""What the publications say of the claims, in full: a table for each artefact, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chandir.report.judge import influence
from chandir.report.judge.finding import LEFT_OUT
from chandir.report.publish import answers
from chandir.report.publish.answers import Comparison
from chandir.report.show.words import number

BEGIN = "<!-- measured: made by scripts/publish.py, not by hand -->"
END = "<!-- /measured -->"


def full(results: Path) -> str:
    """A table for each artefact that was asked about, of the best answer to each claim."""
    lines: list[str] = []
    for artefact, name, rows in answers.by_artefact(answers.choose(answers.read(results))):
        lines += ["", *_block(artefact.title, f"{results.name}/{name}", rows)]
    if any(f"({LEFT_OUT}: " in line for line in lines):
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


def _block(title: str, folder: str, rows: Sequence[Comparison]) -> list[str]:
    """One artefact: a line with what its claims share, then a table, a row per question."""
    shared = answers.shared(rows)
    outside = f" Not as in the paper: {'; '.join(shared)}." if shared else ""
    whose = "question" if rows[0]["ours"] else "claim"
    papers = any(_paper(found) for found in rows)  # our own questions have none
    lines = [
        f"**{title}** ([table]({answers.table(folder, rows[0])}), [page]({folder}/index.html), "
        f"[scores]({folder}/scores.csv)).{outside}",
        "",
        f"| {whose} {'| paper ' * papers}| effect [interval] | trials | verdict |",
        f"|---{'|--:' * papers}|---|--:|---|",
    ]
    questions: dict[str, list[Comparison]] = {}
    for found in rows:
        context = f"{found['context']}: " if found["context"] else ""
        text = found["question"] or found["claim"]
        asked = found["kind"] == "equal" and found["question"]  # a claim says its margin
        margin = f" (within {found['margin']:g})" if asked else ""
        questions.setdefault(context + text + margin, []).append(found)
    for question, answered in questions.items():
        columns = (
            *["<br>".join(_paper(found) for found in answered)] * papers,
            "<br>".join(_named(found) + answers.effect(found) for found in answered),
            "<br>".join(dict.fromkeys(answers.trials(found) for found in answered)),
            "<br>".join(answers.verdict(found) for found in answered),
        )
        lines.append(f"| {question} | {' | '.join(columns)} |")
    return lines


def _named(found: Comparison) -> str:
    """Whose answer it is, of a question that does not name its arms."""
    if not found["question"]:
        return ""
    base = found["baseline"][0] if found["baseline"] else ""
    arm = found["arms"][0]
    return f"{arm if base in ('h0', 'h0_mean', 'h0_norm') else f'{arm} against {base}'}: "


def _paper(found: Comparison) -> str:
    if found["paper"] is None or found["ours"]:
        return ""
    return number(found["paper"], answers.places(found), sign=True)
