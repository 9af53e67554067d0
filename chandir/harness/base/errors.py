"""Errors that a user can act on: shown without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A bad setting, a missing file, a busy trial: value, expectation and remedy in one message."""


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that the host or the device has no memory left."""
    text = f"{type(error).__name__}: {error}"
    # Beside torch's allocator, what CUDA, cuBLAS and cuDNN say when there is nothing left for them.
    signs = ("OutOfMemory", "MemoryError", "out of memory", "allocate memory", "ALLOC_FAILED",
             "STATUS_NOT_INITIALIZED", "unable to find an engine")  # fmt: skip
    return any(sign in text for sign in signs)


def nearest(word: str, valid: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the valid name most like ``word``, or the empty string.

    A name without its group finds the full one: ``lam`` is near ``metric.lam``.
    """
    valid = sorted(valid)
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in valid}
    leaf = word.rsplit(".", 1)[-1]
    if leaf in by_leaf:  # the right name in the wrong group, or without one: lam for metric.lam
        return f"; did you mean '{by_leaf[leaf]}'?"
    match = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    if match and difflib.SequenceMatcher(None, leaf, match[0].rsplit(".", 1)[-1]).ratio() < 0.4:
        return ""  # alike in their group alone: metric.floor, metric.lam
    return f"; did you mean '{match[0]}'?" if match else ""


def one_of(names: Iterable[str]) -> str:
    """``a, b or c``; ``none`` of no names."""
    names = list(names) or ["none"]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
