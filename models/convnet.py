"""The two-layer network of the paper's MNIST experiment."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Two convolutional layers of 50 and 100 filters of 5x5 (paper, section 4).

    The paper says no more. The rest is the LeNet of the code that it followed
    (BaoWangMath/LaplacianSmoothing-GradientDescent, ``Small-BatchSize/``), where the filters are 20
    and 50: 2x2 max-pooling, then ReLU, after each convolution; a linear layer of 512 without an
    activation; a linear layer. Initialisation is torch's default, as there.

    28x28 images are not padded (28, 24, 12, 8, 4: 951,242 parameters with 10 classes); smaller ones
    are padded by 2, so that 8x8 images give 2x2 features (336,842 parameters).

    Args:
        in_channels: of the image.
        num_classes: outputs.
        image_size: height and width of the image in pixels.

    Raises:
        ValueError: for an image too small for two poolings.
    """

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        if image_size < 4:
            raise ValueError(f"image_size={image_size}: expected at least 4; enlarge the images")
        padding = 0 if image_size >= 16 else 2
        side = ((image_size - 4 + 2 * padding) // 2 - 4 + 2 * padding) // 2
        self.conv1 = nn.Conv2d(in_channels, 50, 5, padding=padding)
        self.conv2 = nn.Conv2d(50, 100, 5, padding=padding)
        self.linear1 = nn.Linear(100 * side * side, 512)
        self.linear2 = nn.Linear(512, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, num_classes) of images (b, in_channels, image_size, image_size)."""
        x = F.relu(F.max_pool2d(self.conv1(images), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return self.linear2(self.linear1(x.flatten(1)))
