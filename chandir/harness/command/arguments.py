"""The command line: refuse what is misspelt or would be ignored, expand sweeps into cells.

Hydra itself refuses some of this later, one job at a time and without a hint, and accepts any key
with a ``+`` in front. Here the whole line is checked before anything runs.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException

from chandir.harness.base.errors import UserError, nearest, one_of
from chandir.harness.command import launchers
from chandir.harness.command.options import SHAPED, fact, groups, settings

HYDRA = ("hydra.", "hydra/")
MOST = 100_000  # values of a range, and combinations of all sweeps
LARGEST = 2**31 - 1  # of a whole number
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
        empty = not _values(override)
    except ValueError as error:  # range(0,1,0)
        raise UserError(f"{text}: {error}: expected values that can be listed") from None
    except HydraException:  # interval(0,1)
        raise UserError(
            f"{text}: expected values that can be listed: {key}=A,B or '{key}=range(0,10,2)'"
        ) from None
    if empty:
        raise UserError(f"{text} is an empty sweep: expected at least one value")
    if override.is_delete():
        raise UserError(
            f"{text!r} would remove a setting that a trial needs; set its value instead"
        )
    if key in groups():
        options = groups()[key]
        for choice in _choices(override):
            if choice not in options:
                raise UserError(
                    f"{key}={choice}: expected {one_of(options)}{_own(key, choice, options)}"
                )
    elif key in MOVED:
        raise UserError(f"{key} is {MOVED[key]} now: expected {MOVED[key]}=...")
    elif fact(key) and "." in key:
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


def _own(group: str, choice: str, options: Iterable[str]) -> str:
    """Where a choice that there is not may be, one of the user's own or a misspelt one."""
    try:
        folder = next(iter(sorted(Path().glob(f"*/{group}/{choice}.yaml")))).parents[1]
        return f"; {folder}/{group}/{choice}.yaml is there: add --config-dir {folder}"
    except (StopIteration, OSError, ValueError):  # none, or no pattern for a file
        own = f"one of your own, FOLDER/{group}/{choice}.yaml, takes --config-dir FOLDER"
        return f"; {own}{nearest(choice, options)}"


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
            "${another.setting} or, of a text, ${oc.env:NAME}"
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
