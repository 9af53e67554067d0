"""SPADE: parameter counts, its block and norm against the formula, both networks' forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chandir.axes import select
from models.patchgan import PatchGAN
from models.spade import Spade, SpadeBlock, SpadeNorm


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def paper() -> Spade:
    """The default sizes, those of the followed code."""
    torch.manual_seed(0)
    return Spade()


@pytest.fixture
def small() -> Spade:
    torch.manual_seed(0)
    return Spade(labels=5, width=2, hidden=4, discriminator_width=4)


def convolved(x: Tensor, conv: nn.Conv2d) -> np.ndarray:
    """A stride-1 convolution tap by tap, in float64."""
    weight, pixels = conv.weight.detach().double().numpy(), x.double().numpy()
    pad = conv.padding[0]
    padded = np.pad(pixels, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = pixels.shape[2:]
    y = np.zeros((len(pixels), len(weight), height, width))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            window = padded[:, :, i : i + height, j : j + width]
            y += np.einsum("oc,bchw->bohw", weight[:, :, i, j], window)
    if conv.bias is not None:
        y += conv.bias.detach().double().numpy()[:, None, None]
    return y


def nearest(x: Tensor, height: int, width: int) -> Tensor:
    rows = [i * x.shape[2] // height for i in range(height)]
    columns = [j * x.shape[3] // width for j in range(width)]
    return x[:, :, rows][:, :, :, columns]


def normalised(norm: SpadeNorm, x: Tensor, semantics: Tensor) -> np.ndarray:
    """Equation (1) of arXiv 1903.07291, in float64."""
    pixels = x.double().numpy()
    mean = pixels.mean((0, 2, 3), keepdims=True)
    variance = pixels.var((0, 2, 3), keepdims=True)
    hidden = torch.from_numpy(np.maximum(convolved(semantics, norm.shared), 0))
    gamma, beta = convolved(hidden, norm.gamma), convolved(hidden, norm.beta)
    return (pixels - mean) / np.sqrt(variance + 1e-5) * (1 + gamma) + beta


def leaky(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.where(x > 0, x, 0.2 * x))


def test_parameters(paper: Spade) -> None:
    assert count(paper.generator) == 93_048_003
    assert [count(scale) for scale in paper.discriminator.scales] == [2_800_705] * 2


def test_spectral_norm_is_on_the_blocks_convolutions_alone(paper: Spade) -> None:
    trained = [name for name, _ in paper.named_parameters() if name.endswith("weight.original")]
    ours = [name for name in trained if name.startswith("generator")]
    assert len(ours) == 7 * 2 + 4  # two a block, and a shortcut where the width changes
    assert all(".conv_" in name for name in ours)
    assert len(trained) - len(ours) == 2 * 3
    for scale in paper.discriminator.scales:
        normed = [nn.utils.parametrize.is_parametrized(layer[0]) for layer in scale.layers]
        assert normed == [False, True, True, True]
        assert not nn.utils.parametrize.is_parametrized(scale.output)


def test_applied_weights_have_spectral_norm_one(small: Spade) -> None:
    semantics = torch.rand(2, 6, 64, 64)
    for _ in range(20):  # each training step refines the estimate
        small(semantics)
    small.eval()
    for block in small.generator.stages:
        for name in block.convolutions():
            weight = block.get_submodule(name).weight.detach()
            assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, 0.05)


def test_initial_weights_are_xaviers(paper: Spade) -> None:
    for name, parameter in paper.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        taps = parameter[0, 0].numel()
        deviation = 0.02 * math.sqrt(2 / (taps * (parameter.shape[0] + parameter.shape[1])))
        tolerance = 5 / math.sqrt(2 * parameter.numel())
        assert parameter.std().item() == pytest.approx(deviation, rel=tolerance), name


def test_the_norm_is_its_formula() -> None:
    torch.manual_seed(0)
    norm = SpadeNorm(channels=3, semantic_channels=5, hidden=4)
    x, semantics = 2 + 3 * torch.randn(2, 3, 4, 6), torch.randn(2, 5, 4, 6)
    np.testing.assert_allclose(
        norm(x, semantics).detach(), normalised(norm, x, semantics), atol=1e-5
    )
    assert [name for name, _ in norm.named_parameters() if name.startswith("norm")] == []


@pytest.mark.parametrize(("before", "after"), [(4, 4), (4, 2), (2, 4)])
def test_the_block_is_its_formula(before: int, after: int) -> None:
    torch.manual_seed(0)
    block = SpadeBlock(before, after, semantic_channels=5, hidden=4)
    x, semantics = torch.randn(2, before, 4, 6), torch.randn(2, 5, 4, 6)
    y = torch.from_numpy(convolved(leaky(normalised(block.norm_0, x, semantics)), block.conv_0))
    expected = convolved(leaky(normalised(block.norm_1, y, semantics)), block.conv_1)
    assert block.learned == (before != after)
    if block.learned:
        assert block.conv_s.bias is None
        shortcut = torch.from_numpy(normalised(block.norm_s, x, semantics))
        expected += convolved(shortcut, block.conv_s)
    else:
        expected += x.double().numpy()
    np.testing.assert_allclose(block(x, semantics).detach(), expected, atol=1e-5)
    assert block.conv_0.out_channels == min(before, after)


def test_the_generator_doubles_its_map_six_times(small: Spade) -> None:
    inputs = []
    for stage in (small.generator.first, *small.generator.stages):
        stage.register_forward_pre_hook(lambda _, args: inputs.append(args))
    semantics = torch.rand(2, 6, 64, 128)
    images = small(semantics)
    assert images.shape == (2, 3, 64, 128)
    assert images.abs().max() <= 1
    widths = (32, 32, 32, 32, 16, 8, 4)
    assert torch.equal(inputs.pop(0)[0], nearest(semantics, 1, 2))
    for k, (width, (x, seen)) in enumerate(zip(widths, inputs, strict=True)):
        assert x.shape[1:] == (width, 2**k, 2 ** (k + 1))
        assert torch.equal(seen, nearest(semantics, *x.shape[2:]))


def test_an_image_depends_on_its_labels_everywhere(small: Spade) -> None:
    small.eval()
    semantics = torch.zeros(1, 6, 64, 64)
    semantics[:, 0] = 1
    other = semantics.clone()
    other[:, :2, 40, 40] = torch.tensor([0.0, 1.0])
    changed = (small(semantics) != small(other)).any(1)[0]
    assert changed[40, 40]


@pytest.mark.parametrize("shape", [(1, 6, 64, 100), (1, 6, 32, 64), (1, 1, 64, 64)])
def test_other_inputs_are_refused(small: Spade, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"spade expects 6 channels and multiples of 64.*task="):
        small(torch.zeros(shape))


@pytest.mark.parametrize("key", ["labels", "width", "hidden", "discriminator_width"])
@pytest.mark.parametrize("size", [0, None])  # None: a task that gives this network no sizes
def test_sizes_that_are_none_are_refused(key: str, size: int | None) -> None:
    with pytest.raises(ValueError, match=rf"model.{key}={size}: expected a whole number from 1"):
        Spade(**{key: size})


def test_the_second_discriminator_sees_half_the_size() -> None:
    torch.manual_seed(0)
    discriminator = PatchGAN(channels=3, width=4)
    x = torch.randn(2, 3, 16, 32)
    first, second = discriminator(x)
    half = torch.zeros(2, 3, 8, 16)
    for i in range(8):
        for j in range(16):
            rows, columns = slice(max(0, 2 * i - 1), 2 * i + 2), slice(max(0, 2 * j - 1), 2 * j + 2)
            half[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    assert [m.shape[1] for m in first] == [4, 8, 16, 32, 1]
    # Stride 2 with 4x4 windows and a padding of 2: n // 2 + 1; stride 1: n + 1.
    assert [tuple(m.shape[2:]) for m in first] == [(9, 17), (5, 9), (3, 5), (4, 6), (5, 7)]
    for ours, expected in zip(second, discriminator.scales[1](half), strict=True):
        torch.testing.assert_close(ours, expected)


def test_inner_layers_of_a_discriminator_are_normalised(small: Spade) -> None:
    maps = small.discriminator(torch.randn(2, 9, 64, 64))[0]
    for feature in maps[1:4]:
        straight = torch.where(feature > 0, feature, feature / 0.2)  # before the leaky ReLU
        assert straight.mean((2, 3)).abs().max() < 1e-4
        assert (straight.var((2, 3), unbiased=False) <= 1 + 1e-4).all()


def test_batch_norm_converts_to_synchronised(small: Spade) -> None:
    small(torch.rand(2, 6, 64, 64))  # statistics other than the initial ones
    small.eval()
    semantics = torch.rand(1, 6, 64, 64)
    expected, keys = small(semantics), set(small.state_dict())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(small)
    found = [type(module).__name__ for module in converted.generator.modules()]
    assert (found.count("SyncBatchNorm"), found.count("BatchNorm2d")) == (18, 0)
    assert set(converted.state_dict()) == keys
    assert torch.equal(converted(semantics), expected)


def test_metrics_see_every_convolution_of_both_networks(small: Spade) -> None:
    for network in (small.generator, small.discriminator):
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        targets = select(network, "output", "conv")
        assert len(targets) == len(convolutions)
        assert {target.dim for target in targets} == {0}


def test_the_state_dict_is_everything(small: Spade) -> None:
    semantics = torch.rand(2, 6, 64, 64)
    small(semantics)
    other = Spade(labels=5, width=2, hidden=4, discriminator_width=4)
    other.load_state_dict(small.state_dict())
    for _ in range(2):  # in training mode: the power iterations' vectors came along
        assert torch.equal(small(semantics), other(semantics))
