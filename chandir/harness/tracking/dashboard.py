"""What a dashboard is given of a trial: a mirror of the run folder, which is the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from chandir.runfolder import Contents

# By the name of the settings: the module that opens it, and the package that it needs.
_KINDS = {
    "wandb": ("chandir.harness.tracking.wandb_run", "wandb"),
    "tensorboard": ("chandir.harness.tracking.tensorboard_run", "tensorboard"),
}


class Dashboard(Protocol):
    """A trial's place on a dashboard, open."""

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """Show epochs that were not shown before, in their order."""

    def end(self, found: Contents, complete: bool) -> None:
        """Show how the trial stands, and close."""


def package(name: str) -> str:
    """The package that a dashboard needs."""
    return _KINDS[name][1]


def opened(folder: Path, config: Mapping[str, Any], provenance: Mapping[str, Any],
           settings: Mapping[str, Any]) -> Dashboard:  # fmt: skip
    """Open a trial's place.

    Args:
        folder: the trial's.
        config: its ``config.yaml``, secrets masked.
        provenance: its ``provenance.json``, likewise.
        settings: the configuration's ``tracker``.
    """
    given = {key: value for key, value in settings.items() if key != "name"}
    kind: Callable[..., Dashboard] = import_module(_KINDS[settings["name"]][0]).opened
    return kind(folder, config, provenance, **given)


def number(value: Any) -> Any:
    """JSON has no NaN: a log's null is one."""
    return float("nan") if value is None else value
