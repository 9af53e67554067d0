"""Pictures as squares: torchvision's pixels, upright, or refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from tasks import squares
from tasks.photographs import ORIENTATION
from tests.tasks.pictures import picture


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("shape", [(97, 41), (41, 97), (50, 50), (7, 9), (640, 479)])
def test_pixels_are_those_of_resize_and_centre_crop(
    shape: tuple[int, int], size: int, tmp_path: Path
) -> None:
    path = picture(tmp_path / "a.png", size=shape)
    look = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
    expected = np.asarray(look(Image.open(path))).transpose(2, 0, 1)
    found = squares.square(path, size)
    assert np.abs(found.astype(int) - expected).max() <= 1  # a bit of the filter's rounding


def test_a_long_strip_takes_no_memory(tmp_path: Path) -> None:
    """Resized as a whole it would be 9 million pixels wide and 300 high: 8 GiB."""
    path = picture(tmp_path / "strip.png", size=(30_000, 1))
    assert squares.square(path, 300).shape == (3, 300, 300)


def test_a_camera_s_picture_is_put_upright(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", size=(40, 30))
    tag = Image.Exif()
    tag[ORIENTATION] = 6  # shown turned right by a quarter
    turned = tmp_path / "turned.jpg"
    with Image.open(path) as image:
        image.save(turned, exif=tag, quality=95)
    with Image.open(turned) as image:
        stored = Image.fromarray(np.asarray(image))
    plain = tmp_path / "plain.png"
    stored.rotate(-90, expand=True).save(plain)
    assert (squares.square(turned, 16) == squares.square(plain, 16)).all()


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "L"), ("a.jpg", "CMYK"), ("a.png", "P")])
def test_other_modes_become_colours(name: str, mode: str, tmp_path: Path) -> None:
    assert squares.square(picture(tmp_path / name, mode=mode), 16).shape == (3, 16, 16)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_a_file_that_is_no_picture_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.png: cannot be read as a picture.*copy it anew"):
        squares.read([picture(tmp_path / "good.png"), path], 16)


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"a.jpg: cannot be read as a picture.*truncated"):
        squares.square(path, 16)


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: has transparent pixels.*on a background"):
        squares.square(tmp_path / "a.png", 16)


def test_every_picture_has_its_place(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{k}.png", seed=k) for k in range(9)]
    read = squares.read(paths, 16)
    assert read.shape == (9, 3, 16, 16)
    for k, path in enumerate(paths):
        assert torch.equal(read[k], torch.from_numpy(squares.square(path, 16).copy()))
