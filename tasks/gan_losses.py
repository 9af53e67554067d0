"""Losses of generator and discriminator from the discriminator's maps.

Maps are nested lists: for each scale the maps (b, c, h, w) after each layer, of which the last says
how real the patches are. Every loss is a mean over images and patches, then over the scales.
"""

from __future__ import annotations

import torch
from torch import Tensor

Maps = list[list[Tensor]]


def halves(maps: Maps) -> tuple[Maps, Maps]:
    """The maps of a batch's first half and of its second."""
    first = [[m[: len(m) // 2] for m in scale] for scale in maps]
    second = [[m[len(m) // 2 :] for m in scale] for scale in maps]
    return first, second


def hinge(maps: Maps, sign: int) -> Tensor:
    """The discriminator's loss, max(0, 1 - sign * D): sign 1 for real images, -1 for generated."""
    return torch.stack([(1 - sign * scale[-1]).relu().mean() for scale in maps]).mean()


def adversarial(maps: Maps) -> Tensor:
    """The generator's loss, -D of generated images."""
    return torch.stack([-scale[-1].mean() for scale in maps]).mean()


def matching(generated: Maps, real: Maps) -> Tensor:
    """Feature matching: mean |D_k(generated) - D_k(real)|, summed over the inner layers k.

    Its gradient does not reach the real images' maps.
    """
    terms = [
        (ours - theirs.detach()).abs().mean()
        for ours_of_scale, theirs_of_scale in zip(generated, real, strict=True)
        for ours, theirs in zip(ours_of_scale[:-1], theirs_of_scale[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(generated)
