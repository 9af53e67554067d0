"""Many comparisons at once: Holm's step-down procedure, and the level at which each one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tested:
    """A comparison as a member of its family.

    Attributes:
        p: The p-value adjusted for the family, at most 1.
        level: Of the interval that belongs to it: this interval leaves zero out exactly where the
            adjusted p is at most 0.05.
    """

    p: float
    level: float


def holm(p_values: Sequence[float | None], alpha: float = 0.05) -> list[Tested | None]:
    """Adjust a family's p-values (Holm, Scand. J. Stat. 1979).

    The i-th smallest of k is tested at alpha / (k - i), i = 0, 1, ..., until one fails; all further
    ones stand at the level at which that one failed. A comparison that was declared and has no
    p-value yet counts in k, as if it were 1: what is run first is not judged by a milder rule.
    """
    k = len(p_values)
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    found: list[Tested | None] = [None] * k
    adjusted, rejected = 0.0, 0
    for rank, (p, i) in enumerate(order):
        adjusted = max(adjusted, min(1.0, (k - rank) * p))
        found[i] = Tested(adjusted, 1 - alpha / (k - rejected))
        rejected += adjusted <= alpha
    return found
