"""MNIST and Fashion-MNIST with their two sets' roles swapped."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tasks import draft
from tasks.classification import Classification
from tasks.download import fetch, verify

# Mean and deviation of the original training pixels, scaled to [0, 1]. MNIST's are those of
# BaoWangMath/LaplacianSmoothing-GradientDescent, `Small-BatchSize/`.
NORMALISATIONS = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}

# The files as torchvision unpacks them, and their bytes.
FILES = {
    "train-images-idx3-ubyte": 47040016,
    "train-labels-idx1-ubyte": 60008,
    "t10k-images-idx3-ubyte": 7840016,
    "t10k-labels-idx1-ubyte": 10008,
}

# Their md5s, in that order. Fashion-MNIST's publisher gives those of the compressed files; these
# are of what they hold, as it also lies in Debian's package.
DIGESTS = {
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion-mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}

# Where else the files can be had, for the message that they are missing.
ELSEWHERE = {
    "mnist": "",
    "fashion-mnist": (
        "take them from Debian's or Ubuntu's package dataset-fashion-mnist (apt-get download it, "
        "unpack it with dpkg -x, copy usr/share/datasets/fashion-mnist/*.gz), "
    ),
}


class MnistSwap(Classification):
    """Trains on the 10,000 test images, tests on the 60,000 training images (paper, section 4).

    ``data.name`` says which: mnist or fashion-mnist. No augmentation.

    Args:
        train_size: train on so many images only; None is all.
        test_size: the same for the test set.
        channels_last: see `Classification`.
    """

    name = "mnist-swap"
    num_classes = 10

    def __init__(
        self,
        *,
        train_size: int | None = None,
        test_size: int | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__(
            mean=(0.0,),
            std=(1.0,),
            train_size=train_size,
            test_size=test_size,
            channels_last=channels_last,
        )

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put the images on the device.

        The files are torchvision's, ``data.root/MNIST/raw`` or ``data.root/FashionMNIST/raw``,
        downloaded there if missing. With ``data.source`` "synthetic", a stand-in under
        ``data.root/synthetic`` is made instead, and read alike.

        Raises:
            FileNotFoundError: if files are missing and cannot be downloaded.
            ValueError: for another ``data.name``, or a damaged file, naming it.
        """
        if data.name not in NORMALISATIONS:
            raise ValueError(
                f"data.name={data.name}: expected one of {list(NORMALISATIONS)}; mnist is the "
                "default"
            )
        from torchvision import datasets  # here, for it takes seconds to import

        dataset = datasets.MNIST if data.name == "mnist" else datasets.FashionMNIST
        root = Path(data.root).expanduser()
        if data.source == "synthetic":
            root = root / "synthetic"
            write_synthetic(root / dataset.__name__ / "raw")
        folder = root / dataset.__name__ / "raw"

        def missing() -> list[str]:
            # torchvision also reads the compressed files, if they lie there.
            return [
                str((folder / name).relative_to(root))
                for name in FILES
                if not (folder / name).is_file()
            ]

        damaged = unpack(folder)
        try:
            fetch(root, missing, lambda into: dataset(into, download=True), ELSEWHERE[data.name])
        except FileNotFoundError as error:
            if damaged is not None:  # half of a download, or a damaged copy: both are the reason
                raise ValueError(f"{damaged}; nor could it be downloaded: {error}") from error
            raise
        if data.source == "real":
            check(folder, DIGESTS[data.name] if data.verify else ())
        self.mean, self.std = ((value,) for value in NORMALISATIONS[data.name])
        sets = []
        for train in (False, True):  # swapped: trains on the test set
            original = dataset(str(root), train=train)
            sets.append((original.data.unsqueeze(1), original.targets))
        self.hold(sets[0], sets[1], device)


def unpack(folder: Path) -> str | None:
    """Unpack what is there in compressed form only, as a copy from elsewhere may be.

    Returns:
        What is wrong with the first file that is no gzip, or a truncated one; None if none is.
    """
    wrong = None
    for name in FILES:
        packed = folder / f"{name}.gz"
        if packed.is_file() and not (folder / name).is_file():
            try:
                content = gzip.decompress(packed.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                wrong = wrong or f"{packed}: not a whole gzip file ({error}); copy it anew"
                continue
            draft.make(folder / name, partial(Path.write_bytes, data=content))
    return wrong


def check(folder: Path, digests: Sequence[str]) -> None:
    """Refuse a file of the wrong length, and where md5s are given one of other content.

    Raises:
        ValueError: naming the first such file.
    """
    for name, size in FILES.items():
        found = (folder / name).stat().st_size
        if found != size:
            raise ValueError(
                f"{folder / name}: {found} bytes, expected {size}; delete the file to have it "
                "downloaded again, or copy it anew"
            )
    verify((folder / name, digest) for name, digest in zip(FILES, digests, strict=False))


def write_synthetic(folder: Path, train: int = 1000, test: int = 500) -> None:
    """Write a small learnable stand-in in the same files and names, unless it is there.

    Every class is a coarse random pattern and every image its class's pattern under noise. Any
    process writes the same images, and the folder appears whole.

    Args:
        folder: the ``raw`` folder to make.
        train: images in the original training set (on which the task tests).
        test: images in the original test set (on which it trains).
    """
    draft.make(folder, lambda into: _invent(into, train, test))


def _invent(folder: Path, train: int, test: int) -> None:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(10, 1, 7, 7, generator=generator) * 160 + 48
    folder.mkdir()
    for prefix, size in (("train", train), ("t10k", test)):
        labels = torch.randint(10, (size,), generator=generator)
        noise = 40 * torch.randn(size, 1, 28, 28, generator=generator)
        images = (F.interpolate(patterns[labels], scale_factor=4) + noise).clamp(0, 255)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, size, 28, 28) + images.byte().numpy().tobytes()
        )
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, size) + labels.byte().numpy().tobytes()
        )
