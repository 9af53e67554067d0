"""MNIST and Fashion-MNIST with their two sets' roles swapped."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchvision import datasets

from tasks import mnist_swap
from tasks.mnist_swap import FILES, MnistSwap, write_synthetic


def data(root: Path, **other: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"root": str(root), "source": "real", "verify": True, "name": "mnist"} | other
    )


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_it_trains_on_the_test_set_and_tests_on_the_training_set(tmp_path: Path, name: str) -> None:
    task = MnistSwap()
    task.load(data(tmp_path, source="synthetic", name=name), "cpu")
    dataset = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
    train, test = (dataset(str(tmp_path / "synthetic"), train=part) for part in (False, True))
    assert torch.equal(task.images[:, 0], train.data)
    assert torch.equal(task.labels, train.targets)
    assert torch.equal(task.test_images[:, 0], test.data)
    assert (task.train_size, task.test_size) == (500, 1000)
    mean, std = mnist_swap.NORMALISATIONS[name]
    inputs, _ = task.batch(torch.tensor([3]), torch.empty(1, 0))
    torch.testing.assert_close(inputs[0, 0], (train.data[3] / 255 - mean) / std)


def test_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.name=emnist: expected one of"):
        MnistSwap().load(data(tmp_path, name="emnist"), "cpu")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data set whose lengths and md5s the task takes for the real ones."""
    import hashlib

    folder = tmp_path / "MNIST" / "raw"
    write_synthetic(folder)
    contents = [(folder / name).read_bytes() for name in FILES]
    sizes = dict(zip(FILES, map(len, contents), strict=True))
    digests = tuple(hashlib.md5(each, usedforsecurity=False).hexdigest() for each in contents)
    monkeypatch.setattr(mnist_swap, "FILES", sizes)
    monkeypatch.setattr(mnist_swap, "DIGESTS", dict.fromkeys(mnist_swap.DIGESTS, digests))
    return folder


def test_a_changed_file_is_named_with_what_was_expected(tmp_path: Path, raw: Path) -> None:
    MnistSwap().load(data(tmp_path), "cpu")
    name = "t10k-images-idx3-ubyte"
    content = bytearray((raw / name).read_bytes())
    content[1000] ^= 1
    (raw / name).write_bytes(content)
    expected = mnist_swap.DIGESTS["mnist"][list(FILES).index(name)]
    with pytest.raises(ValueError, match=f"{name}: md5 .*, expected {expected}"):
        MnistSwap().load(data(tmp_path), "cpu")
    MnistSwap().load(data(tmp_path, verify=False), "cpu")


def test_fashion_mnist_is_held_to_md5s_too(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "FashionMNIST").symlink_to(raw.parent)
    MnistSwap().load(data(tmp_path, name="fashion-mnist"), "cpu")
    name = "train-labels-idx1-ubyte"
    content = bytearray((raw / name).read_bytes())
    content[100] = (content[100] + 1) % 10
    (raw / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: md5"):
        MnistSwap().load(data(tmp_path, name="fashion-mnist"), "cpu")


def test_a_truncated_file_is_named_also_unverified(tmp_path: Path, raw: Path) -> None:
    name = "train-labels-idx1-ubyte"
    (raw / name).write_bytes((raw / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name}: 1007 bytes, expected 1008"):
        MnistSwap().load(data(tmp_path, verify=False), "cpu")


def test_compressed_files_are_unpacked_and_damaged_ones_named(tmp_path: Path, raw: Path) -> None:
    for name in FILES:
        (raw / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
    MnistSwap().load(data(tmp_path), "cpu")
    name = "t10k-labels-idx1-ubyte"
    (raw / name).unlink()
    (raw / f"{name}.gz").write_bytes((raw / f"{name}.gz").read_bytes()[:-8])
    with pytest.raises(ValueError, match=f"{name}.gz: not a whole gzip file"):
        MnistSwap().load(data(tmp_path), "cpu")


def test_missing_files_are_named_with_the_folder_they_belong_in(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="MNIST/raw/train-images-idx3-ubyte") as caught:
        MnistSwap().load(data(tmp_path), "cpu")
    assert str(tmp_path) in str(caught.value)
