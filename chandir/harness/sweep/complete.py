"""The complete trials of a command line, told apart by what they ran with, and decided upon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chandir import runfolder
from chandir.harness.base.errors import UserError
from chandir.harness.base.words import many
from chandir.harness.sweep.plan import Job
from chandir.harness.trial import origins
from chandir.harness.trial.origins import Here, Origin
from chandir.runfolder import weights

SHOWN = 5  # codes and data that are named
CHOICES = {  # of on_change
    "refuse": "refused as it stands: on_change=restart runs them again, on_change=continue leaves "
    "them as they are, told apart, and runs the rest, paths.results=elsewhere keeps both",
    "restart": "they run again (on_change=restart)",
    "continue": "they stay as they are, told apart (on_change=continue)",
}


def compared(jobs: Sequence[Job], here: Here, elsewhere: bool) -> Complete:
    """What is complete, once data were loaded where that is what comparing them takes.

    Args:
        jobs: the command line's trials.
        here: learns the data's checksums.
        elsewhere: trials run on other machines.
    """
    found = Complete(jobs, here)
    if not found.unknown:
        return found
    trials = [job.resolved for job in found.unknown]
    here.load(trials, lambda config: origins.loaded(config, elsewhere))
    return Complete(jobs, here)


class Complete:
    """What is complete of a command line.

    Args:
        jobs: its trials.
        here: this code, and these data as far as they are known.

    Attributes:
        trials: those that have a result.
        others: of these, what those ran with that are not of this code and these data.
        again: of these, why they are run again.
        lacking: of these, those without weights, which were asked for.
        unknown: of these, those whose data were not compared.
    """

    def __init__(self, jobs: Sequence[Job], here: Here) -> None:
        self.jobs, self.here = jobs, here
        self.trials: list[Job] = []
        self.others: dict[Path, Origin] = {}
        self.again: dict[Path, str] = {}
        self.lacking: list[Job] = []
        self.unknown: list[Job] = []
        for job in jobs:
            here.note(job.resolved.config)
            found = runfolder.state(job.folder)
            if not found.complete:
                continue
            self.trials.append(job)
            if other := here.origin(found, job.resolved.config):
                self.others[job.folder] = other
            if why := here.again(job.resolved, found):
                self.again[job.folder] = why
            if job.resolved.weights and weights.lacking(found):
                self.lacking.append(job)
            if not here.compared(found, job.resolved.config):
                self.unknown.append(job)

    @property
    def choice(self) -> str:
        """The command's ``on_change``."""
        return self.jobs[0].resolved.config.on_change

    @property
    def pending(self) -> list[Job]:
        """What is to be run: trials that are not complete, and those that run again."""
        stand = {job.folder for job in self.trials} - self.again.keys()
        return [job for job in self.jobs if job.folder not in stand]

    def refuse(self) -> None:
        """Under ``on_change=refuse``, refuse a command some of whose trials are of others.

        Raises:
            UserError: saying how many, what changed, and what can be done.
        """
        if self.others and self.choice == "refuse":
            remedies = CHOICES["refuse"].partition(": ")[2]
            expected = f"expected this code and these data in all of them; {remedies}"
            raise UserError("\n".join([*self.told(), *self._uncompared(), expected]))

    def told(self) -> list[str]:
        """How many ran with what else: a line, and one for each such code and data."""
        if not self.others:
            return []
        counts = Counter(self.others.values()).most_common()
        are = "is" if len(self.others) == 1 else "are"
        total = many(len(self.jobs), "trial")
        first = f"{len(self.others)} of {total} {are} complete with other code or data:"
        lines = [f"  {count} with {other}: {other.changes}" for other, count in counts[:SHOWN]]
        if rest := counts[SHOWN:]:
            lines.append(f"  {sum(count for _, count in rest)} with {len(rest)} others")
        return [first, *lines]

    def notes(self) -> list[str]:
        """What was not compared, and which weights are not there."""
        lines = self._uncompared()
        if self.lacking:
            runs = (
                "on_change=restart makes them, and so does removing the folders"
                if self.choice != "restart"
                else f"{'it runs' if len(self.lacking) == 1 else 'they run'} again"
            )
            have = "complete trial has" if len(self.lacking) == 1 else "complete trials have"
            lines.append(f"{len(self.lacking)} {have} no weights.pt: {runs}")
        return lines

    def _uncompared(self) -> list[str]:
        if not self.unknown:
            return []
        why = f" ({self.here.why})" if self.here.why else ", which takes loading them"
        trials = many(len(self.unknown), "complete trial")
        return [f"not compared: whether {trials} ran on the data that are here now{why}"]
