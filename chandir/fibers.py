"""Fibers: the 1-D slices of a tensor along one axis, in the one layout that all operators take.

The layout is (a, n, b): a * b fibers of n entries, along the middle axis. For a tensor that fills
its memory without gaps, in whatever order of axes, it is a view: the other axes are taken as they
lie in memory, since the order of the fibers among themselves does not matter.

=====================  =====================  ==============  =======================
tensor                 memory                 axis            (a, n, b)
=====================  =====================  ==============  =======================
Conv2d weight          (O, I, h, w)           output (0)      (1, O, I h w)
Conv2d weight          (O, I, h, w)           input (1)       (O, I, h w)
the same               channels_last          input (1)       (O h w, I, 1)
any                    row-major              rasterized      (1, O I h w, 1)
=====================  =====================  ==============  =======================
"""

from __future__ import annotations

from math import prod

from torch import Tensor


def fibers(f: Tensor, dim: int | None) -> Tensor:
    """Return the fibers of f along dim as (a, n, b): a view of f where its memory allows one.

    Args:
        f: tensor of any shape; a 0-D one is a single fiber with one entry.
        dim: axis of the fibers; None takes f in row-major order as one fiber ("rasterized").

    Returns:
        Tensor (a, n, b) with n = f.shape[dim], or (1, f.numel(), 1) for None.

    Raises:
        ValueError: f has no axis dim.
    """
    if dim is None or (f.ndim == 0 and dim in (0, -1)):
        return f.reshape(1, -1, 1)
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ValueError(
            f"dim={dim!r}: expected the number of an axis, or None for the whole tensor in "
            "row-major order"
        )
    if not -f.ndim <= dim < f.ndim:
        raise ValueError(
            f"dim={dim} is out of range for a gradient of shape {tuple(f.shape)}: expected "
            f"{-f.ndim} to {f.ndim - 1}, or None for the whole tensor in row-major order"
        )
    axis = dim % f.ndim
    if not f.is_contiguous():
        order = sorted(range(f.ndim), key=f.stride, reverse=True)
        f, axis = f.permute(order), order.index(axis)
    return f.reshape(prod(f.shape[:axis]), f.shape[axis], prod(f.shape[axis + 1 :]))
