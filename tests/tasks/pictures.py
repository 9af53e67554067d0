"""Trees of small pictures in ImageFolder's layout, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Path:
    """A picture of noise at a path, (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def tree(
    root: Path,
    train: int = 4,
    test: int = 2,
    classes: Sequence[str] = CLASSES,
    test_set: str = "val",
    size: tuple[int, int] = (32, 32),
) -> Path:
    """So many pictures of each class in ``train`` and in the test set."""
    for split, each in (("train", train), (test_set, test)):
        for label, name in enumerate(classes):
            for k in range(each):
                picture(root / split / name / f"{k}.png", seed=1000 * label + k, size=size)
    return root
