"""Segmentation of pictures on the device: windows, loss and scores of every such task."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.segmentation_pictures import grid, save
from tasks.segmentation_scenes import VOID, Scenes, Windows
from tasks.segmentation_scores import count, dataset_iou, image_iou, pixel_accuracy, quotient

# ImageNet's mean and deviation of red, green and blue, with pixels scaled to [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDE = 32  # a U-Net with five halvings takes multiples of it
SHOWN = 4  # test pictures in samples.png


class Segmentation(ABC):
    """Segmentation as nyoki-mtl/pytorch-segmentation, which the paper follows, trains and scores.

    A subclass sets ``name`` and writes ``load(data, device)``, which reads its scenes and hands
    them to `hold`.

    Training windows: scaled by 0.5 to 1.5, padded right and bottom, cropped, mirrored with
    probability 1/2; see `Scenes.cut`. Test pictures whole, padded right and bottom to the crop's
    size, or to the next multiple of 32 if any is larger. Padding is 0 after normalisation.

    Scores, in per cent, for training (running, in train mode, on the augmented windows) and test:

    - iou: the followed code's, per image; see `segmentation_scores.image_iou`;
    - miou: the standard one over the data set;
    - pixel_accuracy.

    Test predictions average the logits of the picture and of its mirror image, as the followed code
    does; so does test_loss. miou and pixel_accuracy leave void pixels out whatever ``void`` says.

    Args:
        num_classes: background included.
        crop: height and width of training windows, a multiple of 32, at least 64.
        loss: "lovasz" (Lovász-softmax per image over the classes present, Berman et al. 2018) or
            "cross_entropy".
        void: "background" (void pixels are class 0, as in the followed code) or "ignore".
        train_size: train on so many pictures only, one fixed random draw; None is all.
        test_size: the same for the test set.
        test_batch: pictures per batch in `evaluate`.

    Raises:
        ValueError: for a value that is none of these.
    """

    name: ClassVar[str]
    randoms: ClassVar[int] = 4
    drop_last: ClassVar[bool] = False
    static: ClassVar[bool] = False
    score: ClassVar[dict[str, Any]] = {
        "name": "test_iou",
        "better": "higher",
        "unit": "%",
        "smallest": 0.1,
        "against": "train_iou",
    }

    # Known after load().
    train_size: int
    test_size: int
    checksum: str
    scenes: Scenes
    test_scenes: Scenes

    def __init__(
        self,
        *,
        num_classes: int,
        crop: int,
        loss: str = "lovasz",
        void: str = "background",
        train_size: int | None = None,
        test_size: int | None = None,
        test_batch: int = 2,
    ) -> None:
        for key, value, choices in (
            ("loss", loss, ("lovasz", "cross_entropy")),
            ("void", void, ("background", "ignore")),
        ):
            if value not in choices:
                raise ValueError(f"task.{key}={value}: expected {' or '.join(choices)}")
        for key, number in (
            ("train_size", train_size),
            ("test_size", test_size),
            ("test_batch", test_batch),
        ):
            if number is not None and number < 1:
                raise ValueError(f"task.{key}={number}: expected at least 1, or null for all")
        if not 2 <= num_classes <= VOID:
            raise ValueError(f"task.num_classes={num_classes}: expected 2 to {VOID}")
        if crop < 2 * STRIDE or crop % STRIDE:
            raise ValueError(
                f"task.crop={crop}: expected a multiple of {STRIDE} from {2 * STRIDE} up, for the "
                f"network halves five times; take {max(2, round(crop / STRIDE)) * STRIDE}"
            )
        self.num_classes, self.crop = num_classes, crop
        self.loss_name, self.void, self.test_batch = loss, void, test_batch
        self._sizes = {"train_size": train_size, "test_size": test_size}

    @abstractmethod
    def load(self, data: Any, device: torch.device | str) -> None:
        """Read and verify the data, then `hold` it on the device."""

    def hold(self, scenes: Scenes, test_scenes: Scenes, device: torch.device | str) -> None:
        """Fingerprint the data and move it to the device."""
        from segmentation_models_pytorch.losses import LovaszLoss  # here, for it takes seconds

        self.train_size, self.test_size = len(scenes), len(test_scenes)
        checksums = scenes.checksum() + test_scenes.checksum()
        self.checksum = hashlib.sha256(checksums.encode()).hexdigest()
        self._test_window = (
            _padded(test_scenes.heights, self.crop),
            _padded(test_scenes.widths, self.crop),
        )
        self.scenes, self.test_scenes = scenes.to(device), test_scenes.to(device)
        self._mean = torch.tensor(MEAN, device=device).view(-1, 1, 1)
        self._std = torch.tensor(STD, device=device).view(-1, 1, 1)
        self._lovasz = LovaszLoss("multiclass", per_image=True, ignore_index=VOID)

    def players(self, model: nn.Module) -> dict[str, nn.Module]:
        """The one network that is trained."""
        return {"model": model}

    def batch(self, indices: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised windows (b, 3, crop, crop), labels and targets (b, crop, crop).

        VOID pixels of the targets are not trained on; those of the labels are not scored. Neither
        waits for the device.
        """
        return self._prepared(self.scenes.cut(indices, self.crop, self.crop, uniforms))

    def _prepared(self, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
        images = (windows.images / 255 - self._mean) / self._std
        images = images.masked_fill(~windows.inside[:, None], 0)
        targets = windows.labels
        if self.void == "background":
            targets = targets.masked_fill((targets == VOID) & windows.inside, 0)
        return images, windows.labels, targets

    def loss(
        self, player: str, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a mean over the images, and the training scores' numerators and denominators.

        Raises:
            ValueError: for a network that does not give scores per pixel and class.
        """
        del player
        images, labels, targets = batch
        logits = model(images)
        if logits.shape[2:] != labels.shape[1:]:
            raise ValueError(
                f"task={self.name}: the network gives {tuple(logits.shape)} for labels "
                f"{tuple(labels.shape)}; expected scores per class and pixel: model=unet-r50"
            )
        return self._loss(logits, targets), self._rows(logits.detach(), labels, targets)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        valid = targets != VOID
        if self.loss_name == "cross_entropy":
            total = F.cross_entropy(logits.float(), targets, ignore_index=VOID, reduction="sum")
            return total / valid.sum().clamp(min=1)
        # Windows of void alone have no class present. Waits for the device here, and in the loss
        # for each class.
        kept = valid.flatten(1).any(1)
        if not kept.any():
            return 0 * logits.sum()
        with torch.autocast(logits.device.type, enabled=False):  # it sums over all pixels
            loss: Tensor = self._lovasz(logits[kept].float(), targets[kept])
        return loss

    def _rows(self, logits: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        predictions = logits.argmax(1)
        counts = count(predictions, labels, self.num_classes)
        return {
            "iou": image_iou(count(predictions, targets, self.num_classes)),
            "miou": dataset_iou(counts),
            "pixel_accuracy": pixel_accuracy(counts),
        }

    def evaluate(self, model: nn.Module, last: bool = False) -> dict[str, float]:
        """Loss and scores over the test set, of logits averaged over mirror images."""
        del last
        loss = torch.zeros((), device=self._mean.device)
        totals: dict[str, Tensor] = {}
        for indices in torch.arange(self.test_size, device=self._mean.device).split(
            self.test_batch
        ):
            windows = self.test_scenes.cut(indices, *self._test_window)
            images, labels, targets = self._prepared(windows)
            logits = _averaged(model, images)
            loss += len(indices) * self._loss(logits, targets)
            for name, rows in self._rows(logits, labels, targets).items():
                totals[name] = totals.get(name, 0) + rows
        scores = {f"test_{name}": quotient(rows) for name, rows in totals.items()}
        return {"test_loss": float(loss) / self.test_size, **scores}

    def finish(self, model: nn.Module, folder: Path) -> None:
        """``samples.png``: a few test pictures, their labels and the predictions."""
        # Spread over the list: neighbours in it may be frames of one film, much alike.
        shown = torch.linspace(0, self.test_size - 1, SHOWN).round().long().unique()
        shown = shown.to(self._mean.device)
        windows = self.test_scenes.cut(shown, *self._test_window)
        model.eval()
        with torch.no_grad():
            predictions = _averaged(model, self._prepared(windows)[0]).argmax(1)
        save(grid(windows, predictions), folder / "samples.png")


def check_classes(labels: Tensor, which: str, least: int, num_classes: int) -> None:
    """Refuse label maps with nothing to tell apart, on which a loss is 0 or no score finite.

    Args:
        labels: of all pixels, uint8.
        which: the setting that names the set, for the message.
        least: classes that have to be there.
        num_classes: that there may be.

    Raises:
        ValueError: naming what the maps hold.
    """
    pixels = torch.bincount(labels, minlength=VOID + 1)
    classes = [k for k in range(num_classes) if pixels[k]]
    if len(classes) < least or (which == "test_set" and classes == [0]):
        held = [f"{k} ({pixels[k] / len(labels):.0%})" for k in (*classes, VOID) if pixels[k]]
        raise ValueError(
            f"task.{which}: its label maps hold {' and '.join(held)} alone, of classes 0 to "
            f"{num_classes - 1}, where {VOID} is no class: expected {least} classes at least, "
            f"one of them not 0; number the classes from 0, {VOID} as 1 if it is the second one"
        )


def _averaged(model: nn.Module, images: Tensor) -> Tensor:
    """Logits averaged over each image and its mirror image."""
    logits: Tensor = model(images).float() + model(images.flip(3)).flip(3).float()
    return logits / 2


def _padded(sizes: Tensor, crop: int) -> int:
    return max(crop, -(-int(sizes.max()) // STRIDE) * STRIDE)
