"""CIFAR-10: augmentation against torchvision image by image, and the files that it reads."""

from __future__ import annotations

import hashlib
import io
import pickle
from itertools import product
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10
from torchvision.transforms import functional as vision

from tasks.cifar10 import NORMALISATIONS, Batch, Cifar10, read, write_synthetic


def data(root, source="real", verify=True):
    return SimpleNamespace(root=str(root), source=source, verify=verify, name=None)


def loaded(root, **settings):
    task = Cifar10(**settings)
    task.load(data(root, "synthetic"), "cpu")
    return task


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the stand-in where the real files would be."""
    root = tmp_path_factory.mktemp("data")
    write_synthetic(root / CIFAR10.base_folder, train=50, test=20)
    return root


@pytest.fixture
def listed(root, monkeypatch):
    """The stand-in's md5s where torchvision lists those of the real files."""
    folder = root / CIFAR10.base_folder
    for table in ("train_list", "test_list"):
        names = [name for name, _ in getattr(CIFAR10, table)]
        md5s = [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names]
        monkeypatch.setattr(CIFAR10, table, md5s)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: None)


@pytest.fixture
def offline(monkeypatch):
    def refuse(self):
        raise URLError("no network")

    monkeypatch.setattr(CIFAR10, "download", refuse)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_augmentation_is_torchvisions_of_each_image(tmp_path, normalisation):
    task = loaded(tmp_path, normalisation=normalisation)
    places = torch.tensor(list(product(range(9), range(9), range(2))))  # row, column, mirrored
    indices = torch.arange(len(places))
    uniforms = torch.stack(
        [(places[:, 0] + 0.5) / 9, (places[:, 1] + 0.5) / 9, 0.75 - 0.5 * places[:, 2]], dim=1
    )
    batch, labels = task.batch(indices, uniforms)
    assert torch.equal(labels, task.labels[indices])
    for image, index, (row, column, mirrored) in zip(batch, indices, places.tolist(), strict=True):
        picture = vision.pad(vision.to_pil_image(task.images[index]), 4)
        picture = vision.crop(picture, row, column, 32, 32)
        if mirrored:
            picture = vision.hflip(picture)
        expected = vision.normalize(vision.to_tensor(picture), *NORMALISATIONS[normalisation])
        assert torch.equal(image, expected)


def test_ends_of_the_uniforms(tmp_path):
    task = loaded(tmp_path)
    largest = 1 - 2**-24  # the largest float32 below 1
    corners = torch.tensor([[0.0, 0.0, 0.5], [largest, largest, largest]])
    first, last = task.gather(torch.tensor([0, 0]), corners)
    image = task.images[0]
    assert torch.equal(first[:, 4:, 4:], image[:, :28, :28])
    assert torch.equal(last[:, :28, :28], image[:, 4:, 4:])
    assert not first[:, :4].any()
    assert not last[:, :, 28:].any()


def test_augmentation_needs_no_value_from_the_device(tmp_path):
    # Tensors on the meta device hold no values: anything that asked for one would raise.
    task = Cifar10()
    task.load(data(tmp_path, "synthetic"), "meta")
    images, labels = task.batch(
        torch.arange(6, device="meta"), torch.rand(6, task.randoms, device="meta")
    )
    assert (images.shape, labels.shape) == ((6, 3, 32, 32), (6,))


def test_files_are_read_as_torchvision_reads_them(root, monkeypatch):
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: None)
    task = Cifar10()
    task.load(data(root, verify=False), "cpu")
    for train, images, labels in [
        (True, task.images, task.labels),
        (False, task.test_images, task.test_labels),
    ]:
        theirs = CIFAR10(str(root), train=train)
        assert torch.equal(images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
        assert labels.tolist() == theirs.targets


def test_md5s_are_checked(root, offline):
    path = root / CIFAR10.base_folder / "data_batch_1"
    actual = hashlib.md5(path.read_bytes()).hexdigest()
    expected = dict(CIFAR10.train_list)["data_batch_1"]
    message = f"data_batch_1: md5 {actual}, expected {expected};.*data.verify=false"
    with pytest.raises(ValueError, match=message):
        Cifar10().load(data(root), "cpu")


def test_files_with_the_right_md5_are_taken(root, offline, listed):
    task = Cifar10()
    task.load(data(root), "cpu")
    assert (task.train_size, task.test_size) == (50, 20)


@pytest.mark.parametrize("verify", [True, False])
def test_missing_files_without_a_network(tmp_path, offline, verify):
    with pytest.raises(FileNotFoundError, match=r"test_batch.*no network.*data.source=synthetic"):
        Cifar10().load(data(tmp_path, verify=verify), "cpu")


def test_missing_files_are_downloaded(tmp_path, listed, monkeypatch):
    def download(self):
        write_synthetic(tmp_path / CIFAR10.base_folder, train=50, test=20)

    monkeypatch.setattr(CIFAR10, "download", download)
    task = Cifar10()
    task.load(data(tmp_path), "cpu")
    assert task.train_size == 50


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04nonsense", pickle.dumps({"labels": [1]}), pickle.dumps([1, 2])]
)
def test_damaged_files_are_named(tmp_path, content):
    write_synthetic(tmp_path / CIFAR10.base_folder, train=50, test=20)
    (tmp_path / CIFAR10.base_folder / "data_batch_3").write_bytes(content)
    with pytest.raises(ValueError, match="data_batch_3: not a batch"):
        Cifar10().load(data(tmp_path, verify=False), "cpu")


def test_the_stand_in_leaves_real_data_alone(tmp_path):
    real = tmp_path / CIFAR10.base_folder / "data_batch_1"
    real.parent.mkdir()
    real.write_bytes(b"real")
    task = loaded(tmp_path)
    assert (task.train_size, task.test_size) == (500, 200)
    assert real.read_bytes() == b"real"
    assert sorted(path.name for path in tmp_path.iterdir()) == [CIFAR10.base_folder, "synthetic"]
    assert sorted(path.name for path in real.parent.iterdir()) == ["data_batch_1"]


def test_the_stand_in_is_the_same_everywhere(tmp_path):
    first, second = loaded(tmp_path / "a"), loaded(tmp_path / "b")
    assert first.checksum == second.checksum == loaded(tmp_path / "a").checksum


def test_the_stand_in_can_be_learned(tmp_path):
    task = loaded(tmp_path)
    train, test = task.images.flatten(1).float(), task.test_images.flatten(1).float()
    centres = torch.stack([train[task.labels == k].mean(0) for k in range(10)])
    nearest = torch.cdist(test, centres).argmin(1)
    assert (nearest == task.test_labels).double().mean() > 0.9


def test_read_joins_files_in_order(root):
    paths = [root / CIFAR10.base_folder / name for name in ("data_batch_2", "data_batch_1")]
    images, labels = read(paths)
    assert torch.equal(images[:10], read(paths[:1])[0])
    assert torch.equal(labels[10:], read(paths[1:])[1])


def test_unknown_normalisation():
    with pytest.raises(ValueError, match=r"task.normalisation='imagenet'.*\['ls', 'cifar10'\]"):
        Cifar10(normalisation="imagenet")


class Bomb:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("source", ["real", "synthetic"])
def test_a_batch_that_holds_code_is_refused_and_never_run(root, tmp_path, source):
    task = Cifar10()
    if source == "synthetic":
        task.load(data(root, "synthetic"), "cpu")
    folder = root / ("synthetic" if source == "synthetic" else "") / "cifar-10-batches-py"
    bomb = tmp_path / "executed"
    (folder / "data_batch_1").write_bytes(pickle.dumps({"labels": [0], "data": Bomb(bomb)}))
    with pytest.raises(ValueError, match=r"data_batch_1: not a batch.*io.open is no data"):
        task.load(data(root, source, verify=source == "synthetic"), "cpu")
    assert not bomb.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_batch_of_any_protocol_is_read(protocol):
    content = {"labels": [1, 2], "data": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    file = io.BytesIO(pickle.dumps(content, protocol=protocol))
    found = Batch(file, encoding="latin1").load()
    assert found["labels"] == [1, 2]
    assert np.array_equal(found["data"], content["data"])
