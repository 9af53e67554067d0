"""ResNet-56: parameter counts, names of the published weights, initial statistics, shortcuts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models.resnet56 import Block, ResNet56, Subsample


@pytest.mark.parametrize(("shortcut", "count"), [("B", 855_770), ("A", 853_018)])
def test_parameters(shortcut, count):
    model = ResNet56(shortcut=shortcut)
    assert sum(p.numel() for p in model.parameters()) == count
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 55
    assert sum(m.kernel_size == (1, 1) for m in convolutions) == (2 if shortcut == "B" else 0)


def published_shapes():
    """Names and shapes in akamaster/pytorch_resnet_cifar10's checkpoints, without "module."."""

    def norm(name, width):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{tensor}", (width,)
        yield f"{name}.num_batches_tracked", ()

    yield "conv1.weight", (16, 3, 3, 3)
    yield from norm("bn1", 16)
    width_in = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        for block in range(9):
            name = f"layer{stage}.{block}"
            yield f"{name}.conv1.weight", (width, width_in, 3, 3)
            yield from norm(f"{name}.bn1", width)
            yield f"{name}.conv2.weight", (width, width, 3, 3)
            yield from norm(f"{name}.bn2", width)
            width_in = width
    yield "linear.weight", (10, 64)
    yield "linear.bias", (10,)


def test_published_weights_fit():
    ours = {name: tuple(t.shape) for name, t in ResNet56(shortcut="A").state_dict().items()}
    assert list(ours.items()) == list(published_shapes())


def test_initial_weights():
    torch.manual_seed(0)
    for module in ResNet56().modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach()
            expected = math.sqrt(2 / (module.out_channels * module.kernel_size[0] ** 2))
            # The standard deviation of n normal samples varies by 1 / sqrt(2 n), their mean by
            # 1 / sqrt(n): five times that.
            n = weight.numel()
            assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * n))
            assert abs(weight.mean().item()) < 5 * expected / math.sqrt(n)
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert bool((module.bias == 0).all())
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_block_without_branch_is_its_shortcut(shortcut):
    torch.manual_seed(0)
    block = Block(16, 32, 2, shortcut).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), block.shortcut(x).relu())


def test_shortcut_a_keeps_every_second_pixel_between_zeros():
    x = torch.randn(2, 16, 5, 5)
    y = Subsample(2, 8)(x)
    assert y.shape == (2, 32, 3, 3)
    assert torch.equal(y[:, 8:24], x[:, :, [0, 2, 4]][..., [0, 2, 4]])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_any_image(channels, size):
    model = ResNet56(num_classes=7, in_channels=channels)
    assert model(torch.randn(2, channels, size, size)).shape == (2, 7)


def test_unknown_shortcut():
    with pytest.raises(ValueError, match=r"shortcut='C'.*'B'"):
        ResNet56(shortcut="C")
