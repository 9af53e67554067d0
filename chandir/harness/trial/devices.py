"""Device, precision, determinism and threads of a trial, set anew for each one."""

from __future__ import annotations

import contextlib
import gc
import os

import torch

from chandir.harness.base.errors import UserError
from chandir.harness.config import portable
from chandir.harness.config.schema import Config


def select(config: Config) -> torch.device:
    """The device that a trial runs on.

    Raises:
        UserError: for a CUDA device that is not there, or a precision that it would ignore.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = ", ".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        raise UserError(
            f"device={name}: torch sees {seen or 'no CUDA device'} here; use "
            f"{'one of them, ' if seen else ''}device=cpu or device=auto"
        )
    if device.type == "cpu" and config.precision == "tf32":
        raise UserError("precision=tf32 has no effect on a CPU; use fp32, or a CUDA device")
    if device.type == "cuda" and config.determinism == "portable":
        raise UserError(
            f"determinism=portable holds a CPU's instruction set, and device={name} is a GPU: "
            "expected device=cpu; set it, or use determinism=reproducible"
        )
    return device


def set_up(config: Config, device: torch.device) -> None:
    """Process-wide switches. Each one is set both ways, so that no trial inherits another's.

    determinism ``fast`` lets cuDNN choose its algorithm by timing; ``reproducible`` fixes the
    choice; ``exact`` also refuses operations without a deterministic form. On a CPU with a fixed
    number of threads all three give the same bits, on one kind of processor; ``portable`` gives
    bits of its own, made with what many kinds have in common.

    Raises:
        UserError: under ``portable``, where torch was loaded otherwise.
    """
    if config.determinism == "portable":
        portable.check()
    if config.determinism == "exact":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.determinism == "exact")
    torch.backends.cudnn.benchmark = config.determinism == "fast"
    torch.backends.cudnn.deterministic = config.determinism != "fast"
    torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    torch.set_num_threads(config.threads)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # which takes no device without an index


def free() -> None:
    """Give back what a failed trial held: errors and frames keep each other alive in cycles."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def autocast(config: Config, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 where torch deems it safe, under ``precision=bf16``; else nothing."""
    if config.precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
