"""What people's own pictures and lists are like: taken rightly, or refused in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageMode

from tasks.cityscapes import find
from tasks.pascalvoc import PascalVoc
from tasks.photographs import CLEAR, COLOURS, DEEP, ORIENTATION, rgb
from tasks.voc_files import names, pairs, read

MODES = sorted({*COLOURS, *CLEAR, *DEEP, "I", "F", "LAB", "La", "RGBa"})
PATH = Path("picture.png")


def tree(root: Path, masks: list[np.ndarray], stem: str = "p{}", **lists: bytes) -> Path:
    """A VOC tree of one picture per mask, all in train.txt and val.txt alike unless given."""
    voc = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / name).mkdir(parents=True)
    for index, mask in enumerate(masks):
        picture = np.full((*mask.shape, 3), 40 * index, np.uint8)
        Image.fromarray(picture).save(voc / "JPEGImages" / f"{stem.format(index)}.jpg")
        Image.fromarray(mask).save(voc / "SegmentationClass" / f"{stem.format(index)}.png")
    for name, text in lists.items():
        (voc / "ImageSets/Segmentation" / f"{name}.txt").write_bytes(text)
    return voc


def loaded(root: Path, classes: int = 2, void: str = "background") -> PascalVoc:
    task = PascalVoc(
        data_set="mine", train_set="train", num_classes=classes, crop=64, void=void, test_batch=1
    )
    task.load(SimpleNamespace(root=str(root), source="real", verify=True, name=None), "cpu")
    return task


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_converted_with_its_range_or_refused(mode: str) -> None:
    """A ramp from black to white stays one, whatever the file's mode."""
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(2, 0)
    grey = Image.fromarray(ramp)
    if mode in DEEP:
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
        assert image.mode.startswith("I;16")
    elif mode == "P":
        image = grey.quantize(256)
    elif mode == "1":
        image = grey.point(lambda value: 255 * (value > 127)).convert("1")
    else:
        try:
            image = grey.convert("RGB").convert(mode) if mode != "PA" else grey.convert("PA")
        except ValueError:
            image = Image.new(mode, grey.size)
    if mode in {"I", "F", "LAB", "La", "RGBa"}:
        with pytest.raises(ValueError, match=f"picture.png: an image of mode {mode}"):
            rgb(PATH, image)
        return
    found = np.asarray(rgb(PATH, image)).astype(int)
    expected = 255 * (ramp > 127) if mode == "1" else ramp.astype(int)
    assert found.shape == (2, 256, 3)
    assert np.abs(found - expected[..., None]).max() <= (6 if mode == "P" else 2)


def test_every_mode_of_pillows_is_known_to_the_test() -> None:
    assert set(ImageMode.getmode(mode).mode for mode in MODES) == set(MODES)


def test_transparent_pixels_have_no_colour() -> None:
    opaque = Image.new("RGBA", (2, 2), (9, 8, 7, 255))
    assert np.asarray(rgb(PATH, opaque)).tolist() == [[[9, 8, 7]] * 2] * 2
    opaque.putpixel((0, 0), (9, 8, 7, 0))
    with pytest.raises(ValueError, match=r"picture.png: has transparent pixels"):
        rgb(PATH, opaque)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn", ["as shown", "as stored"])
def test_a_turned_photograph_lies_as_its_map_or_is_refused(
    tmp_path: Path, orientation: int, drawn: str
) -> None:
    turned = orientation > 4 and drawn == "as shown"
    voc = tree(tmp_path, [np.zeros((6, 4) if turned else (4, 6), np.uint8)], train=b"p0")
    stored = np.zeros((4, 6, 3), np.uint8)
    stored[:, :3] = 255  # the left half
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(stored).save(voc / "JPEGImages/p0.jpg", exif=exif, quality=100)
    if 1 < orientation < 5:
        with pytest.raises(ValueError, match=r"p0.jpg: its EXIF orientation is"):
            read(pairs(voc, "train"), 2)
        return
    scenes = read(pairs(voc, "train"), 2)
    found = scenes.pixels.view(*((6, 4) if turned else (4, 6)), 3)[..., 0] > 127
    white = found[:3] if turned and orientation in (5, 6) else found[3:] if turned else found[:, :3]
    assert white.all()
    assert found.sum() == 12


@pytest.mark.parametrize("stem", ["cam0_2007.00000{}", "x_jpg.rf.0a1b{}", "scan {}", "ä{}"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_names_with_dots_and_spaces_in_lists_of_any_unicode(
    tmp_path: Path, stem: str, encoding: str
) -> None:
    text = "".join(f"{stem.format(k)}\r\n" for k in range(2)).encode(encoding)
    voc = tree(tmp_path, [np.zeros((4, 4), np.uint8)] * 2, stem, train=text)
    assert len(pairs(voc, "train")) == 2


def test_lists_that_are_something_else_are_named(tmp_path: Path) -> None:
    lists = {"latin": "ä0".encode("latin-1"), "main": b"p0  1\np1 -1\n", "ends": b"p0.jpg\n"}
    voc = tree(tmp_path, [np.zeros((4, 4), np.uint8)], **lists)
    for name, why in (("latin", "not a text in UTF-8"), ("main", "'p0  1'"), ("ends", "'p0.jpg'")):
        with pytest.raises(ValueError, match=rf"{name}.txt: {why}"):
            names(voc, name)


def test_what_a_mac_leaves_beside_files_is_no_picture(tmp_path: Path) -> None:
    voc = tree(tmp_path, [np.zeros((4, 4), np.uint8)] * 2, val=b"p0\n")
    (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
    (voc / "SegmentationClassAug" / "._p1.png").write_bytes(b"Mac OS X")
    assert [pair.mask.stem for pair in pairs(voc, "aug", held_out="val")] == ["p1"]
    city = tmp_path / "leftImg8bit/train/city"
    city.mkdir(parents=True)
    (city / "._a_leftImg8bit.png").write_bytes(b"Mac OS X")
    with pytest.raises(FileNotFoundError, match="no <city>"):
        find(tmp_path, "train")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0, 255], r"task.train_set: its label maps hold 0 \(50%\) and 255 \(50%\) alone"),
        ([255, 255], r"hold 255 \(100%\) alone"),
        ([0, 0], r"hold 0 \(100%\) alone"),
    ],
)
@pytest.mark.parametrize("void", ["background", "ignore"])
def test_label_maps_with_nothing_to_tell_apart_are_refused(
    tmp_path: Path, values: list[int], why: str, void: str
) -> None:
    """Binary sets often come as 0 and 255, which is void: it would train on background alone."""
    mask = np.repeat(np.array(values, np.uint8), 32)[None].repeat(64, 0)
    tree(tmp_path, [mask] * 2, train=b"p0\n", val=b"p1\n")
    with pytest.raises(ValueError, match=why):
        loaded(tmp_path, void=void)


def test_a_test_set_of_background_has_no_score(tmp_path: Path) -> None:
    both = np.eye(64, dtype=np.uint8)
    voc = tree(tmp_path, [both, np.zeros((64, 64), np.uint8), both], train=b"p0\n", val=b"p1\n")
    with pytest.raises(ValueError, match=r"task.test_set: its label maps hold 0 \(100%\) alone"):
        loaded(tmp_path)
    (voc / "ImageSets/Segmentation/val.txt").write_text("p2\n")
    assert torch.equal(loaded(tmp_path).test_scenes.labels.unique(), torch.tensor([0, 1]))
