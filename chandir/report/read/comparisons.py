"""Settings: cells that may be compared, since they differ in the metric alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chandir.report.read import wording
from chandir.report.read.cells import Cell
from chandir.runfolder import origin


@dataclass(frozen=True)
class Setting:
    """Cells that differ in the metric alone, the baseline first.

    Attributes:
        name: What tells this setting from the others of its task, in the command's words.
        title: The same as people say it.
        cells: Its cells.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]

    @property
    def task(self) -> str:
        """The task's name."""
        return self.cells[0].task

    @property
    def baseline(self) -> Cell | None:
        """The cell of the plain gradient, if it ran."""
        return next((cell for cell in self.cells if cell.baseline), None)

    def metric(self, cell: Cell) -> str:
        """Name the cell's metric, in the words of the command, by what tells it from the others.

        That is the name, what differs from its default, and what varies within the setting.
        """
        if cell.baseline:
            return "h0"
        metric = cell.config["metric"]
        like = [c.config["metric"] for c in self.cells if not c.baseline]
        like = [other for other in like if other["name"] == metric["name"]]
        parts = [str(metric["name"])]
        if any(other.folder == cell.folder and other is not cell for other in self.cells):
            parts.append(f"code {cell.origin['code']}")  # two versions of a user's own metric
        for key in _settings(metric):
            value = metric.get(key)
            varies = any(other.get(key) != value for other in like)
            if value is not None and (varies or value != cell.usual.get(key, value)):
                parts.append(_shown(key, value))
        return ", ".join(parts)

    @property
    def labels(self) -> tuple[str, ...]:
        """The deviations from the paper that all its cells share."""
        shared = self.cells[0].labels
        return tuple(label for label in shared if all(label in c.labels for c in self.cells))


def settings(found: Iterable[Cell]) -> list[Setting]:
    """Group cells into settings, by task, each named by what tells it from the others.

    A cell without a complete trial stands where its config belongs, whatever code it failed with.
    """
    found = sorted(found, key=lambda cell: not cell.complete)
    shared = _shared_sources(found)
    groups: dict[str, list[Cell]] = {}
    for cell in found:
        names = shared.get(_circumstances(cell), set())
        key = json.dumps([_circumstances(cell), _code(cell, names)])
        if not cell.complete:
            like = (k for k, group in groups.items() if group[0].setting == cell.setting)
            key = next(like, key)
        groups.setdefault(key, []).append(cell)
    named = [
        Setting(name, title, tuple(sorted(group, key=_order)))
        for group, (name, title) in zip(groups.values(), _names(list(groups.values())), strict=True)
    ]
    return sorted(named, key=lambda setting: (setting.task, _natural(setting)))


def _circumstances(cell: Cell) -> str:
    return json.dumps([cell.setting, cell.origin["checksum"]], sort_keys=True)


def _shared_sources(found: Iterable[Cell]) -> dict[str, set[str]]:
    """By circumstances, the files that every complete cell ran.

    Task, network, optimizer and schedule are one there, so that a file that only some ran is a
    metric's: of a user's own one, which differs from h0 by its file as by its name.
    """
    shared: dict[str, set[str]] = {}
    for cell in found:
        if cell.complete:
            for ran in cell.codes:
                shared.setdefault(_circumstances(cell), set(ran)).intersection_update(ran)
    return shared


def _code(cell: Cell, shared: set[str]) -> str:
    """A digest of what ran, but for files of a metric outside this project.

    A trial that was continued with other code is compared with no other, whichever file changed.
    """
    codes = cell.codes
    if len(codes) == 1:
        own = {name for name in codes[0] if not name.startswith("chandir/")} - shared
        codes = [{name: text for name, text in codes[0].items() if name not in own}]
    return origin.digest(codes)


def _names(groups: list[list[Cell]]) -> list[tuple[str, str]]:
    """Data set where there are several, model, optimizer, batch size, and what else differs.

    Each in the command's words and in people's; the latter leave out what follows from the rest.
    """
    named: list[tuple[str, str, str, str]] = []
    for group in groups:
        own = {**group[0].setting, **group[0].origin}
        like = [
            {**other[0].setting, **other[0].origin}
            for other in groups
            if _short(other[0]) == _short(group[0])
        ]
        apart = sorted(key for key in own if any(other.get(key) != own[key] for other in like))
        # A class is told by its choice's name, where that differs too.
        named_too = {key.replace(".name", "._target_") for key in apart if key.endswith(".name")}
        told = [key for key in apart if key not in named_too]
        task, short = _short(group[0])
        words = (f"{key} {'null' if own[key] is None else own[key]}" for key in told)
        full = [wording.phrase(key, own[key]) for key in told]
        few = [wording.phrase(key, own[key]) for key in told if not wording.implied(key)]
        name = " · ".join([short, *words])
        named.append((task, name, " · ".join([short, *few]), " · ".join([short, *full])))
    brief = Counter((task, title) for task, _, title, _ in named)
    return [(name, title if brief[task, title] == 1 else full) for task, name, title, full in named]


def _short(cell: Cell) -> tuple[str, str]:
    config = cell.config
    names = (config["data"].get("name"), _network(config), config["optimizer"]["name"])
    batch = f"batch {config['task']['batch_size']}"
    return cell.task, " · ".join([*(str(name) for name in names if name), batch])


def _network(config: Mapping[str, Any]) -> str:
    """``resnet56``; with the name that a network has elsewhere: ``torchvision resnet18``."""
    model = config["model"]
    return " ".join(str(name) for name in (model["name"], model.get("arch")) if name)


def _natural(setting: Setting) -> tuple[Any, ...]:
    config = setting.cells[0].config
    names = (str(config["data"].get("name")), _network(config), config["optimizer"]["name"])
    return (*names, -config["task"]["batch_size"], setting.name)


def _order(cell: Cell) -> tuple[Any, ...]:
    metric = cell.config["metric"]
    name = metric["name"] if not cell.baseline else ""
    others = [metric[key] for key in _settings(metric) if key not in ("direction", "scope")]
    numbers = [float(value) if isinstance(value, int | float) else 0.0 for value in others]
    texts = [str(value) for value in others if not isinstance(value, int | float)]
    return (name, *(str(metric.get(key)) for key in ("direction", "scope")), numbers, texts)


def _settings(metric: Mapping[str, Any]) -> list[str]:
    """A metric's settings: direction and scope, then its own, as configured."""
    first = [key for key in ("direction", "scope") if key in metric]
    return [*first, *(key for key in metric if key not in ("_target_", "name", *first))]


def _shown(key: str, value: Any) -> str:
    if key in ("direction", "scope"):
        return str(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{key} {value:g}" if number else f"{key} {value}"
