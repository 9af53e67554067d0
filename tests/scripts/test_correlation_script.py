"""scripts/correlation.py: the files it reads, what it writes, its messages."""

from __future__ import annotations

import hashlib
import io
import json
from urllib.error import URLError

import pytest
import torch
from torch import nn

from chandir import correlation
from scripts import correlation as script


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 2))


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def run(*arguments, out):
    return script.main([*map(str, arguments), "--out", str(out)])


@pytest.mark.parametrize("form", ["plain", "published", "final", "checkpoint"])
def test_every_form_of_checkpoint(tmp_path, capsys, model, form):
    weights = model.state_dict()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    content = {
        "plain": weights,
        "published": {
            "state_dict": {f"module.{key}": value for key, value in weights.items()},
            "best_prec1": 93.39,
        },
        "final": {"model": weights},
        "checkpoint": {"optimizer": optimizer.state_dict(), "model": weights},
    }[form]
    payload = saved(content)
    if form == "checkpoint":
        payload = hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload
    path = tmp_path / "trial-0" / "checkpoint.pt"
    path.parent.mkdir()
    path.write_bytes(payload)
    assert run(path, out=tmp_path / "out") == 0
    name = f"{tmp_path.name}-trial-0-checkpoint"
    summary = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    expected = correlation.summary(model)
    assert (summary["output"], summary["input"]) == (expected["output"], expected["input"])
    assert f"{expected['output']['mean']:.4f}" in capsys.readouterr().out
    assert (tmp_path / "out" / f"{name}.png").stat().st_size > 0


def test_a_layer_by_name(tmp_path, capsys, model):
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(model.state_dict()))
    assert run(path, "--layer", "0", out=tmp_path / "out") == 0
    assert run(path, "--layer", "2", out=tmp_path / "out") == 1
    assert "--layer 2: no convolution" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense", "not a whole file of weights"),
        (saved(nn.Conv2d(3, 8, 3).state_dict())[:100], "not a whole file of weights"),
        (saved({"epoch": 3, "lr": [0.1]}), "no weights found"),
        (saved(nn.Linear(3, 3).state_dict()), "no weights found|no convolution"),
    ],
)
def test_files_without_weights(tmp_path, capsys, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert run(path, out=tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))


def test_unknown_models_name_their_neighbours(tmp_path, capsys):
    assert run("resnet5", out=tmp_path) == 1
    assert "near: resnet50" in capsys.readouterr().err


def test_torchvision_weights_from_a_file(tmp_path, monkeypatch, capsys, model):
    # squeezenet1_1's published file, by its name; what it holds is of no matter here.
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").write_bytes(saved(model.state_dict()))
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda *_, **__: pytest.fail("downloaded"),
    )
    assert run("squeezenet1_1", "--weights", tmp_path, out=tmp_path / "out") == 0
    assert (tmp_path / "out" / "squeezenet1_1.json").exists()


def test_torchvision_weights_by_download(tmp_path, monkeypatch, model):
    asked = []

    def download(url, **settings):
        asked.append((url, settings["check_hash"], settings["model_dir"]))
        return model.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    monkeypatch.setattr("socket.setdefaulttimeout", lambda seconds: asked.append(seconds))
    assert run("figure1", "--weights", tmp_path, out=tmp_path / "out") == 0
    files = [entry[0].rpartition("/")[2] for entry in asked if isinstance(entry, tuple)]
    # resnet50-0676ba61: the weights of the paper's time, not the later IMAGENET1K_V2.
    assert files == [
        "alexnet-owt-7be5be79.pth",
        "vgg16-397923af.pth",
        "densenet121-a639ec97.pth",
        "resnet50-0676ba61.pth",
    ]
    assert script.TIMEOUT in asked
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.json")) == sorted(script.PAPER)


def test_neither_file_nor_network(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr("socket.setdefaulttimeout", lambda seconds: None)
    assert run("alexnet", "--weights", tmp_path, out=tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "alexnet-owt-7be5be79.pth is not there" in error
    assert "no network" in error
    assert "--weights" in error
