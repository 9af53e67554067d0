"""Run trials: one, a sweep, or a whole artefact of the paper.

    python run.py task=digits metric=sobolev
    python run.py -m task=cifar10 metric=sobolev 'trial=range(25)'
    python run.py experiment=fig6
    python run.py --config-dir mine metric=heat      # choices of one's own: mine/metric/heat.yaml

The command line is checked as a whole before anything runs. Complete trials are skipped and
interrupted ones continued, so the same command, typed again, finishes what is left. Exit status:
0 if every trial is complete, 1 if one is not, 2 if the command line or the data was refused,
128 + n after signal n.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

try:
    import hydra
    from omegaconf import DictConfig
except ModuleNotFoundError as error:
    sys.exit(f"{error}: run make setup once, then source .venv/bin/activate")

import chandir
from chandir.harness.base import environment
from chandir.harness.base.output import outlast


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def answer(cfg: DictConfig) -> None:
    """What Hydra answers by itself: ``--help``, ``--cfg job``, ``--info``."""


def command_line(arguments: list[str]) -> int:
    """Check everything, run it, say what came of it."""
    from chandir.harness.base import folders
    from chandir.harness.base.errors import UserError
    from chandir.harness.sweep import questions, sweep

    typed = shlex.join(["python", "run.py", *arguments])
    try:
        arguments = folders.take(arguments)
    except UserError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    if questions.asked(arguments):
        try:
            arguments = questions.check(arguments)
        except UserError as error:
            print(f"refused: {error}", file=sys.stderr)
            return 2
        if questions.version(arguments):
            print(f"chandir {chandir.__version__}, torch {version('torch')}, "
                  f"Hydra {version('hydra-core')}, Python {platform.python_version()}")  # fmt: skip
        else:
            sys.argv[1:] = arguments  # without --config-dir, of which Hydra takes but one
            answer()
        return 0

    # As typed, for the record of every trial, in whatever process it runs.
    os.environ["CHANDIR_COMMAND"] = typed
    try:
        jobs = sweep.prepare(arguments)
    except UserError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    status = sweep.execute(jobs, arguments, compared)
    config = jobs[0].resolved.config
    if len(jobs) > 1 and config.paths.page is not None and not config.plan and status in (0, 1):
        write_page(Path(config.paths.results), Path(config.paths.page))
    return status


def compared(folders: Iterable[Path]) -> Mapping[Path, tuple[str, str, str]]:
    """Means and differences of complete trials as the page has them; none where that fails."""
    try:
        from chandir.report.show import terminal

        return terminal.compared(folders)
    except Exception as error:
        print(f"no differences ({type(error).__name__}: {error})", file=sys.stderr)
        return {}


def write_page(results: Path, page: Path) -> None:
    """The report at the end of a sweep. Its failure is told, and changes no trial's outcome."""
    from chandir import report

    try:
        print(f"page: {report.build(results, page)}")
    except Exception as error:
        print(f"no page ({type(error).__name__}: {error}): try scripts/report.py", file=sys.stderr)


def main(arguments: list[str]) -> int:
    """The command line, which Ctrl-C may end before trials run; once they do, they see to it."""
    try:
        return command_line(arguments)
    except KeyboardInterrupt:
        print("interrupted: the same command starts again", file=sys.stderr)
        return 130


if __name__ == "__main__":
    outlast()
    environment.settle()
    sys.exit(main(sys.argv[1:]))
