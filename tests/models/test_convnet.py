"""The two-layer network of the MNIST experiment."""

from __future__ import annotations

import pytest
import torch

from models.convnet import ConvNet


@pytest.mark.parametrize(("size", "count"), [(28, 951_242), (8, 336_842)])
def test_parameters_are_those_of_the_docstring(size: int, count: int) -> None:
    model = ConvNet(1, 10, size)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert f"{count:,}" in (ConvNet.__doc__ or "")
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 10)
    assert [tuple(layer.weight.shape) for layer in (model.conv1, model.conv2)] == [
        (50, 1, 5, 5),
        (100, 50, 5, 5),
    ]


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size=3"):
        ConvNet(1, 10, 3)
