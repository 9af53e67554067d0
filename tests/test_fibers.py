"""The layout (a, n, b): a view of every tensor without gaps, with the right fibers."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from chandir.fibers import fibers


def as_set(x: Tensor) -> set[tuple[float, ...]]:
    """The fibers of x (a, n, b), whatever their order."""
    return {tuple(fiber.tolist()) for fiber in x.movedim(1, 2).reshape(-1, x.shape[1])}


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 1)])
def test_dense_tensors_are_viewed(order: tuple[int, ...], shape: tuple[int, ...]) -> None:
    memory = torch.arange(2 * 3 * 4 * 5).float()[: torch.Size(shape).numel()]
    f = memory.view([shape[i] for i in order]).permute([order.index(i) for i in range(4)])
    assert f.shape == shape
    for dim in range(-4, 4):
        x = fibers(f, dim)
        assert x.shape[1] == shape[dim]
        assert x.data_ptr() == f.data_ptr()
        assert x.is_contiguous()
        assert as_set(x) == as_set(f.movedim(dim, -1).reshape(-1, shape[dim], 1))


def test_documented_shapes() -> None:
    f = torch.empty(8, 4, 3, 3)
    last = f.to(memory_format=torch.channels_last)
    assert fibers(f, 0).shape == (1, 8, 36)
    assert fibers(f, 1).shape == (8, 4, 9)
    assert fibers(last, 1).shape == (72, 4, 1)
    assert fibers(last, 0).shape == (1, 8, 36)
    assert fibers(f, None).shape == (1, 288, 1)


def test_writing_to_fibers_writes_to_the_tensor() -> None:
    f = torch.zeros(8, 4, 3, 3).to(memory_format=torch.channels_last)
    fibers(f, 1).copy_(torch.arange(4.0).view(1, 4, 1))
    assert torch.equal(f[5, :, 2, 1], torch.arange(4.0))


def test_tensors_with_gaps_are_copied() -> None:
    f = torch.arange(48.0).view(4, 6, 2)[:, ::3]
    x = fibers(f, 0)
    assert x.data_ptr() != f.data_ptr()
    assert as_set(x) == as_set(f.reshape(1, 4, 4))
    expanded = torch.arange(3.0).expand(4, 3)
    assert as_set(fibers(expanded, 1)) == {(0.0, 1.0, 2.0)}


def test_rasterized_is_logical_row_major_order() -> None:
    f = torch.arange(24.0).view(2, 3, 2, 2)
    last = f.to(memory_format=torch.channels_last)
    assert torch.equal(fibers(f, None), fibers(last, None))
    assert fibers(f, None).data_ptr() == f.data_ptr()


def test_scalars_are_one_fiber() -> None:
    f = torch.tensor(3.0)
    assert fibers(f, 0).shape == fibers(f, -1).shape == fibers(f, None).shape == (1, 1, 1)


@pytest.mark.parametrize(("shape", "dim"), [((2, 3), 2), ((2, 3), -3), ((), 1)])
def test_axis_out_of_range(shape: tuple[int, ...], dim: int) -> None:
    with pytest.raises(ValueError, match=f"dim={dim} is out of range"):
        fibers(torch.zeros(shape), dim)
