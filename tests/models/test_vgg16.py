"""VGG-16: parameter count, initial statistics, dropout, image size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models.vgg16 import VGG16


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return VGG16()


def test_parameters(model):
    assert sum(p.numel() for p in model.parameters()) == 15_253_578
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [m.in_features for m in model.modules() if isinstance(m, nn.Linear)] == [512] * 3


def test_initial_weights(model):
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            n, expected = module.weight.numel(), math.sqrt(2 / (module.out_channels * 9))
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * n))
            assert not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()
        elif isinstance(module, nn.Linear):
            assert module.weight.abs().max() <= 1 / math.sqrt(module.in_features)


def test_dropout_acts_in_training_alone(model):
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        model.classifier.train()
        features = model.features.eval()(x).flatten(1)
        assert not torch.equal(model.classifier(features), model.classifier(features))
        model.eval()
        assert torch.equal(model(x), model(x))


def test_other_image_sizes_are_refused(model):
    with pytest.raises(ValueError, match=r"28x28.*expects 32x32.*model="):
        model(torch.randn(1, 3, 28, 28))
