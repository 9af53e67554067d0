"""scikit-learn's digits: 1,797 real handwritten digits of 8x8 pixels, in the package itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.classification import Classification

EVERY = 7  # each seventh image trains: the ratio of mnist-swap's two sets, over all the writers


class Digits(Classification):
    """Trains on 257 images (every seventh), tests on the other 1,540. Not in the paper.

    Like the paper's MNIST experiment it trains on the smaller part, "to make generalization more
    challenging". Pixels 0..16 are stretched to 0..255; mean and deviation are the training images'.

    Args:
        train_size: train on so many images only; None is all.
        test_size: the same for the test set.
        channels_last: see `Classification`.
    """

    name = "digits"
    num_classes = 10

    def __init__(
        self,
        *,
        train_size: int | None = None,
        test_size: int | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__(
            mean=(0.3042,),
            std=(0.3761,),
            train_size=train_size,
            test_size=test_size,
            channels_last=channels_last,
        )

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put the digits on the device.

        With ``data.source`` "synthetic", a stand-in of 350 images takes their place.
        """
        scaled, targets = _synthetic() if data.source == "synthetic" else _real()
        trains = torch.arange(len(targets)) % EVERY == 0
        self.hold((scaled[trains], targets[trains]), (scaled[~trains], targets[~trains]), device)


def _real() -> tuple[Tensor, Tensor]:
    table = torch.from_numpy(_table())  # (1797, 65): 64 pixels and the label
    scaled = table[:, :-1].mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    return scaled, table[:, -1].to(torch.int64)


def _table() -> NDArray[Any]:
    """What `sklearn.datasets.load_digits` reads; its import would double the start of a trial."""
    found = find_spec("sklearn")  # imports nothing
    assert found is not None
    for folder in found.submodule_search_locations or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.exists():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])


def _synthetic(count: int = 350) -> tuple[Tensor, Tensor]:
    """Every class a coarse random pattern, every image its class's pattern under noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(10, 1, 4, 4, generator=generator) * 160 + 48
    labels = torch.randint(10, (count,), generator=generator)
    noise = 40 * torch.randn(count, 1, 8, 8, generator=generator)
    images = F.interpolate(patterns[labels], scale_factor=2) + noise
    return images.clamp(0, 255).to(torch.uint8), labels
