"""Photographs and label maps as Pillow opens them: converted rightly, or refused in words.

Colours keep their range whatever the file's mode; a photograph that its camera took turned is put
upright where its label map says that it has to be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

COLOURS = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"}  # Pillow's `convert` keeps them
CLEAR = {"RGBA", "LA", "PA"}  # with transparency: taken where nothing is transparent
DEEP = {"I;16", "I;16L", "I;16B", "I;16N"}  # 0 to 65535
MAPS = {"1", "L", "P", "I", *DEEP}  # one whole number per pixel
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
TURNED = {5, 6, 7, 8}  # height and width change places


def rgb(path: Path, image: Any) -> Any:
    """The photograph in RGB, 8 bits a colour, its range kept.

    Raises:
        ValueError: for a mode whose range is not known, or one with transparent pixels.
    """
    from PIL import Image

    mode = image.mode
    if mode in DEEP:
        grey = (np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if mode in CLEAR or (mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise ValueError(
                f"{path}: has transparent pixels (mode {mode}), which have no colour of their own: "
                "expected an opaque photograph; put it on a background"
            )
    elif mode not in COLOURS:
        raise ValueError(
            f"{path}: an image of mode {mode}, of no known range of colours: expected RGB, grey of "
            "8 or 16 bits, or what converts to them; convert it"
        )
    return image.convert("RGB")


def turn(path: Path, image: Any, label_map: tuple[int, int]) -> int:
    """The EXIF orientation to apply, so that the photograph lies as its label map; 1 is none.

    Args:
        path: the photograph's, for messages.
        image: opened, not decoded yet.
        label_map: its label map's width and height.

    Raises:
        ValueError: if it is turned and the sizes do not tell how its map was drawn.
    """
    orientation = int(image.getexif().get(ORIENTATION, 1))
    if orientation not in range(2, 9):
        return 1
    width, height = image.size
    upright = (height, width) if orientation in TURNED else (width, height)
    if label_map == (width, height) == upright:
        raise ValueError(
            f"{path}: its EXIF orientation is {orientation}: turned or mirrored, at a size that "
            "does not tell whether its label map is drawn on it as stored or as shown: expected an "
            "upright photograph; write it anew as its map lies, without the tag"
        )
    return orientation if label_map == upright else 1


def upright(image: Any, orientation: int) -> Any:
    """The image with its EXIF orientation applied, unless that is 1."""
    from PIL import ImageOps

    return image if orientation == 1 else ImageOps.exif_transpose(image)
