"""When a figure is worth drawing: where it compares, or where it shows a spread."""

from __future__ import annotations

from collections.abc import Iterable, Sized


def worth(arms: Iterable[Sized]) -> bool:
    """Whether there are two arms, or two trials of one: a lone trial is a number, not a figure.

    Args:
        arms: Of each arm, its trials or their values; one without any is none.
    """
    sizes = [len(arm) for arm in arms]
    return sum(n > 0 for n in sizes) > 1 or max(sizes, default=0) > 1
