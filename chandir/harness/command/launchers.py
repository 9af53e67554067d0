"""What may be set of Hydra: the launcher and its settings, a list of what is known to work.

Everything else of Hydra's either has no effect here, for trials are composed once and run without
it, or would change what the project relies on.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chandir.harness.base.errors import UserError, nearest, one_of
from chandir.harness.base.folders import CONF
from chandir.harness.command.options import flatten

GROUP, SETTING = "hydra/launcher", "hydra.launcher."
BUILT_IN = {"basic", "submitit_local", "submitit_slurm"}  # launchers that have no file of ours
FREE = "additional_parameters"  # of sbatch
EARLY = 60  # seconds that SLURM's clock may be early
# What a launcher's numbers may be. More than one task or node would run a trial more than once.
RANGES = {
    "workers": (0, 100_000),
    "stack": (0, 100_000),
    "silence": (0, 31_536_000),
    "timeout_min": (1, 525_600),
    "signal_delay_s": (1, 86_400),
    "max_num_timeout": (0, 1000),
    "array_parallelism": (1, 100_000),
    "cpus_per_task": (1, 4096),
    "gpus_per_node": (0, 1),
    "tasks_per_node": (1, 1),
    "nodes": (1, 1),
    "mem_gb": (1, 1_000_000),
}


def own(argument: str) -> bool:
    """Whether an argument of the command line sets something of Hydra's."""
    return argument.lstrip("+~").startswith(("hydra.", "hydra/"))


def choices() -> set[str]:
    """Every choice of hydra/launcher."""
    return {path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml")} | BUILT_IN


def check(overrides: Sequence[Override]) -> None:
    """Refuse what is not on the list, and values that the launcher could not run with.

    Args:
        overrides: those of ``hydra/`` and ``hydra.``.

    Raises:
        UserError: naming the nearest setting.
    """
    chosen = []
    for item in overrides:
        line, key = str(item.input_line), item.key_or_group
        if key != GROUP and not key.startswith(SETTING):
            raise UserError(
                f"{line}: of Hydra's own settings only {GROUP} and those of {SETTING}* can be set"
                f"{nearest(key, _known([])) if key.startswith('hydra.') else ''}; remove it"
            )
        if item.is_sweep_override() or item.is_delete() or item.package is not None:
            raise UserError(f"{line}: expected one value of {key}")
        if key == GROUP:
            if item.is_add() or str(item.value()) not in choices():
                raise UserError(
                    f"{line}: expected {GROUP}={one_of(sorted(choices()))}"
                    f"{nearest(str(item.value()), choices())}"
                )
            chosen.append(line)
    if overrides:
        _check_settings(overrides, chosen)


def _check_settings(overrides: Sequence[Override], chosen: list[str]) -> None:
    known = _known(chosen)
    for item in overrides:
        line, key = str(item.input_line), item.key_or_group
        leaf = key.removeprefix(SETTING)
        added = item.is_add() or item.is_force_add()
        if key == GROUP:
            continue
        if _free(leaf) and f"{SETTING}{FREE}" in known:
            if key not in known and not added:
                raise UserError(f"{line}: expected +{line}, which adds a parameter of sbatch's")
            continue
        if key not in known:
            raise UserError(f"{line}: there is no such setting{nearest(key, known)}")
        if leaf == FREE:
            raise UserError(
                f"{line}: expected its parameters one by one: +{SETTING}{FREE}.qos=long"
            )
        if added:
            raise UserError(f"{line}: the setting exists; write it without the +")
        if leaf in ("workers", "stack") and not _whole(item.value()):
            raise UserError(f"{line}: expected a whole number, or 0, which chooses")
    lines = list(dict.fromkeys(str(item.input_line) for item in overrides))
    for line in lines:
        _composed(list(dict.fromkeys([*chosen, line])), line)
    node = _composed(lines, " ".join(lines))
    for leaf, (low, high) in RANGES.items():
        value = node.get(leaf)
        if value is not None and not (_whole(value) and low <= value <= high):
            text = f"{low:,} to {high:,}" if low < high else f"{low}"
            raise UserError(f"{SETTING}{leaf}={value}: expected {text}")
    if "signal_delay_s" in node and node["timeout_min"] * 60 < node["signal_delay_s"] + EARLY:
        raise UserError(
            f"{SETTING}timeout_min={node['timeout_min']}: the signal to save comes "
            f"{SETTING}signal_delay_s={node['signal_delay_s']} seconds before the end, up to "
            f"{EARLY} early, so that a trial would have no time to train: give it more minutes, or "
            "fewer seconds"
        )


def _free(leaf: str) -> bool:
    """Whether a launcher's setting may have any name: one of sbatch's options."""
    return re.fullmatch(rf"{FREE}\.[\w-]+", leaf) is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _known(chosen: list[str]) -> set[str]:
    keys = {key for key, _ in flatten(_composed(chosen, " ".join(chosen)))}
    return {f"{SETTING}{key}" for key in keys - {"_target_"}}


def _composed(overrides: list[str], line: str) -> dict[str, Any]:
    """The launcher's node, interpolations left as they are.

    Raises:
        UserError: with Hydra's reason, of the line.
    """
    return _compose(tuple(overrides), line)


@cache
def _compose(overrides: tuple[str, ...], line: str) -> dict[str, Any]:
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", list(overrides), return_hydra_config=True)
        node = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error.__cause__ or error).splitlines()[:1])
        raise UserError(f"{line}: {reason}") from None
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}


def elsewhere(arguments: Sequence[str]) -> bool:
    """Whether trials run on other machines, whose devices and cores nothing here knows."""
    return any(re.match(rf"{GROUP}=.*slurm", item) for item in arguments)


def check_installed(arguments: Sequence[str]) -> None:
    """Refuse SLURM where there is none.

    Raises:
        UserError: naming what runs here.
    """
    if elsewhere(arguments) and shutil.which("sbatch") is None:
        line = next(item for item in arguments if item.startswith(GROUP))
        raise UserError(
            f"{line}: there is no SLURM here (sbatch is not found): expected a machine that "
            f"submits jobs; {GROUP}=local runs the sweep on this one"
        )
