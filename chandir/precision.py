"""Precision: products of float32 that stay float32, whatever the training around them allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from chandir.operators import Operator


class Outside:
    """Another operator, taken outside of autocast."""

    multiplies = False  # in less than its dtype

    def __init__(self, operator: Operator, device: torch.device) -> None:
        self.operator, self.device = operator, device

    def __call__(self, x: Tensor) -> None:
        """Overwrite x (a, n, b)."""
        with torch.autocast(self.device.type, enabled=False):
            self.operator(x)

    step = __call__


def in_full(
    dtype: torch.dtype, device: torch.device, make: Callable[[torch.dtype], Operator]
) -> Operator:
    """Return make(dtype), in whose products no entry has less than dtype's precision.

    float32 products are taken in less under autocast, TF32 and
    ``set_float32_matmul_precision("medium")``. None of them touches float64, in which such
    operators then compute. Apple's GPUs have none; of these three they know autocast alone.
    """
    operator = make(dtype)
    if not operator.multiplies or not reduces_products(device):
        return operator
    return Outside(operator, device) if device.type == "mps" else make(torch.float64)


def reduces_products(device: torch.device) -> bool:
    """Whether a float32 matrix product on this device may be taken in less than float32."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return True
    if device.type == "mps":
        return False
    precision = getattr(_MATMUL.get(device.type), "fp32_precision", None)
    if precision is None:  # torch < 2.9, or another kind of device
        try:
            return torch.get_float32_matmul_precision() != "highest"
        except RuntimeError:  # of torch >= 2.9 where precisions were set by kind of device
            return True
    return precision in ("tf32", "bf16")


_MATMUL = {
    "cpu": getattr(torch.backends.mkldnn, "matmul", None),
    "cuda": torch.backends.cuda.matmul,
}
