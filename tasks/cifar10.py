"""CIFAR-10: 50,000 training and 10,000 test images of 32x32 pixels, ten classes."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks import crops, draft
from tasks.classification import Classification
from tasks.download import fetch, verify

PAD = 4  # pixels of zeros on each side, from which the crop is taken

# Mean and standard deviation of red, green and blue, with pixels scaled to [0, 1].
NORMALISATIONS = {
    # Those of BaoWangMath/LaplacianSmoothing-GradientDescent, `ResNet/main.py`, whose settings the
    # paper follows. They are CIFAR-100's.
    "ls": ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


class Cifar10(Classification):
    """CIFAR-10 with random crops and flips, as the paper's followed code trains on it.

    Augmentation: zeros are padded around the image, PAD pixels wide, before normalisation (so they
    are black, not grey); a 32x32 window is cut out at one of (2 PAD + 1)² places, and mirrored with
    probability 1/2. The three uniforms of a sample choose, in this order: row, column, mirroring.

    Args:
        normalisation: "ls", the constants of the followed code, or "cifar10", the data's own.
        train_size: see `Classification`, as for the others.
        test_size: likewise.
        test_batch: likewise.
        channels_last: likewise.

    Raises:
        ValueError: for another normalisation.
    """

    name = "cifar10"
    num_classes = 10
    randoms = 3

    def __init__(
        self,
        *,
        normalisation: str = "ls",
        train_size: int | None = None,
        test_size: int | None = None,
        test_batch: int = 1000,
        channels_last: bool = False,
    ) -> None:
        if normalisation not in NORMALISATIONS:
            raise ValueError(
                f"task.normalisation={normalisation!r}: expected one of {list(NORMALISATIONS)}; "
                "'ls' is the paper's"
            )
        mean, std = NORMALISATIONS[normalisation]
        super().__init__(
            mean=mean,
            std=std,
            train_size=train_size,
            test_size=test_size,
            test_batch=test_batch,
            channels_last=channels_last,
        )

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put CIFAR-10 on the device.

        The files are torchvision's: ``data.root/cifar-10-batches-py``, downloaded there if missing
        and checked against the md5s that torchvision lists, unless ``data.verify`` is false. With
        ``data.source`` "synthetic", a stand-in under ``data.root/synthetic`` is made instead, and
        read alike.

        Raises:
            FileNotFoundError: if files are missing and cannot be downloaded.
            ValueError: for a file with another md5, or one that is not a CIFAR-10 batch.
        """
        from torchvision.datasets import CIFAR10  # here, for it takes seconds to import

        root = Path(data.root).expanduser()
        if data.source == "synthetic":
            root = root / "synthetic"
        folder = root / CIFAR10.base_folder
        train = {folder / name: md5 for name, md5 in CIFAR10.train_list}
        test = {folder / name: md5 for name, md5 in CIFAR10.test_list}

        def missing() -> list[str]:
            return [str(path.relative_to(root)) for path in train | test if not path.is_file()]

        def download(into: str) -> None:
            CIFAR10(into, download=True)

        if data.source == "synthetic":
            write_synthetic(folder)
        else:
            fetch(root, missing, download)
            if data.verify:
                verify((train | test).items())
        self.hold(read(train), read(test), device)

    def gather(self, indices: Tensor, uniforms: Tensor) -> Tensor:
        """Randomly cropped and mirrored images, (b, 3, 32, 32) uint8; see the class."""
        images = self.images.index_select(0, indices)
        return crops.padded(images, uniforms[:, :2], PAD, turned=uniforms[:, 2] < 0.5)


class Batch(pickle.Unpickler):
    """Reads pickles of built-in types and NumPy arrays; what else they name is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        """What makes an array, by whichever of NumPy's names the file has it.

        Raises:
            UnpicklingError: for anything else.
        """
        place = module.removeprefix("numpy.").replace("_core", "core")
        if (place, name) == ("core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]
        if (place, name) == ("core.numeric", "_frombuffer"):
            return np.empty(1).__reduce_ex__(5)[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 3 writes them for Python 2
            return codecs.encode
        raise pickle.UnpicklingError(f"{module}.{name} is no data: the file is not to be trusted")


def read(paths: Iterable[Path]) -> tuple[Tensor, Tensor]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) int64 of files of CIFAR-10's python version.

    The files are pickles, which may hold code: they are read as data alone, see `Batch`.

    Raises:
        ValueError: for a file that is truncated, holds code, or is something else.
    """
    images, labels = [], []
    for path in paths:
        try:
            with path.open("rb") as file:
                content = Batch(file, encoding="latin1").load()
            images.append(torch.from_numpy(content["data"]).view(-1, 3, 32, 32))
            labels.append(torch.tensor(content["labels"], dtype=torch.int64))
        except Exception as error:  # unpickling damaged bytes raises nearly anything
            raise ValueError(
                f"{path}: not a batch of CIFAR-10's python version ({type(error).__name__}: "
                f"{error}); delete the file to have it downloaded again, or copy it anew"
            ) from error
    return torch.cat(images), torch.cat(labels)


def write_synthetic(folder: Path, train: int = 500, test: int = 200) -> None:
    """Write a small learnable stand-in for CIFAR-10, in its files and names, unless it is there.

    Every class is a coarse random pattern, 4x4 blocks in colour, and every image its class's
    pattern under noise. Any process writes the same images; the folder appears at once and whole,
    so that trials which start together do not meet a half-written one.

    Args:
        folder: the ``cifar-10-batches-py`` to make.
        train: number of training images, over five files.
        test: number of test images.
    """
    draft.make(folder, lambda into: _invent(into, train, test))


def _invent(folder: Path, train: int, test: int) -> None:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(10, 3, 4, 4, generator=generator) * 160 + 48
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    folder.mkdir()
    for name, size in zip(names, [train // 5] * 5 + [test], strict=True):
        labels = torch.randint(10, (size,), generator=generator)
        noise = 40 * torch.randn(size, 3, 32, 32, generator=generator)
        images = F.interpolate(patterns[labels], scale_factor=8) + noise
        content = {
            "batch_label": f"synthetic {name}",
            "labels": labels.tolist(),
            "data": images.clamp(0, 255).to(torch.uint8).view(size, -1).numpy(),
        }
        (folder / name).write_bytes(pickle.dumps(content))
