"""Images of any size with their label maps on the device, and windows cut out of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

VOID = 255  # the label of pixels without one


class Windows(NamedTuple):
    """A batch of windows.

    Attributes:
        images: (b, 3, H, W) float32, 0 to 255; outside of the picture without meaning.
        labels: (b, H, W) int64, VOID outside of the picture.
        inside: (b, H, W) bool, where the picture is.
    """

    images: Tensor
    labels: Tensor
    inside: Tensor


@dataclass(frozen=True)
class Scenes:
    """Pictures end to end, so that sizes may differ and a batch is still one gather.

    Pixel (y, x) of picture i is row ``starts[i] + y * widths[i] + x``.

    Attributes:
        pixels: (P, 3) uint8, red, green and blue.
        labels: (P,) uint8, classes and VOID.
        heights: (N,) int64.
        widths: (N,) int64.
    """

    pixels: Tensor
    labels: Tensor
    heights: Tensor
    widths: Tensor

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def starts(self) -> Tensor:
        """Each picture's first row, (N,) int64."""
        areas = self.heights * self.widths
        return areas.cumsum(0) - areas

    def to(self, device: torch.device | str) -> Scenes:
        """The same on a device."""
        return Scenes(
            self.pixels.to(device),
            self.labels.to(device),
            self.heights.to(device),
            self.widths.to(device),
        )

    def checksum(self) -> str:
        """SHA-256 of sizes, pixels and labels."""
        digest = hashlib.sha256()
        for tensor in (self.heights, self.widths, self.pixels, self.labels):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def cut(
        self, indices: Tensor, height: int, width: int, uniforms: Tensor | None = None
    ) -> Windows:
        """Windows of one size, randomly scaled, placed and mirrored; no host sync.

        A picture of h x w pixels becomes floor(s h) x floor(s w): bilinear (half-pixel centres, no
        antialiasing) for the image, nearest (floor(y h / h')) for the labels, as OpenCV and
        `torch.nn.functional.interpolate` do. What is smaller than the window is padded right and
        bottom; of what is larger a part is cut out. Mirroring comes last, padding included.

        Args:
            indices: (b,) int64.
            height: of the windows.
            width: of the windows.
            uniforms: (b, 4) float32 in [0, 1): scale s = 0.5 + u, row, column, mirrored below 1/2.
                None: s = 1, top left, not mirrored.
        """
        h, w = self.heights[indices], self.widths[indices]
        y = torch.arange(height, device=indices.device).expand(len(indices), -1)
        x = torch.arange(width, device=indices.device).expand(len(indices), -1)
        scaled_h, scaled_w = h, w
        if uniforms is not None:
            scale, u_row, u_column, u_mirror = uniforms.unbind(1)
            scaled_h = (h * (scale + 0.5)).long().clamp(min=1)
            scaled_w = (w * (scale + 0.5)).long().clamp(min=1)
            x = torch.where(u_mirror[:, None] < 0.5, x.flip(1), x)
            y = y + (u_row * ((scaled_h - height).clamp(min=0) + 1)).long()[:, None]
            x = x + (u_column * ((scaled_w - width).clamp(min=0) + 1)).long()[:, None]
        inside = (y < scaled_h[:, None])[:, :, None] & (x < scaled_w[:, None])[:, None, :]
        rows, columns = _Axis(y, h, scaled_h), _Axis(x, w, scaled_w)

        first = self.starts[indices][:, None, None]

        def at(row: Tensor, column: Tensor) -> Tensor:
            return first + row[:, :, None] * w[:, None, None] + column[:, None, :]

        def colours(row: Tensor) -> Tensor:
            left, right = (self.pixels[at(row, c)].float() for c in (columns.low, columns.high))
            return left.lerp(right, columns.weight[:, None, :, None])

        images = colours(rows.low).lerp(colours(rows.high), rows.weight[:, :, None, None])
        labels = self.labels[at(rows.nearest, columns.nearest)].long()
        labels = labels.masked_fill(~inside, VOID)
        return Windows(images.permute(0, 3, 1, 2).contiguous(), labels, inside)


class _Axis:
    """Where the pixels of a scaled axis come from: two neighbours and a weight, and the nearest.

    Args:
        position: (b, n) int64 on the scaled axis; those beyond it give some valid index.
        size: (b,) int64, of the axis before scaling.
        scaled: (b,) int64, after.
    """

    def __init__(self, position: Tensor, size: Tensor, scaled: Tensor) -> None:
        last = (size - 1)[:, None]
        ratio = (size / scaled)[:, None]
        source = ((position + 0.5) * ratio - 0.5).clamp(min=0)
        self.low = torch.minimum(source.long(), last)
        self.high = torch.minimum(self.low + 1, last)
        self.weight = (source - self.low).clamp(max=1)
        self.nearest = torch.minimum((position * ratio).long(), last)
