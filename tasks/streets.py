"""A small stand-in for Cityscapes: drawn streets, in its files and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks import draft

SIZES = {"train": 16, "val": 8}
HEIGHT, WIDTH = 128, 256

# Cityscapes' labelIds, and the colours that they have in the drawn photographs.
ROAD, SIDEWALK, BUILDING, VEGETATION, SKY, PERSON, CAR = 7, 8, 11, 21, 23, 24, 26
COLOURS = {
    ROAD: (96, 96, 100),
    SIDEWALK: (150, 140, 130),
    BUILDING: (140, 100, 80),
    VEGETATION: (60, 110, 50),
    SKY: (150, 190, 230),
    PERSON: (200, 60, 60),
    CAR: (40, 60, 140),
}


def write(folder: Path) -> None:
    """Make the stand-in, unless it is there.

    Any process draws the same streets; the folder appears at once and whole, so that trials which
    start together do not meet a half-written one.

    Args:
        folder: the ``data.root`` to make.
    """
    draft.make(folder, _draw)


def _draw(folder: Path) -> None:
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, size in SIZES.items():
        images = folder / "leftImg8bit" / split / "drawn"
        maps = folder / "gtFine" / split / "drawn"
        for directory in (images, maps):
            directory.mkdir(parents=True)
        for k in range(size):
            name = f"drawn_{k:06}_000019"
            label, instance = street(generator)
            photograph = paint(label, instance, generator)
            Image.fromarray(photograph).save(images / f"{name}_leftImg8bit.png")
            Image.fromarray(label).save(maps / f"{name}_gtFine_labelIds.png")
            Image.fromarray(instance).save(maps / f"{name}_gtFine_instanceIds.png")


def street(generator: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A label map (HEIGHT, WIDTH) uint8, and its instance map uint16.

    Sky over a row of buildings and trees, sidewalks beside a road that narrows to the horizon, cars
    and people. As in Cityscapes an instance's id is 1000 times its label plus a number, and what
    has no instances has its label.
    """
    label = np.full((HEIGHT, WIDTH), SKY, np.uint8)
    horizon = int(generator.integers(50, 70))
    left = 0
    while left < WIDTH:
        right = left + int(generator.integers(20, 60))
        kind = BUILDING if generator.random() < 0.7 else VEGETATION
        label[int(generator.integers(5, horizon - 10)) : horizon, left:right] = kind
        left = right
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = (rows - horizon) / (HEIGHT - horizon)  # 0 at the horizon, 1 at the lower border
    middle = generator.integers(WIDTH // 3, 2 * WIDTH // 3)
    label[depth >= 0] = SIDEWALK
    label[(depth >= 0) & (abs(columns - middle) < 10 + 100 * depth)] = ROAD
    instance = label.astype(np.uint16)
    things = [(CAR, 2.0), (CAR, 2.0), (CAR, 2.0), (PERSON, 0.4), (PERSON, 0.4)]
    for number, (kind, ratio) in enumerate(things):
        foot = int(generator.integers(horizon + 8, HEIGHT))
        tall = 8 + 30 * (foot - horizon) // (HEIGHT - horizon)
        wide = int(tall * ratio)
        start = int(generator.integers(0, WIDTH - wide))
        box = (slice(max(0, foot - tall), foot), slice(start, start + wide))
        label[box] = kind
        instance[box] = 1000 * kind + number
    return label, instance


def paint(
    label: np.ndarray[Any, Any], instance: np.ndarray[Any, Any], generator: np.random.Generator
) -> np.ndarray[Any, Any]:
    """A photograph (HEIGHT, WIDTH, 3) uint8: a colour per label, a shade per instance, noise."""
    palette = np.zeros((256, 3))
    palette[list(COLOURS)] = list(COLOURS.values())
    shade = 30.0 * (instance % 1000 % 5) * (instance >= 1000)
    light = np.linspace(-20, 20, HEIGHT)[:, None]
    noise = generator.normal(0, 6, (HEIGHT, WIDTH, 3))
    return (palette[label] + (shade + light)[..., None] + noise).clip(0, 255).astype(np.uint8)
