"""What each file of a run folder has to hold: dotted names, and the kind of value under each.

What is not named here is free, so that a file may gain a field; a `?` marks what may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from chandir.runfolder.reading import Damaged

# Scores beyond it, whose squares no statistics can add up, count as not finite.
LARGEST_SCORE = 1e100


class Kind(NamedTuple):
    """A kind of value, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _int(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 1 << 63


def number(value: Any) -> bool:
    """Whether it is a number (and no bool, which Python counts among them)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def score(value: Any) -> bool:
    """Whether it is a score that statistics can use."""
    return number(value) and -LARGEST_SCORE <= value <= LARGEST_SCORE  # NaN is not


def optional(kind: Kind) -> Kind:
    """The kind, or null."""
    return Kind(f"{kind.words} or null", lambda value: value is None or kind.holds(value))


def listed(kind: Kind) -> Kind:
    """A list of the kind."""
    return Kind(
        f"a list of {kind.words}",
        lambda value: isinstance(value, list) and all(map(kind.holds, value)),
    )


def choice(*words: str) -> Kind:
    """One of some words."""
    return Kind(" or ".join(words), lambda value: isinstance(value, str) and value in words)


TEXT = Kind("some text", lambda value: isinstance(value, str) and value != "")
STRING = Kind("a text", lambda value: isinstance(value, str))
COUNT = Kind("a whole number from 1 up", lambda value: _int(value, 1))
INDEX = Kind("a whole number from 0 up", lambda value: _int(value, 0))
NUMBER = Kind("a number", number)
SECONDS = Kind("a number from 0 up", lambda value: number(value) and 0 <= value <= 1e12)
SMALLEST = Kind("a number above 0", lambda value: number(value) and 1e-12 <= value <= 1e12)
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))
MAPPING = Kind("a mapping", lambda value: isinstance(value, dict))
TEXTS = Kind(
    "a mapping of texts",
    lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
)
NUMBERS = Kind(
    "a list of numbers",
    lambda value: isinstance(value, list) and set(map(type, value)) <= {int, float, type(None)},
)

_SCORE = {
    "score.name": TEXT,
    "score.better": choice("higher", "lower"),
    "score.unit?": STRING,
    "score.smallest?": SMALLEST,
    "score.against?": TEXT,
    "score.worst?": optional(NUMBER),
}
CONFIG: Mapping[str, Kind] = {
    "task": MAPPING,
    "task.name": TEXT,
    "task.batch_size": COUNT,
    "task.epochs": COUNT,
    "task.shape?": optional(MAPPING),
    "task.shape.classes?": COUNT,
    "model": MAPPING,
    "model.name": TEXT,
    "optimizer": MAPPING,
    "optimizer.name": TEXT,
    "metric": MAPPING,
    "metric.name": TEXT,
    **{f"metric.{key}?": optional(TEXT) for key in ("direction", "scope")},
    "schedule?": MAPPING,
    "schedule.name?": TEXT,
    "stated?": optional(MAPPING),
    "stated.metric?": MAPPING,
    "scale": MAPPING,
    "scale.name": TEXT,
    "data": MAPPING,
    "data.source": TEXT,
    "data.name?": optional(TEXT),
    "artefact?": optional(TEXT),
    "labels?": optional(listed(STRING)),
    "notes?": optional(listed(STRING)),
    "trial": INDEX,
    "score": MAPPING,
    **_SCORE,
}
_ORIGIN: Mapping[str, Kind] = {
    "commit": optional(STRING),
    "dirty?": optional(TRUTH),
    "sources": TEXTS,
    "versions": TEXTS,
    "device": MAPPING,
    "device.kind?": optional(STRING),
    "device.name?": optional(STRING),
    "device.cores?": optional(COUNT),
    "data": MAPPING,
    "data.checksum?": optional(STRING),
    "started?": STRING,
    "machine?": optional(STRING),
}
SEGMENT: Mapping[str, Kind] = {
    name if name.endswith("?") or "." in name else f"{name}?": kind
    for name, kind in _ORIGIN.items()
}
PROVENANCE: Mapping[str, Kind] = {
    **_ORIGIN,
    "determinism": STRING,
    "command?": optional(STRING),
    "segments?": optional(listed(MAPPING)),
}
FINAL: Mapping[str, Kind] = {
    "status": choice("done", "diverged"),
    "trial": INDEX,
    "score": MAPPING,
    **_SCORE,
    "last": MAPPING,
    "last.epoch": COUNT,
    "best": MAPPING,
    "best.epoch": COUNT,
    "totals": MAPPING,
    "totals.epochs": COUNT,
    "totals.seconds": SECONDS,
    "totals.steps?": INDEX,
    "totals.images?": INDEX,
    "diverged?": optional(MAPPING),
}
_PART: dict[str, Kind] = {"mean": optional(NUMBER), "invariant": optional(NUMBER),
                             "curve": NUMBERS}  # fmt: skip
CORRELATION: Mapping[str, Kind] = {
    "layers": Kind("a list of layers", lambda v: isinstance(v, list) and len(v) > 0),
    **{
        f"{direction}{name}": kind
        for direction in ("output", "input")
        for name, kind in (
            ("", optional(MAPPING)),
            *((f".{key}", kind) for key, kind in (_PART | {"histogram": NUMBERS}).items()),
        )
    },
}
LAYER: Mapping[str, Kind] = {
    "name": STRING,
    **{
        f"{direction}{name}": kind
        for direction in ("output", "input")
        for name, kind in (
            ("", optional(MAPPING)),
            (".scaling", optional(NUMBER)),
            (".fiber_means", NUMBERS),
            (".fiber_deviations", NUMBERS),
        )
    },
}
# Whose claim it is; what a claim does not say is unknown.
CLAIM: Mapping[str, Kind] = {
    **{f"{key}?": optional(STRING) for key in ("host", "boot", "machine", "token", "slurm_job")},
    "pid?": INDEX,
    "slurm_restart?": INDEX,
}
CHECKPOINT: Mapping[str, Kind] = {
    "epoch": COUNT,
    "seconds": SECONDS,
    "model": MAPPING,
    "optimizers": MAPPING,
    "streams": MAPPING,
    "sources": TEXTS,
    "data": STRING,
    "segments": listed(MAPPING),
}


def check(value: Mapping[str, Any], shape: Mapping[str, Kind], name: str) -> None:
    """Hold a mapping against its shape.

    Below a value that is null or missing, and may be, nothing is asked for.

    Raises:
        Damaged: naming the file, the key, its value and what was expected.
    """
    for dotted, kind in shape.items():
        found, missing = _under(value, dotted.rstrip("?").split("."))
        if missing and (dotted.endswith("?") or missing == "above"):
            continue
        if missing:
            raise Damaged(f"{name} has no {dotted}, expected {kind.words}")
        if not kind.holds(found):
            raise Damaged(f"{name} has {dotted.rstrip('?')}={found!r:.60}, expected {kind.words}")


def _under(value: Any, keys: Sequence[str]) -> tuple[Any, str]:
    """(value, "") under the keys, or what is missing: "above" it, or the value "itself"."""
    for i, key in enumerate(keys):
        if not isinstance(value, Mapping) or key not in value:
            return None, "itself" if i == len(keys) - 1 and isinstance(value, Mapping) else "above"
        value = value[key]
    return value, ""
