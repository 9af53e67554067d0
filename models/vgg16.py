"""VGG-16 with batch norm for 32x32 images.

Source: configuration D of Simonyan & Zisserman 2015 (arXiv 1409.1556), in the form that the code
followed by the paper reproduced here gives it, BaoWangMath/LaplacianSmoothing-GradientDescent
(``ResNet/vgg.py``, ``vgg16_bn``).

Parameters for CIFAR-10: 15,253,578: 13 convolutions with bias, their batch norms, three linears.

What differs from torchvision's ``vgg16_bn``: a head of 512, 512 and the classes on a 1x1 map,
dropout before the linears instead of after them, and torch's default initial weights for the
linears. Other VGG-16s for CIFAR-10 end in a single linear (14.7 million parameters).
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """VGG-16; see the module's docstring for source and parameter count.

    Initial weights: k x k convolutions normal with variance 2 / (k² out), He's rule by fan-out, and
    bias 0; batch norm 1 and 0; linears as torch does by default.

    Shapes: images (b, in_channels, 32, 32) to logits (b, num_classes).

    Args:
        num_classes: number of logits.
        in_channels: 3 for colour, 1 for grey.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in WIDTHS:
            for width in stage:
                conv = nn.Conv2d(in_channels, width, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(conv.get_parameter("bias"))
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                in_channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes) of images (b, in_channels, 32, 32).

        Raises:
            ValueError: for images of another size.
        """
        if x.shape[-2:] != (32, 32):
            raise ValueError(
                f"images of {x.shape[-2]}x{x.shape[-1]} pixels: vgg16 halves them five times and "
                "expects 32x32; choose model=resnet56 or model=convnet for this task"
            )
        return self.classifier(self.features(x).flatten(1))
