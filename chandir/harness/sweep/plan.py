"""What a command line asks for: every cell and trial, checked before anything runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from chandir.harness.base.errors import UserError, one_of
from chandir.harness.base.files import to_json
from chandir.harness.base.folders import CONF, importable
from chandir.harness.cells import cell
from chandir.harness.cells.resolve import Resolved, resolve
from chandir.harness.command.arguments import MOST, expand, parse, read
from chandir.harness.command.options import groups, owners, stated

TARGET = "_target_"  # Hydra's name for what is to be called


@dataclass(frozen=True, eq=False)
class Job:
    """One trial of one cell, checked and resolved: all that a process needs to run it.

    Attributes:
        resolved: its configuration.
        folder: its run folder.
        overrides: those that compose its cell, for whoever runs it as a command of its own.
    """

    resolved: Resolved
    folder: Path
    overrides: tuple[str, ...] = ()

    @property
    def trial(self) -> int:
        """The seed index."""
        return self.resolved.config.trial

    def __str__(self) -> str:
        return str(self.folder)


@cache
def jobs(arguments: tuple[str, ...]) -> list[Job]:
    """Every trial that a command line asks for, each once, in order.

    Cells that give the same numbers (``h0`` in any direction) are one cell.

    Args:
        arguments: overrides as typed, sweeps and ``experiment=NAME`` included.

    Raises:
        UserError: for anything misspelt, of the wrong type, out of range or without effect.
    """
    overrides = parse(list(arguments))
    settings = [item for item in overrides if item.key_or_group != "trial"]
    trials = [item for item in overrides if item.key_or_group == "trial"]
    asked = [int(job[0].partition("=")[2]) for job in expand(trials) if job]
    lines = expand(settings)
    if (count := len(lines) * max(1, len(asked))) > MOST:
        raise UserError(f"{count:,} trials are more than {MOST:,}: ask for fewer at a time")
    found: dict[Path, Job] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for line in lines:
            for overrides_of_cell, count in _cells(line):
                of_cell = tuple(overrides_of_cell)
                resolved = resolve(composed(of_cell))
                home = cell.home(resolved)
                for trial in (asked or list(range(count)))[: resolved.config.scale.trials]:
                    folder = cell.of_trial(home, trial)
                    if folder not in found:
                        found[folder] = Job(
                            resolved.of_trial(trial), folder, tuple(overrides_of_cell)
                        )
    return list(found.values())


def _cells(line: list[str]) -> list[tuple[list[str], int]]:
    """A line's cells as (overrides, trials): itself, or an experiment's with the line on top."""
    named = [item for item in line if item.startswith("experiment=")]
    own = [item for item in line if not item.startswith("experiment=")]
    if not named or named == ["experiment=null"]:
        return [(own, 1)]
    name = named[0].partition("=")[2].strip("'\"")
    experiment = stated("experiment", name)
    cells = []
    for text in experiment["cells"]:
        for combination in expand(parse(text.split())):
            kept = [item for item in combination if item.partition("=")[0] not in _keys(own)]
            cells.append(([*kept, *own, f"artefact={name}"], int(experiment["trials"])))
    return cells


def _keys(line: list[str]) -> set[str]:
    return {item.partition("=")[0] for item in line}


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The plain dictionary that Hydra composes; call it where Hydra is initialised.

    Raises:
        UserError: for a key that the chosen options do not have, or data whose shape is asked for
            and that do not fit.
    """
    parsed = [read(text) for text in overrides]
    chosen = tuple(str(it.input_line) for it in parsed if it.key_or_group in groups())
    try:
        config = copy.deepcopy(_chosen(chosen))
        for item in parsed:
            if item.key_or_group not in groups():
                OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
        _tell_shape(config)
        plain = OmegaConf.to_container(config, resolve=True)
    except (ConfigCompositionException, ConfigAttributeError, ConfigKeyError) as error:
        raise UserError(_explain(overrides, error)) from None
    except OmegaConfBaseException as error:
        raise UserError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@cache
def _chosen(choices: tuple[str, ...]) -> DictConfig:
    """What Hydra composes of the groups' choices: once for all cells that share them."""
    return compose("config", list(choices))


def _tell_shape(config: DictConfig) -> None:
    """Put the shape of the data in its place, where a task's file has a call that tells it.

    Such a task trains on whatever is at ``data.root``; what follows from the shape (outputs of a
    network, steps of a trial, the cell's key) is then known before anything runs.
    """
    shape = OmegaConf.to_container(config.task.shape, resolve=True)
    assert isinstance(shape, dict)
    if TARGET in shape:
        config.task.shape = _shape(to_json(shape))


@cache
def _shape(call: str) -> dict[str, int]:
    """What a call tells, once for all cells of a command line.

    Raises:
        UserError: by the called function's own word.
    """
    arguments = json.loads(call)
    importable()
    tell = get_method(arguments.pop(TARGET))
    try:
        shape: dict[str, int] = tell(**arguments)
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}: expected data that can be read; see to its "
            "permissions, or name another place with data.root"
        ) from None
    except ValueError as error:
        raise UserError(str(error)) from None
    return shape


def _explain(overrides: Sequence[str], error: Exception) -> str:
    """Which key has no effect with the options chosen, and which option it belongs to."""
    named = [item for item in overrides if item.partition("=")[0] in groups()]
    chosen = compose("config", named, return_hydra_config=True).hydra.runtime.choices
    for item in overrides:
        for group, options in owners(item.partition("=")[0]).items():
            if item.startswith(f"{group}.") and chosen.get(group) not in options:
                return (
                    f"{item} has no effect with {group}={chosen.get(group)}: expected only with "
                    f"{group}={one_of(options)}; remove it, or choose that"
                )
    return f"{' '.join(overrides)}: {str(error).splitlines()[0]}"
