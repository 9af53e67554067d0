"""Random windows of a batch of square images, cut on the device by uniforms that are given."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 4 / 3  # of a resized window's sides, one to the other: torchvision's RandomResizedCrop


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """The images with those that `which`, (b,) bool, names turned left to right."""
    return torch.where(which[:, None, None, None], images.flip(3), images)


def padded(images: Tensor, uniforms: Tensor, margin: int, turned: Tensor | None = None) -> Tensor:
    """Windows of the images' own size from the images in a black frame.

    Args:
        images: (b, c, s, s).
        uniforms: (b, 2) in [0, 1): row and column, of 2 margin + 1 each.
        margin: pixels of the frame on each side.
        turned: (b,) bool, which windows are mirrored too; costs nothing here.

    Returns:
        (b, c, s, s), as the images.
    """
    b, c, size, _ = images.shape
    framed = F.pad(images, (margin,) * 4)
    ramp = torch.arange(size, device=images.device)
    starts = (uniforms * (2 * margin + 1)).long()
    across = ramp if turned is None else torch.where(turned[:, None], ramp.flip(0), ramp)
    rows, columns = starts[:, 0, None] + ramp, starts[:, 1, None] + across
    # One index per pixel, shared by the colours: half the time of the crop as a window of `unfold`
    # followed by a flip, at batch 128 of CIFAR-10 on a CPU.
    pixels = (rows[:, :, None] * framed.shape[-1] + columns[:, None, :]).view(b, 1, -1)
    return framed.flatten(2).gather(2, pixels.expand(-1, c, -1)).view(images.shape)


def resized(images: Tensor, uniforms: Tensor, least: float) -> Tensor:
    """Windows of random area and shape, enlarged to the images' own size, bilinearly.

    Like torchvision's RandomResizedCrop on the square that is held, but that a window which would
    be wider or higher than the image is cut to it, where torchvision draws again.

    Args:
        images: (b, c, s, s) uint8.
        uniforms: (b, 4) in [0, 1): area, ratio of the sides, row, column.
        least: of the window's area, as a part of the image's; the most is all of it.

    Returns:
        (b, c, s, s) uint8.
    """
    area = least + (1 - least) * uniforms[:, 0]
    ratio = torch.exp((2 * uniforms[:, 1] - 1) * math.log(LONGEST))
    size = images.shape[-1]
    middles = (torch.arange(size, device=images.device) + 0.5) / size
    height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    # Of every pixel's middle, from 0 to 1 over the image.
    rows, columns = (
        start[:, None] * (1 - side[:, None]) + side[:, None] * middles
        for start, side in ((uniforms[:, 2], height), (uniforms[:, 3], width))
    )
    places = torch.stack(
        torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=3
    )  # x first
    sampled = F.grid_sample(
        images.float(), 2 * places - 1, padding_mode="border", align_corners=False
    )
    return sampled.round().to(torch.uint8)
