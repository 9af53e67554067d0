"""Checkpoints: two generations, checksummed, never half-written.

A file is the SHA-256 of its payload (64 hexadecimal digits), a newline, and what `torch.save`
wrote. The newer generation is ``checkpoint.pt``, the older ``checkpoint.previous.pt``; whatever the
instant of a kill, one of them is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chandir.harness.base import files
from chandir.harness.base.errors import UserError
from chandir.harness.durable.record import unclaimed
from chandir.runfolder import reading, shapes
from chandir.runfolder import weights as kept
from chandir.runfolder.weights import CHECKPOINTS as NAMES

# Weights and Adam's two moments, in two generations and the temporary file.
COPIES = 9


class Unfit(ValueError):
    """A generation that cannot be continued from, and why."""


class Saver:
    """Saves at epoch ends, at most every so many seconds, and holds what it did not save.

    The held copy lies in the host's memory: a trial that is asked to leave loses its running epoch
    and nothing else, however seldom it saves and however short the grace.
    """

    def __init__(self, folder: Path, seconds: float, look: Callable[[], None] = unclaimed) -> None:
        """The first save is due ``seconds`` from now; ``look`` comes before each."""
        self.folder = folder
        self.look = look
        self.seconds = seconds
        self.last = time.monotonic()
        self.held: dict[str, Any] | None = None

    def offer(self, state: dict[str, Any]) -> None:
        """An epoch's end.

        Raises:
            OSError: disk full, no permission; what was there stays.
        """
        if time.monotonic() - self.last < self.seconds:
            self.held = _copy(state)
            return
        self.held = state  # a signal may cut this save short; `flush` then does it again
        self.flush()
        self.last = time.monotonic()

    def flush(self) -> None:
        """Save what is held, after the log that it relies on."""
        if self.held is not None:
            self.look()
            files.sync(self.folder / "log.jsonl")
            save(self.folder, self.held)
            self.held = None

    def weights(self, epoch: int) -> dict[str, Any] | None:
        """Those at the end of the last epoch that was offered, by this process or one before it.

        None if that is another epoch: what lies there is of an earlier try, or nothing was offered.
        """
        state = self.held if self.held is not None else load(self.folder)[0]
        return state.get("model") if state and state["epoch"] == epoch else None


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def check_space(folder: Path, model: nn.Module, keep: bool) -> None:
    """Refuse to start where the checkpoints will not fit, or the weights that are to be kept.

    Raises:
        UserError: with what is needed and what is free.
    """
    size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    need = (COPIES + keep) * size
    present = (path for path in (folder / name for name in (*NAMES, kept.NAME)) if path.exists())
    need -= sum(path.stat().st_size for path in present)  # a trial that continues has these
    free = shutil.disk_usage(folder).free
    if free < need:
        raise UserError(
            f"{folder}: {free / 1e6:.1f} MB are free: expected {need / 1e6:.1f} MB for the "
            f"checkpoints {'and the weights ' if keep else ''}of this trial; free some space, or "
            "choose another paths.results"
        )


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write a new generation and keep the one before.

    Raises:
        OSError: disk full, no permission; what was there stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    new, old = (folder / name for name in NAMES)
    try:
        fresh = files.prepare(new, hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot save a checkpoint of {len(payload) / 1e6:.1f} MB in {folder} "
            f"({error.strerror}); the one before is intact: free some space or fix the "
            "permissions, then run the same command again",
        ) from error
    if new.exists():
        os.replace(new, old)
    os.replace(fresh, new)
    files.sync_folder(folder)


def load(
    folder: Path, use: Callable[[dict[str, Any]], None] = lambda state: None
) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole generation, or None; and what was found damaged, in words.

    A damaged file before a whole one is removed: the next save would make it the older generation,
    and a kill inside that save would leave none.

    Args:
        folder: the trial's.
        use: takes a generation, or raises `Unfit`: then the one before is tried.
    """
    damaged: list[str] = []
    for name in NAMES:
        path = folder / name
        if not os.path.lexists(path):
            continue
        try:
            state = _read(path)
            use(state)
        except Unfit as why:
            damaged.append(f"{path} {why}; falling back to the generation before")
            continue
        if damaged and os.path.lexists(folder / NAMES[0]):
            (folder / NAMES[0]).unlink()
        return state, damaged
    if damaged:
        damaged.append(f"{folder} has no whole checkpoint left; starting anew")
    return None, damaged


def exist(folder: Path) -> bool:
    """Whether there is a file to continue from, whole or not."""
    return any(os.path.lexists(folder / name) for name in NAMES)


def _read(path: Path) -> dict[str, Any]:
    """A generation that is whole as far as the file alone can tell.

    Raises:
        Unfit: otherwise.
    """
    try:
        digest, _, payload = reading.content(path).partition(b"\n")
    except reading.Damaged as damage:
        raise Unfit(f"is damaged: {damage}") from None
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise Unfit("is damaged (checksum)")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever an unpickler raises on what it does not know
        raise Unfit(f"holds no checkpoint ({type(error).__name__})") from None
    try:
        if not isinstance(state, dict):
            raise reading.Damaged(f"it holds a {type(state).__name__}")
        shapes.check(state, {"epoch": shapes.COUNT}, path.name)
    except reading.Damaged as damage:
        raise Unfit(f"holds no checkpoint: {damage}") from None
    return state


def check(state: dict[str, Any]) -> None:
    """Hold a generation to what a trial continues from.

    Raises:
        Unfit: naming what is missing or of another kind.
    """
    try:
        shapes.check(state, shapes.CHECKPOINT, "it")
        for segment in state["segments"]:
            shapes.check(segment, shapes.SEGMENT, "a segment")
    except reading.Damaged as damage:
        raise Unfit(f"holds no whole checkpoint: {damage}") from None


def remove(folder: Path) -> None:
    """Drop what lies under the names of both generations; a folder there is refused later."""
    for path in (folder / name for name in NAMES):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
