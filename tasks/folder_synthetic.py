"""A small stand-in for a user's own images: drawn pictures in ImageFolder's layout."""

from __future__ import annotations

from pathlib import Path

from tasks import draft

# The classes, by the colour in which most of their pictures' surface is drawn.
COLOURS = {"blue": (60, 90, 190), "green": (70, 150, 80), "red": (190, 70, 60)}
EACH = {"train": 20, "val": 10}  # pictures of a class
SHORTEST, LONGEST = 40, 96  # pixels of a side


def place(root: str, source: str) -> Path:
    """The folder that holds ``train``; the stand-in is made where ``source`` is synthetic."""
    if source == "synthetic":
        return Path(root).expanduser() / "synthetic" / "folder"
    return Path(root).expanduser()


def samples(split: str) -> int:
    """How many pictures a set has."""
    return EACH[split] * len(COLOURS)


def write(root: Path) -> None:
    """Make the stand-in, unless it is there.

    A picture is its class's colour under a gradient and noise, with a grey box somewhere. Any
    process draws the same ones; the folder appears at once and whole, so that trials which start
    together do not meet a half-written one.

    Args:
        root: the folder to make, which holds ``train`` and ``val``.
    """
    draft.make(root, _draw)


def _draw(root: Path) -> None:
    import numpy as np  # here, as Pillow: a plan asks for the numbers above alone
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, each in EACH.items():
        for name, colour in COLOURS.items():
            (root / split / name).mkdir(parents=True)
            for k in range(each):
                height, width = generator.integers(SHORTEST, LONGEST, 2, endpoint=True)
                light = np.linspace(-40, 40, width)[None, :, None]
                picture = light + generator.normal(0, 30, (height, width, 3)) + colour
                top, left = generator.integers(0, [height // 2, width // 2])
                picture[top : top + height // 3, left : left + width // 3] = 128
                file = root / split / name / f"{k:03}.{'jpg' if k % 2 else 'png'}"
                Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file)
