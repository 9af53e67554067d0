"""A small stand-in for VOC in its own layout: scenes of simple shapes with exact label maps."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tasks import draft
from tasks.segmentation_pictures import palette
from tasks.segmentation_scenes import VOID
from tasks.voc_files import AUGMENTED, split_file


def scene(generator: torch.Generator, num_classes: int) -> tuple[Tensor, Tensor]:
    """An image (3, h, w) and its label map (h, w), both uint8, of a random size.

    Class c > 0 is a disc, a box or a triangle (by c modulo 3) in VOC's colour of c, on grey
    (class 0), all under noise. A ring one pixel wide around each shape is void, as in VOC.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    height, width = draw(60, 97), draw(72, 129)
    y = torch.arange(height)[:, None]
    x = torch.arange(width)[None, :]
    image = torch.full((3, height, width), 110.0)
    labels = torch.zeros(height, width, dtype=torch.uint8)
    for _ in range(draw(1, 4)):
        label, radius = draw(1, num_classes), draw(10, 25)
        dy, dx = y - draw(0, height), x - draw(0, width)
        inside = (
            dy**2 + dx**2 < radius**2,
            (dy.abs() < radius) & (dx.abs() < radius),
            (dy.abs() < radius) & (2 * dx.abs() < radius + dy),
        )[label % 3]
        grown = F.max_pool2d(inside[None].float(), 3, stride=1, padding=1)[0] > 0
        labels[grown] = VOID
        labels[inside] = label
        image = torch.where(inside, palette()[label][:, None, None].float(), image)
    image += 12 * torch.randn(image.shape, generator=generator)
    return image.round().clamp(0, 255).to(torch.uint8), labels


def write(voc: Path, num_classes: int, train: int = 24, test: int = 12, more: int = 8) -> None:
    """Write the stand-in, unless it is there.

    Any process writes the same files, and the folder appears at once and whole.

    Args:
        voc: the folder to make, which holds ``JPEGImages``.
        num_classes: background included.
        train: pictures in train.txt.
        test: pictures in val.txt.
        more: pictures in neither; their label maps are in SegmentationClassAug, with train's.
    """
    draft.make(voc, lambda into: _draw(into, num_classes, train, test, more))


def _draw(voc: Path, num_classes: int, train: int, test: int, more: int) -> None:
    generator = torch.Generator().manual_seed(0)
    colours = palette().flatten().tolist()
    for folder in ("JPEGImages", "SegmentationClass", AUGMENTED, "ImageSets/Segmentation"):
        (voc / folder).mkdir(parents=True)
    for k in range(train + test + more):
        image, labels = scene(generator, num_classes)
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        picture.save(voc / "JPEGImages" / f"2007_{k:06}.jpg", quality=95)
        mask = Image.fromarray(labels.numpy())
        mask.putpalette(colours)
        if k < train + test:
            mask.save(voc / "SegmentationClass" / f"2007_{k:06}.png")
        if not train <= k < train + test:
            mask.save(voc / AUGMENTED / f"2007_{k:06}.png")
    for split, numbers in (("train", range(train)), ("val", range(train, train + test))):
        lines = "".join(f"2007_{k:06}\n" for k in numbers)
        split_file(voc, split).write_text(lines, encoding="utf-8")
