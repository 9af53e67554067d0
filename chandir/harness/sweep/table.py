"""The table at the end of a sweep: cells as rows, what differs between them as columns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chandir.harness.base import output
from chandir.harness.base.words import cut, duration
from chandir.harness.sweep.differences import Differences
from chandir.harness.sweep.tally import Cell
from chandir.harness.tracking.progress import in_words

# From complete trials to mean ± sd, difference to h0 and its 95 % interval, as text by cell.
Compare = Callable[[Iterable[Path]], Mapping[Path, tuple[str, str, str]]]
GAP = "  "
NARROWEST = 12  # characters that are left for what differs, however many numbers there are
WORST = "a diverged trial counts at the worst value: chance, no IoU, or the worst FID seen"


def table(cells: Sequence[Cell], names: Differences, compare: Compare | None) -> list[str]:
    """Its lines, none wider than the output.

    Args:
        cells: the rows.
        names: what differs between them.
        compare: means and differences; None: means alone, of finite scores.
    """
    folders = [folder for entry in cells for folder in entry.results]
    compared = compare(folders) if compare and folders else {}
    rows = [_row(entry, compared) for entry in cells]
    aside = [[_numbers(entry, each, {}) for each in entry.others.values()] for entry in cells]
    every = [*rows, *(each for some in aside for each in some)]
    shown = [key for key in rows[0] if any(row[key] for row in every) or key == "done"]
    own = [names.values(entry.home) for entry in cells]
    if any(map(len, own)):
        titles, *words = aligned([tuple(names.titles), *map(tuple, own)], left=None).split("\n")
    else:
        titles, words = "cell", [names.name(entry.home) for entry in cells]
    words, whole = [output.spelt(each) for each in words], output.columns()
    header = {key: output.spelt(_title(key, cells)) for key in shown}
    body = [{key: output.spelt(row[key]) for key in shown} for row in rows]
    wide = {
        key: max(len(header[key]), *(len(output.spelt(row[key])) for row in every)) for key in shown
    }
    for key in ("minutes", "interval"):  # the least needed first
        room = whole - sum(wide[other] + len(GAP) for other in shown)
        if key in shown and room < max(map(len, [titles, *words])):
            shown = [other for other in shown if other != key]
    room = max(NARROWEST, whole - sum(wide[key] + len(GAP) for key in shown))
    if max(map(len, [titles, *words])) > room:
        titles, words = "cell", [cut(names.name(entry.home), room) for entry in cells]
    lines: list[tuple[str, ...]] = [(titles, *(header[key] for key in shown))]
    for entry, word, row, others in zip(cells, words, body, aside, strict=True):
        lines.append((word, *(row[key] for key in shown)))
        for other, apart in zip(entry.others, others, strict=True):
            lines.append(
                (cut(f"  with {other}", room), *(output.spelt(apart[key]) for key in shown))
            )
    found = aligned(lines, left=(0,)).split("\n")
    if any("diverged" in shown and row["diverged"] for row in body) and compared:
        found.append(output.spelt(WORST))
    return found


def _row(entry: Cell, compared: Mapping[Path, tuple[str, str, str]]) -> dict[str, str]:
    done = f"{len(entry.results)}/{entry.planned}"
    failed = str(len(entry.failed)) if entry.failed else ""
    numbers = _numbers(entry, list(entry.results.values()), compared)
    return numbers | {"done": done, "failed": failed}


def _numbers(
    entry: Cell,
    results: Sequence[Mapping[str, Any]],
    compared: Mapping[Path, tuple[str, str, str]],
) -> dict[str, str]:
    """A row's numbers, by the keys of its columns, in their order."""
    diverged = sum(result["status"] == "diverged" for result in results)
    seconds = [float(result["totals"]["seconds"]) for result in results]
    mean, gain, interval = compared.get(entry.home, (score(results), "", ""))
    return {
        "done": str(len(results)),
        "diverged": str(diverged) if diverged else "",
        "failed": "",
        "score": mean,
        "gain": gain,
        "interval": interval,
        "minutes": duration(statistics.fmean(seconds)) if seconds else "",
    }


def _title(key: str, cells: Sequence[Cell]) -> str:
    if key != "score":
        return {"gain": "minus h0", "interval": "95 % interval", "minutes": "per trial"}.get(
            key, key
        )
    finals = [final for entry in cells for final in entry.results.values()]
    finals += [final for entry in cells for some in entry.others.values() for final in some]
    names = {str(final["score"]["name"]).replace("_", " ") for final in finals}
    return f"{names.pop()} ± sd" if len(names) == 1 else "score ± sd"


def score(results: Sequence[Mapping[str, Any]]) -> str:
    """Mean ± standard deviation of the last epoch's score over complete, not diverged trials."""
    if not results:
        return ""
    primary = results[0]["score"]
    # What a diverged one scored is of a network that is not finite.
    values = [each["last"].get(primary["name"]) for each in results if each["status"] == "done"]
    finite = [value for value in values if value is not None]
    if not finite:
        return in_words(None, primary)
    spread = f" ± {statistics.stdev(finite):.2f}" if len(finite) > 1 else ""
    return f"{statistics.fmean(finite):.2f}{spread} {primary.get('unit') or ''}".rstrip()


def aligned(rows: Sequence[tuple[str, ...]], left: tuple[int, ...] | None) -> str:
    """Columns of text: those in ``left`` (None: all) start at the left, the others end right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        GAP.join(
            part.ljust(width) if left is None or column in left else part.rjust(width)
            for column, (part, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
