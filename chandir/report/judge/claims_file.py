"""What is declared: claims.yaml with every list expanded, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from itertools import product
from math import log
from pathlib import Path
from typing import Any

import yaml

from chandir.report.judge.claims import KINDS, Arm, Artefact, Claim
from chandir.report.statistics import Summary

_HERE = Path(__file__).parent
_MODIFIERS = {
    "output": "direction", "input": "direction", "rasterized": "direction",
    "conv": "scope", "all": "scope",
}  # fmt: skip


@cache
def digest() -> str:
    """The SHA-256 of claims.yaml."""
    return sha256((_HERE / "claims.yaml").read_bytes()).hexdigest()


def published() -> Mapping[str, Any]:
    """The paper's numbers."""
    return _load("published.yaml")


@cache
def artefacts() -> tuple[Artefact, ...]:
    """Every declared artefact, in the order of the file.

    Raises:
        ValueError: For a kind, an arm or a setup that the file does not know.
    """
    file = _load("claims.yaml")
    found = []
    for entry in file["artefacts"]:
        claims = tuple(c for line in entry["claims"] for c in _expand(line, entry, file))
        ours, shown = entry.get("ours", False), tuple(_shown(entry, file))
        found.append(Artefact(entry["name"], entry["title"], entry["trials"], ours, claims, shown))
    return tuple(found)


def arm(name: str, setup: str, **settings: Any) -> Arm:
    """The arm of a setup in claims.yaml, e.g. ``arm("LS, output", "resnet56-sgd")``.

    Words after the first comma override its direction and scope; `settings` are further conditions,
    ``__`` in place of the dot.
    """
    file = _load("claims.yaml")
    extra = {key.replace("__", "."): value for key, value in settings.items()}
    return _arm(name, file["setups"][setup] | extra, file["arms"])


@cache
def _load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_HERE / name).read_text(encoding="utf-8")))


def _shown(entry: Mapping[str, Any], file: Any) -> Iterator[Arm]:
    shows = entry.get("shows", {"arms": []})
    for shared in _product(shows.get("each", {})):
        for name in shows["arms"]:
            yield _arm(name, file["setups"][entry["setup"]] | shared, file["arms"])


def _expand(line: Mapping[str, Any], entry: Mapping[str, Any], file: Any) -> Iterator[Claim]:
    if line["kind"] not in KINDS:
        raise ValueError(f"claims.yaml: kind {line['kind']!r}, expected one of {', '.join(KINDS)}")
    setup = file["setups"][entry["setup"]]
    for shared in _product(line.get("each", {})):
        varied = list(_product(line.get("vary", {})))
        for name in line["arms"]:
            if line["kind"] == "equal":
                yield _claim(line, entry, file, setup | shared, name, varied, shared)
                continue
            for own, theirs in product(varied, _product(line.get("vary_baseline", {}))):
                yield _claim(line, entry, file, setup | shared, name, [own], shared, theirs)


def _claim(
    line: Mapping[str, Any], entry: Mapping[str, Any], file: Any, setup: dict[str, Any],
    name: str, varied: list[dict[str, Any]], shared: dict[str, Any],
    theirs: Mapping[str, Any] = {},
) -> Claim:  # fmt: skip
    known, kind = file["arms"], line["kind"]
    places = [line["at"], line["against"]] if kind == "trend" else [{}]
    arms = tuple(_arm(name, setup | places[0], known, own) for own in varied)
    base = line.get("baseline")
    names = [name, *([base] if base else [])]
    baseline = [_arm(each, setup | places[0], known, theirs) for each in names[1:]]
    for place in places[1:]:
        baseline += [_arm(each, setup | place, known) for each in names]
    value, smallest = line.get("value", "score"), None
    if kind == "spread" or value.startswith("correlation"):
        smallest = file["smallest"]["spread" if kind == "spread" else "correlation"]
    effect, samples = _paper(line, entry, names, shared, places)
    relative = line.get("relative")
    return Claim(
        artefact=entry["name"], kind=kind, family=line.get("family", ""),
        context=_context(shared, places), arms=arms, baseline=tuple(baseline),
        trials=entry["trials"], value=value, paper=effect, samples=samples,
        relative=_look_up(relative)[name] if relative else None, margin=line.get("margin"),
        smallest=smallest, ours=entry.get("ours", False), question=line.get("question", ""),
    )  # fmt: skip


def _arm(
    name: str, setup: Mapping[str, Any], known: Mapping[str, Any], own: Mapping[str, Any] = {}
) -> Arm:
    first, *words = name.split(", ")
    if first not in known or not set(words) <= set(_MODIFIERS):
        raise ValueError(
            f"claims.yaml: arm {name!r}, expected one of {', '.join(known)}, then of "
            f"{', '.join(_MODIFIERS)}"
        )
    part = "optimizer" if first == "LS" else "metric"
    where = {**setup, **known[first], **own}
    where |= {f"{part}.{_MODIFIERS[word]}": word for word in words}
    label = ", ".join([name, *(f"{_last(key)} {value}" for key, value in own.items())])
    return Arm(label, tuple(where.items()))


def _paper(
    line: Mapping[str, Any], entry: Mapping[str, Any], names: list[str],
    shared: Mapping[str, Any], places: list[dict[str, Any]],
) -> tuple[float | None, tuple[Summary, ...]]:  # fmt: skip
    """The paper's effect, and its samples where it says enough about their spread."""
    if "paper" not in line:
        return None, ()
    table, n = _look_up(line["paper"]), entry["trials"]
    lower = line["paper"].startswith("table3") or line.get("value") == "gap"
    size = entry.get("test_size")

    def sample(name: str, place: Mapping[str, Any]) -> Summary:
        batch = {**shared, **place}.get("task.batch_size")
        found = table[name] if batch is None else table[batch][name]
        if isinstance(found, Mapping):
            return Summary(n, found["mean"], found["sd"])
        # Jordan 2023 (arXiv 2304.01910): the variance of the error rate between runs that a
        # finite test set causes is near rate / (2 test_size).
        sd = (100 * (100 - found) / (2 * size)) ** 0.5 if size else None
        return Summary(n, found, sd)

    samples = tuple(sample(name, place) for place in places for name in names)
    if line["kind"] == "level":
        return samples[0].mean, samples
    if line["kind"] == "equal":
        return None, ()
    if line["kind"] == "spread":
        a, b = (s.sd or 1.0 for s in samples)
        return log(b / a), samples
    signs = [1, -1, -1, 1]
    effect = sum(s * x.mean for s, x in zip(signs, samples, strict=False))
    return round(-effect if lower else effect, 10), samples


def _look_up(path: str) -> Any:
    found: Any = published()
    for key in path.split("."):
        found = found[key]
    return found


def _product(settings: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*settings.values()):
        yield dict(zip(settings, values, strict=True))


def _last(key: str) -> str:
    return key.split(".")[-1].replace("_", " ")


def _context(shared: Mapping[str, Any], places: list[dict[str, Any]]) -> str:
    if len(places) == 2:
        at, against = (next(iter(place.items())) for place in places)
        return f"{_last(at[0])} {at[1]} against {against[1]}"
    return ", ".join(str(v) if _last(k) == "name" else f"{_last(k)} {v}" for k, v in shared.items())
