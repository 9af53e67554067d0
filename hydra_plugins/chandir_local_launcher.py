"""``hydra/launcher=local``: a sweep on one machine, several trials at a time.

On a CPU, processes of few threads beat one process of many for small networks; with a fixed number
of threads per trial the numbers are those of the trial run alone, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ChandirLocalLauncher(Launcher):
    """Runs jobs in worker processes.

    Args:
        workers: trials at a time; 0 chooses: as many as the cores hold at ``threads`` each on a
            CPU, one on a GPU.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the configuration; Hydra calls this before `launch`."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        """Run every job; what came of each is in its run folder."""
        from chandir.harness.pool import run_all, workers_for

        jobs = [list(overrides) for overrides in job_overrides]
        workers = self.workers or workers_for(self.config.device, self.config.threads)
        run_all(jobs, min(workers, len(jobs)), self.config.on_error == "stop")
        return [
            JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=None)
            for overrides in jobs
        ]


ConfigStore.instance().store(
    group="hydra/launcher",
    name="local",
    node={
        "_target_": "hydra_plugins.chandir_local_launcher.ChandirLocalLauncher",
        "workers": 0,
    },
    provider="chandir",
)
