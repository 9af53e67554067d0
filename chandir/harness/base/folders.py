"""Where configuration files are: ``conf``, and folders of a user's own beside it.

A folder of one's own is laid out like ``conf``: ``metric/heat.yaml`` makes ``metric=heat`` one
more choice.
``run.py --config-dir FOLDER`` names one, the variable CHANDIR_CONF several, separated as in PATH.
Hydra searches them (``hydra_plugins/chandir_search_path.py``), and Python finds modules in them, so
that ``_target_: heat.Heat`` is the class of ``FOLDER/heat.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from chandir.harness.base.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
CONF = ROOT / "conf"
VARIABLE = "CHANDIR_CONF"  # children of this process, and jobs that it submits, inherit it
FLAGS = ("--config-dir", "-cd")


def take(arguments: list[str]) -> list[str]:
    """The arguments without ``--config-dir FOLDER``, which is added to the folders.

    Raises:
        UserError: for a folder that is not there, or holds no option of any group.
    """
    for folder in own():
        if not folder.is_dir():
            raise UserError(f"{VARIABLE}: {folder}: expected a folder laid out like conf")
    left, waiting = [], list(arguments)
    while waiting:
        argument = waiting.pop(0)
        flag, _, value = argument.partition("=")
        if flag not in FLAGS:
            left.append(argument)
            continue
        value = value or (waiting.pop(0) if waiting else "")
        folder = Path(value).expanduser().resolve()
        if not value or not folder.is_dir():
            raise UserError(f"{flag} {value}: expected a folder laid out like conf")
        if os.pathsep in str(folder):
            raise UserError(f"{flag} {value}: expected a path without {os.pathsep}; rename it")
        if not any(_files(folder)):
            raise UserError(
                f"{flag} {value}: expected a folder laid out like conf, such as "
                f"{Path(value) / 'metric' / 'mine.yaml'}; it has no option of any group"
            )
        if folder not in own():
            os.environ[VARIABLE] = os.pathsep.join(map(str, [*own(), folder]))
    return left


def _files(folder: Path) -> Iterator[Path]:
    """The files of options in a folder laid out like ``conf``; what else is in it is the user's."""
    for group in sorted(group.name for group in CONF.iterdir() if group.is_dir()):
        yield from sorted((folder / group).glob("*.yaml"))


def own() -> tuple[Path, ...]:
    """The user's own folders."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return tuple(Path(name).expanduser().resolve() for name in named if name)


def importable() -> None:
    """Let Python find the modules in the user's own folders, after all others."""
    sys.path += [str(folder) for folder in own() if str(folder) not in sys.path]


def options() -> dict[tuple[str, str], Path]:
    """The file of each option, by group and name.

    Raises:
        UserError: for two files of one option, of which Hydra would take the first.
    """
    return _options(own())


@cache
def _options(folders: tuple[Path, ...]) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    for file in (file for folder in (CONF, *folders) for file in _files(folder)):
        name = (file.parent.name, file.stem)
        if name in found:
            raise UserError(
                f"{file}: {name[0]}={name[1]} is {found[name]} already; rename one of them"
            )
        found[name] = file
    return found


def shown(path: Path) -> Path:
    """A path as a reader finds it: whole, where the program was not started from its folder."""
    return path if Path.cwd() == ROOT else path.absolute()


def roots() -> Iterator[Path]:
    """Folders whose Python files are sources: this project's and the user's own."""
    yield ROOT
    yield from own()
