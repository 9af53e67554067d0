"""``hydra/launcher=slurm``: hydra-submitit-launcher, where a failed trial is a failed job.

As it comes, each job composes its configuration anew, it drops a trial's traceback, SLURM calls the
job COMPLETED, the first failure ends the wait for all others, and jobs find the project only if
submitted from its folder. Its settings are taken over, under its names.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

from chandir.harness.base import environment
from chandir.harness.base.words import many
from chandir.harness.durable import outcomes
from chandir.harness.sweep.plan import Job
from chandir.harness.tracking import news, progress

ROOT = Path(__file__).resolve().parents[1]
POLL = 1.0  # seconds between two looks at the jobs
KILL = 600.0  # seconds; longer than any site's KillWait or GraceTime is likely to be


class _Submitit:
    """What both of submitit's engines share.

    Args:
        params: the launcher's settings, by their names in hydra-submitit-launcher.
    """

    _EXECUTOR: str

    def __init__(self, **params: Any) -> None:
        self.params = params
        self.folders: dict[str, Path] = {}  # of the trials, by the job that runs each

    def launch(self, jobs: Sequence[Job], stop_on_error: bool) -> None:
        """Submit every trial as one array and wait; what came of each is in its run folder."""
        import submitit

        from chandir.harness.base.signals import Leave

        executor = submitit.AutoExecutor(
            folder=self.params["submitit_folder"], cluster=self._EXECUTOR, **self._limits()
        )
        executor.update_parameters(**self._parameters())
        with environment.for_jobs():
            submitted = executor.map_array(_Trial(self._EXECUTOR == "slurm"), jobs)
        self.folders = {each.job_id: job.folder for each, job in zip(submitted, jobs, strict=True)}
        news.say(
            f"{many(len(jobs), 'trial')} submitted: {submitted[0].job_id} to {submitted[-1].job_id}"
        )
        try:
            self._await(submitted, stop_on_error)
        except Leave:
            news.say("the submitted jobs go on; scancel stops them", error=True)
            raise

    def _await(self, jobs: list[Any], stop_on_error: bool) -> None:
        """Look at each job until it has ended: with ``on_error=stop`` the first failure counts."""
        ended: set[str] = set()
        stopped = False
        while len(ended) < len(jobs):
            for job in jobs:
                if job.job_id in ended or not job.done():
                    continue
                ended.add(job.job_id)
                if not self._outcome(job, told=not stopped) and stop_on_error and not stopped:
                    stopped = True
                    news.say(f"job {job.job_id} failed: the others are cancelled", error=True)
                    for other in jobs:
                        if other.job_id not in ended:
                            other.cancel(check=False)
            time.sleep(POLL)

    def _outcome(self, job: Any, told: bool) -> bool:
        """Whether an ended job's trial is complete; its failure ends no one else's wait."""
        error, folder = job.exception(), self.folders.get(job.job_id)
        if error is None:
            done = bool(job.results()[0])
            why = f"job {job.job_id}, see {self.params['submitit_folder']}"
            if not done and folder is not None:  # which its folder may not say
                outcomes.failed(folder, why)
        else:
            done, why = False, f"job {job.job_id}: {str(error).splitlines()[0]}"
        if done and folder is not None:
            news.tell(progress.ended(folder))
        elif told:  # killed, out of time, or the engine itself failed; or the trial did
            news.tell(news.Ended(folder or Path(str(job.job_id)), news.FAILED, why=why))
        return done

    def _limits(self) -> dict[str, Any]:
        key = "max_num_timeout"
        return {f"{self._EXECUTOR}_{key}": self.params[key]} if key in self.params else {}

    def _parameters(self) -> dict[str, Any]:
        from chandir.harness.config import portable

        common = set(BaseQueueConf.__dataclass_fields__)
        own = {
            key: value
            for key, value in self.params.items()
            if key not in ("submitit_folder", "max_num_timeout")
        }
        if self._EXECUTOR == "slurm":
            # Jobs import by name, from wherever they were submitted.
            path = f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}"
            own["setup"] = [path, *portable.exports(), *(own.get("setup") or [])]
        else:
            paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return {
            key if key in common else f"{self._EXECUTOR}_{key}": value for key, value in own.items()
        }


class _Trial:
    """What a job runs: one trial, as it was resolved where the sweep was started.

    Args:
        slurm: SLURM decides what becomes of the job after TERM.
    """

    def __init__(self, slurm: bool) -> None:
        self.slurm = slurm

    def __call__(self, job: Job) -> bool:
        """Run the trial; the job's exit status, and what this returns, say if it is complete."""
        from chandir.harness.base.signals import Leave
        from chandir.harness.sweep.attempt import DONE, attempt
        from chandir.harness.sweep.differences import Differences
        from chandir.harness.tracking import display

        try:
            with display.shown(Differences([job]).planned([job]), lines=True):
                done = attempt(job) == DONE
        except Leave as leave:
            if leave.signum == signal.SIGTERM and self.slurm:
                # Requeued, preempted or cancelled: everything is saved, and SLURM has decided what
                # becomes of the job. One that ends by itself now would count as failed.
                time.sleep(KILL)
            raise
        except SystemExit as left:
            if left.code != 1:  # submitit's, which has requeued the job
                raise
            done = False
        if not done:
            with contextlib.suppress(OSError):  # the job's log is all that its reader has
                told = (job.folder / "error.txt").read_text(encoding="utf-8", errors="replace")
                print(told, file=sys.stderr, flush=True)
            # After submitit has written its result, which the waiting parent reads.
            atexit.register(os._exit, 1)
        return done

    def checkpoint(self, job: Job) -> Any:
        """What submitit submits when it requeues the job: the same trial, which continues."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, job)


class ChandirSlurmLauncher(_Submitit):
    """One SLURM job per trial, as an array."""

    _EXECUTOR = "slurm"


class ChandirSubmititLocalLauncher(_Submitit):
    """The same machinery without SLURM: every trial at once, each in a process of its own."""

    _EXECUTOR = "local"
