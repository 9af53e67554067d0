"""``log.jsonl``: one row per epoch, 1 to n without a gap, every value a number or null.

A kill may cut the last line of a trial that runs; what is whole before it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chandir.runfolder.reading import WIDEST, Damaged, content, parse_json, text
from chandir.runfolder.shapes import SECONDS

NAME = "log.jsonl"


def whole(path: Path) -> tuple[dict[str, Any], ...]:
    """Every row of a complete trial.

    Raises:
        Damaged: naming the line.
    """
    lines = [line for line in text(path).splitlines() if line.strip()]
    try:  # one call for the whole file: a sweep has a hundred thousand epochs
        found = parse_json(f"[{','.join(lines)}]", NAME)
        if len(found) == len(lines):
            names: set[tuple[str, ...]] = set()
            for epoch, row in enumerate(found, 1):
                _check(row, epoch, names)
            return tuple(found)
    except Damaged:
        pass
    _good, damage = _each(lines)  # slower, and names the line
    raise damage or Damaged(f"{NAME} has values that run over its lines")


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a trial that runs or was interrupted, up to the first that is not whole."""
    try:
        source = content(path).removeprefix(b"\xef\xbb\xbf")
    except Damaged:
        return []
    return _each(source.decode("utf-8", "surrogateescape").splitlines())[0]


def _each(lines: Sequence[str]) -> tuple[list[dict[str, Any]], Damaged | None]:
    """The rows before the first that is not whole, and what is wrong with that one."""
    found: list[dict[str, Any]] = []
    names: set[tuple[str, ...]] = set()
    for line in lines:
        try:
            row = parse_json(line, f"{NAME}, line {len(found) + 1},")
            _check(row, len(found) + 1, names)
        except Damaged as damage:
            return found, damage
        found.append(row)
    return found, None


def _check(row: Any, epoch: int, names: set[tuple[str, ...]]) -> None:
    """Hold a row to its shape; `names` are those of rows before it, which are all right."""
    if not isinstance(row, dict):
        raise Damaged(f"{_where(epoch)} is not a mapping")
    if type(row.get("epoch")) is not int or row["epoch"] != epoch:
        raise Damaged(f"{_where(epoch)} has epoch={row.get('epoch')!r:.60}, expected {epoch}")
    if (own := tuple(row)) not in names:
        if not all(map(str.isprintable, own)):  # undecodable bytes and lone surrogates are not
            raise Damaged(f"{_where(epoch)} has a name that cannot be printed")
        names.add(own)
    for value in row.values():
        kind = type(value)
        if kind is float or kind is int:
            if not -WIDEST < value < WIDEST:
                raise Damaged(f"{_where(epoch)} holds a number that is not finite")
        elif value is not None:
            raise Damaged(f"{_where(epoch)} holds what is neither a number nor null")
    if not SECONDS.holds(row.get("seconds")):
        raise Damaged(
            f"{_where(epoch)} has seconds={row.get('seconds')!r:.60}, expected {SECONDS.words}"
        )


def _where(epoch: int) -> str:
    return f"{NAME}, line {epoch},"
