"""SPADE: a generator of photographs from label maps, with the discriminator that trains it.

Source: Park et al. 2019 (arXiv 1903.07291), in the form that NVlabs/SPADE gives it with its preset
for Cityscapes, which the paper reproduced here follows.

Parameters at the default sizes, for 35 labels and instance edges: generator 93,048,003, each of two
discriminators 2,800,705.

The original's batch norm is synchronised over GPUs. Here it is torch's, the same on one GPU;
``nn.SyncBatchNorm.convert_sync_batchnorm`` converts it. Spectral norm is torch's parametrization:
it starts with 15 power iterations, which the original's form leaves out, and updates u before v.
The norms differ while the iteration has not converged.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.patchgan import PatchGAN

GAIN = 0.02  # of Xavier's initial weights
SLOPE = 0.2  # of the leaky ReLUs
STRIDE = 64  # the generator doubles its map six times


class Spade(nn.Module):
    """Generator and discriminator of one GAN; each has an optimizer of its own.

    Args:
        labels: how many labels there are; the semantic input has one channel more, for the edges
            of instances.
        width: channels of the generator's last block; its first have 16 times as many.
        hidden: channels between the semantic input and a normalisation's scale and shift.
        discriminator_width: channels of the discriminator's first layer.

    Raises:
        ValueError: for a size below 1.
    """

    def __init__(
        self, labels: int = 35, width: int = 64, hidden: int = 128, discriminator_width: int = 64
    ) -> None:
        super().__init__()
        sizes = {
            "labels": labels,
            "width": width,
            "hidden": hidden,
            "discriminator_width": discriminator_width,
        }
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(
                    f"model.{name}={size}: expected a whole number from 1 up; "
                    "task=spade-cityscapes sets the usual one"
                )
        self.generator = Generator(labels + 1, width, hidden)
        self.discriminator = PatchGAN(labels + 1 + 3, discriminator_width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain=GAIN)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # After the initialisation, so that the power iterations start from these weights.
        for block in self.generator.blocks():
            for name in block.convolutions():
                spectral_norm(block.get_submodule(name))
        for convolution in self.discriminator.normed():
            spectral_norm(convolution)

    def forward(self, semantics: Tensor) -> Tensor:
        """The generated images (b, 3, h, w) of semantics (b, labels + 1, h, w)."""
        images: Tensor = self.generator(semantics)
        return images


class Generator(nn.Module):
    """Seven SPADE blocks, with the map doubled before each but the first.

    Each block has the semantic input at its map's size, by nearest neighbour; so has the first
    convolution, at 1 / STRIDE: there is no noise and no encoder, and a label map has one image. The
    1x1 shortcuts alone have no bias.

    Args:
        channels: of the semantic input.
        width: see `Spade`.
        hidden: see `Spade`.
    """

    def __init__(self, channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.channels = channels
        widths = [16 * width, 16 * width, 16 * width, 16 * width]
        widths += [8 * width, 4 * width, 2 * width, width]
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            SpadeBlock(before, after, channels, hidden) for before, after in pairwise(widths)
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def blocks(self) -> list[SpadeBlock]:
        """The residual blocks, first to last."""
        return [stage for stage in self.stages if isinstance(stage, SpadeBlock)]

    def forward(self, semantics: Tensor) -> Tensor:
        """Images (b, 3, h, w) in [-1, 1] of semantics (b, channels, h, w).

        Raises:
            ValueError: for another number of channels, or a size that STRIDE does not divide.
        """
        _, channels, height, width = semantics.shape
        if channels != self.channels or height % STRIDE or width % STRIDE:
            raise ValueError(
                f"semantics of {channels} channels and {height}x{width} pixels: spade expects "
                f"{self.channels} channels and multiples of {STRIDE} pixels; use it with "
                "task=spade-cityscapes and set task.height and task.width accordingly"
            )
        x = self.first(F.interpolate(semantics, size=(height // STRIDE, width // STRIDE)))
        for k, stage in enumerate(self.stages):
            if k:
                x = F.interpolate(x, scale_factor=2)
            x = stage(x, F.interpolate(semantics, size=x.shape[2:]))
        return self.last(F.leaky_relu(x, SLOPE)).tanh()


class SpadeBlock(nn.Module):
    """x' + conv_1(l(norm_1(conv_0(l(norm_0(x)))))) with l a leaky ReLU.

    x' is x, or where the number of channels changes, conv_s(norm_s(x)), a 1x1 convolution. `Spade`
    puts the convolutions, not those within the norms, under spectral norm.
    """

    def __init__(self, before: int, after: int, semantic_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(before, after)
        self.norm_0 = SpadeNorm(before, semantic_channels, hidden)
        self.conv_0 = nn.Conv2d(before, middle, 3, padding=1)
        self.norm_1 = SpadeNorm(middle, semantic_channels, hidden)
        self.conv_1 = nn.Conv2d(middle, after, 3, padding=1)
        self.learned = before != after
        if self.learned:
            self.norm_s = SpadeNorm(before, semantic_channels, hidden)
            self.conv_s = nn.Conv2d(before, after, 1, bias=False)

    def convolutions(self) -> list[str]:
        """Names of the convolutions under spectral norm."""
        return ["conv_0", "conv_1", *(["conv_s"] if self.learned else [])]

    def forward(self, x: Tensor, semantics: Tensor) -> Tensor:
        """(b, after, h, w) of x (b, before, h, w) and semantics (b, semantic_channels, h, w)."""
        shortcut = self.conv_s(self.norm_s(x, semantics)) if self.learned else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, semantics), SLOPE))
        x = self.conv_1(F.leaky_relu(self.norm_1(x, semantics), SLOPE))
        return shortcut + x


class SpadeNorm(nn.Module):
    """Spatially adaptive normalisation, equation (1) of arXiv 1903.07291.

    y = n(x) * (1 + gamma(s)) + beta(s), n batch norm without parameters, and gamma, beta 3x3
    convolutions of a common hidden map of the semantics s.
    """

    def __init__(self, channels: int, semantic_channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(semantic_channels, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, semantics: Tensor) -> Tensor:
        """(b, channels, h, w) of x of that shape and semantics (b, semantic_channels, h, w)."""
        hidden = F.relu(self.shared(semantics))
        y: Tensor = self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)
        return y
