"""Pretrained weights: from a file, from torch's cache, or downloaded into it."""

from __future__ import annotations

import re
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from tasks import draft
from tasks.download import patiently


def read(setting: str, file: str | None, url: str, instead: str) -> dict[str, Any]:
    """A state dict, on the CPU.

    Args:
        setting: what the user set, for messages: "task.fid_weights=inception".
        file: the user's own file; None is the publisher's.
        url: the publisher's file. It is taken from torch's cache (``$TORCH_HOME/hub/checkpoints``)
            if it lies there, else downloaded and checked against the digest that its name ends in.
        instead: a setting that needs no weights, for messages.

    Raises:
        FileNotFoundError: if there is no such file, and none can be downloaded.
        ValueError: for a file that is truncated or something else.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    path = Path(file).expanduser() if file else cached
    if file and not path.is_file():
        raise FileNotFoundError(
            f"{setting}: no such file; name one that exists, or choose {instead}"
        )
    if not path.is_file():
        _download(setting, url, path, instead)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise ValueError(
            f"{setting}: {path} is no file of weights ({type(error).__name__}: {error}); delete it "
            f"to have it downloaded again, or choose {instead}"
        ) from error
    return state


def _download(setting: str, url: str, path: Path, instead: str) -> None:
    digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
    prefix = digest[1] if digest else None

    def fetch(into: Path) -> None:
        torch.hub.download_url_to_file(url, str(into), prefix, progress=False)

    try:
        draft.make(path, lambda into: patiently(lambda: fetch(into)))
    except (OSError, RuntimeError, HTTPException) as error:
        raise FileNotFoundError(
            f"{setting}: {path} is not there, and its download failed ({error}); put {path.name} "
            f"there, give the setting a file of yours, connect to a network, or choose {instead}"
        ) from error
