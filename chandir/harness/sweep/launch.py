"""Hand trials to the launcher of ``hydra/launcher``.

Hydra composes the launcher and its settings; the trials go to it as they were checked and resolved,
so that what runs, in whatever process and whenever, is what was planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from chandir.harness.base.folders import CONF
from chandir.harness.sweep.plan import Job

# Launchers of Hydra's and of hydra-submitit-launcher, which compose each trial anew, and this
# project's form of them, which take resolved trials.
PLUGINS = "hydra_plugins"
SUBMITIT = f"{PLUGINS}.hydra_submitit_launcher.submitit_launcher"
OURS = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": (
        f"{PLUGINS}.chandir_local_launcher.ChandirBasicLauncher"
    ),
    f"{SUBMITIT}.LocalLauncher": f"{PLUGINS}.chandir_slurm_launcher.ChandirSubmititLocalLauncher",
    f"{SUBMITIT}.SlurmLauncher": f"{PLUGINS}.chandir_slurm_launcher.ChandirSlurmLauncher",
}


class Launcher(Protocol):
    """What runs the trials of a sweep, wherever that is."""

    def launch(self, jobs: Sequence[Job], stop_on_error: bool) -> None:
        """Run every trial; what came of each is in its run folder."""


def launch(jobs: Sequence[Job], overrides: Sequence[str]) -> None:
    """Run trials by the launcher that the overrides choose.

    Args:
        jobs: the trials.
        overrides: those of ``hydra/launcher`` and ``hydra.launcher.*``, checked.
    """
    config = jobs[0].resolved.config
    launcher: Launcher = instantiate(settings(overrides, config.paths.results))
    launcher.launch(jobs, config.on_error == "stop")


def settings(overrides: Sequence[str], results: str) -> dict[str, Any]:
    """The launcher as Hydra composes it, its interpolations resolved.

    Args:
        overrides: as in `launch`.
        results: where run folders go, and the scripts and logs of jobs.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", list(overrides), return_hydra_config=True)
    node: DictConfig = composed.hydra.launcher
    node._target_ = OURS.get(str(node._target_), node._target_)
    if "submitit_folder" in node:
        raw = OmegaConf.to_container(node, resolve=False)
        assert isinstance(raw, dict)
        if raw["submitit_folder"] == "${hydra.sweep.dir}/.submitit/%j":
            node.submitit_folder = "${paths.results}/.submitit/%j"
        if raw["name"] == "${hydra.job.name}":
            node.name = "chandir"
    composed.paths.results = results.replace("${", "\\${")
    resolved = OmegaConf.to_container(node, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}
