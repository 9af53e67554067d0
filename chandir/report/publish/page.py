"""One self-contained HTML page: verdicts first, then artefacts, all results and how they came."""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from chandir.report.judge import claims_file
from chandir.report.judge.artefacts import Part
from chandir.report.judge.rule import Verdict
from chandir.report.read import divergence, origin
from chandir.report.read.comparisons import Setting
from chandir.report.read.runs import Trial
from chandir.report.show import evidence, overview
from chandir.report.show import measured as beside
from chandir.report.show import pairing as further
from chandir.report.show.figures.style import Drawing, inline
from chandir.report.show.results import METHOD
from chandir.report.show.rows import Row, brief, numbers, score_name, texts
from chandir.report.show.sheet import LEFT, Sheet
from chandir.runfolder import reading

if TYPE_CHECKING:
    from markupsafe import Markup

PIXELS = 1 << 24  # that a picture on the page may have
_HERE = Path(__file__).parent / "template"

# A colour and a sign for each verdict: readable in print and without colour.
_TONES = {
    Verdict.REPRODUCED: "yes", Verdict.YES: "yes", Verdict.AGREES: "yes",
    Verdict.SMALLER: "some", Verdict.LITTLE: "some",
    Verdict.NOT_REPRODUCED: "no", Verdict.NO: "no", Verdict.DIFFERS: "no",
    Verdict.INCONCLUSIVE: "open",
}  # fmt: skip


@dataclass(frozen=True)
class Exhibit:
    """An artefact on the page: its tables and figures."""

    part: Part
    drawings: Sequence[Drawing]

    @cached_property
    def files(self) -> list[Sheet]:
        """Its tables as files."""
        return self._sheets(inline=False)

    @cached_property
    def sheets(self) -> list[Sheet]:
        """Its tables on the page, details beside the verdicts; the last one is folded."""
        return self._sheets(inline=True)

    def _sheets(self, inline: bool) -> list[Sheet]:
        if not self.part.ran:
            return []
        own = [evidence.claims(self.part, inline), evidence.arms(self.part)]
        return [*own, *([self._details] if self._details else [])]

    @property
    def outside(self) -> tuple[str, ...]:
        """What all its claims lack of the paper's protocol."""
        return evidence.deviations(self.part)

    @cached_property
    def _details(self) -> Sheet | None:
        return further.statistics(self.part)


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
        undrawn: Figures that could not be drawn, and why.
    """

    trials: Sequence[Trial]
    exhibits: Sequence[Exhibit]
    sections: Sequence[Section]
    general: Sequence[Drawing]
    correlated: Sheet | None
    figure1: Sheet | None
    speed: Sheet | None
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
    return environment.get_template("index.html").render(
        content=content,
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "script.js").read_text(encoding="utf-8")),
        lead=lead(content.trials, rows),
        groups=groups,
        ran=[exhibit for exhibit in content.exhibits if exhibit.part.ran],
        absent=[exhibit.part for exhibit in content.exhibits if not exhibit.part.ran],
        roll_up=overview.roll_up(parts),
        own=overview.own(parts),
        totals=overview.totals(parts),
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
        image=lambda drawing: Markup(inline(drawing)),
        pictures=pictures,
        links=links,
        link=lambda path: os.path.relpath(path, out).replace(os.sep, "/"),
    )  # fmt: skip


def lead(trials: Sequence[Trial], rows: Sequence[Row]) -> str:
    """Return the page's first sentence: how much ran and what became of it."""
    counts = Counter(trial.status for trial in trials)
    states = ("done", "diverged", "failed", "incomplete", "damaged")
    parts = ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
    tasks = ", ".join(dict.fromkeys(row.cell.task for row in rows))
    cells = f"{len(rows)} cell{'s' * (len(rows) != 1)}"
    return f"{len(trials)} trials in {cells}: {parts}. Tasks: {tasks or 'none readable'}."


def tone(text: str) -> str:
    """Return the style of a verdict by its first words; "none" where there is nothing to judge."""
    found = [v for v in _TONES if text == v.value or text.startswith(f"{v.value}, ")]
    return _TONES[max(found, key=lambda v: len(v.value))] if found else "none"


def places(part: Part, settings: Sequence[Setting]) -> list[tuple[int, str]]:
    """Return (number, name) of the settings in which an artefact's cells ran."""
    cells = {id(sample.cell) for sample in part.samples}
    return [
        (i, setting.name)
        for i, setting in enumerate(settings, 1)
        if any(id(cell) in cells for cell in setting.cells)
    ]


def pictures(rows: Sequence[Row], most: int = 12) -> list[tuple[str, str]]:
    """Return (caption, data address) of the first trial's pictures of each row."""
    found = []
    for row in rows:
        for trial in row.cell.complete[:1]:
            for path in trial.pictures:
                picture = picture_of(path)
                if picture is None:
                    continue
                data = base64.b64encode(picture).decode()
                caption = f"{row.setting.name} · {row.metric}, trial {trial.index}: {path.stem}"
                found.append((caption, f"data:image/png;base64,{data}"))
            if len(found) >= most:
                return found[:most]
    return found


def picture_of(path: Path) -> bytes | None:
    """What is to be seen in a PNG, written anew; None for anything else.

    A page is sent around: what else a file holds, or another one that a link leads to, is not.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(reading.content(path)), formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                return None
            seen = io.BytesIO()
            plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
            plain.info.clear()
            plain.save(seen, "PNG")
            return seen.getvalue()
    except Exception:  # damaged in any of the many ways that a decoder knows
        return None


def forest(row: Row, rows: Sequence[Row]) -> Markup:
    """Draw the difference to h0 with its interval, on the range that all `rows` need.

    The dot is filled where the interval excludes zero.
    """
    from markupsafe import Markup

    gain = row.difference
    if gain is None:
        return Markup("")
    reach = max(abs(x) for r in rows if (d := r.difference) for x in (d.value, *(d.interval or ())))
    scale = 66 / (reach or 1)
    low, high = gain.interval or (gain.value, gain.value)
    clear = gain.interval is not None and not low <= 0 <= high
    return Markup(
        '<svg class="forest" viewBox="-70 -8 140 16" aria-hidden="true">'
        '<path class="zero" d="M0-8V8"/>'
        f'<path d="M{low * scale:.1f} 0H{high * scale:.1f}"/>'
        f'<circle class="{"clear" if clear else "open"}" cx="{gain.value * scale:.1f}" r="3.5"/>'
        "</svg>"
    )
