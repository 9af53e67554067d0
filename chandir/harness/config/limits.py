"""Which numbers and texts a setting may have, whatever it means: what is computed with, and stored.

Numbers are computed with in float32, whose range is 1e±38: a setting beyond it becomes infinite or
zero without a word, and products of settings have to stay in it.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticCustomError

SINGLE = 1e30  # of a learning rate, a decay, a time
STRENGTH = 1e15  # of a metric's lam, weight and scale, of which products are taken
WHOLE = 2**31 - 1
WANDB = 128  # characters of W&B's names
NAME, PATH = 255, 3000  # bytes of a path's component, and of all, that file systems take


def single(value: float) -> float:
    """0, or within what float32 holds."""
    return _within(value, SINGLE)


def strength(value: float) -> float:
    """0, or such that products of two are within what float32 holds."""
    return _within(value, STRENGTH)


def _within(value: float, most: float) -> float:
    if value and not 1 / most <= value <= most:
        raise PydanticCustomError("range", f"a number from {1 / most:g} to {most:g}")
    return value


def below_one(value: float) -> float:
    """Below 1 in float32 too."""
    if struct.unpack("f", struct.pack("f", value))[0] >= 1:
        raise PydanticCustomError("range", "a number less than 1, as float32 holds it")
    return value


def text(value: str) -> str:
    """Something to read: not blank, and not OmegaConf's mark of what is missing."""
    if not value.strip() or value == "???":
        raise PydanticCustomError("text", "some text")
    if not value.isprintable():
        raise PydanticCustomError("text", "text without control characters")
    return value


def project(value: str) -> str:
    """The name of a project that W&B takes."""
    if len(value) > WANDB or set(value) & set("/\\#?%:"):
        raise PydanticCustomError("text", f"at most {WANDB} characters, none of them of /\\#?%:")
    return value


def place(value: str) -> str:
    """A path that a file system can hold, with room for a trial's folder below."""
    longest = max(len(os.fsencode(part)) for part in value.split("/"))
    if longest > NAME or len(os.fsencode(value)) > PATH:
        raise PydanticCustomError(
            "place", f"a path of at most {PATH} bytes, none of its names longer than {NAME}"
        )
    return value


def expanded(value: str) -> str:
    """The path with ``~`` as a shell would read it."""
    path = os.path.expanduser(value)
    if path.startswith("~"):
        raise PydanticCustomError("place", "a path; ~ is a user's home, ./~ a folder")
    return path


def absurd(settings: Any, key: str = "") -> Iterator[str]:
    """What no setting may be, each as a sentence: for those that tasks and networks define."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from absurd(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list):
        for value in settings:
            yield from absurd(value, key)
    elif isinstance(settings, bool):
        return
    elif isinstance(settings, int) and abs(settings) > WHOLE:
        yield f"{key}={settings}: expected a whole number up to {WHOLE:,}"
    elif isinstance(settings, float) and not (math.isfinite(settings) and abs(settings) <= SINGLE):
        yield f"{key}={settings}: expected a finite number up to {SINGLE:g}"
    elif settings == "???":
        yield f"{key}=???: expected a value"
