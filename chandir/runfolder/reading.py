"""A file's bytes, text, JSON or YAML, or `Damaged`: never a hang, a crash or another exception.

A run folder may come from another host, a copy that was cut short, an editor or a stranger: a file
may be a pipe or a link, huge, nested a hundred thousand deep, or of the wrong encoding.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import yaml

# libyaml reads a thousand configs in a second, the pure Python loader in ten.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Bytes that a file may have. A log of a hundred thousand epochs has 30 MB.
LIMITS = {"log.jsonl": 1 << 28, "correlation.json": 1 << 26, "claim.json": 1 << 12}
LIMITS |= dict.fromkeys(("checkpoint.pt", "checkpoint.previous.pt", "weights.pt"), 1 << 40)
USUAL = 1 << 22
TAIL = 1 << 16  # of an error's text
DEPTH, NODES = 40, 1_000_000  # of nested values; aliases of YAML count where they are used
# Signs with which YAML nests: libyaml's loader overflows the stack some 50,000 levels deep.
_NESTING, _DEEPEST = ("[", "{", "- ", "-\t", "? ", "?\t", ": ", ":\t"), 5_000
WIDEST = 1.7e308  # no number is larger: JSON reads 1e999 as infinity, and 400 digits as they are


class Damaged(ValueError):
    """A file that cannot be trusted: its name, and what is wrong with it, in one line."""


class Missing(Damaged):
    """A file that is not there."""


def content(path: Path, tail: bool = False) -> bytes:
    """The bytes of a regular file.

    Args:
        path: never followed if it is a link; the folders above it may be links.
        tail: its last `TAIL` bytes are enough.

    Raises:
        Damaged: for a link, a pipe, a folder, what cannot be read, or more than its limit.
    """
    limit = LIMITS.get(path.name, USUAL)
    try:
        # O_NONBLOCK: opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _refuse(path, error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{path.name} is not a regular file")
        if tail:
            return os.pread(descriptor, TAIL, max(0, status.st_size - TAIL))
        if status.st_size > limit:
            raise Damaged(f"{path.name} has {status.st_size:,} bytes, expected at most {limit:,}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    except OSError as error:
        _refuse(path, error)
    finally:
        os.close(descriptor)


def _refuse(path: Path, error: OSError) -> NoReturn:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        raise Missing(f"{path.name} is missing") from None
    why = "is a link, expected a file" if error.errno == errno.ELOOP else f"({error.strerror})"
    raise Damaged(f"{path.name} {why}") from None


def text(path: Path) -> str:
    """A file as UTF-8, with or without the mark that some editors put first.

    Raises:
        Damaged: as `content`, and for other encodings.
    """
    try:
        return content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(f"{path.name} is not UTF-8 (byte {error.start + 1})") from None


def last_line(path: Path, empty: str) -> str:
    """The last line that says anything, of text in any encoding; never raises."""
    try:
        lines = content(path, tail=True).decode("utf-8", "replace").splitlines()
    except Damaged as damage:
        return str(damage)
    return next((line.strip() for line in reversed(lines) if line.strip()), empty)


def json_mapping(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Damaged: as `text`, and for what is no standard JSON object of reasonable depth.
    """
    return mapping(parse_json(text(path), path.name), path.name)


def parse_json(source: str, name: str) -> Any:
    """Standard JSON, without NaN and infinities.

    Raises:
        Damaged: for anything else.
    """
    try:
        return json.loads(source, parse_constant=_refuse_constant)
    except RecursionError:
        raise Damaged(f"{name} is nested too deep") from None
    except ValueError as error:
        raise Damaged(f"{name} is not JSON: {brief(error)}") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def parse_yaml(source: str, name: str) -> dict[str, Any]:
    """A YAML mapping of plain values.

    Raises:
        Damaged: for what is no such mapping of reasonable depth.
    """
    if sum(source.count(sign) for sign in _NESTING) > _DEEPEST:
        raise Damaged(f"{name} is nested too deep")
    try:
        found = yaml.load(source, _LOADER)
    except Exception as error:  # the loader's own, and ValueError, OverflowError, TypeError ...
        raise Damaged(f"{name} is not YAML: {brief(error)}") from None
    return mapping(found, name)


def mapping(value: Any, name: str) -> dict[str, Any]:
    """The value, if it is a mapping from texts to plain values, of reasonable depth and size.

    Raises:
        Damaged: otherwise.
    """
    if not isinstance(value, dict):
        raise Damaged(f"{name} is not a mapping")
    level, nodes = [value], 0
    for _ in range(DEPTH):
        below: list[Any] = []
        for each in level:
            items = [*each, *each.values()] if isinstance(each, dict) else each
            if isinstance(each, dict) and not all(isinstance(key, str) for key in each):
                raise Damaged(f"{name} has a key that is no text")
            nodes += len(items)
            kinds = set(map(type, items))
            if not kinds <= {str, int, float, bool, type(None), list, dict}:
                raise Damaged(f"{name} holds a {(kinds - {str, int, float, bool}).pop().__name__}")
            if kinds & {int, float} and not all(map(finite, items)):
                raise Damaged(f"{name} holds a number that is not finite")
            if str in kinds and not all(map(_printable, items)):
                raise Damaged(f"{name} holds half a character (a lone surrogate)")
            if kinds & {list, dict}:
                below += [item for item in items if isinstance(item, (list, dict))]
        if nodes > NODES:
            break
        if not below:
            return value
        level = below
    raise Damaged(f"{name} is nested too deep, or too large")


def finite(value: Any) -> bool:
    """Whether it is a finite number that a float can hold, or no number at all."""
    return not isinstance(value, (int, float)) or -WIDEST < value < WIDEST


def _printable(value: Any) -> bool:
    return not isinstance(value, str) or value.isascii() or _encodes(value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def brief(error: Exception) -> str:
    """An error in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
