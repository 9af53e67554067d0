"""Cityscapes on disk: read as torchvision and Pillow read it, bad files named, the stand-in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import Cityscapes

from tasks import cityscapes, streets


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "cityscapes"
    streets.write(root)
    return root


@pytest.fixture
def root(stand_in: Path, tmp_path: Path) -> Path:
    """A copy, to spoil."""
    return Path(shutil.copytree(stand_in, tmp_path / "cityscapes"))


def test_files_are_torchvisions(stand_in: Path) -> None:
    for split, size in streets.SIZES.items():
        theirs = Cityscapes(str(stand_in), split=split, target_type=["semantic", "instance"])
        pairs = zip(theirs.images, theirs.targets, strict=True)
        listed = sorted((image, *targets) for image, targets in pairs)
        ours = cityscapes.find(stand_in, split)
        assert len(ours) == size
        assert [tuple(map(str, paths)) for paths in ours] == listed


@pytest.mark.parametrize(("height", "width"), [(64, 128), (128, 256), (64, 192), (192, 256)])
def test_samples_are_pillows(stand_in: Path, height: int, width: int) -> None:
    files = cityscapes.find(stand_in, "val")[:3]
    samples = cityscapes.read(files, height, width)
    assert (samples.dtype, samples.shape) == (torch.uint8, (3, 5, height, width))
    for sample, (image, label, instance) in zip(samples.numpy(), files, strict=True):
        photograph = Image.open(image).resize((width, height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(sample[:3], np.asarray(photograph).transpose(2, 0, 1))
        labels = Image.open(label).resize((width, height), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(sample[3], np.asarray(labels))
        ids = Image.fromarray(np.asarray(Image.open(instance)).astype(np.int32))
        ids = np.asarray(ids.resize((width, height), Image.Resampling.NEAREST))
        for i in range(0, height, 3):
            for j in range(width):
                around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
                inside = [p for p in around if 0 <= p[0] < height and 0 <= p[1] < width]
                assert sample[4, i, j] == any(ids[p] != ids[i, j] for p in inside)


def test_edges_are_between_instances_of_one_label() -> None:
    instance = np.array([[26000, 26000, 26001, 26001]], np.uint16)
    np.testing.assert_array_equal(cityscapes.edges(instance), [[False, True, True, False]])
    np.testing.assert_array_equal(cityscapes.edges(instance.T), [[False], [True], [True], [False]])


def test_semantics_are_one_hot_labels_and_edges() -> None:
    samples = torch.zeros(2, 5, 3, 4, dtype=torch.uint8)
    samples[:, 3] = torch.randint(0, 35, (2, 3, 4))
    samples[:, 4] = torch.randint(0, 2, (2, 3, 4))
    found = cityscapes.semantics(samples)
    assert (found.shape, found.dtype) == ((2, 36, 3, 4), torch.float32)
    labels = torch.nn.functional.one_hot(samples[:, 3].long(), 35).permute(0, 3, 1, 2)
    assert torch.equal(found[:, :35], labels.float())
    assert torch.equal(found[:, 35], samples[:, 4].float())


def test_photographs_are_between_minus_one_and_one() -> None:
    samples = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 5, 1, 3)
    expected = torch.tensor([-1, -0.6, 1]).expand(1, 3, 1, 3)
    torch.testing.assert_close(cityscapes.photographs(samples), expected)


def test_the_palette_is_torchvisions() -> None:
    colours = {known.id: known.color for known in Cityscapes.classes}
    assert list(cityscapes.PALETTE) == [*(colours[k] for k in range(34)), colours[-1]]


def spoil(root: Path, part: str, image: object) -> str:
    """Overwrite the third training sample's file of a kind."""
    path = cityscapes.find(root, "train")[2][["image", "label", "instance"].index(part)]
    if isinstance(image, np.ndarray):
        Image.fromarray(image).save(path)
    else:
        path.write_bytes(path.read_bytes()[:300] if image is None else image)
    return path.name


def test_labels_of_nothing_have_the_last_channel(root: Path) -> None:
    label = np.full((128, 256), 255, np.uint8)
    label[:, :128] = 33
    spoil(root, "label", label)
    samples = cityscapes.read(cityscapes.find(root, "train")[2:3], 64, 128)
    assert samples[0, 3].unique().tolist() == [33, 34]
    assert cityscapes.semantics(samples)[0, 34].mean() == 0.5


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("image", None, "not a whole image"),
        ("label", None, "not a whole image"),
        ("instance", b"", "not a whole image"),
        ("label", np.full((128, 256), 60, np.uint8), "label 60: expected .* 0 to 34"),
        ("label", np.zeros((128, 256, 3), np.uint8), "mode RGB: expected one whole number"),
        ("label", np.zeros((64, 256), np.uint8), "a map of 64 x 256, .* has 128 x 256"),
        ("instance", np.zeros((128, 128), np.uint16), "a map of 128 x 128"),
        ("image", np.zeros((128, 512, 3), np.uint8), "has 128 x 512"),
    ],
)
def test_bad_files_are_named(root: Path, part: str, content: object, message: str) -> None:
    name = spoil(root, part, content)
    named = name.removesuffix("_leftImg8bit.png")  # sizes that disagree name the map
    with pytest.raises(ValueError, match=f"{named}.*{message}"):
        cityscapes.read(cityscapes.find(root, "train"), 64, 128)


@pytest.mark.parametrize(
    ("label", "message"),
    [(255, "is without a label"), (34, "is without a label"), (7, "is 7: expected two labels")],
)
def test_maps_that_tell_nothing_apart_are_refused(root: Path, label: int, message: str) -> None:
    maps = sorted((root / "gtFine" / "val").rglob("*_labelIds.png"))
    for path in maps:
        Image.fromarray(np.full((128, 256), label, np.uint8)).save(path)
    with pytest.raises(ValueError, match=f"gtFine.val: every pixel of the 8 label maps {message}"):
        cityscapes.read(cityscapes.find(root, "val"), 64, 128)
    half = np.full((128, 256), label, np.uint8)
    half[64:] = 8
    Image.fromarray(half).save(maps[-1])  # one map that does is enough
    assert len(cityscapes.read(cityscapes.find(root, "val"), 64, 128)) == 8


@pytest.mark.parametrize("kind", ["labelIds", "instanceIds"])
def test_photographs_without_maps_are_named(root: Path, kind: str) -> None:
    lost = next((root / "gtFine" / "train").rglob(f"*_{kind}.png"))
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 maps are missing, .*{lost.name}"):
        cityscapes.find(root, "train")


def test_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit.train: no .*data.source=synthetic"):
        cityscapes.find(tmp_path, "train")


def test_the_stand_in_is_the_same_everywhere_and_written_once(stand_in: Path, root: Path) -> None:
    other = root.parent / "other"
    streets.write(other)
    for path in sorted(stand_in.rglob("*.png")):
        assert (other / path.relative_to(stand_in)).read_bytes() == path.read_bytes()
    spoil(root, "image", b"")
    streets.write(root)
    assert any(path.stat().st_size == 0 for path in root.rglob("*.png"))
    assert {path.name for path in root.parent.iterdir()} == {"cityscapes", "other"}


def test_drawn_streets_have_scenery_and_instances() -> None:
    label, instance = streets.street(np.random.default_rng(3))
    assert {streets.ROAD, streets.SKY, streets.CAR} <= set(np.unique(label))
    things = instance >= 1000
    np.testing.assert_array_equal(instance[things] // 1000, label[things])
    np.testing.assert_array_equal(instance[~things], label[~things])
    assert len(np.unique(instance[things])) > 1
