"""``weights.pt``: the final weights of a complete trial, for whoever goes on with them.

A plain state dict: ``torch.load(path, weights_only=True)`` reads it and needs nothing of ours.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from chandir.harness.base import files
from chandir.runfolder.weights import NAME


def write(folder: Path, weights: Mapping[str, Any]) -> None:
    """Put a network's state dict into its trial's folder, whole or not at all.

    Raises:
        OSError: disk full, no permission; nothing is left behind.
    """
    buffer = io.BytesIO()
    torch.save(plain(weights), buffer)
    payload = buffer.getvalue()
    try:
        files.write(folder / NAME, payload)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot save the weights of {len(payload) / 1e6:.1f} MB in {folder} "
            f"({error.strerror}): free some space or fix the permissions, then run the same "
            "command again; checkpoint.keep=false leaves them out",
        ) from error


def plain(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict that is no more than its numbers, on the CPU.

    A network may hold its weights channels last, as views of something larger (a stack's, a flat
    buffer's) or as parameters: what is returned has tensors of their own, in the usual order of
    memory. What is one tensor under two names stays one.
    """
    copies: dict[Any, torch.Tensor] = {}
    found: dict[str, Any] = {}
    for name, value in weights.items():
        if isinstance(value, torch.Tensor):
            part = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
            if part not in copies or not value.numel():
                copies[part] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            value = copies[part]
        found[name] = value
    return found
