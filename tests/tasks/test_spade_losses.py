"""SPADE's losses against sums taken term by term."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import models

from tasks.gan_losses import adversarial, halves, hinge, matching
from tasks.perceptual import LAYERS, Perceptual


def maps(seed: int, batch: int = 2) -> list[list[Tensor]]:
    """Two scales of three maps, the last with one channel."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [[(4, 6, 8), (8, 3, 5), (1, 4, 6)], [(4, 3, 4), (8, 2, 3), (1, 3, 4)]]
    return [
        [torch.randn(batch, *size, generator=generator, requires_grad=True) for size in scale]
        for scale in sizes
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_hinge(sign: int) -> None:
    found = maps(0)
    scales = [
        np.mean([max(0.0, 1 - sign * value) for value in scale[-1].detach().flatten().tolist()])
        for scale in found
    ]
    assert hinge(found, sign).item() == pytest.approx(np.mean(scales), rel=1e-6)


def test_hinge_asks_no_more_of_a_sure_discriminator() -> None:
    sure = [[torch.full((2, 1, 3, 3), 1.5, requires_grad=True)]]
    loss = hinge(sure, 1)
    loss.backward()
    assert loss.item() == 0
    assert not sure[0][0].grad.any()
    assert hinge(sure, -1).item() == 2.5


def test_the_generators_loss_has_no_hinge() -> None:
    found = maps(0)
    expected = -np.mean([scale[-1].detach().numpy().mean() for scale in found])
    assert adversarial(found).item() == pytest.approx(expected, abs=1e-7)


def test_matching_compares_the_inner_maps_of_each_scale() -> None:
    generated, real = maps(1), maps(2)
    expected = 0.0
    for ours, theirs in zip(generated, real, strict=True):
        for k in range(2):  # not the last
            expected += (ours[k] - theirs[k]).detach().abs().double().mean().item() / 2
    loss = matching(generated, real)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert all(m.grad is not None for scale in generated for m in scale[:-1])
    assert all(m.grad is None for scale in real for m in scale)
    assert all(scale[-1].grad is None for scale in generated)


def test_halves() -> None:
    found = maps(0, batch=6)
    first, second = halves(found)
    for whole, a, b in zip(found, first, second, strict=True):
        for m, x, y in zip(whole, a, b, strict=True):
            assert torch.equal(torch.cat([x, y]), m)
            assert len(x) == len(y) == 3


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names of torchvision's file, without its classifier."""
    torch.manual_seed(0)
    layers = models.vgg.make_layers(models.vgg.cfgs["E"])
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({f"features.{name}": tensor for name, tensor in layers.state_dict().items()}, path)
    return path


def test_perceptual_loss_layer_by_layer(vgg_file: Path) -> None:
    loss = Perceptual(str(vgg_file))
    state = torch.load(vgg_file, weights_only=True)
    torch.manual_seed(0)
    x, y = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    # VGG-19 as Simonyan & Zisserman list it; the loss takes the first ReLU of each block.
    index, expected, ours, theirs = 0, 0.0, x, y
    for convolutions, weight in zip(
        (2, 2, 4, 4, 1), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True
    ):
        for k in range(convolutions):
            kernel, bias = (state[f"features.{index}.{part}"] for part in ("weight", "bias"))
            ours, theirs = (
                torch.conv2d(z, kernel, bias, padding=1).clamp(min=0) for z in (ours, theirs)
            )
            if k == 0:
                expected = expected + weight * (ours - theirs).abs().mean()
            index += 2
        index += 1
        ours, theirs = (torch.max_pool2d(z, 2) for z in (ours, theirs))
    found = loss(x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(found, x)
    (reference,) = torch.autograd.grad(expected, x)
    torch.testing.assert_close(gradient, reference)
    assert loss(y, y).item() == 0


def test_the_layers_are_the_first_relus_of_the_blocks() -> None:
    with torch.device("meta"):
        features = models.vgg19().features
    for index in LAYERS:
        assert isinstance(features[index], torch.nn.ReLU)
        before = 0 if index == 1 else index - 2
        assert index == 1 or isinstance(features[before], torch.nn.MaxPool2d)


def test_vgg_is_not_trained(vgg_file: Path) -> None:
    assert not any(parameter.requires_grad for parameter in Perceptual(str(vgg_file)).parameters())


def test_weights_that_are_missing_or_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    message = r"task.perceptual=vgg19: .*vgg19.*not there.*task.perceptual=none"
    with pytest.raises(FileNotFoundError, match=message):
        Perceptual()
    other = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match=r"other.pth: these are not torchvision's weights of VGG"):
        Perceptual(str(other))
