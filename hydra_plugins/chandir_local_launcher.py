"""``hydra/launcher=local`` and ``basic``: a sweep on one machine.

local: several trials at a time. On a CPU, in processes of few threads: with a fixed number of
threads per trial the numbers are those of the trial run alone, to the bit. On a GPU, in processes
likewise, or, where ``determinism=fast`` allows it, in stacks; see `chandir.harness.sweep.packing`.
basic: one trial after the other, in this process.
"""

from __future__ import annotations

from collections.abc import Sequence

from chandir.harness.sweep.plan import Job


class ChandirLocalLauncher:
    """Runs trials in worker processes.

    Args:
        workers: processes; 0 chooses, by cores, devices and memory.
        stack: trials side by side in one process; 0 chooses (none on a CPU, where it does not pay,
            and none without ``determinism=fast``), 1 is none.
        silence: seconds without a sign of a trial after which it is named; 0: never.
    """

    def __init__(self, workers: int = 0, stack: int = 0, silence: int = 3600) -> None:
        self.workers, self.stack, self.silence = workers, stack, silence

    def launch(self, jobs: Sequence[Job], stop_on_error: bool) -> None:
        """Run every trial; what came of each is in its run folder."""
        from chandir.harness.sweep.packing import choose
        from chandir.harness.sweep.pool import run_all

        for packing in choose(jobs, self.workers, self.stack):
            if not run_all(packing, stop_on_error, self.silence):
                break


class ChandirBasicLauncher:
    """Runs one trial after the other, in this process."""

    def launch(self, jobs: Sequence[Job], stop_on_error: bool) -> None:
        """Run every trial; what came of each is in its run folder."""
        from chandir.harness.sweep.attempt import DONE, attempt

        for job in jobs:
            if attempt(job) != DONE and stop_on_error:
                break
