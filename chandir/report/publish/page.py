"""One self-contained HTML page: the answer first, then verdicts, artefacts and how they came."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from chandir.report.judge import claims_file
from chandir.report.judge.artefacts import Part
from chandir.report.judge.rule import Verdict
from chandir.report.publish.exhibit import Exhibit
from chandir.report.publish.pictures import forest, pictures
from chandir.report.read import divergence, origin
from chandir.report.read.comparisons import Setting
from chandir.report.read.runs import Trial
from chandir.report.show import answer, evidence, overview
from chandir.report.show import measured as beside
from chandir.report.show.answer import Answer
from chandir.report.show.figures.style import Drawing, inline
from chandir.report.show.results import METHOD
from chandir.report.show.rows import Row, brief, numbers, score_name, texts
from chandir.report.show.sheet import LEFT, Sheet
from chandir.report.show.words import counted

_HERE = Path(__file__).parent / "template"

# A colour and a sign for each verdict: readable in print and without colour.
_TONES = {
    Verdict.REPRODUCED: "yes", Verdict.YES: "yes", Verdict.AGREES: "yes",
    Verdict.SMALLER: "some", Verdict.LITTLE: "some",
    Verdict.NOT_REPRODUCED: "no", Verdict.NO: "no", Verdict.DIFFERS: "no",
    Verdict.INCONCLUSIVE: "open",
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A task on the page: its rows and its figures."""

    rows: Sequence[Row]
    drawings: Sequence[Drawing]

    @property
    def task(self) -> str:
        """The task's name."""
        return self.rows[0].cell.task


@dataclass(frozen=True)
class Content:
    """All that the page shows.

    Attributes:
        trials: Everything that was read, for the counts and the list of what was left out.
        exhibits: The artefacts, run or not.
        sections: The tasks.
        general: Figures that need no runs.
        correlated: How alike the channels of what was trained are.
        figure1: The ImageNet networks' correlation, if measured.
        speed: The metrics' overhead, if measured.
        answers: What each setting says, the most telling first, with its figure.
        undrawn: Figures that could not be drawn, and why.
    """

    trials: Sequence[Trial]
    exhibits: Sequence[Exhibit]
    sections: Sequence[Section]
    general: Sequence[Drawing]
    correlated: Sheet | None
    figure1: Sheet | None
    speed: Sheet | None
    answers: Sequence[tuple[Answer, Sequence[Drawing]]] = ()
    undrawn: Sequence[str] = ()


def render(content: Content, out: Path, links: bool = True) -> str:
    """Return the page; links are relative to `out`, the folder in which it will lie.

    Without `links` the names of run folders are plain text.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    rows = [row for section in content.sections for row in section.rows]
    groups = [(s, list(g)) for s, g in groupby(rows, key=lambda row: row.setting)]
    parts = [exhibit.part for exhibit in content.exhibits]
    ours = any(part.samples for part in parts)
    closed, opened = content.answers[answer.OPEN :], content.answers[: answer.OPEN]
    return environment.get_template("index.html").render(
        content=content,
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "script.js").read_text(encoding="utf-8")),
        title=answer.question(rows, [a for a, _ in content.answers], ours),
        ours=ours,
        lead=lead(content.trials, rows),
        measuring=any(row.cell.measures and row.cell.complete for row in rows),
        groups=groups,
        ran=[exhibit for exhibit in content.exhibits if exhibit.part.ran],
        absent=[exhibit.part for exhibit in content.exhibits if not exhibit.part.ran],
        roll_up=overview.roll_up(parts),
        own=overview.own(parts),
        totals=overview.totals(parts),
        own_totals=overview.totals(parts, ours=True),
        opened=opened,
        closed=closed,
        counted=counted,
        unbroken=unbroken,
        control=answer.control,
        judged=lambda found: any(tone(verdict.value) != "none" for verdict in found),
        directions=overview.directions(parts),
        behaviour=overview.behaviour(),
        digest=claims_file.digest(),
        beside=beside,
        failures=divergence.RULE,
        warnings=[*origin.warnings([setting for setting, _ in groups]), *content.undrawn],
        left_out=[trial for trial in content.trials if not trial.complete],
        method=METHOD,
        reading=evidence.METHOD,
        texts=texts,
        brief=brief,
        numbers=numbers,
        score_name=score_name,
        capital=lambda text: text[:1].upper() + text[1:],
        grouped=lambda some: [list(g) for _, g in groupby(some, key=lambda row: id(row.setting))],
        own_labels=lambda row: [x for x in row.labels if x not in row.setting.labels],
        facts=origin.facts,
        commands=origin.commands,
        places=lambda part: places(part, [setting for setting, _ in groups]),
        left=LEFT,
        tone=tone,
        anchors={exhibit.part.artefact.title: exhibit.part.artefact.name
                 for exhibit in content.exhibits if exhibit.part.ran},
        forest=forest,
        image=lambda drawing, narrow=False: Markup(inline(drawing, narrow)),
        pictures=pictures,
        links=links,
        link=lambda path: os.path.relpath(path, out).replace(os.sep, "/"),
    )  # fmt: skip


def lead(trials: Sequence[Trial], rows: Sequence[Row]) -> str:
    """Return the page's first sentence: how much ran and what became of it."""
    counts = Counter(trial.status for trial in trials)
    states = ("done", "diverged", "failed", "incomplete", "damaged")
    parts = ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
    tasks = list(dict.fromkeys(row.cell.task for row in rows))
    noun = "Task" if len(tasks) == 1 else "Tasks"
    ran = f"{counted(len(trials), 'trial')} of {counted(len(rows), 'cell')}: {parts}."
    idle = sum(len(row.cell.complete) for row in rows if not row.cell.measures)
    if idle:
        ran += (
            f" {counted(idle, 'trial')} at scale smoke or on synthetic data: no claim counts them."
        )
    return f"{ran} {noun}: {', '.join(tasks) or 'none readable'}."


def tone(text: str) -> str:
    """Return the style of a verdict by its first words; "none" where there is nothing to judge."""
    found = [v for v in _TONES if text == v.value or text.startswith(f"{v.value}, ")]
    return _TONES[max(found, key=lambda v: len(v.value))] if found else "none"


def unbroken(text: str) -> str:
    """Keep an interval, and a number with what it counts, on one line."""
    together = r"\[[^\]]*\]|\([^()]*\d\)|\d+ %"
    return re.sub(together, lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def places(part: Part, settings: Sequence[Setting]) -> list[tuple[int, str]]:
    """Return (number, name) of the settings in which an artefact's cells ran."""
    cells = {id(sample.cell) for sample in part.samples}
    return [
        (i, setting.title)
        for i, setting in enumerate(settings, 1)
        if any(id(cell) in cells for cell in setting.cells)
    ]
