"""Predicted label maps as a picture: a row per scene; image, truth, prediction."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from tasks.segmentation_scenes import Windows

GAP = 4  # white pixels between pictures


def palette() -> Tensor:
    """The colours of VOC's label maps, (256, 3) uint8.

    Bits 0, 3, 6 of the label, from the low end, are the red channel's bits from the high end;
    bits 1, 4, 7 are green's, and 2, 5 blue's.
    """
    labels = torch.arange(256)
    colours = torch.zeros(256, 3, dtype=torch.int64)
    for bit in range(8):
        colours[:, bit % 3] |= ((labels >> bit) & 1) << (7 - bit // 3)
    return colours.to(torch.uint8)


def grid(windows: Windows, predictions: Tensor) -> Tensor:
    """One picture, (height, width, 3) uint8; padding is white.

    Args:
        windows: n scenes.
        predictions: (n, H, W) labels.
    """
    images, truths, inside = (part.cpu() for part in windows)
    colours = palette()
    columns = torch.stack(
        [
            images.permute(0, 2, 3, 1).round().to(torch.uint8),
            colours[truths],
            colours[predictions.cpu()],
        ],
        dim=2,
    )
    columns = columns.masked_fill(~inside[:, :, None, :, None], 255)
    n, height, width = truths.shape
    page = torch.full((n, height + GAP, 3, width + GAP, 3), 255, dtype=torch.uint8)
    page[:, :height, :, :width] = columns
    return page.reshape(n * (height + GAP), 3 * (width + GAP), 3)[:-GAP, :-GAP]


def save(picture: Tensor, path: Path) -> None:
    """Write a (height, width, 3) uint8 picture as a PNG that is never half-written."""
    from PIL import Image  # here, for nothing else of the task needs it

    draft = path.with_name(f".{path.name}.tmp")
    Image.fromarray(picture.contiguous().numpy()).save(draft, format="PNG")
    os.replace(draft, path)
