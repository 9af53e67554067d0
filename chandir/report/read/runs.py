"""Run folders as records: one `Trial` per ``trial-<k>`` folder, whatever state it is in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from chandir import runfolder
from chandir.runfolder import find, origin


class Trial(runfolder.Contents):
    """One seed of one cell, as its folder tells it, and what follows from that."""

    @property
    def index(self) -> int:
        """The seed index k of ``trial-<k>``."""
        return int(self.folder.name.removeprefix("trial-"))

    @cached_property
    def code(self) -> str:
        """A digest of the sources that affect numbers; equal digests ran equal code.

        A trial that was continued with other sources (``on_change=continue``) has one of its own.
        """
        return origin.digest(origin.codes(self.provenance))

    @cached_property
    def machines(self) -> list[str]:
        """What its last digits depend on beside the code, each kind of machine once.

        Several of a trial that was continued elsewhere; none of one older than the record of it.
        """
        ran = self.provenance.get("segments") or [self.provenance]
        return list(dict.fromkeys(str(each["machine"]) for each in ran if each.get("machine")))

    @property
    def pictures(self) -> list[Path]:
        """The pictures that the task left: samples of a generator, predicted masks."""
        return sorted(path for path in self.folder.glob("*.png") if not path.is_symlink())

    @cached_property
    def checksum(self) -> str:
        """The sha256 of the data as used; of a trial continued on other data, one of its own."""
        return origin.checksum(self.provenance)


def read(runs: Path | str) -> list[Trial]:
    """Read every ``trial-<k>`` folder below `runs`, in a stable order.

    A damaged, failed or incomplete folder is a `Trial` with a reason, never an exception.

    Args:
        runs: A results folder, or any folder between it and a trial.

    Raises:
        ValueError: If `runs` is not a folder.
    """
    runs = Path(runs)
    if not runs.is_dir():
        raise ValueError(
            f"{runs} is not a folder: expected the folder that paths.results names, "
            "results/runs by default; `python run.py` makes the first one"
        )
    return [Trial(**vars(runfolder.read(folder))) for folder in find.folders(runs)]
