"""Optimizers that are only looked at, without the seconds that torch's compiler takes to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

MARK = "__dynamo_disable"


@contextmanager
def light() -> Iterator[None]:
    """While this lasts, making an optimizer does not import ``torch._dynamo``.

    torch keeps its compiler off `Optimizer.add_param_group`, for which it imports it, at the first
    call; a plan makes optimizers, and none of them takes a step. With a torch that does otherwise
    this changes nothing.
    """
    kept_off: Any = getattr(Optimizer.add_param_group, "__wrapped__", None)
    if kept_off is None or hasattr(kept_off, MARK):
        yield
        return
    setattr(kept_off, MARK, kept_off)
    try:
        yield
    finally:
        delattr(kept_off, MARK)
