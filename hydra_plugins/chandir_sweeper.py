"""Hydra's sweeper for this project: experiments are lists of cells, not always a product.

Hydra finds plugins in the namespace package ``hydra_plugins`` (no ``__init__.py``). The launcher
stays the user's choice: basic, or any other one that Hydra knows.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ChandirSweeper(Sweeper):
    """Hands every trial that the command line asks for, each once, to the launcher."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the launcher; Hydra calls this before `sweep`."""
        self.hydra_context = hydra_context
        self.config = config
        _make_failures_visible(config)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Launch those that are not complete; outcomes are read from the run folders."""
        from chandir.harness.plan import jobs
        from chandir.harness.record import Record

        planned = jobs(tuple(arguments))
        overrides = [job.overrides for job in planned if not Record(job.folder).complete]
        assert self.launcher is not None
        return self.launcher.launch(overrides, initial_job_idx=0)


def _make_failures_visible(config: DictConfig) -> None:
    """Take this project's form of submitit's launchers, by whichever name they were chosen."""
    launcher = config.hydra.launcher
    ours = {
        "LocalLauncher": "ChandirSubmititLocalLauncher",
        "SlurmLauncher": "ChandirSlurmLauncher",
    }
    module, _, name = launcher._target_.rpartition(".")
    if module.startswith("hydra_plugins.hydra_submitit_launcher"):
        launcher._target_ = f"hydra_plugins.chandir_slurm_launcher.{ours[name]}"
        if launcher.submitit_folder == f"{config.hydra.sweep.dir}/.submitit/%j":
            launcher.submitit_folder = f"{config.paths.results}/.submitit/%j"


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="chandir",
    node={"_target_": "hydra_plugins.chandir_sweeper.ChandirSweeper"},
    provider="chandir",
)
