"""The options of each configuration group: what their files say, and which keys they bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError
from chandir.harness.base.folders import CONF

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
        content = content_of(file)
        content.pop("defaults", None)
        if "@package _global_" not in text.partition("\n")[0]:
            content = {group: content}
        stated = content.get(group)
        if isinstance(stated, dict) and "_target_" in stated and stated.get("name") != option:
            raise UserError(f"{file}: expected name: {option}, as the file is called")
        found.setdefault(group, {})[option] = {key for key, _ in flatten(content)}
    return found


@cache
def main() -> dict[str, Any]:
    """What the main configuration file says."""
    return content_of(CONF / "config.yaml")


def content_of(file: Path) -> dict[str, Any]:
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
    keys = {key for key, _ in flatten(main()) if not key.startswith(("defaults", "hydra"))}
    for options in groups().values():
        keys |= set().union(*options.values())
    return {key for key in keys if not fact(key)}


@cache
def stated(group: str, option: str) -> dict[str, Any]:
    """What an option's file says of its own group, as written there."""
    content = content_of(folders.options()[group, option])
    return dict(content.get(group, content))


@cache
def default(group: str, option: str, other: str) -> str:
    """The choice of another group that goes with an option: its file's, or the main file's."""
    found = None
    for content in (main(), content_of(folders.options()[group, option])):
        for item in content.get("defaults", []):
            for key, value in item.items() if isinstance(item, dict) else ():
                if str(key).removeprefix("override").strip(" /") == other:
                    found = value
    return str(found)


def fact(key: str) -> bool:
    """What a file states about itself: which choice it is, how it is built, Table 1."""
    leaf = key.rsplit(".", 1)[-1]
    named = leaf == "name" and key != "data.name"
    below = any(key == fact or key.startswith(f"{fact}.") for fact in FACTS)
    return named or below or leaf == "_target_" or key.startswith("experiment.")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of nested settings and what it holds: ``a``, settings themselves, and ``a.b``."""
    for key, value in tree.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")


def owners(key: str) -> dict[str, list[str]]:
    """Which options bring a key: ``optimizer.sigma`` -> ``{"optimizer": ["LS"]}``."""
    found = {
        group: [option for option, keys in options.items() if key in keys]
        for group, options in groups().items()
    }
    return {group: options for group, options in found.items() if options}
