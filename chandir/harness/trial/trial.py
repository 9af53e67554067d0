"""One trial, top to bottom."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chandir import correlation
from chandir.harness.base import files, signals
from chandir.harness.base.errors import UserError
from chandir.harness.cells.resolve import Resolved
from chandir.harness.durable import weights
from chandir.harness.durable.claim import Held, Lost, claim
from chandir.harness.durable.provenance import continued, note, provenance, segment
from chandir.harness.durable.record import Record, result
from chandir.harness.parts import optimizers
from chandir.harness.tracking.progress import Progress
from chandir.harness.tracking.tracker import Tracker
from chandir.harness.trial import checkpoint, data, devices, origins
from chandir.harness.trial.loop import Epoch, Request, steps_per_epoch, train_epoch
from chandir.harness.trial.resume import resume
from chandir.harness.trial.seeding import Streams, seed

Course = Generator[Request, Epoch, dict[str, Any]]  # a trial: asks for epochs, ends in its result


class Retry(Exception):
    """Thrown into a course: save what is done and leave; the trial is started again."""


def run(resolved: Resolved, folder: Path) -> dict[str, Any]:
    """Run a trial, or continue it, or return its result if it is complete.

    Under ``on_change=restart`` a complete one of other code or data runs again.

    Args:
        resolved: the configuration.
        folder: its run folder.

    Returns:
        The content of ``final.json``.

    Raises:
        Busy: if another process runs it.
        Leave: for a signal; the end of the last whole epoch is saved.
        UserError: for data or settings that do not fit; anything else is a fault of the program.
            The traceback is in ``error.txt``.
    """
    trial = course(resolved, folder)
    go_on: Callable[[], Request] = partial(next, trial)
    try:
        while True:
            try:
                request = go_on()
            except StopIteration as done:
                return dict(done.value)
            try:
                go_on = partial(trial.send, train_epoch(*request))
            except BaseException as error:  # it is the trial's, which saves and tells
                go_on = partial(trial.throw, error)
    finally:
        del go_on  # an error in it would hold this frame, and so itself and the trial's memory


def course(resolved: Resolved, folder: Path, lanes: int = 1) -> Course:
    """A trial, but for the training of its epochs, which whoever drives it is asked for.

    Args:
        resolved: the configuration.
        folder: its run folder.
        lanes: trials that train in one stack with it, for the record.

    Yields:
        The epoch to train; takes what it measured. An error in it is thrown in.

    Raises:
        Retry: as thrown in, once the end of the last whole epoch is saved. Otherwise as `run`.
    """
    record = Record(folder)
    if record.complete and not origins.again(resolved, folder):
        return record.final()
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder) as held:
        again = origins.again(resolved, folder)
        if record.complete and not again:  # the owner before us finished it
            return record.final()
        if why := again or record.damage():
            print(f"{folder}: {why}: the trial runs again", flush=True)
        files.clean(folder)
        record = Record(folder, held.look)
        saver = checkpoint.Saver(folder, resolved.config.checkpoint.seconds, held.look)
        tracker = Tracker(resolved.config.tracker, folder)
        try:
            return (yield from _train(resolved, record, saver, tracker, lanes))
        except (signals.Leave, Retry):
            try:
                saver.flush()
            except (OSError, Lost) as error:  # what asked to leave is raised, all the same
                _tell(held)
                print(f"{folder}: not saved: {error}", file=sys.stderr, flush=True)
            raise
        except Exception:
            _tell(held)
            with contextlib.suppress(OSError, Lost):
                saver.flush()  # the end of the last whole epoch
            raise
        finally:
            tracker.close()


def _tell(held: Held) -> None:
    """Leave the traceback of the error under way, in a folder that is still ours."""
    text = traceback.format_exc().encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):  # the disk may be what failed
        if held.ours():
            files.write(held.path.parent / "error.txt", text)


def _train(
    resolved: Resolved,
    record: Record,
    saver: checkpoint.Saver,
    tracker: Tracker,
    lanes: int,
) -> Course:
    config = resolved.config
    note(config)
    device = devices.select(config)
    devices.set_up(config, device)
    task = data.load(config, device)
    torch.manual_seed(seed(config.trial, "init"))
    model = data.build_model(config).to(device)
    checkpoint.check_space(record.folder, model, config.checkpoint.keep)
    streams = Streams(config.trial)
    steppers = {
        player: optimizers.build(config, network, player)
        for player, network in task.players(model).items()
    }
    origin = provenance(config, device, task.checksum, lanes)
    state = resume(record, config, origin, model, steppers, streams)
    origin["segments"] = continued(state["segments"], segment(origin, state["epoch"]))
    record.open(resolved.plain() | {"score": task.score}, origin)
    rows = record.truncate(state["epoch"])
    tracker.start()

    assert config.task.epochs is not None
    assert config.task.batch_size is not None
    assert config.task.evaluate_every is not None
    steps = steps_per_epoch(task, config)
    if not steps:
        raise UserError(
            f"task.batch_size={config.task.batch_size}: expected at most the {task.train_size} "
            "training images, since a batch that is not full is dropped; make it smaller"
        )
    images = min(steps * config.task.batch_size, task.train_size)  # of an epoch
    progress = Progress(
        record.folder, steps * config.task.epochs, steps * state["epoch"], task.score
    )
    seconds, diverged = state["seconds"], None

    def tick() -> None:
        signals.check()
        progress.tick()

    for epoch in range(state["epoch"] + 1, config.task.epochs + 1):
        rates = optimizers.begin_epoch(steppers, config, epoch)
        trained = yield Request(task, model, steppers, streams, config, device, tick)
        if trained.bad_step is None and not _finite(model):  # the last update, after its loss
            trained = replace(trained, bad_step=trained.steps - 1)
        start = time.monotonic()
        model.eval()
        last = epoch == config.task.epochs or trained.bad_step is not None
        tested: dict[str, float] = {}
        if last or epoch % config.task.evaluate_every == 0:
            with torch.no_grad(), devices.autocast(config, device):
                tested = task.evaluate(model, last)
        seconds += trained.seconds / trained.lanes + time.monotonic() - start
        row = {"epoch": epoch, **rates, **trained.scores, **tested, "seconds": trained.seconds}
        if "against" in task.score and tested:
            row["generalisation_gap"] = row[task.score["against"]] - row[task.score["name"]]
        row["images_per_second"] = images / max(trained.seconds, 1e-9)
        record.append(row)
        rows.append(row)
        progress.epoch(row)
        if trained.bad_step is not None:
            diverged = {
                "epoch": epoch,
                "step": (epoch - 1) * steps + trained.bad_step,
                "last_good_epoch": epoch - 1,
            }
            break
        if epoch < config.task.epochs:
            saver.offer(_state(epoch, seconds, origin, model, steppers, streams))

    record.look()
    task.finish(model, record.folder)
    # Weights that are not finite have no correlation, nor has a network without convolutions.
    if diverged is None and any(True for _ in correlation.kernels(model)):
        record.put("correlation.json", correlation.summary(model))
    files.sync(record.folder / "log.jsonl")
    totals = {
        "epochs": len(rows),
        "steps": len(rows) * steps,
        "images": len(rows) * images,
        "seconds": seconds,
    }
    final = result(rows, task.score, config.trial, totals, diverged)
    if config.checkpoint.keep:
        kept = saver.weights(epoch - 1) if diverged else model.state_dict()  # the last good ones
        if kept is not None:
            record.look()
            weights.write(record.folder, kept)
    record.put("final.json", final)
    record.tidy()
    return final


@torch.no_grad()
def _finite(model: nn.Module) -> bool:
    """Whether every weight and buffer is, running statistics included; waits for the device."""
    numbers = [t for t in model.state_dict().values() if t.is_floating_point()]
    return bool(torch.stack([t.isfinite().all() for t in numbers]).all())


def _state(
    epoch: int,
    seconds: float,
    origin: dict[str, Any],
    model: nn.Module,
    steppers: dict[str, torch.optim.Optimizer],
    streams: Streams,
) -> dict[str, Any]:
    """Everything that `resume` needs."""
    return {
        "epoch": epoch,
        "seconds": seconds,
        "model": model.state_dict(),
        "optimizers": {name: each.state_dict() for name, each in steppers.items()},
        "streams": streams.state(),
        "sources": origin["sources"],
        "data": origin["data"]["checksum"],
        "segments": origin["segments"],
    }
