"""torchvision's networks for classification, by their names there.

Source: `torchvision.models`, whose documentation has the parameter counts (resnet18 with 1,000
classes: 11,689,512). Weights are random, the head has as many outputs as there are classes, and
names are torchvision's own, so that its checkpoints fit but for the head.

What differs from torchvision: the auxiliary heads of GoogLeNet and Inception v3 are off, as in
training they would give a tuple; networks whose weights have the images' size in them (ViT, MaxViT)
are built for the task's; for images of other than three channels the first convolution is replaced;
and stochastic depth draws its numbers in a way that `torch.func.vmap` can follow.
"""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import StochasticDepth

COLOURS = 3
NEAREST = 3  # names that the message on an unknown one gives
AUXILIARY = ("googlenet", "inception_v3")


def build(
    arch: str = "resnet18", num_classes: int = 1000, in_channels: int = 3, image_size: int = 224
) -> nn.Module:
    """The network, initialised from torch's global generator.

    Shapes: images (b, in_channels, image_size, image_size) to logits (b, num_classes). How small
    images may be depends on the network.

    Args:
        arch: a name from ``torchvision.models.list_models(module=torchvision.models)``.
        num_classes: number of logits.
        in_channels: of the images.
        image_size: their height and width, which most networks do not ask for.

    Raises:
        ValueError: for an unknown name, or a network that cannot take images of this size.
    """
    known = models.list_models(module=models)
    if arch not in known:
        near = difflib.get_close_matches(str(arch).lower(), known, NEAREST, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"model.arch={arch}: torchvision has no such network for classification: expected one "
            f"of {len(known)}, from {known[0]} to {known[-1]}{hint}"
        )
    settings: dict[str, Any] = {"num_classes": num_classes}
    if arch in AUXILIARY:
        settings |= {"aux_logits": False, "init_weights": True}
    if arch.startswith("vit_"):
        settings["image_size"] = image_size
    if arch.startswith("maxvit_"):
        settings["input_size"] = (image_size, image_size)
    try:
        network: nn.Module = models.get_model(arch, weights=None, **settings)
    except (AssertionError, ValueError) as error:  # ViT's patches, MaxViT's windows
        raise ValueError(
            f"model.arch={arch}: cannot take images of {image_size}x{image_size} pixels ({error}): "
            "expected a size that its parts divide; set it where the task has task.size, or choose "
            "another network"
        ) from error
    if in_channels != COLOURS:
        _replace_first(network, in_channels)
    for name, module in list(network.named_modules()):
        if isinstance(module, StochasticDepth):
            _replace(network, name, Depth(module.p))
    return network


class Depth(nn.Module):
    """Stochastic depth by rows (Huang et al. 2016), as torchvision's, whose draw vmap refuses.

    Args:
        p: the probability with which a sample's branch is left out of a training step; the
            branches that stay are divided by 1 - p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The branches that stay of (b, ...)."""
        if not self.training or self.p == 0:
            return x
        rows = torch.rand((len(x), *(1 for _ in x.shape[1:])), dtype=x.dtype, device=x.device)
        return x * (rows >= self.p) / (1 - self.p)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _replace_first(network: nn.Module, in_channels: int) -> None:
    """Let the first convolution take images of `in_channels`.

    Its weights are normal, with as much variance at its outputs as those that torchvision gave it;
    everything else of it stays.
    """
    name, old = next(
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == COLOURS
    )
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        deviation = old.weight.std() * (COLOURS / in_channels) ** 0.5
        new.weight.copy_(torch.randn_like(new.weight) * deviation)
    new.bias = old.bias
    _replace(network, name, new)
