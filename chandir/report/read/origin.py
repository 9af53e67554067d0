"""Where numbers come from: what ran, on what, for how long, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from chandir.report.read.cells import Cell
from chandir.report.read.comparisons import Setting
from chandir.report.read.runs import Trial


def facts(setting: Setting) -> list[tuple[str, str]]:
    """Return how a setting was run, as (term, description); several values are all named."""
    trials = [trial for cell in setting.cells for trial in cell.trials if trial.config]
    config = setting.cells[0].config
    data = [f"{trial.config['data']['source']}, sha256 {trial.checksum[:12]}"
            for trial in trials if trial.checksum]  # fmt: skip
    numbers = [f"{t.config.get('precision')}, {t.config.get('determinism')}, "
               f"CPU threads {t.config.get('threads')}" for t in trials]  # fmt: skip
    found = [
        ("Scale", _scale(config)),
        ("Not as in the paper", _several(label for cell in setting.cells for label in cell.labels)),
        ("Paper silent, chosen", _several(note for cell in setting.cells for note in cell.notes)),
        ("Data", _several(data)),
        ("Numbers", _several(numbers)),
        ("Hardware", _several(_device(trial.provenance["device"]) for trial in trials)),
        ("Last digits depend on", _several(m for trial in trials for m in trial.machines)),
        ("Versions", _several(_pairs(trial.provenance["versions"]) for trial in trials)),
        ("Commit", _several(_commit(trial.provenance) for trial in trials)),
        ("Code", _several(f"sha256 {trial.code[:12]}" for trial in trials)),
        ("Time", _time([trial for trial in trials if trial.complete])),
    ]
    return [(term, text) for term, text in found if text]


def commands(setting: Setting) -> list[str]:
    """Return the distinct commands that ran a setting."""
    trials = (trial for cell in setting.cells for trial in cell.trials)
    return _distinct(str(trial.provenance.get("command", "")) for trial in trials)


def warnings(settings: Sequence[Setting]) -> list[str]:
    """Return what a reader should know before trusting a comparison."""
    folders: dict[Path, list[Cell]] = {}
    for setting in settings:
        for cell in setting.cells:
            folders.setdefault(cell.folder, []).append(cell)
    found = []
    for folder, cells in folders.items():
        if len(cells) > 1:
            parts = "; ".join(
                f"trials {', '.join(str(t.index) for t in cell.complete)} with code "
                f"{cell.origin['code']} on data {cell.origin['checksum']}"
                for cell in cells
            )
            found.append(f"{folder.name} holds {parts}: shown apart, never averaged.")
    for setting in settings:
        trials = [trial for cell in setting.cells for trial in cell.complete]
        name = f"{setting.task} · {setting.title}"
        if trials and (setting.baseline is None or not setting.baseline.complete):
            found.append(
                f"{name}: no complete h0, so no differences; run the same command with metric=h0."
            )
        devices = _distinct(m for trial in trials for m in _machines(trial))
        if len(devices) > 1:
            found.append(
                f"{name}: ran on {len(devices)} kinds of hardware, between which last digits "
                f"differ: {'; '.join(devices)}."
            )
        torch = _distinct(str(t.provenance["versions"].get("torch")) for t in trials)
        if len(torch) > 1:
            found.append(f"{name}: ran with torch {' and '.join(torch)}.")
    return found


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``2 h 05 min``, ``3 min 12 s``, ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _scale(config: Mapping[str, Any]) -> str:
    text = f"{config['scale']['name']}, {config['task']['epochs']} epochs"
    each = config["task"].get("evaluate_every") or 1
    return text if each == 1 else f"{text}, scored after every {each} and the last"


def _time(trials: Sequence[Trial]) -> str:
    seconds = [float(trial.final["totals"]["seconds"]) for trial in trials
               if (trial.final.get("totals") or {}).get("seconds") is not None]  # fmt: skip
    started = sorted(str(t.provenance["started"])[:10] for t in trials if "started" in t.provenance)
    if not seconds:
        return ""
    text = f"{duration(sum(seconds))} over all trials, {duration(median(seconds))} each (median)"
    dates = " to ".join(_distinct([started[0], started[-1]])) if started else ""
    return f"{text}, {dates}" if dates else text


def _machines(trial: Trial) -> list[str]:
    """What ran it, as far as that is recorded."""
    return trial.machines or [_device(trial.provenance["device"])]


def _device(device: Mapping[str, Any]) -> str:
    """Return a device's name and kind, without the host: two equal machines are one hardware."""
    cores = f"{device['cores']} cores" if device.get("cores") else ""
    name, kind = str(device.get("name") or ""), str(device.get("kind") or "")
    return ", ".join(part for part in (name, kind if kind != name else "", cores) if part)


def _commit(provenance: Mapping[str, Any]) -> str:
    commit = str(provenance.get("commit") or "unknown")[:12]
    return f"{commit} with uncommitted changes" if provenance.get("dirty") else commit


def _pairs(mapping: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in mapping.items() if value is not None)


def _several(values: Iterable[str]) -> str:
    return "; ".join(_distinct(values))


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
