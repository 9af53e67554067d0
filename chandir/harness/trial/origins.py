"""Whether a complete trial is of this code and these data, and what it is of if not.

A cell's key knows its settings, not the code that ran it or the files in ``data.root``. A score of
another version of a network, or of other images, is a number of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chandir import runfolder
from chandir.harness.base.errors import UserError
from chandir.harness.cells.resolve import Resolved
from chandir.harness.config.schema import Config, of_data
from chandir.harness.durable import provenance
from chandir.runfolder import origin, weights

SHOWN = 5  # files that are named


@dataclass(frozen=True)
class Origin:
    """What a complete trial ran with, where that is not what is here now.

    Attributes:
        code: the first digits of its code's digest, as on the page; empty if it is this code.
        data: the first digits of its data's checksum; empty if they are these data.
        files: of code, that differ.
        commit: that it ran from, if that is known.
        now: the first digits of the checksum of the data here.
    """

    code: str = ""
    data: str = ""
    files: tuple[str, ...] = ()
    commit: str = ""
    now: str = ""

    def __str__(self) -> str:
        """``other code 1a2b3c4, other data 0123456``."""
        parts = (("other code", self.code), ("other data", self.data))
        return ", ".join(f"{what} {digits[:7]}" for what, digits in parts if digits)

    @property
    def changes(self) -> str:
        """What to look at: files, and how to see what changed in them; checksums."""
        told = []
        if self.files:
            shown = self.files[:SHOWN]
            more = f" and {len(self.files) - SHOWN} more files" if len(self.files) > SHOWN else ""
            told.append(f"{', '.join(shown)}{more} changed{provenance.diff(self.commit, shown)}")
        if self.data:
            told.append(f"the data changed (checksum {self.data}, now {self.now})")
        return "; ".join(told)


class Here:
    """This code and these data: what a command's trials would be run with now.

    Code is read once for a task and a network. Data are known once they were loaded, which takes
    long: until then nothing is held against a trial's, but that they were not compared.

    Attributes:
        why: the data could not be loaded, in the error's words.
    """

    def __init__(self) -> None:
        self.why = ""
        self._checksums: dict[str, str | None] = {}
        self._texts: dict[tuple[int, int], tuple[Config, str]] = {}

    def note(self, config: Config) -> None:
        """Keep the code of a trial that is planned, which an edit while it waits does not change.

        Once an edited file is run, by a process that starts later, its trials are told apart.
        """
        provenance.code(config)

    def load(self, trials: Iterable[Resolved], checksum: Callable[[Config], str]) -> None:
        """Learn the checksums of data.

        Args:
            trials: those whose data are to be compared.
            checksum: loads the data of a configuration; they stay unknown if it cannot.
        """
        for resolved in trials:
            text = self._text(resolved.config)
            if text not in self._checksums:
                try:
                    self._checksums[text] = checksum(resolved.config)
                except UserError as error:
                    self._checksums[text], self.why = None, str(error)

    def _text(self, config: Config) -> str:
        """The settings of the data: cells share them, and trials of a cell the very objects."""
        task, data = config.task, config.data
        if (id(task), id(data)) not in self._texts:
            text = of_data(task, data)
            self._texts[id(task), id(data)] = config, text  # which keeps both alive
        return self._texts[id(task), id(data)][1]

    def compared(self, found: runfolder.Contents, config: Config) -> bool:
        """Whether it is known if a complete trial ran on these data."""
        known = self._checksums.get(self._text(config)) and origin.checksums(found.provenance)
        return held_to_checksums(found, config) or bool(known)

    def origin(self, found: runfolder.Contents, config: Config) -> Origin | None:
        """What a complete trial ran with; None if it is this code and, as far as known, these data.

        A trial that was begun with other code, or on other data, is of both.
        """
        unknown = held_to_checksums(found, config) or not self.compared(found, config)
        checksum = None if unknown else self._checksums[self._text(config)]
        return differing(found, provenance.code(config), checksum)

    def again(self, resolved: Resolved, found: runfolder.Contents) -> str:
        """Why a complete trial is run again, in words; empty if its result stands.

        Once it has run again it is of this code and these data, and has its weights: whoever asks
        then, a requeued job or another process, finds nothing to do.
        """
        if resolved.config.on_change != "restart" or not found.complete:
            return ""
        if other := self.origin(found, resolved.config):
            return f"it is complete with {other}: {other.changes}"
        lacking = resolved.weights and weights.lacking(found)
        return "it is complete without weights" if lacking else ""


def differing(
    found: runfolder.Contents, code: Mapping[str, str], checksum: str | None
) -> Origin | None:
    """How a complete trial's code and data differ from these, if they do.

    Args:
        found: the trial.
        code: of here.
        checksum: of the data here; None: not compared.
    """
    codes, data = origin.codes(found.provenance), origin.checksums(found.provenance)
    same_code, same_data = codes == [code], checksum is None or data == [checksum]
    if same_code and same_data:
        return None
    segments = found.provenance.get("segments") or [found.provenance]
    commits = [each.get("commit") for each in segments if each.get("sources") != code]
    differ = (each.items() ^ code.items() for each in codes)
    return Origin(
        code="" if same_code else origin.digest(codes)[:12],
        data="" if same_data else next(each for each in data if each != checksum)[:12],
        files=tuple(sorted({name for pairs in differ for name, _ in pairs})),
        commit=next(filter(None, commits), ""),
        now="" if same_data else str(checksum)[:12],
    )


def held_to_checksums(found: runfolder.Contents, config: Config) -> bool:
    """Whether a trial's data were the publisher's, as those here are once they are loaded."""
    data = config.data
    held = config.task.checksums is True and data.verify and data.source == "real"
    return held and found.config["data"].get("verify") is True


def loaded(config: Config, elsewhere: bool = False) -> str:
    """The checksum of the data of a trial, which are loaded for it, and kept.

    Args:
        config: the trial's.
        elsewhere: it runs on another machine, whose device is not asked for here.

    Raises:
        UserError: for data that are missing or damaged.
    """
    import torch

    from chandir.harness.trial import data, devices

    device = torch.device("cpu") if elsewhere else devices.select(config)
    return data.load(config, device).checksum


def again(resolved: Resolved, folder: Path) -> str:
    """As `Here.again`, for the process that is to run the trial, which looks for itself."""
    if resolved.config.on_change != "restart":
        return ""
    found, here = runfolder.state(folder), Here()
    if found.complete and not held_to_checksums(found, resolved.config):
        here.load([resolved], loaded)
    return here.again(resolved, found)
