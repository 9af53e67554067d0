"""A trial's record on disk: config.yaml, provenance.json, log.jsonl, final.json.

``final.json`` exists if and only if the trial is complete.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import yaml

from chandir.harness import files
from chandir.harness.errors import UserError
from chandir.harness.provenance import machines

# The newer and the older generation of what an unfinished trial continues from.
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")


class Record:
    """Reads and writes one run folder.

    Attributes:
        folder: ``<results>/<task>/<cell>/trial-<k>``.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder

    @property
    def complete(self) -> bool:
        """Whether the trial has its final result; one that cannot be read is none."""
        try:
            return {"status", "score", "last", "best", "totals"} <= self.final().keys()
        except (OSError, ValueError, TypeError):
            return False

    def open(self, config: dict[str, Any], provenance: dict[str, Any]) -> None:
        """Write what the trial is, before its first step."""
        for parent in list(self.folder.parents)[:2]:  # the folder's own entry, and its cell's
            files.sync_folder(parent)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        files.write(self.folder / "config.yaml", text.encode())
        files.write(self.folder / "provenance.json", files.to_json(provenance, indent=1).encode())
        (self.folder / "error.txt").unlink(missing_ok=True)

    def rows(self) -> list[dict[str, Any]]:
        """The epochs logged so far."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return []
        rows: list[dict[str, Any]] = []
        for line in path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break  # the line that a kill cut short
            if not isinstance(row, dict) or row.get("epoch") != len(rows) + 1:
                break  # somebody's edit
            rows.append(row)
        return rows

    def truncate(self, epoch: int) -> list[dict[str, Any]]:
        """Drop the rows after an epoch, which will be run again; returns the rows kept.

        Raises:
            UserError: if a row before it is missing: the log is synced before each checkpoint, so
                it was damaged since.
        """
        rows = [row for row in self.rows() if row["epoch"] <= epoch]
        if len(rows) != epoch:
            raise UserError(
                f"{self.folder / 'log.jsonl'}: {len(rows)} epochs are readable: expected the "
                f"{epoch} that the checkpoint continues from; remove the folder to run it anew"
            )
        text = "".join(files.to_json(row) + "\n" for row in rows)
        files.write(self.folder / "log.jsonl", text.encode())
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Log an epoch. Not synced to the disk: the checkpoint decides what is kept."""
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(files.to_json(row) + "\n")

    def put(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file such as ``correlation.json``."""
        files.write(self.folder / name, files.to_json(content, indent=1).encode())

    def final(self) -> dict[str, Any]:
        """The result of a complete trial."""
        return dict(json.loads((self.folder / "final.json").read_text(encoding="utf-8")))

    def machines(self) -> list[str]:
        """The kinds of machines that ran it; none where that cannot be read."""
        try:
            return machines(json.loads((self.folder / "provenance.json").read_bytes()))
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            return []

    def tidy(self) -> None:
        """Of a complete trial, drop what it would continue from; weights that are kept stay.

        A kill may have come between the result and this.
        """
        left = [path for name in CHECKPOINTS if (path := self.folder / name).exists()]
        for path in left if left and self.complete else ():
            with contextlib.suppress(FileNotFoundError):  # another process may do the same
                with open(path, "rb") as file:
                    kept = holds_weights(file.read(2))
                if not kept:
                    path.unlink()


def holds_weights(head: bytes) -> bool:
    """Whether a file that begins so is what `torch.save` wrote, a ZIP, and no checkpoint."""
    return head[:2] == b"PK"


def result(
    rows: list[dict[str, Any]],
    score: dict[str, Any],
    trial: int,
    totals: dict[str, Any],
    diverged: dict[str, Any] | None,
) -> dict[str, Any]:
    """The content of ``final.json``: scores at the last and at the best epoch.

    Args:
        rows: every logged epoch.
        score: the primary score; ``better`` says which end is best.
        trial: the seed index.
        totals: epochs, steps, images, seconds.
        diverged: where the loss stopped being finite, or None.
    """
    sign = 1 if score["better"] == "higher" else -1

    def finite(row: dict[str, Any]) -> bool:  # NaN is null in a log that is continued
        value = row.get(score["name"])
        return value is not None and math.isfinite(value)

    scored = [row for row in rows if finite(row)]
    best = max(scored, key=lambda row: sign * row[score["name"]]) if scored else rows[0]
    return {
        "status": "diverged" if diverged else "done",
        "trial": trial,
        "score": score,
        "last": _scores(rows[-1]),
        "best": _scores(best),
        "totals": totals,
        "diverged": diverged,
    }


def _scores(row: dict[str, Any]) -> dict[str, Any]:
    others = ("seconds", "images_per_second", "lr", "lr_generator", "lr_discriminator")
    return {key: row[key] for key in row if key not in others}
