"""From run folders to tables, figures and one HTML page; needs neither torch nor checkpoints."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chandir.report.sheet import Sheet

__all__ = ["build"]


def build(
    runs: Path | str, out: Path | str, links: bool = True, beside: Path | None = None
) -> Path:
    """Write tables, figures and the page of every run below `runs` into `out`.

    An empty `runs` gives a page that says which commands fill it. What no run folder holds is read
    from ``correlation/`` and ``bench/`` in `beside`, see `chandir.report.beside`.

    Args:
        runs: A results folder, or any folder between it and a trial.
        out: Where ``index.html``, ``tables/`` and ``figures/`` go; made if it is missing.
        links: Whether the page links to run folders; not where it travels without them.
        beside: Where measurements lie that no run folder holds; None: beside `runs`.

    Returns:
        The path of ``index.html``. ``summary.json`` beside it holds the numbers for programs, see
        `chandir.report.summary`.

    Raises:
        ValueError: If `runs` is not a folder.
    """
    from chandir.report import beside as apart_from_runs
    from chandir.report import (
        cells,
        correlated,
        declared,
        failures,
        figures,
        overview,
        page,
        parts,
        results,
        rows,
        summary,
    )
    from chandir.report import runs as folders

    runs, out = Path(runs).resolve(), Path(out).resolve()
    trials = failures.settle(folders.read(runs))
    found = cells.cells(trials)
    every = rows.tabulate(found)
    pieces = parts.parts(declared.artefacts(), found)
    tables, drawn = out / "tables", out / "figures"
    _write(tables / "results.md", results.markdown(every))
    _write(tables / "results.csv", results.to_csv(every))
    _write(tables / "results.tex", results.latex(every))
    exhibits = [page.Exhibit(part, figures.of_part(part, every, drawn)) for part in pieces]
    for exhibit in exhibits:
        _sheets(tables, exhibit.part.artefact.name, exhibit.files)
    where = runs.parent if beside is None else beside
    apart = [
        apart_from_runs.figure1(where / "correlation"),
        apart_from_runs.speed(where / "bench"),
    ]
    for name, sheet in zip(("figure1", "speed"), apart, strict=True):
        _sheets(tables, name, [sheet] if sheet else [])
    alike = correlated.correlated(every)
    _sheets(tables, "correlation", [alike] if alike else [])
    _sheets(tables, "verdicts", [overview.roll_up(pieces), overview.own(pieces)])
    _sheets(tables, "behaviour", [overview.behaviour()])
    _write(out / "summary.json", summary.summary(runs, trials, every, pieces, apart))
    tasks = [list(group) for _, group in groupby(every, key=lambda row: row.cell.task)]
    shown = {id(sample.cell) for part in pieces for sample in part.samples}
    sections = [page.Section(own, figures.of_task(own, shown, drawn)) for own in tasks]
    content = page.Content(trials, exhibits, sections, figures.general(drawn), alike, *apart)
    return _write(out / "index.html", page.render(content, out, links))


def _sheets(folder: Path, name: str, sheets: list[Sheet]) -> None:
    """Write some sheets as Markdown and LaTeX, one file each, and every one as CSV."""
    from chandir.report import sheet

    if not sheets:
        return
    _write(folder / f"{name}.md", "\n".join(sheet.markdown(one) for one in sheets))
    _write(folder / f"{name}.tex", sheet.PREAMBLE + "\n".join(sheet.latex(one) for one in sheets))
    for i, one in enumerate(sheets, 1):
        _write(folder / f"{name}{f'-{i}' * (len(sheets) > 1)}.csv", sheet.to_csv(one))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
