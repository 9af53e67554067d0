"""``hydra/launcher=local``: a sweep on one machine, several trials at a time.

On a CPU, in processes of few threads: with a fixed number of threads per trial the numbers are
those of the trial run alone, to the bit. On a GPU, in processes likewise, or, where
``determinism=fast`` allows it, in stacks; see `chandir.harness.packing`.
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
        workers: processes; 0 chooses, by cores, devices and memory.
        stack: trials side by side in one process; 0 chooses (none on a CPU, where it does not pay,
            and none without ``determinism=fast``), 1 is none.
    """

    def __init__(self, workers: int = 0, stack: int = 0) -> None:
        self.workers, self.stack = workers, stack

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the configuration; Hydra calls this before `launch`."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        """Run every job; what came of each is in its run folder."""
        from chandir.harness.packing import choose
        from chandir.harness.pool import run_all

        jobs = [list(overrides) for overrides in job_overrides]
        for packing in choose(jobs, self.workers, self.stack):
            if not run_all(packing, self.config.on_error == "stop"):
                break
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
        "stack": 0,
    },
    provider="chandir",
)
