"""A trial's record on disk: config.yaml, provenance.json, log.jsonl, final.json.

``final.json`` exists if and only if the trial is complete; ``weights.pt`` is whole before it does.
What is read goes through `chandir.runfolder`; what is written, through here, each time after a look
at the claim.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from chandir import runfolder
from chandir.harness.base import files
from chandir.harness.base.errors import UserError
from chandir.runfolder import log, shapes, weights

# What a trial that starts or continues writes anew; of the try before, or damaged. The result goes
# first: it is never seen with what another try wrote.
_FORMER = ("final.json", "error.txt", "correlation.json", weights.NAME, "wandb/mirrored.json",
           "tensorboard/mirrored.json")  # fmt: skip


def unclaimed() -> None:
    """The look of whoever needs none: a reader, or the only process there is."""


class Record:
    """Reads and writes one run folder.

    Attributes:
        folder: ``<results>/<task>/<cell>/trial-<k>``.
        look: called before every write; raises `claim.Lost` if the folder is another's by now.
    """

    def __init__(self, folder: Path, look: Callable[[], None] = unclaimed) -> None:
        """Nothing is written yet."""
        self.folder = folder
        self.look = look
        self._logged: int | None = None  # bytes of the log, all of them ours

    @property
    def complete(self) -> bool:
        """Whether the trial has its final result, and nothing in its folder is damaged."""
        return runfolder.state(self.folder).complete

    def damage(self) -> str:
        """What is damaged of a trial that had a result; empty if nothing is."""
        found = runfolder.state(self.folder)
        return found.reason if found.status == "damaged" else ""

    def open(self, config: dict[str, Any], provenance: dict[str, Any]) -> None:
        """Write what the trial is, before its first step, and drop what an earlier try left.

        Raises:
            UserError: where a folder lies in a file's place.
        """
        self.look()
        self._refuse_folders()
        for parent in list(self.folder.parents)[:2]:  # the folder's own entry, and its cell's
            files.sync_folder(parent)
        for former in (self.folder / name for name in _FORMER):
            if os.path.lexists(former):
                former.unlink()
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        files.write(self.folder / "config.yaml", text.encode())
        files.write(self.folder / "provenance.json", files.to_json(provenance, indent=1).encode())

    def revoke(self) -> None:
        """Drop the result of a complete trial, and only that: the rest is then an unfinished one's.

        Raises:
            UserError: where a folder lies in a file's place.
        """
        self.look()
        self._refuse_folders()
        (self.folder / "final.json").unlink()
        files.sync_folder(self.folder)

    def _refuse_folders(self) -> None:
        names = ("config.yaml", "provenance.json", log.NAME, *weights.CHECKPOINTS, *_FORMER)
        for path in (self.folder / name for name in names):
            if path.is_dir() and not path.is_symlink():
                raise UserError(f"{path} is a folder: expected a file there; remove it")

    def rows(self) -> list[dict[str, Any]]:
        """The epochs logged so far, up to the first that a kill or an edit has damaged."""
        return log.rows(self.folder / log.NAME)

    def truncate(self, epoch: int) -> list[dict[str, Any]]:
        """Drop the rows after an epoch, which will be run again; returns the rows kept."""
        rows = self.rows()[:epoch]
        assert len(rows) == epoch, "a checkpoint is only continued from if the log reaches it"
        self.look()
        text = "".join(files.to_json(row) + "\n" for row in rows).encode()
        files.write(self.folder / log.NAME, text)
        self._logged = len(text)
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Log an epoch. Not synced to the disk: the checkpoint decides what is kept.

        One call of the system writes the whole row, so that no other writer's can lie within it.

        Raises:
            UserError: if another process wrote to the log since.
            OSError: disk full, no permission.
        """
        self.look()
        line = (files.to_json(row) + "\n").encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.folder / log.NAME, flags, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            if self._logged is not None and size != self._logged:
                raise UserError(
                    f"{self.folder / log.NAME} has {size} bytes: expected the {self._logged} that "
                    "this process wrote; another one writes to it: stop that, then run the same "
                    "command again"
                )
            left = line
            while left:  # a full disk takes a part, then says why
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        self._logged = size + len(line)

    def put(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file such as ``correlation.json``."""
        self.look()
        files.write(self.folder / name, files.to_json(content, indent=1).encode())

    def final(self) -> dict[str, Any]:
        """The result of a complete trial.

        Raises:
            Damaged: if it is not complete.
        """
        found = runfolder.state(self.folder)
        if not found.complete:
            raise runfolder.Damaged(f"{self.folder}: {found.reason}")
        return dict(found.final)

    def tidy(self) -> None:
        """Of a complete trial, drop what it would continue from, and nothing else of that name.

        A kill may have come between the result and this.
        """
        paths = (self.folder / name for name in weights.CHECKPOINTS)
        left = [path for path in paths if weights.checkpoint(path)]
        for path in left if left and self.complete else ():
            path.unlink(missing_ok=True)  # another process may do the same


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

    Raises:
        UserError: if the score of the last epoch is not finite, which is no result.
    """
    sign, name = 1 if score["better"] == "higher" else -1, score["name"]
    scored = [row for row in rows if shapes.score(row.get(name))]  # NaN is null if continued
    if diverged is None and not (scored and scored[-1] is rows[-1]):
        raise UserError(
            f"{name} is {rows[-1].get(name)} after the last epoch: expected a finite number, which "
            "the loss is; look at the test data (do they hold anything to score?) and at the "
            "task's evaluate"
        )
    best = max(scored, key=lambda row: sign * row[name]) if scored else rows[0]
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
