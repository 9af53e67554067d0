"""From a checked command line to finished trials, through Hydra's launcher."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from chandir.harness import cell, portable, signals, summary
from chandir.harness.arguments import HYDRA, expand, parse, refuse_repeated
from chandir.harness.errors import UserError, out_of_memory
from chandir.harness.plan import Job, jobs
from chandir.harness.record import Record
from chandir.harness.resolve import resolve

SWEEP = ("-m", "--multirun")
DONE, FAILED, MEMORY = "done", "failed", "out of memory"  # how a trial ended
SLURM = re.compile(r"hydra/launcher=.*slurm")


def prepare(arguments: list[str]) -> list[Job]:
    """Every trial asked for, with the data it needs in place.

    Args:
        arguments: the command line without the program's name.

    Raises:
        UserError: for anything that would fail or be ignored later.
    """
    overrides = [item for item in arguments if not item.startswith("-")]
    for flag in arguments:
        if flag.startswith("-") and flag not in SWEEP:
            raise UserError(f"{flag}: there is no such flag; expected key=value, or -m for a sweep")
    parsed = parse(overrides)
    refuse_repeated(parsed)
    experiment = any(item.key_or_group == "experiment" for item in parsed)
    _refuse_idle_sweeps(parsed)
    swept = [item.input_line for item in parsed if item.is_sweep_override()]
    if swept and not experiment and not any(flag in arguments for flag in SWEEP):
        raise UserError(f"{swept[0]} is a sweep: expected one value; add -m to run them all")
    planned = jobs(tuple(item for item in overrides if not item.startswith(HYDRA)))
    _check_launcher(parsed, planned, len(planned) > 1 or any(flag in SWEEP for flag in arguments))
    if planned[0].resolved.config.plan:
        _check_settings(planned)
    scale = planned[0].resolved.config.scale
    asked = [job for it in parsed if it.key_or_group == "trial" for job in expand([it])]
    if scale.trials is not None and len(asked) > scale.trials:
        print(f"scale={scale.name}: at most {scale.trials} trials of a cell run, of the "
              f"{len(asked)} asked")  # fmt: skip
    return planned


def execute(planned: list[Job], arguments: list[str], main: Callable[[], object]) -> int:
    """Run what is not complete yet, and say what came of it.

    Args:
        planned: from `prepare`.
        arguments: the command line without the program's name.
        main: Hydra's entry point; reads ``sys.argv``.

    Returns:
        The exit status: 0 complete, 1 not, 2 refused, 128 + n after signal n.
    """
    if planned[0].resolved.config.plan:
        print(summary.plan_text(planned))
        return 0
    single = len(planned) == 1
    try:
        with signals.listening():
            pending = [job for job in planned if not Record(job.folder).complete]
            _hold_instructions(pending)
            _check_needs(pending, arguments)
            # Hydra reads overrides on one side of -m only; an experiment is a sweep.
            flags = ["--multirun"] * (not single or any(flag in arguments for flag in SWEEP))
            sys.argv[1:] = [*flags, *(item for item in arguments if not item.startswith("-"))]
            if len(pending) < len(planned):
                done = len(planned) - len(pending)
                print(f"{done} of {len(planned)} trials were complete already")
            if pending:
                main()
            for each in planned:
                Record(each.folder).tidy()
    except UserError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2  # without a summary: nothing ran
    except signals.Leave as leave:
        print(f"{leave}: the same command continues", file=sys.stderr)
        print(summary.text(planned))
        return 128 + leave.signum
    except BaseException:
        print(summary.text(planned))
        raise
    print(summary.text(planned))
    return 0 if summary.complete(planned) else 1


def job(composed: dict[str, Any], bar: bool = True) -> bool:
    """One trial. A failure is recorded, told, and left to the summary.

    Args:
        composed: the configuration as Hydra composed it, as plain dictionaries.
        bar: show a progress bar, if this is a terminal.

    Returns:
        Whether the trial is complete.

    Raises:
        Leave: for a signal.
        SystemExit: if the GPU is lost to this process.
    """
    return attempt(composed, bar) == DONE


def attempt(composed: dict[str, Any], bar: bool = True) -> str:
    """As `job`, but says DONE, FAILED, or MEMORY: a failure that less company may cure."""
    from chandir.harness import devices
    from chandir.harness.trial import run

    resolved = resolve(composed)
    folder = cell.folder(resolved)
    with signals.listening():
        signals.check()
        try:
            run(resolved, folder, bar)
            return DONE
        except Exception as error:
            outcome = _failed(folder, error)
        devices.free()
        return outcome


def attempt_all(
    composed: list[dict[str, Any]], size: int, ended: Callable[[int, str], bool]
) -> None:
    """Trials in a stack.

    Args:
        composed: their configurations.
        size: so many side by side.
        ended: told of each trial's end, by its place in the list, as `attempt` says it; false
            starts no further one.

    Raises:
        Leave: for a signal.
        SystemExit: if the GPU is lost to this process.
    """
    from chandir.harness import lanes

    trials = [(it, cell.folder(it)) for it in map(resolve, composed)]

    def told(trial: lanes.Trial, error: Exception | None) -> bool:
        return ended(trials.index(trial), DONE if error is None else _failed(trial[1], error))

    with signals.listening():
        signals.check()
        lanes.run(trials, size, told)


def _failed(folder: Path, error: Exception) -> str:
    """Tell of a failure, and let go of what its frames hold."""
    outcome = _told(folder, error)
    traceback.clear_frames(error.__traceback__)
    return outcome


def _told(folder: Path, error: Exception) -> str:
    if isinstance(error, UserError):
        print(f"failed: {error}", file=sys.stderr, flush=True)
        return FAILED
    traceback.print_exception(error)
    print(f"failed: {folder}: {error}{_remedy(error)}", file=sys.stderr, flush=True)
    if out_of_memory(error):
        return MEMORY
    if "CUDA error" in str(error):  # it sticks to the process: nothing more can run here
        raise SystemExit(1) from None
    return FAILED


def task(composed: dict[str, Any]) -> bool:
    """One trial, as Hydra's launchers call it.

    Raises:
        SystemExit: after a failure under ``on_error=stop``, which ends the sweep.
    """
    done = job(composed)
    if not done and composed["on_error"] == "stop":
        raise SystemExit(1)
    return done


def _remedy(error: Exception) -> str:
    if out_of_memory(error):
        return (
            "\nout of memory: fewer hydra.launcher.workers, or a smaller task.batch_size (labelled)"
        )
    if any(words in str(error) for words in ("No space left", "Disk quota")):
        return "\nfree some space; the same command continues"
    return ""


def _check_launcher(parsed: list[Override], planned: list[Job], sweep: bool) -> None:
    """Refuse what the local launcher would ignore."""
    for item in parsed:
        key = item.key_or_group
        alone = key == "hydra/launcher" and item.value() not in ("local", "basic")
        if not sweep and (alone or key.startswith("hydra.launcher.")):
            raise UserError(f"{item.input_line} has no effect on one trial; add -m, or remove it")
        if key not in ("hydra.launcher.workers", "hydra.launcher.stack"):
            continue
        value = item.value()
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UserError(f"{item.input_line}: expected a whole number, or 0, which chooses")
        levels = {job.resolved.config.determinism for job in planned} - {"fast"}
        if key.endswith("stack") and value > 1 and levels:
            raise UserError(
                f"{item.input_line} has no effect with determinism={levels.pop()}, which fixes the "
                "bits of a trial alone: expected determinism=fast; set it, or remove the stack"
            )


def _refuse_idle_sweeps(parsed: list[Override]) -> None:
    """Refuse a sweep over what tells no cells apart: its values would be one and the same cell."""
    for item in parsed:
        key = item.key_or_group
        idle = key.split(".")[0] in {*cell.NOT_SCIENTIFIC, "plan"} - {"trial"}
        if item.is_sweep_override() and (idle or key in ("data.root", "data.verify")):
            raise UserError(
                f"{item.input_line} is a sweep over a setting that tells no cells apart, so that "
                "only its first value would run: expected one value"
            )


def _check_folders(pending: list[Job]) -> None:
    """Refuse a place for results that cannot be written to.

    Raises:
        UserError: with what the system says.
    """
    for root in {Path(job.resolved.config.paths.results) for job in pending}:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise UserError(
                f"paths.results={root}: {error.strerror}: expected a folder to write to; choose "
                "another one"
            ) from None


def _check_settings(planned: list[Job]) -> None:
    """Build each task, without its data: constructors refuse what the schema cannot."""
    from chandir.harness import data

    for config in {str(job.resolved.config.task): job.resolved.config for job in planned}.values():
        data.build(config)


def _hold_instructions(pending: list[Job]) -> None:
    """Under ``determinism=portable``, limit what torch will find; nothing has loaded it yet.

    Raises:
        UserError: for trials of both kinds, and as `portable.hold`.
    """
    levels = {job.resolved.config.determinism for job in pending}
    if "portable" in levels and len(levels) > 1:
        raise UserError(
            f"determinism={','.join(sorted(levels))}: a process has one instruction set: expected "
            "portable for all trials of a command, or for none; run them apart"
        )
    if "portable" in levels:
        portable.hold()


def _check_needs(pending: list[Job], arguments: list[str]) -> None:
    """Build each network and load each data set once, before the first trial.

    What cannot be built, downloaded or verified is told here, and once; if the trials run
    elsewhere, without asking for their device here.
    """
    import torch

    from chandir.harness import data, devices, graph, stack

    elsewhere = any(SLURM.match(item) for item in arguments)
    lanes = [item for item in arguments if re.fullmatch(r"hydra\.launcher\.stack=[1-9]\d*", item)]
    _check_folders(pending)
    configs = [job.resolved.config for job in pending]
    for config in {f"{each.model} {each.task.shape}": each for each in configs}.values():
        data.check_network(config)
    for job in pending:  # cached: one load per data set
        config = job.resolved.config
        device = torch.device("cpu") if elsewhere else devices.select(config)
        task = data.load(config, device)
        if elsewhere:
            continue
        graph.wanted(config, task, device)
        if lanes and not lanes[0].endswith("=1") and (why := stack.unfit(config, task)):
            raise UserError(f"{lanes[0]} has no effect: {why}")
