"""``hydra/launcher=slurm``: hydra-submitit-launcher, where a failed trial is a failed job.

As it comes, it drops a trial's traceback, SLURM calls the job COMPLETED, the first failure ends the
wait for all others, and jobs find the project only if submitted from its folder.
"""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
    BaseSubmititLauncher,
    LocalLauncher,
    SlurmLauncher,
)

ROOT = Path(__file__).resolve().parents[1]
POLL = 1.0  # seconds between two looks at the jobs
KILL = 600.0  # seconds; longer than any site's KillWait or GraceTime is likely to be


class _Visible(BaseSubmititLauncher):
    """What both of submitit's engines are given besides."""

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run one trial, inside its job; the exit status says whether it is complete."""
        from chandir.harness.signals import Leave

        try:
            returned: JobReturn = super().__call__(*arguments)
            done = returned.status == JobStatus.COMPLETED and bool(returned.return_value)
        except Leave as leave:
            if leave.signum == signal.SIGTERM and self._EXECUTOR == "slurm":
                # Requeued, preempted or cancelled: everything is saved, and SLURM has decided what
                # becomes of the job. One that ends by itself now would count as failed.
                time.sleep(KILL)
            raise
        except SystemExit as left:
            if left.code != 1:  # submitit's, which has requeued the job
                raise
            returned, done = JobReturn(status=JobStatus.FAILED), False
        if not done:
            # After submitit has written its result, which the waiting parent reads.
            atexit.register(os._exit, 1)
        return JobReturn(
            overrides=returned.overrides, status=JobStatus.COMPLETED, _return_value=done
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit every trial as one array and wait; what came of each is in its run folder."""
        import submitit

        from chandir.harness.signals import Leave

        assert self.config is not None
        executor = submitit.AutoExecutor(
            folder=self.params["submitit_folder"], cluster=self._EXECUTOR, **self._limits()
        )
        executor.update_parameters(**self._parameters())
        jobs = executor.map_array(
            self,
            [list(overrides) for overrides in job_overrides],
            ["hydra.sweep.dir"] * len(job_overrides),
            range(len(job_overrides)),
            [f"job_id_for_{index}" for index in range(len(job_overrides))],
            [Singleton.get_state()] * len(job_overrides),
        )
        print(f"{len(jobs)} trials submitted: {jobs[0].job_id} to {jobs[-1].job_id}", flush=True)
        try:
            return self._await(jobs)
        except Leave:
            print("the submitted jobs go on; scancel stops them", file=sys.stderr, flush=True)
            raise

    def _await(self, jobs: list[Any]) -> list[JobReturn]:
        """Each job's outcome, as it comes: with ``on_error=stop`` the first failure counts."""
        assert self.config is not None
        outcomes: dict[str, bool] = {}
        stopped = False
        while len(outcomes) < len(jobs):
            for job in jobs:
                if job.job_id in outcomes or not job.done():
                    continue
                outcomes[job.job_id] = self._outcome(job, told=not stopped)
                if not outcomes[job.job_id] and self.config.on_error == "stop" and not stopped:
                    stopped = True
                    print(f"job {job.job_id} failed: the others are cancelled", file=sys.stderr)
                    for other in jobs:
                        if other.job_id not in outcomes:
                            other.cancel(check=False)
            time.sleep(POLL)
        return [
            JobReturn(status=JobStatus.COMPLETED, _return_value=outcomes[job.job_id])
            for job in jobs
        ]

    def _outcome(self, job: Any, told: bool) -> bool:
        """Whether an ended job's trial is complete; its failure ends no one else's wait."""
        error = job.exception()
        if error is None:
            return bool(job.results()[0].return_value)
        if told:  # killed, out of time, or the engine itself failed
            print(f"job {job.job_id}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        return False

    def _limits(self) -> dict[str, Any]:
        key = "max_num_timeout"
        return {f"{self._EXECUTOR}_{key}": self.params[key]} if key in self.params else {}

    def _parameters(self) -> dict[str, Any]:
        from chandir.harness import portable

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


class ChandirSlurmLauncher(_Visible, SlurmLauncher):
    """One SLURM job per trial, as an array."""


class ChandirSubmititLocalLauncher(_Visible, LocalLauncher):
    """The same machinery without SLURM: every trial at once, each in a process of its own."""
