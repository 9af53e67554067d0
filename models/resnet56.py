"""ResNet-56 for small images, post-activation.

Source: He et al. 2016 (arXiv 1512.03385), section 4.2: a 3x3 convolution and three stages of nine
two-convolution blocks, 16, 32 and 64 wide. The code that the paper reproduced here followed,
BaoWangMath/LaplacianSmoothing-GradientDescent (``ResNet/resnet.py``), has shortcuts of kind B.

Parameters for CIFAR-10: 855,770 with shortcut B; 853,018 with shortcut A, that of He et al. and of
akamaster/pytorch_resnet_cifar10, whose published weights fit by name and shape once the ``module.``
of its checkpoints is stripped. Both include the batch norms and the last bias.

What differs from others of the same name: no pre-activation, no bottlenecks, and not the
7x7 stem and max-pooling of the ImageNet networks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = 9  # per stage; 3 stages x 9 blocks x 2 convolutions + the first + the linear = 56 layers


class ResNet56(nn.Module):
    """ResNet-56; see the module's docstring for source and parameter counts.

    Initial weights: k x k convolutions normal with variance 2 / (k² out), He's rule by fan-out;
    batch norm 1 and 0; linear as torch does by default.

    Shapes: images (b, in_channels, h, w), any size, to logits (b, num_classes).

    Args:
        num_classes: number of logits.
        in_channels: 3 for colour, 1 for grey.
        shortcut: where a block halves the image, "B" is a 1x1 convolution with batch norm; "A"
            takes every second pixel and pads the channels with zeros on both sides, and has no
            parameters.

    Raises:
        ValueError: for another shortcut.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, shortcut: str = "B") -> None:
        super().__init__()
        if shortcut not in ("A", "B"):
            raise ValueError(
                f"shortcut={shortcut!r}: expected 'B' (1x1 convolution, the paper's) or 'A' "
                "(zero-padded, He et al. 2016)"
            )
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, shortcut)
        self.layer2 = _stage(16, 32, 2, shortcut)
        self.layer3 = _stage(32, 64, 2, shortcut)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes) of images (b, in_channels, h, w)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class Block(nn.Module):
    """relu(x' + bn(conv(relu(bn(conv(x)))))), x' the shortcut of x."""

    def __init__(self, width_in: int, width: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 and shortcut == "A":
            self.shortcut = Subsample(stride, (width - width_in) // 2)
        elif stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(b, width_in, h, w) to (b, width, h / stride, w / stride), sizes rounded up."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class Subsample(nn.Module):
    """Shortcut A: every stride-th pixel, and `pad` channels of zeros before and after."""

    def __init__(self, stride: int, pad: int) -> None:
        super().__init__()
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c + 2 pad, h / stride, w / stride), sizes rounded up."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.pad, self.pad))


def _stage(width_in: int, width: int, stride: int, shortcut: str) -> nn.Sequential:
    first = Block(width_in, width, stride, shortcut)
    return nn.Sequential(first, *(Block(width, width, 1, shortcut) for _ in range(BLOCKS - 1)))
