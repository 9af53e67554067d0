"""The discriminator of SPADE: PatchGANs of the same form at two scales.

Source: Isola et al. 2017 (arXiv 1611.07004) and Wang et al. 2018 (arXiv 1711.11585), in the form
that NVlabs/SPADE gives them: spectral and instance norm, four layers before the output.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class PatchGAN(nn.Module):
    """Two PatchGANs of equal form; the second sees the input at half the size.

    Args:
        channels: of the input, semantics and image together.
        width: channels of each one's first layer.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Patches(channels, width) for _ in range(2))

    def normed(self) -> list[nn.Conv2d]:
        """The convolutions under spectral norm: all but the first and the last of each scale."""
        convolutions = [m for scale in self.scales for m in scale.modules()]
        return [m for m in convolutions if isinstance(m, nn.Conv2d) and m.bias is None]

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """For each scale the maps after each layer, the last of one channel: realness by patch."""
        results = []
        for scale in self.scales:
            results.append(scale(x))
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return results


class Patches(nn.Module):
    """4x4 convolutions: three of stride 2, two of stride 1; leaky ReLU of slope 0.2 between.

    The inner three have no bias: instance norm follows, which would take it away.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8)]
        layers = [_layer(nn.Conv2d(channels, width, 4, stride=2, padding=2))]
        for (before, after), stride in zip(pairwise(widths), (2, 2, 1), strict=True):
            convolution = nn.Conv2d(before, after, 4, stride=stride, padding=2, bias=False)
            layers.append(_layer(convolution, nn.InstanceNorm2d(after)))
        self.layers = nn.ModuleList(layers)
        self.output = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps after each of the five layers."""
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return [*maps, self.output(x)]


def _layer(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules, nn.LeakyReLU(0.2))
