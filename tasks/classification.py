"""Image classification from data on the device: what every classification task shares."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks import reduced


class Classification(ABC):
    """Cross-entropy on uint8 images; the score is the test accuracy in per cent.

    A subclass sets ``name`` and ``num_classes`` and writes ``load(data, device)``, which reads its
    images and hands them to `hold`. One with augmentation sets ``randoms`` and overrides `gather`.

    Shapes: images (N, C, H, W) uint8, labels (N,) int64. The model sees float32
    (x / 255 - mean) / std, per channel, in that order of operations: bit for bit what torchvision's
    ``ToTensor`` and ``Normalize`` give on a CPU.

    Args:
        mean: of each channel, with pixels scaled to [0, 1].
        std: of each channel, likewise.
        train_size: train on so many samples only, one fixed random draw; None is all.
        test_size: the same for the test set.
        test_batch: images per batch in `evaluate`; the scores depend on it by rounding alone.
        channels_last: images, and so what the network makes of them, lie in memory as (b, h, w, c);
            the harness gives the weights the same format. Moves the last bits.

    Raises:
        ValueError: for a size below 1, a std that is not positive, or unequal numbers of means and
            stds.
    """

    name: ClassVar[str]
    num_classes: ClassVar[int]
    randoms: int = 0
    drop_last: ClassVar[bool] = False
    static: ClassVar[bool] = True
    score: dict[str, Any] = {
        "name": "test_accuracy",
        "better": "higher",
        "unit": "%",
        "smallest": 0.1,
    }

    # Known after load().
    train_size: int
    test_size: int
    checksum: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        train_size: int | None = None,
        test_size: int | None = None,
        test_batch: int = 1000,
        channels_last: bool = False,
    ) -> None:
        """Keep the settings; nothing is read before load()."""
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"mean={list(mean)}, std={list(std)}: expected as many positive stds as means; "
                "give one of each per image channel"
            )
        for key, size in [
            ("train_size", train_size),
            ("test_size", test_size),
            ("test_batch", test_batch),
        ]:
            whole = isinstance(size, int) and not isinstance(size, bool)
            if size is not None and not (whole and size >= 1):
                raise ValueError(
                    f"{key}={size}: expected a whole number >= 1; leave it out for the default"
                )
        self.mean, self.std = tuple(mean), tuple(std)
        self.test_batch = test_batch
        self.channels_last = channels_last
        self._sizes = {"train_size": train_size, "test_size": test_size}

    @abstractmethod
    def load(self, data: Any, device: torch.device | str) -> None:
        """Read and verify the data, then `hold` it on the device."""

    def hold(
        self,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        device: torch.device | str,
    ) -> None:
        """Check, reduce, fingerprint and move to the device.

        Args:
            train: images (N, C, H, W) uint8 and labels (N,) int64.
            test: the same of the test set.
            device: where the data is to live.

        Raises:
            ValueError: for data of another form, a label that is not a class, or a set smaller than
                the size asked for.
        """
        train = self._reduced("train_size", *train)
        test = self._reduced("test_size", *test)
        digest = hashlib.sha256()
        for tensor in (*train, *test):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        self.checksum = digest.hexdigest()
        self.score = {**type(self).score, "worst": 100 / self.num_classes}
        self.train_size, self.test_size = len(train[0]), len(test[0])
        self.images, self.labels = (tensor.to(device).contiguous() for tensor in train)
        self.test_images, self.test_labels = (tensor.to(device).contiguous() for tensor in test)
        self._mean = torch.tensor(self.mean, device=device).view(-1, 1, 1)
        self._std = torch.tensor(self.std, device=device).view(-1, 1, 1)

    def _reduced(self, key: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if images.dtype != torch.uint8 or images.dim() != 4 or labels.dtype != torch.int64:
            raise ValueError(
                f"{self.name}: images {tuple(images.shape)} {images.dtype}, labels {labels.dtype}: "
                "expected uint8 of shape (N, C, H, W) and int64; convert them in load()"
            )
        if images.shape[1] != len(self.mean):
            raise ValueError(
                f"{self.name}: images of {images.shape[1]} channels, but {len(self.mean)} means; "
                "give one mean and one std per channel"
            )
        if len(images) != len(labels) or not len(images):
            raise ValueError(
                f"{self.name}: {len(images)} images and {len(labels)} labels: expected as many of "
                "both, and some; the files are incomplete, fetch them again"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.num_classes:
            raise ValueError(
                f"{self.name}: labels from {low} to {high}: expected 0 to {self.num_classes - 1}; "
                "the files are damaged or of another data set, fetch them again"
            )
        size = self._sizes[key]
        if size is None:
            return images, labels
        if size > len(images):
            raise ValueError(
                f"{self.name}: {key}={size}, but there are {len(images)} images; ask for fewer, or "
                "leave it out for all"
            )
        kept = reduced.drawn(len(images), size)
        return images[kept], labels[kept]

    def players(self, model: nn.Module) -> dict[str, nn.Module]:
        """The one network that is trained."""
        return {"model": model}

    def gather(self, indices: Tensor, uniforms: Tensor) -> Tensor:
        """Training images before normalisation; here without augmentation.

        Args:
            indices: (b,) int64.
            uniforms: (b, randoms) float32 in [0, 1).

        Returns:
            (b, C, H, W) uint8.
        """
        del uniforms
        return self.images.index_select(0, indices)

    def normalise(self, images: Tensor) -> Tensor:
        """(x / 255 - mean) / std as float32, from uint8 (b, C, H, W)."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        scaled = images.to(torch.float32, memory_format=layout).div_(255)
        return scaled.sub_(self._mean).div_(self._std)

    def batch(self, indices: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented, normalised images (b, C, H, W) and their labels (b,), without a host sync."""
        images = self.normalise(self.gather(indices, uniforms))
        return images, self.labels.index_select(0, indices)

    def loss(
        self, player: str, model: nn.Module, batch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy, and 100 times the number of correct answers."""
        del player
        images, labels = batch
        logits = model(images)
        correct = (logits.detach().argmax(1) == labels).sum()
        return F.cross_entropy(logits, labels), {"accuracy": 100.0 * correct}

    def evaluate(self, model: nn.Module, last: bool = False) -> dict[str, float]:
        """Mean cross-entropy and accuracy in per cent over the test set."""
        del last
        sums = torch.zeros(2, device=self.test_labels.device)
        for images, labels in zip(
            self.test_images.split(self.test_batch),
            self.test_labels.split(self.test_batch),
            strict=True,
        ):
            logits = model(self.normalise(images))
            sums[0] += F.cross_entropy(logits, labels, reduction="sum")
            sums[1] += (logits.argmax(1) == labels).sum()
        loss, correct = sums.tolist()  # the one host sync of an evaluation
        return {
            "test_loss": loss / self.test_size,
            "test_accuracy": 100.0 * correct / self.test_size,
        }

    def finish(self, model: nn.Module, folder: Path) -> None:
        """Leave nothing beside the scores."""
        del model, folder
