"""The command line: refuse what is misspelt or would be ignored, expand sweeps into cells.

Hydra itself refuses some of this later, one job at a time and without a hint, and accepts any key
with a ``+`` in front. Here the whole line is checked before anything runs.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError, nearest, one_of
from chandir.harness.base.folders import CONF
from chandir.harness.command import launchers

HYDRA = ("hydra.", "hydra/")
MOST = 100_000  # values of a range, and combinations of all sweeps
LARGEST = 2**31 - 1  # of a whole number
# What a network is told of the task's images.
SHAPED = ("model.in_channels", "model.image_size", "model.labels")
# Facts that a file states of itself, or that follow from another choice; not settings.
FACTS = (
    *("task.table1", "task.scales", "task.in_paper", "task.shape", "task.checksums"),
    *("task.schedules", "task.embedded", "optimizer.usual_lr", "model.label", "model.makes"),
    *SHAPED,
)


def groups() -> dict[str, dict[str, set[str]]]:
    """Each configuration group's options, and the keys that each option brings."""
    return _groups(folders.own())


@cache
def _groups(own: tuple[Path, ...]) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for (group, option), file in folders.options().items():
        text = file.read_text(encoding="utf-8")
        content = _content(file)
        content.pop("defaults", None)
        if "@package _global_" not in text.partition("\n")[0]:
            content = {group: content}
        stated = content.get(group)
        if isinstance(stated, dict) and "_target_" in stated and stated.get("name") != option:
            raise UserError(f"{file}: expected name: {option}, as the file is called")
        found.setdefault(group, {})[option] = set(_flatten(content))
    return found


def _content(file: Path) -> dict[str, Any]:
    """What a file says, read as Hydra reads it (1e-3 is a number), interpolations as they stand.

    Raises:
        UserError: if it is no YAML, or says something else than settings.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException, OSError) as error:
        raise UserError(f"{file}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected settings, as key: value")
    return {str(key): value for key, value in content.items()}


def settings() -> set[str]:
    """Every key of the main configuration file and of every option of every group."""
    return _settings(folders.own())


@cache
def _settings(own: tuple[Path, ...]) -> set[str]:
    main = _content(CONF / "config.yaml")
    keys = {key for key in _flatten(main) if not key.startswith(("defaults", "hydra"))}
    for options in groups().values():
        keys |= set().union(*options.values())
    return {key for key in keys if not _fact(key)}


@cache
def stated(group: str, option: str) -> dict[str, Any]:
    """What an option's file says of its own group, as written there."""
    content = _content(folders.options()[group, option])
    return dict(content.get(group, content))


@cache
def default(group: str, option: str, other: str) -> str:
    """The choice of another group that goes with an option: its file's, or the main file's."""
    found = None
    for file in (CONF / "config.yaml", folders.options()[group, option]):
        for item in _content(file).get("defaults", []):
            for key, value in item.items() if isinstance(item, dict) else ():
                if str(key).removeprefix("override").strip(" /") == other:
                    found = value
    return str(found)


def _fact(key: str) -> bool:
    """What a file states about itself: which choice it is, how it is built, Table 1."""
    leaf = key.rsplit(".", 1)[-1]
    named = leaf == "name" and key != "data.name"
    below = any(key == fact or key.startswith(f"{fact}.") for fact in FACTS)
    return named or below or leaf == "_target_" or key.startswith("experiment.")


def _flatten(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")


# Settings that had another name.
MOVED = {
    "task.schedule": "schedule",
    "task.schedule.name": "schedule",
    "task.schedule.every": "schedule.every",
    "task.schedule.factor": "schedule.factor",
}


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def read(text: str) -> Override:
    """One argument of the command line, as Hydra reads it.

    Raises:
        UserError: for one that is none of its overrides.
    """
    try:
        text.encode()
        return _parser().parse_override(text)
    except (HydraException, RecursionError, UnicodeEncodeError) as error:
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
    launchers.check([item for item in overrides if item.key_or_group.startswith(HYDRA)])
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
    _refuse_interpolation(text)
    if key.startswith(HYDRA):
        return  # see `launchers`
    if override.package is not None:
        raise UserError(f"{text!r}: expected {key}=...; remove the @")
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
    elif key in MOVED:
        raise UserError(f"{key} is {MOVED[key]} now: expected {MOVED[key]}=...")
    elif _fact(key) and "." in key:
        source = "task" if key in SHAPED else key.split(".")[0]
        raise UserError(f"{key} is not a setting: it follows from the choice of {source}=...")
    elif key not in settings():
        raise UserError(
            f"{key}: there is no such setting{nearest(key, settings() | set(groups()))}"
        )
    elif override.is_add() or override.is_force_add():
        raise UserError(f"{text!r}: the setting exists; write it without the +")
    if key == "trial":
        for value in _values(override):
            if not re.fullmatch(r"trial=(0|[1-9]\d*)", value):
                raise UserError(
                    f"{value}: expected a whole number from 0 up, or a sweep: -m 'trial=range(25)'"
                )
            if int(value.partition("=")[2]) > LARGEST:
                raise UserError(f"{value}: expected at most {LARGEST}")


def _refuse_interpolation(text: str) -> None:
    """Refuse interpolations whose value another moment, trial or process may see otherwise."""
    inner = re.findall(r"\$\{([^${}]*)\}", text)
    nested = "${" in re.sub(r"\$\{[^${}]*\}", "", text)
    for name in inner:
        environment = re.fullmatch(r"oc\.env:\w+(,.*)?", name)
        setting = re.fullmatch(r"([a-z]\w*)(\.\w+)*", name)
        stable = setting and setting[1] in _top() - {"trial", "plan", "experiment", "artefact"}
        nested |= not (environment or stable)
    if nested:
        raise UserError(
            f"{text!r}: an interpolation that may differ between trials, or between now and the "
            "next time, would split a cell or lose its trials: expected a value, "
            "${another.setting} or ${oc.env:NAME}"
        )


def _top() -> set[str]:
    return {key.partition(".")[0] for key in settings()}


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
    values = [_values(item) for item in own]
    if (count := math.prod(map(len, values))) > MOST:
        raise UserError(f"{count:,} combinations of sweeps are more than {MOST:,}: ask for fewer")
    return [list(job) for job in itertools.product(*values)]


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
