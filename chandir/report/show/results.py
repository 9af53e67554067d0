"""All that ran, whatever it was for: one sheet per task."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby

from chandir.report.show import sheet
from chandir.report.show.rows import Row, score_name, texts
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import deviations

METHOD = (
    "Intervals: 95 %, t for a mean, ending where its score's range does, Welch for a difference. "
    "p: Welch, two-sided, not adjusted for the number of comparisons. Best epoch: chosen on the "
    "test set, so optimistic."
)

_STATES = ("done", "diverged", "failed", "incomplete", "damaged")

# The four columns that a line above them says are about the difference.
_LATEX_TITLES = {
    "Difference to h0": "mean", "its 95 % interval": "95 % interval", "Error reduced": "error cut",
}  # fmt: skip


def tables(rows: Sequence[Row]) -> list[Sheet]:
    """Return one table per task; every label of a row is in the caption or in a footnote.

    Labels that all rows share are said in the caption; the others are letters in a last column,
    explained below the table.
    """
    return [_table(list(group)) for _, group in groupby(rows, key=lambda row: row.cell.task)]


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables as Markdown that can also be read as it stands, in a terminal."""
    return "\n".join(sheet.markdown(table) for table in tables(rows))


def latex(rows: Sequence[Row]) -> str:
    r"""Return the tables as LaTeX; they need ``\usepackage{booktabs}`` and a line of 140 mm."""
    span = ("Difference to h0", 4, "Difference to h0")
    return sheet.PREAMBLE + "\n".join(
        sheet.latex(table, _LATEX_TITLES, span) for table in tables(rows)
    )


def to_csv(rows: Sequence[Row]) -> str:
    """Return every row in full precision, one line per cell; empty where a value does not exist."""
    out = io.StringIO()
    records = [_record(row) for row in rows]
    if records:
        writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return out.getvalue()


def _table(rows: list[Row]) -> Sheet:
    first = rows[0]
    several = len({id(row.setting) for row in rows}) > 1
    common = [label for label in first.labels if all(label in row.labels for row in rows)]
    marks = sheet.letters([x for row in rows for x in row.labels if x not in common])
    body = []
    for i, row in enumerate(rows):
        own = [label for label in row.labels if label not in common]
        name = row.setting.title if i == 0 or row.setting is not rows[i - 1].setting else ""
        line = [*texts(row).values(), " ".join(marks[label] for label in own)]
        body.append([name] * several + line)
    header = (["Setting"] if several else []) + [*texts(first), "Labels"]
    if not marks:
        header, body = header[:-1], [line[:-1] for line in body]
    what = first.cell.task if several else f"{first.cell.task} · {first.setting.title}"
    better = first.cell.score["better"]
    caption = f"{what}: {score_name(first.cell)}, {better} is better, at the last epoch"
    labels = deviations(common)
    caption += f". {labels[0].upper()}{labels[1:]}" if labels else ""
    notes = [f"{letter}: {label}" for label, letter in marks.items()]
    lines = tuple(tuple(line) for line in body)
    return Sheet(caption + ".", tuple(header), lines, (*notes, METHOD))


def _record(row: Row) -> dict[str, object]:
    config, counts, gain = row.cell.config, row.cell.counts, row.difference
    metric = config["metric"]
    record: dict[str, object] = {
        "task": config["task"]["name"],
        "data": config["data"].get("name"),
        "model": config["model"]["name"],
        "optimizer": config["optimizer"]["name"],
        "batch_size": config["task"]["batch_size"],
        "setting": row.setting.name,
        "metric": metric["name"],
    }
    shown = ("direction", "scope", "lam", "weight", "h0_scale")
    record |= {key: metric.get(key) for key in shown}
    others = {
        key: value for key, value in metric.items() if key not in ("_target_", "name", *shown)
    }
    record["other_settings"] = "; ".join(f"{key}={value}" for key, value in others.items())
    record |= {key: row.cell.score.get(key) for key in ("name", "better", "unit")}
    record["score"] = record.pop("name")
    record |= {"planned": row.planned} | {state: counts[state] for state in _STATES}
    for name, summary in (("last", row.last), ("best", row.best)):
        low, high = (summary.interval if summary else None) or (None, None)
        record[f"{name}_mean"] = summary.mean if summary else None
        record[f"{name}_sd"] = summary.sd if summary else None
        record[f"{name}_low"], record[f"{name}_high"] = low, high
    record["difference"] = gain.value if gain else None
    low, high = (gain.interval if gain else None) or (None, None)
    record["difference_low"], record["difference_high"] = low, high
    record["p"] = gain.p if gain else None
    record["error_reduced_percent"] = row.reduced
    record["labels"] = "; ".join(row.labels)
    return record | {"code": row.cell.origin["code"], "checksum": row.cell.origin["checksum"]}
