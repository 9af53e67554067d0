"""The command line: refuse what is misspelt or would be ignored, expand sweeps into cells.

Hydra itself refuses some of this later, one job at a time and without a hint, and accepts any key
with a ``+`` in front. Here the whole line is checked before anything runs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chandir.harness.errors import UserError, nearest, one_of

HYDRA = ("hydra.", "hydra/")
MOST = 100_000  # values of a range
CONF = Path(__file__).resolve().parents[2] / "conf"
# Launchers that have no file of ours.
BUILT_IN = {"basic", "submitit_local", "submitit_slurm"}
# What a network is told of the task's images.
SHAPED = ("model.in_channels", "model.image_size", "model.labels")
# Facts that a file states of itself, or that follow from another choice; not settings.
FACTS = (
    *("task.table1", "task.scales", "task.in_paper", "task.shape", "task.checksums"),
    *("model.label", "model.makes", *SHAPED),
)


@cache
def groups() -> dict[str, dict[str, set[str]]]:
    """Each configuration group's options, and the keys that each option brings."""
    found: dict[str, dict[str, set[str]]] = {}
    for file in sorted(CONF.glob("*/*.yaml")):
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text) or {}
        content.pop("defaults", None)
        if "@package _global_" not in text.splitlines()[0]:
            content = {file.parent.name: content}
        found.setdefault(file.parent.name, {})[file.stem] = set(_flatten(content))
    return found


@cache
def settings() -> set[str]:
    """Every key of the main configuration file and of every option of every group."""
    main = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    keys = {key for key in _flatten(main) if not key.startswith(("defaults", "hydra"))}
    for options in groups().values():
        keys |= set().union(*options.values())
    return {key for key in keys if not _fact(key)}


@cache
def stated(group: str, option: str) -> dict[str, Any]:
    """What an option's file says of its own group, as written there."""
    content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
    return dict(content.get(group, content))


def _fact(key: str) -> bool:
    """What a file states about itself: which choice it is, how it is built, Table 1."""
    leaf = key.rsplit(".", 1)[-1]
    named = leaf == "name" and key != "data.name"
    return named or leaf == "_target_" or key.startswith(("experiment.", *FACTS))


def _flatten(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def read(text: str) -> Override:
    """One argument of the command line, as Hydra reads it.

    Raises:
        UserError: for one that is none of its overrides.
    """
    try:
        return _parser().parse_override(text)
    except HydraException as error:
        raise UserError(
            f"cannot read {text!r} ({str(error).splitlines()[0]}): expected key=value; quote "
            "values that hold =, commas, spaces or brackets: \"key='a=b'\""
        ) from None


def parse(arguments: list[str]) -> list[Override]:
    """The overrides among the command line's arguments, each one checked by itself.

    Raises:
        UserError: for a misspelt key or choice, with or without ``+``, naming the nearest one.
    """
    overrides = []
    for text in arguments:
        override = read(text)
        _refuse(override, text)
        overrides.append(override)
    if {"artefact", "experiment"} <= {item.key_or_group for item in overrides}:
        raise UserError("artefact has no effect with experiment, whose name it is; remove it")
    _refuse_unknown([item for item in overrides if item.key_or_group.startswith(HYDRA)])
    return overrides


def refuse_repeated(overrides: list[Override]) -> None:
    """Refuse a setting that is given twice, of which Hydra would take the last.

    Paths may be: the last one wins over an alias's or a script's.
    """
    first: dict[str, Override] = {}
    for item in overrides:
        other = first.setdefault(item.key_or_group, item)
        if other.input_line != item.input_line and not item.key_or_group.startswith("paths."):
            raise UserError(
                f"{other.input_line} has no effect before {item.input_line}: expected one value, "
                f"or a sweep: -m {item.key_or_group}=A,B"
            )


def _refuse(override: Override, text: str) -> None:
    key = override.key_or_group
    if key.startswith(HYDRA):
        _refuse_plugin(override)
        return
    try:
        if not _values(override):
            raise UserError(f"{text} is an empty sweep: expected at least one value")
    except ValueError as error:  # range(0,1,0)
        raise UserError(f"{text}: {error}: expected values that can be listed") from None
    except HydraException:  # interval(0,1)
        raise UserError(
            f"{text}: expected values that can be listed: {key}=A,B or '{key}=range(0,10,2)'"
        ) from None
    if override.is_delete():
        raise UserError(
            f"{text!r} would remove a setting that a trial needs; set its value instead"
        )
    if key in groups():
        options = groups()[key]
        for choice in _choices(override):
            if choice not in options:
                raise UserError(
                    f"{key}={choice}: expected {one_of(options)}{nearest(choice, options)}"
                )
    elif _fact(key) and "." in key:
        source = "task" if key in SHAPED else key.split(".")[0]
        raise UserError(f"{key} is not a setting: it follows from the choice of {source}=...")
    elif key not in settings():
        raise UserError(
            f"{key}: there is no such setting{nearest(key, settings() | set(groups()))}"
        )
    elif override.is_add():
        raise UserError(f"{text!r}: the setting exists; write it without the +")
    if key == "trial":
        for value in _values(override):
            if not re.fullmatch(r"trial=(0|[1-9]\d*)", value):
                raise UserError(
                    f"{value}: expected a whole number from 0 up, or a sweep: -m 'trial=range(25)'"
                )


def _refuse_plugin(override: Override) -> None:
    key = override.key_or_group
    if key == "hydra/sweeper":
        raise UserError(
            f"{key}={override.value()}: expected none; sweeps and experiments are this project's "
            "own, remove it"
        )
    if key == "hydra.job.chdir" and override.value():
        raise UserError(f"{key}=true would move paths.results with each trial; remove it")
    if key == "hydra/launcher" and str(override.value()) not in launchers():
        raise UserError(
            f"{key}={override.value()}: expected {one_of(sorted(launchers()))}"
            f"{nearest(str(override.value()), launchers())}"
        )


def launchers() -> set[str]:
    """Every choice of hydra/launcher."""
    return {path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml")} | BUILT_IN


def _refuse_unknown(hydra: list[Override]) -> None:
    """Refuse what Hydra and the chosen launcher do not know: they would, but with a traceback."""
    if not hydra:
        return
    plugins = [str(item.input_line) for item in hydra if "/" in item.key_or_group]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plain = OmegaConf.to_container(
            compose("config", plugins, return_hydra_config=True).hydra, resolve=False
        )
        known = set(_flatten(plain, "hydra."))
        for item in hydra:
            key, line = item.key_or_group, str(item.input_line)
            try:
                compose("config", list({*plugins, line}), return_hydra_config=True)
            except (HydraException, OmegaConfBaseException) as error:
                reason = " ".join(str(error.__cause__ or error).splitlines()[:1])
                if key not in known:
                    reason = f"there is no such setting{nearest(key, known)}"
                raise UserError(f"{line}: {reason}") from None


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        nothing = override.value() is None and override.key_or_group == "experiment"
        return [] if nothing else [str(override.value()).replace("None", "null")]
    if isinstance(override.value(), Glob):
        return []
    return [str(choice) for choice in override.sweep_string_iterator()]


def expand(overrides: list[Override]) -> list[list[str]]:
    """Every combination of the sweeps, the last argument fastest; ``trial`` is made the last.

    ``hydra.*`` is not part of a trial and left out.
    """
    own = [item for item in overrides if not item.key_or_group.startswith(HYDRA)]
    own.sort(key=lambda item: item.key_or_group == "trial")
    return [list(job) for job in itertools.product(*(_values(item) for item in own))]


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    name = override.get_key_element()
    value = override.value()
    if isinstance(value, RangeSweep) and value.step:
        count = (float(value.stop or 0) - float(value.start or 0)) / float(value.step)
        if count > MOST:
            raise ValueError(f"{count:,.0f} values are more than {MOST:,}")
    if isinstance(value, Glob):
        options = list(groups().get(override.key_or_group, {}))
        return [f"{name}={choice}" for choice in value.filter(options)]
    return [f"{name}={value}" for value in override.sweep_string_iterator()]


def owners(key: str) -> dict[str, list[str]]:
    """Which options bring a key: ``optimizer.sigma`` -> ``{"optimizer": ["LS"]}``."""
    found = {
        group: [option for option, keys in options.items() if key in keys]
        for group, options in groups().items()
    }
    return {group: options for group, options in found.items() if options}
