"""The perceptual loss of SPADE: how far two images are apart in the features of VGG-19."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks import weights

# Weight of each feature map by the index of the layer in torchvision's `vgg19().features` that ends
# it: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
LAYERS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}


class Perceptual(nn.Module):
    """sum_k w_k mean|phi_k(x) - phi_k(y)|, phi_k the feature maps named in LAYERS.

    Johnson et al. 2016 (arXiv 1603.08155) in the form of NVlabs/SPADE: the images are in [-1, 1],
    without the normalisation that VGG was trained with.

    Args:
        file: torchvision's weights of VGG-19; None is the publisher's file, see `weights.read`.

    Raises:
        FileNotFoundError: if the weights are not there and cannot be downloaded.
        ValueError: for a file of other weights.
    """

    def __init__(self, file: str | None = None) -> None:
        super().__init__()
        from torchvision import models  # here, for it takes seconds to import

        setting = f"task.perceptual={file or 'vgg19'}"
        url = models.VGG19_Weights.IMAGENET1K_V1.url
        state = weights.read(setting, file, url, "task.perceptual=none to train without it")
        with torch.device("meta"):  # its classifier, of which nothing is used, is half a gigabyte
            self.layers = models.vgg19().features[: max(LAYERS) + 1]
        used = {f"features.{name}": name for name in self.layers.state_dict()}
        try:
            self.layers.load_state_dict({used[k]: state[k] for k in used}, assign=True)
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"{setting}: these are not torchvision's weights of VGG-19 ({error}); name its file"
            ) from error
        self.requires_grad_(False)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps of images (b, 3, h, w) in [-1, 1]."""
        found = []
        for index, layer in enumerate(self.layers):
            images = layer(images)
            if index in LAYERS:
                found.append(images)
        return found

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """The loss; its gradient reaches the generated images alone."""
        with torch.no_grad():
            targets = self.maps(real)
        terms = [
            weight * (ours - theirs).abs().mean()
            for weight, ours, theirs in zip(
                LAYERS.values(), self.maps(generated), targets, strict=True
            )
        ]
        return torch.stack(terms).sum()
