"""The figures of each artefact of the paper, from what has run of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from chandir.report.judge.artefacts import Group, Part
from chandir.report.judge.samples import Sample
from chandir.report.show.figures import channels, curves, effects, histogram, lambdas, scores
from chandir.report.show.figures.curves import Curve
from chandir.report.show.figures.scores import Line, footer
from chandir.report.show.figures.style import Drawing
from chandir.report.show.figures.worth import worth
from chandir.report.show.rows import Row, score_name
from chandir.report.show.words import score


def of_part(part: Part, rows: Sequence[Row], folder: Path) -> list[Drawing]:
    """Draw what has run of an artefact; empty where nothing has.

    Args:
        part: The artefact.
        rows: All rows, of which Figure 6 needs whole sweeps.
        folder: Where the files go.
    """
    if not part.ran:
        return []
    name = part.artefact.name
    if name == "fig6":
        return _lambda(part, rows, folder)
    if name == "fig11":
        return _channels(part, part.groups[0].present, folder)
    if name in ("fig4", "fig8", "fig9"):
        return _curves(part, folder)
    drawings = [*_effects(part, folder), *_trials(part, folder)]
    if name == "fig5":
        drawings = [*_distribution(part, folder), *drawings]
    if name in ("fig7", "digits"):
        drawings += _curves(part, folder)
    if name == "digits":
        group = part.groups[0]
        some = [group[name] for name in ("h0", "h0_mean", "sobolev", "sobolev, input")]
        drawings += _channels(part, [sample for sample in some if sample], folder)
    return drawings


def _effects(part: Part, folder: Path) -> list[Drawing]:
    name, found = part.artefact.name, effects.drawable(part.findings)
    if not found or name in ("fig5", "fig7", "fig10"):  # their tables say it
        return []
    title, cell = f"{part.artefact.title}: every gain", part.samples[0].cell
    what = ("points of " if cell.score.get("unit") == "%" else "") + score(cell.score["name"])
    return [effects.draw(found, what, folder, f"{name}-effects", title, _foot(part.samples))]


def _panels(part: Part) -> list[Group]:
    """The groups of which a figure shows something."""
    return [group for group in part.groups if worth([s.values for s in group.present])]


def _trials(part: Part, folder: Path) -> list[Drawing]:
    groups = _panels(part)
    panels = {g.name or part.artefact.title: [_line(s) for s in g.present] for g in groups}
    if not panels:
        return []
    xlabel = f"{score_name(part.samples[0].cell)}, last epoch"
    title = f"{part.artefact.title}: every trial"
    foot = _foot([s for g in groups for s in g.present])
    return [scores.draw(panels, xlabel, folder, part.artefact.name, title, foot)]


def _line(sample: Sample) -> Line:
    lost = [value for k, value in sample.values.items() if k in sample.diverged]
    return Line(sample.arm.name, sample.arm.name.split(",")[0], [*sample.values.values()], lost)


def _curves(part: Part, folder: Path) -> list[Drawing]:
    groups = _panels(part)
    panels = {
        g.name: [Curve(sample.arm.name, sample.trials) for sample in _lines(part, g)]
        for g in groups
    }
    if not panels:
        return []
    name, title = f"{part.artefact.name}-curves", part.artefact.title
    foot = _foot([s for g in groups for s in g.present])
    return [curves.draw(panels, folder, name, title, "", foot)]


def _lines(part: Part, group: Group) -> list[Sample]:
    """What has a curve: of nine cells the five in the paper's direction; more hide each other."""
    some = group.present
    if part.artefact.name == "digits":
        some = [sample for sample in some if "," not in sample.arm.name] or some
    return some


def _distribution(part: Part, folder: Path) -> list[Drawing]:
    both = [sample for name in ("h0", "sobolev") if (sample := part.groups[0][name])]
    if len(both) < 2:
        return []
    title, xlabel = "Figure 5, left: distribution over trials", score_name(both[0].cell)
    return [histogram.draw(both, xlabel, folder, "fig5-left", title, _foot(both))]


def _lambda(part: Part, rows: Sequence[Row], folder: Path) -> list[Drawing]:
    ours = {id(sample.cell) for sample in part.samples}
    panels = []
    for _, some in groupby(rows, key=lambda row: id(row.setting)):
        panel = list(some)
        if any(id(row.cell) in ours for row in panel) and lambdas.sweeps(panel):
            panels.append(panel)
    if not panels:
        return []
    return [lambdas.draw(panels[:2], folder, "fig6", part.artefact.title)]


def _channels(part: Part, samples: Sequence[Sample], folder: Path) -> list[Drawing]:
    """Figures 11, 13 and 14, of the paper's network or, by another name, of another."""
    arms = {
        sample.arm.name: [t.correlation for t in sample.trials if t.correlation.get("layers")]
        for sample in samples
    }
    arms = {name: found for name, found in arms.items() if found}
    if not worth(arms.values()):
        return []
    whose = "" if part.artefact.name == "fig11" else part.artefact.name
    foot, one = _foot(samples), _foot(samples, alone=True)
    return [
        channels.distance(arms, folder, foot, whose),
        channels.histogram(arms, folder, foot, whose),
        channels.scatter(arms, folder, one, whose),
    ]


def _foot(samples: Sequence[Sample], alone: bool = False) -> str:
    return footer([sample.cell for sample in samples], samples[0].planned, alone)
