"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chandir.report.statistics import Summary

MINUS, DASH = "\N{MINUS SIGN}", "\N{EM DASH}"


def decimals(
    smallest: float, ends: Sequence[float] | None = None, limits: Iterable[float] = ()
) -> int:
    """Return one decimal more than the smallest difference that counts has, at least two.

    And up to three more, where an end of an interval would else be rounded onto a limit that
    decides the verdict, or across it: the reader sees on which side it lies.
    """
    least = max(2, 1 - math.floor(math.log10(smallest)))
    sides = [(end, limit) for limit in limits for end in ends or ()]
    return next(
        (d for d in range(least, least + 3)
         if all(_side(float(f"{end:.{d}f}"), x) == _side(end, x) for end, x in sides)),
        least + 3,
    )  # fmt: skip


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def number(value: float | None, digits: int, sign: bool = False, unit: str = "") -> str:
    """Return a number, a typographic minus and no signed zero; a dash for None."""
    if value is None:
        return DASH
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")  # no signed zero
    return text.replace("-", MINUS) + unit


def spread(summary: Summary | None, digits: int) -> str:
    """Return mean ± sd."""
    if summary is None:
        return DASH
    mean = number(summary.mean, digits)
    return mean if summary.sd is None else f"{mean} ± {number(summary.sd, digits)}"


def interval(interval: tuple[float, float] | None, digits: int, sign: bool = False) -> str:
    """Return [low, high]."""
    if interval is None:
        return DASH
    return "[" + ", ".join(number(bound, digits, sign) for bound in interval) + "]"


def bounded(
    interval: tuple[float, float] | None, score: Mapping[str, Any]
) -> tuple[float, float] | None:
    """Return what of a mean's interval its score can reach: no accuracy lies beyond 100 %.

    A mean is within its score's range whatever the interval, so that the part within covers it as
    often as the whole.
    """
    if interval is None:
        return None
    low, high = interval
    top = 100.0 if score.get("unit") == "%" else math.inf
    bottom = 0.0 if score.get("unit") == "%" or "fid" in str(score["name"]) else -math.inf
    return max(low, bottom), min(high, top)


def counted(n: int, noun: str) -> str:
    """Return "1 trial", "2 trials"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def p_value(value: float | None) -> str:
    """Return a p-value, three decimals."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def deviations(labels: Iterable[str], where: str = "", separator: str = "; ") -> str:
    """Return "not as in the paper: ..." for all labels; what says so itself stands before it."""
    distinct = list(dict.fromkeys(labels))
    own = [label for label in distinct if "not in the paper" in label]
    rest = separator.join(label for label in distinct if label not in own)
    return "; ".join([*own, *([f"not as in the paper{where}: {rest}"] if rest else [])])


def score(name: str) -> str:
    """Return a score's name in words: ``test accuracy``, ``test FID``, ``train IoU``."""
    spelt = {"fid": "FID", "kid": "KID", "iou": "IoU"}
    return " ".join(spelt.get(word, word) for word in name.split("_"))
