"""Which samples a reduced set keeps."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn(count: int, size: int) -> Tensor:
    """The indices (size,) int64 that are kept of `count`: one fixed draw, in its own order.

    It does not depend on the trial, and a smaller set is part of a larger one.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:size]
