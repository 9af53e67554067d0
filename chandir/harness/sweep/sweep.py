"""From a checked command line to finished trials."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import Override

from chandir.harness.base import output, signals
from chandir.harness.base.errors import UserError
from chandir.harness.base.words import many
from chandir.harness.command import launchers
from chandir.harness.command.arguments import expand, parse, refuse_repeated
from chandir.harness.config import portable
from chandir.harness.durable.record import Record
from chandir.harness.sweep import idle, summary
from chandir.harness.sweep.attempt import attempt
from chandir.harness.sweep.complete import CHOICES, Complete, compared
from chandir.harness.sweep.differences import Differences
from chandir.harness.sweep.launch import launch
from chandir.harness.sweep.opening import opening
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.sweep.table import Compare
from chandir.harness.tracking import display
from chandir.harness.trial.origins import Here

SWEEP = ("-m", "--multirun")
CROWD = 8  # threads for each core: more only wait for each other


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
    idle.refuse_sweeps(parsed)
    swept = [item.input_line for item in parsed if item.is_sweep_override()]
    if swept and not experiment and not any(flag in arguments for flag in SWEEP):
        raise UserError(f"{swept[0]} is a sweep: expected one value; add -m to run them all")
    planned = jobs(tuple(item for item in overrides if not launchers.own(item)))
    idle.refuse_root(parsed, planned)
    if any(item.key_or_group == "checkpoint.keep" and item.value() is True for item in parsed):
        planned = [replace(job, resolved=replace(job.resolved, weights=True)) for job in planned]
    _check_launcher(parsed, planned, len(planned) > 1 or any(flag in SWEEP for flag in arguments))
    if planned[0].resolved.config.plan:
        _check_settings(parsed, planned)
    scale = planned[0].resolved.config.scale
    asked = [job for it in parsed if it.key_or_group == "trial" for job in expand([it])]
    if scale.trials is not None and len(asked) > scale.trials:
        print(f"scale={scale.name}: at most {many(scale.trials, 'trial')} of a cell run, of the "
              f"{len(asked)} asked")  # fmt: skip
    return planned


def execute(planned: list[Job], arguments: list[str], compare: Compare | None = None) -> int:
    """Run what is not complete yet, and say what came of it.

    Args:
        planned: from `prepare`.
        arguments: the command line without the program's name.
        compare: what the summary says of complete trials, see `summary.text`.

    Returns:
        The exit status: 0 complete, 1 not, 2 refused, 128 + n after signal n.
    """
    here = Here()
    if planned[0].resolved.config.plan:
        print(summary.plan_text(Complete(planned, here)))
        return 0
    for line in opening(planned, arguments):
        print(summary.fitted(line), flush=True)
    sweep = len(planned) > 1 or any(flag in arguments for flag in SWEEP)
    try:
        with signals.listening():
            before = Complete(planned, here)
            restart = before.choice == "restart"  # then data decide, whose loading loads torch
            _hold_instructions(planned if restart else before.pending)
            _check_machine(planned, arguments)
            before.refuse()  # for its code, before data are loaded
            before = compared(planned, here, launchers.elsewhere(arguments))
            before.refuse()
            pending = before.pending
            _check_needs(pending, arguments)
            _tell(before)
            if pending:
                _run(planned, pending, [item for item in arguments if launchers.own(item)], sweep)
            for each in planned:
                Record(each.folder).tidy()
    except UserError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2  # without a summary: nothing ran
    except signals.Leave as leave:
        print(f"{leave}: the same command continues", file=sys.stderr)
        print(summary.text(Complete(planned, here)))
        return 128 + leave.signum
    except BaseException:
        print(summary.text(Complete(planned, here)))
        raise
    after = Complete(planned, here)
    if output.watched() and pending and sweep:
        print()
    print(summary.text(after, compare))
    return 0 if not after.pending else 1


def _run(planned: list[Job], pending: list[Job], of_launcher: list[str], sweep: bool) -> None:
    """Run trials, and show how far they are."""
    with display.shown(Differences(planned).planned(pending), len(planned) - len(pending)):
        if sweep:
            launch(pending, of_launcher)
        else:
            attempt(pending[0])


def _tell(before: Complete) -> None:
    """What is complete, and what becomes of it."""
    stand = len(before.jobs) - len(before.pending)
    if stand:
        were = f"{stand} of {many(len(before.jobs), 'trial')} {'was' if stand == 1 else 'were'}"
        print(f"{'the trial was' if len(before.jobs) == 1 else were} complete already")
    lines = before.told()
    if lines:
        lines.append(f"  {CHOICES[before.choice]}")
    for line in [*lines, *before.notes()]:
        print(line, flush=True)


def _check_launcher(parsed: list[Override], planned: list[Job], sweep: bool) -> None:
    """Refuse what the launcher would ignore."""
    for item in parsed:
        key = item.key_or_group
        alone = key == launchers.GROUP and item.value() not in ("local", "basic")
        if not sweep and (alone or key.startswith(launchers.SETTING)):
            raise UserError(f"{item.input_line} has no effect on one trial; add -m, or remove it")
        levels = {job.resolved.config.determinism for job in planned} - {"fast"}
        if key == f"{launchers.SETTING}stack" and item.value() not in (0, 1) and levels:
            raise UserError(
                f"{item.input_line} has no effect with determinism={levels.pop()}, which fixes the "
                "bits of a trial alone: expected determinism=fast; set it, or remove the stack"
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


def _check_settings(parsed: list[Override], planned: list[Job]) -> None:
    """Build each task and network that the command line changes, without data.

    Constructors refuse what the schema cannot. The files' own settings need no such look, which
    takes seconds, for it imports torch.
    """
    groups = {item.key_or_group.partition(".")[0] for item in parsed if "." in item.key_or_group}
    if not groups & {"task", "model"}:
        return
    from chandir.harness.trial import data

    configs = [job.resolved.config for job in planned]
    for config in {id(each.task): each for each in configs}.values():
        data.build(config)
    if "model" in groups:
        for config in {id(each.model): each for each in configs}.values():
            data.check_network(config)


def _check_machine(planned: list[Job], arguments: list[str]) -> None:
    """Refuse what this machine does not have, also where every trial is complete.

    Raises:
        UserError: for a device that is not there, a launcher without its program, more threads
            than cores can serve.
    """
    launchers.check_installed(arguments)
    if launchers.elsewhere(arguments):
        return
    configs = {id(job.resolved.config.task): job.resolved.config for job in planned}.values()
    workers = [item for item in arguments if item.startswith(f"{launchers.SETTING}workers=")]
    asked = int(workers[0].partition("=")[2]) if workers else 1
    cores = len(os.sched_getaffinity(0))
    threads = max(config.threads for config in configs) * max(1, min(asked, len(planned)))
    if threads > CROWD * cores:
        given = " ".join([*workers, f"threads={max(config.threads for config in configs)}"])
        raise UserError(
            f"{given}: {threads} threads on {cores} cores only wait for each other: expected at "
            f"most {CROWD * cores} at a time"
        )
    for config in configs:
        if config.device.startswith("cuda"):
            from chandir.harness.trial import devices

            devices.select(config)


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

    from chandir.harness.gpu import stack
    from chandir.harness.trial import data, devices, graph

    elsewhere = launchers.elsewhere(arguments)
    lanes = [item for item in arguments if re.fullmatch(r"hydra\.launcher\.stack=[1-9]\d*", item)]
    _check_folders(pending)
    configs = [job.resolved.config for job in pending]
    for config in {f"{each.model} {each.task.shape}": each for each in configs}.values():
        data.check_network(config)
    for job in pending:  # cached: one load per data set
        config = job.resolved.config
        device = torch.device("cpu") if elsewhere else devices.select(config)
        task = data.load(config, device)
        data.check_batch(config, task)
        if elsewhere:
            continue
        graph.wanted(config, task, device)
        if lanes and not lanes[0].endswith("=1") and (why := stack.unfit(config, task)):
            raise UserError(f"{lanes[0]} has no effect: {why}")
