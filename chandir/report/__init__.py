"""From run folders to tables, figures and one HTML page; needs neither torch nor checkpoints."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chandir.report.read.runs import Trial
    from chandir.report.show.figures.style import Drawing
    from chandir.report.show.sheet import Sheet

__all__ = ["build", "gather"]


def gather(runs: Path | str) -> list[Trial]:
    """Every trial below `runs`, as `build` takes them.

    Args:
        runs: A results folder, or any folder between it and a trial.

    Raises:
        ValueError: If `runs` is not a folder.
    """
    from chandir.report.read import divergence
    from chandir.report.read import runs as folders

    return divergence.settle(folders.read(Path(runs).resolve()))


def build(
    runs: Path | str,
    out: Path | str,
    links: bool = True,
    beside: Path | None = None,
    trials: Sequence[Trial] | None = None,
) -> Path:
    """Write tables, figures and the page of every run below `runs` into `out`.

    An empty `runs` gives a page that says which commands fill it. What no run folder holds is read
    from ``correlation/`` and ``bench/`` in `beside`, see `chandir.report.show.measured`.

    Args:
        runs: A results folder, or any folder between it and a trial.
        out: Where ``index.html``, ``tables/`` and ``figures/`` go; made if it is missing.
        links: Whether the page links to run folders; not where it travels without them.
        beside: Where measurements lie that no run folder holds; None: beside `runs`.
        trials: What `gather` found below `runs`; None: they are gathered here.

    Returns:
        The path of ``index.html``. ``summary.json`` beside it holds the numbers for programs, see
        `chandir.report.publish.summary`.

    Raises:
        ValueError: If `runs` is not a folder.
    """
    from chandir.report.publish import whole

    runs, out = Path(runs).resolve(), Path(out).resolve()
    trials = gather(runs) if trials is None else trials
    with whole.together(out) as place:
        _fill(place, runs, out, trials, links, runs.parent if beside is None else beside)
    return out / "index.html"


def _fill(
    place: Path, runs: Path, out: Path, trials: Sequence[Trial], links: bool, where: Path
) -> None:
    """Write everything into `place`; it will lie in `out`."""
    from chandir.report.judge import artefacts as parts
    from chandir.report.judge import claims_file
    from chandir.report.publish import page, summary
    from chandir.report.publish.exhibit import Exhibit
    from chandir.report.read import cells
    from chandir.report.show import answer, correlated, figures, overview, results, rows
    from chandir.report.show import measured as apart_from_runs

    found = cells.cells(trials)
    every = rows.tabulate(found)
    pieces = parts.parts(claims_file.artefacts(), found)
    tables, drawn = place / "tables", place / "figures"
    undrawn: list[str] = []
    _write(tables / "results.md", results.markdown(every))
    _write(tables / "results.csv", results.to_csv(every))
    _write(tables / "results.tex", results.latex(every))
    exhibits = [
        Exhibit(part, _drawn(part.artefact.title, undrawn, figures.of_part, part, every, drawn))
        for part in pieces
    ]
    for exhibit in exhibits:
        _sheets(tables, exhibit.part.artefact.name, exhibit.files)
    figure1 = apart_from_runs.figure1(where / "correlation")
    speed = apart_from_runs.speed(where / "bench")
    for name, sheet in (("figure1", figure1), ("speed", speed)):
        _sheets(tables, name, [sheet] if sheet else [])
    alike = correlated.correlated(every)
    _sheets(tables, "correlation", [alike] if alike else [])
    _sheets(tables, "verdicts", [overview.roll_up(pieces), overview.own(pieces)])
    _sheets(tables, "behaviour", [overview.behaviour()])
    _write(place / "summary.json", summary.summary(runs, trials, every, pieces, (figure1, speed)))
    tasks = [list(group) for _, group in groupby(every, key=lambda row: row.cell.task)]
    shown = {id(sample.cell) for part in pieces for sample in part.samples}
    sections = [
        page.Section(own, _drawn(own[0].cell.task, undrawn, figures.of_task, own, shown, drawn))
        for own in tasks
    ]
    said = answer.answers(every, pieces)
    answers = [
        (one, _drawn(one.place, undrawn, figures.of_answer, one, drawn, f"answer-{i}")
         if i <= answer.OPEN else [])
        for i, one in enumerate(said, 1)
    ]  # fmt: skip
    general = figures.general(drawn)
    content = page.Content(
        trials, exhibits, sections, general, alike, figure1, speed, answers, undrawn
    )
    _write(place / "index.html", page.render(content, out, links))


def _drawn(
    what: str, undrawn: list[str], draw: Callable[..., list[Drawing]], *of: Any
) -> list[Drawing]:
    """The figures, or none: what cannot be drawn is told, and takes no table with it."""
    try:
        return draw(*of)
    except Exception as error:  # of numbers that no check of one file could see as odd
        why = " ".join(str(error).split())[:200]
        undrawn.append(f"{what}: no figures ({type(error).__name__}: {why}).")
        return []


def _sheets(folder: Path, name: str, sheets: list[Sheet]) -> None:
    """Write some sheets as Markdown and LaTeX, one file each, and every one as CSV."""
    from chandir.report.show import sheet

    if not sheets:
        return
    _write(folder / f"{name}.md", "\n".join(sheet.markdown(one) for one in sheets))
    _write(folder / f"{name}.tex", sheet.PREAMBLE + "\n".join(sheet.latex(one) for one in sheets))
    for i, one in enumerate(sheets, 1):
        _write(folder / f"{name}{f'-{i}' * (len(sheets) > 1)}.csv", sheet.to_csv(one))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder's name may hold bytes that are no text.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
