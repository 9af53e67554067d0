"""Counts and times in words."""

from __future__ import annotations


def many(count: int, noun: str, nouns: str = "") -> str:
    """``1 trial``, ``1,056 steps``.

    Args:
        count: how many.
        noun: of one.
        nouns: of several, where that is more than an s.
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """``45 s``, ``4 min``, ``3 h 05 min``, ``2 d 4 h``: as precise as a reader needs."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def cut(text: str, width: int) -> str:
    """The text in so many characters, its middle left out where it is longer."""
    if len(text) <= width:
        return text
    kept = max(0, width - 1)
    tail = kept // 2
    return f"{text[: kept - tail]}…{text[len(text) - tail :]}"[:width]
