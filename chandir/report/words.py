"""Numbers as people read them."""

from __future__ import annotations

from chandir.report.statistics import Summary

MINUS, DASH = "\N{MINUS SIGN}", "\N{EM DASH}"


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


def p_value(value: float | None) -> str:
    """Return a p-value, three decimals."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
