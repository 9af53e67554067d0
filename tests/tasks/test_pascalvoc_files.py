"""The tree on disk: read as torchvision reads it, and each thing that can be wrong with it."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCSegmentation

from tasks.pascalvoc import PascalVoc
from tasks.segmentation_pictures import palette
from tasks.segmentation_scenes import VOID
from tasks.voc_files import names, pairs, read
from tasks.voc_synthetic import write

CLASSES = 7
VOC = "VOCdevkit/VOC2012"
FIRST = "2007_000000"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    write(root / VOC, CLASSES, train=4, test=3, more=2)
    return root


@pytest.fixture
def root(original, tmp_path):
    """A tree to damage."""
    return shutil.copytree(original, tmp_path / "root")


def load(root, source="real", verify=True, **settings):
    task = PascalVoc(**{"data_set": "shapes", "num_classes": CLASSES, "crop": 64} | settings)
    data = SimpleNamespace(root=str(root), source=source, verify=verify, name=None)
    task.load(data, "cpu")
    return task


def refused(root, message, error=ValueError, **settings):
    with pytest.raises(error, match=message):
        load(root, **settings)


@pytest.mark.parametrize("split", ["train", "val"])
def test_pictures_are_those_that_torchvision_reads(original, split):
    scenes = read(pairs(original / VOC, split), CLASSES)
    theirs = VOCSegmentation(str(original), image_set=split)
    assert len(scenes) == len(theirs)
    for start, (image, mask) in zip(scenes.starts.tolist(), theirs, strict=True):
        area = image.width * image.height
        pixels = scenes.pixels[start : start + area].view(image.height, image.width, 3)
        assert np.array_equal(pixels, image)
        labels = scenes.labels[start : start + area].view(image.height, image.width)
        assert np.array_equal(labels, mask)


def test_aug_is_every_augmented_map_but_the_test_sets(original, root):
    voc = root / VOC
    held_out = names(voc, "val")[0]
    augmented = voc / "SegmentationClassAug"
    shutil.copy(voc / "SegmentationClass" / f"{held_out}.png", augmented)
    found = [pair.mask.stem for pair in pairs(voc, "aug", held_out="val")]
    assert found == [*names(voc, "train"), "2007_000007", "2007_000008"]
    assert {pair.mask.parent for pair in pairs(voc, "aug", held_out="val")} == {augmented}
    task = load(root)
    assert (task.train_size, task.test_size) == (6, 3)


def test_a_reduced_set_is_part_of_a_larger_one(original):
    voc = original / VOC
    larger, smaller = (PascalVoc(train_size=size) for size in (3, 2))
    found = pairs(voc, "train")
    assert larger._reduced("train_size", found)[:2] == smaller._reduced("train_size", found)
    refused(original, "task.train_size=9: there are 4 pictures", train_set="train", train_size=9)


def test_the_checksum_is_of_the_pixels(original, root):
    whole = load(original).checksum
    assert load(root).checksum == whole
    mask = root / VOC / "SegmentationClass" / "2007_000004.png"
    labels = np.asarray(Image.open(mask)).copy()
    labels[0, 0] = 5
    Image.fromarray(labels).save(mask)
    assert load(root).checksum != whole


def test_a_label_out_of_range(root):
    path = root / VOC / "SegmentationClass" / "2007_000005.png"
    labels = np.asarray(Image.open(path)).copy()
    labels[3, 4] = CLASSES
    Image.fromarray(labels).save(path)
    refused(root, f"2007_000005.png: label {CLASSES}; expected 0 to {CLASSES - 1}, or 255")


def test_an_image_without_its_label_map(root):
    (root / VOC / "SegmentationClass" / f"{FIRST}.png").unlink()
    refused(root, f"1 of the 8 files.*{FIRST}.png", FileNotFoundError, train_set="train")


def test_a_label_map_without_its_image(root):
    (root / VOC / "JPEGImages" / f"{FIRST}.jpg").unlink()
    refused(root, f"1 of the 12 files.*{FIRST}.jpg", FileNotFoundError)


def test_sizes_that_disagree(root):
    path = root / VOC / "JPEGImages" / "2007_000004.jpg"
    Image.open(path).resize((30, 20)).save(path)
    refused(root, "2007_000004.jpg has 30x20 pixels, its label map .*2007_000004.png")


def test_a_label_map_in_colours(root):
    path = root / VOC / "SegmentationClass" / "2007_000004.png"
    Image.open(path).convert("RGB").save(path)
    refused(root, "2007_000004.png: an image of mode RGB; expected a label map")


@pytest.mark.parametrize(
    "name", ["SegmentationClass/2007_000004.png", "JPEGImages/2007_000004.jpg"]
)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.6])
def test_a_truncated_file(root, name, kept):
    path = root / VOC / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(root, f"{name}: cannot be decoded")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "val.txt: empty; expected one name"),
        ("2007_000004 -1\n2007_000005  1\n", "'2007_000004 -1'; expected one name .*Main"),
        ("2007_000004.jpg\n", "'2007_000004.jpg'; expected one name without ending"),
        ("2007_000004\n2007_000004\n", "2007_000004 is there twice"),
        (f"2007_000004\n{FIRST}\n", f"train.txt: 1 pictures are in val.txt too, the first {FIRST}"),
    ],
)
def test_a_wrong_list(root, content, message):
    (root / VOC / "ImageSets" / "Segmentation" / "val.txt").write_text(content)
    refused(root, message, train_set="train")


def test_a_list_of_pictures_that_are_elsewhere(root):
    (root / VOC / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    refused(root, "val: 4 of the 4 files are not there, the first .*a.jpg", FileNotFoundError)


def test_a_list_that_is_not_there(root):
    refused(root, "test.txt: no such list .*: train, val", FileNotFoundError, test_set="test")


def test_augmented_maps_that_are_not_there(root):
    shutil.rmtree(root / VOC / "SegmentationClassAug")
    refused(root, "SBD's.*task.train_set=train", FileNotFoundError)
    assert load(root, train_set="train").train_size == 4


def test_no_tree_and_no_network(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.voc.download_and_extract_archive", offline)
    message = "VOC2012/JPEGImages.*download failed.*no network.*data.source=synthetic"
    refused(tmp_path, message, FileNotFoundError, train_set="train")


def test_vocs_lists_have_vocs_length(tmp_path):
    write(tmp_path / VOC, CLASSES, train=4, test=3)
    settings = {"data_set": "VOC2012", "train_set": "train"}
    message = "train: 4 pictures, VOC2012 has 1464.*task.data_set.*data.verify=false"
    refused(tmp_path, message, **settings)
    assert load(tmp_path, verify=False, **settings).test_size == 3
    assert load(tmp_path, **settings | {"data_set": "shapes"}).test_size == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 500}, "task.crop=500: expected a multiple of 32 .*take 512"),
        ({"crop": 32}, "task.crop=32: .*take 64"),
        ({"loss": "lovász"}, "task.loss=lovász: expected lovasz or cross_entropy"),
        ({"void": "drop"}, "task.void=drop: expected background or ignore"),
        ({"num_classes": 1}, "task.num_classes=1: expected 2 to 255"),
        ({"test_size": 0}, "task.test_size=0: expected at least 1"),
        ({"data_set": " "}, "task.data_set=' ': expected the name of what data.root holds"),
    ],
)
def test_settings_are_checked_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        PascalVoc(**settings)


def test_the_stand_in_is_the_same_everywhere_and_exact(original, tmp_path):
    write(tmp_path / VOC, CLASSES, train=4, test=3, more=2)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 9 + 7 + 6 + 2
    for path in files:
        assert path.read_bytes() == (original / path.relative_to(tmp_path)).read_bytes()
    # The shapes have their class's colour, but for noise: the maps are exact.
    for pair in pairs(original / VOC, "train"):
        image, labels = np.asarray(Image.open(pair.image)), np.asarray(Image.open(pair.mask))
        assert VOID in labels
        for label in set(np.unique(labels)) - {VOID}:
            expected = palette()[label].numpy() if label else np.full(3, 110)
            inner = labels == label
            assert np.abs(np.median(image[inner], axis=0) - expected).max() < 25


def test_the_palette_is_vocs(original):
    # As printed in VOC's development kit: aeroplane, bicycle, bird, tv monitor, void.
    expected = [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 64, 128), (224, 224, 192)]
    assert palette()[[1, 2, 3, 20, VOID]].tolist() == [list(colour) for colour in expected]


def test_the_stand_in_is_what_source_synthetic_reads(tmp_path):
    task = load(tmp_path, source="synthetic")
    assert (task.train_size, task.test_size) == (32, 12)
    assert set(task.scenes.labels.unique().tolist()) == {*range(CLASSES), VOID}
    assert torch.equal(task.scenes.pixels, load(tmp_path, source="synthetic").scenes.pixels)


def test_the_pictures_shown_are_spread_over_the_list(original, tmp_path):
    task = load(original, source="synthetic", test_size=9)
    shown = []
    cut = task.test_scenes.cut

    def kept(indices, *window):
        shown.extend(indices.tolist())
        return cut(indices, *window)

    object.__setattr__(task.test_scenes, "cut", kept)
    task.finish(torch.nn.Conv2d(3, CLASSES, 1), tmp_path)
    assert shown == [0, 3, 5, 8]
    assert (tmp_path / "samples.png").is_file()
