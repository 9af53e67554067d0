"""U-Net on ResNet-50: parameter count, shapes, and where the encoder's weights come from."""

from __future__ import annotations

import urllib.request

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from chandir.axes import select
from models.unet_r50 import UnetR50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return UnetR50(21, "none")


@pytest.fixture(scope="module")
def theirs():
    """torchvision's ResNet-50, with weights of its own."""
    torch.manual_seed(1)
    return resnet50(weights=None).state_dict()


@pytest.fixture
def uncached(monkeypatch, tmp_path):
    """A model hub's cache with nothing in it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)


def test_parameters(model):
    assert sum(p.numel() for p in model.parameters()) == 32_524_005
    assert sum(p.numel() for p in model.net.encoder.parameters()) == 23_508_032
    # Upsampling has no weights: every convolution's output axis is its first.
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in model.modules())
    assert {target.dim for target in select(model, "output", "conv")} == {0}


def test_a_score_per_class_and_pixel(model):
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 64, 96)).shape == (1, 21, 64, 96)


def holds(model, state):
    own = model.net.encoder.state_dict()
    return all(torch.equal(own[name], state[name]) for name in own)


def test_torchvisions_weights_from_a_file(tmp_path, theirs):
    torch.save(theirs, tmp_path / "resnet50.pth")
    assert holds(UnetR50(21, str(tmp_path / "resnet50.pth")), theirs)


def test_safetensors_from_a_file_without_a_classifier(tmp_path, theirs):
    from safetensors.torch import save_file

    encoder = {name: value for name, value in theirs.items() if not name.startswith("fc.")}
    save_file(encoder, tmp_path / "encoder.safetensors")
    assert holds(UnetR50(21, str(tmp_path / "encoder.safetensors")), theirs)


def test_the_decoder_starts_alike_whatever_the_encoder_has(tmp_path, theirs):
    torch.save(theirs, tmp_path / "resnet50.pth")
    decoders = []
    for weights in ("none", str(tmp_path / "resnet50.pth")):
        torch.manual_seed(3)
        decoders.append(UnetR50(5, weights).net.decoder.state_dict())
    assert all(torch.equal(decoders[0][name], decoders[1][name]) for name in decoders[0])


def test_cached_weights_need_no_network(monkeypatch, tmp_path, theirs):
    from safetensors.torch import save_file

    save_file(theirs, tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda *a, **k: str(tmp_path / "model.safetensors"),
    )
    monkeypatch.setattr(urllib.request, "urlopen", None)
    assert holds(UnetR50(21, "imagenet"), theirs)


def test_imagenet_without_a_network_is_refused_after_one_question(uncached, monkeypatch):
    # The suite's proxy (conftest.py) refuses connections, so the question fails at once.
    def never(*args, **kwargs):
        raise AssertionError("the hub's own client was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", never)
    message = "encoder_weights=imagenet: .* cannot be downloaded.*encoder_weights=none"
    with pytest.raises(ValueError, match=message):
        UnetR50(21, "imagenet")


def test_imagenet_under_the_hubs_own_offline_switch(uncached, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(urllib.request, "urlopen", None)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        UnetR50(21, "imagenet")


def test_weights_that_do_not_fit_are_refused(tmp_path, theirs):
    path = tmp_path / "weights.pth"
    with pytest.raises(ValueError, match=r"weights\.pth: no such file; expected imagenet, none"):
        UnetR50(21, str(path))
    path.write_bytes(b"not a pickle")
    with pytest.raises(ValueError, match=r"weights\.pth: cannot be read"):
        UnetR50(21, str(path))
    torch.save({"conv1.weight": theirs["conv1.weight"]}, path)
    with pytest.raises(ValueError, match=r"not a ResNet-50 \(317 of 318 tensors missing"):
        UnetR50(21, str(path))
    with pytest.raises(ValueError, match="encoder_weights=null: expected imagenet, none"):
        UnetR50(21, None)
