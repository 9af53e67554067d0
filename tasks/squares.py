"""Pictures of any size as squares of one: the shorter side resized, the centre kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tasks import photographs


def read(paths: Sequence[Path], size: int) -> Tensor:
    """Every picture as a square, (n, 3, size, size) uint8, on as many threads as there are cores.

    Raises:
        ValueError: for a file that is no picture, is damaged, or whose colours are not known.
    """
    squares = torch.empty((len(paths), 3, size, size), dtype=torch.uint8)
    array = squares.numpy()

    def fill(index: int) -> None:
        array[index] = square(paths[index], size)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            list(pool.map(fill, range(len(paths))))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # thousands may wait behind the one that failed
            raise
    return squares


def square(path: Path, size: int) -> np.ndarray[Any, Any]:
    """One picture, (3, size, size) uint8, upright by its EXIF orientation.

    The pixels are those of torchvision's ``Resize(size)`` and ``CenterCrop(size)``: bilinear, with
    Pillow's antialiasing. What is cropped is never computed, so that a long strip takes no memory.
    Of an animation, the first picture.

    Raises:
        ValueError: see `read`.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            orientation = int(opened.getexif().get(photographs.ORIENTATION, 1))
            image = photographs.upright(opened, orientation)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        raise ValueError(
            f"{path}: cannot be read as a picture ({type(error).__name__}: {error}): expected a "
            "whole file of the kind that its name says; copy it anew, or remove it"
        ) from error
    image = photographs.rgb(path, image)
    box = _window(image.width, image.height, size)
    resized = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized).transpose(2, 0, 1)


def _window(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is kept, in the picture's own pixels."""
    shorter = min(width, height)
    left, right = _span(width, shorter, size)
    top, bottom = _span(height, shorter, size)
    return left, top, right, bottom


def _span(side: int, shorter: int, size: int) -> tuple[float, float]:
    resized = size if side == shorter else int(size * side / shorter)  # torchvision's rounding
    first = round((resized - size) / 2)
    return first * side / resized, (first + size) * side / resized
