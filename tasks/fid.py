"""Distances between two sets of images in the features of a fixed network: FID and KID."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks import weights

BATCH = 50  # images at a time, as in pytorch-fid; the features depend on it by rounding alone
RANDOM = "task.fid_weights=random for a number that says only that the program runs"


class Inception(nn.Module):
    """Features of pytorch-fid's InceptionV3, the network that FID is defined by.

    Args:
        file: its weights; None is the publisher's file, see `weights.read`.
        dims: how many features: 2048, the pooled last layer, for FID; 64, 192 and 768 are earlier
            ones, averaged over the map.

    Raises:
        FileNotFoundError: if the weights are not there and cannot be downloaded.
        ValueError: for a file of other weights.
    """

    def __init__(self, file: str | None = None, dims: int = 2048) -> None:
        super().__init__()
        from pytorch_fid import inception  # here, for it takes seconds to import

        setting = f"task.fid_weights={file or 'inception'}"
        state = weights.read(setting, file, inception.FID_WEIGHTS_URL, RANDOM)
        block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]
        # The class knows its weights by their address alone.
        with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
            try:
                self.network = inception.InceptionV3([block])
            except (RuntimeError, TypeError) as error:
                raise ValueError(
                    f"{setting}: these are not pytorch-fid's weights of InceptionV3; name its file"
                ) from error
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, dims) of images (b, 3, h, w) in [0, 1]."""
        return F.adaptive_avg_pool2d(self.network(images)[0], 1).flatten(1)


class RandomFeatures(nn.Module):
    """64 features of a small convolutional network with fixed random weights: no FID, but cheap."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for k, (before, after) in enumerate([(3, 16), (16, 32), (32, 64)]):
            kernel = torch.randn(after, before, 3, 3, generator=generator)
            self.register_buffer(f"kernel_{k}", kernel * (2 / (9 * before)) ** 0.5)

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, 64) of images (b, 3, h, w) in [0, 1]."""
        x = 2 * images - 1
        for kernel in self.buffers():
            x = F.conv2d(x, kernel, stride=2, padding=1).relu()
        return x.mean((2, 3))


def features(network: nn.Module, images: Tensor) -> Tensor:
    """Features (n, d), float64 on the CPU, of images (n, 3, h, w) uint8.

    In float32 whatever the precision of training, for scores have to compare across runs.
    """
    exact: Any = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False), exact:
        parts = [network(batch.float() / 255) for batch in images.split(BATCH)]
    return torch.cat(parts).double().cpu()


def frechet(x: Tensor, y: Tensor) -> float:
    """The Fréchet distance of Heusel et al. 2017 between two sets of features.

    d² = |m_x - m_y|² + Tr(C_x + C_y - 2 (C_x C_y)^(1/2)), m the means and C the unbiased
    covariances. With X, Y the centred features over sqrt(n - 1) it is C_x = X'X, C_y = Y'Y, and the
    eigenvalues of C_x C_y that are not zero are those of (X Y')(X Y')'. So the trace of the root is
    the sum of the singular values of X Y', an (n, m) matrix. That is exact where there are fewer
    images than features and the root of the singular C_x C_y itself is fragile.

    Args:
        x: (n, d) features, n >= 2.
        y: (m, d) features, m >= 2.
    """
    means = (x.mean(0) - y.mean(0)).square().sum()
    x, y = ((z - z.mean(0)) / (len(z) - 1) ** 0.5 for z in (x, y))
    root = torch.linalg.svdvals(x @ y.T).sum()
    return float(means + x.square().sum() + y.square().sum() - 2 * root)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The kernel distance (KID) of Bińkowski et al. 2018: unbiased, unlike `frechet`, also for few.

    The squared maximum mean discrepancy under k(a, b) = (a'b / d + 1)³, its unbiased estimate from
    all pairs; it may be negative.

    Args:
        x: (n, d) features, n >= 2.
        y: (m, d) features, m >= 2.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())
