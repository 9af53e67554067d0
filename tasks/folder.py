"""A user's own images, one folder a class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tasks import crops, folder_synthetic, image_tree, memory, reduced, squares
from tasks.classification import Classification
from tasks.image_tree import Picture


class Folder(Classification):
    """Images below ``data.root``: ``train/<class>/`` and ``val/<class>/`` or ``test/<class>/``.

    Every image is read once, resized so that its shorter side has `size` pixels, and cut to the
    square in its centre; training windows are drawn from these squares. As float32 the model sees
    (x / 255 - mean) / std, a colour each. What is random of a training image, in the order of its
    uniforms: its place in the frame (2 of them, with `pad`), its window (4, with `crop`), whether
    it is mirrored, at probability 1/2 (1, with `flip`).

    Args:
        size: pixels of a side.
        mean: of red, green and blue, with pixels scaled to [0, 1].
        std: likewise.
        data_set: a name for what the folder holds, which tells data sets apart in names and labels.
        test_set: "val" or "test"; None is the one that is there.
        crop: training windows show at least so large a part of the image's area, at a ratio of
            sides from 3:4 to 4:3, and are enlarged to its size; 1 is the whole image.
        pad: width in pixels of a black frame, in which a window of the image's size is drawn.
        flip: mirror every other training image, left to right.
        train_size: see `Classification`; the images that are left out are not read either.
        test_size: likewise.
        test_batch: likewise.
        channels_last: likewise.

    Raises:
        ValueError: for a setting of another kind or out of range.
    """

    name = "folder"

    def __init__(
        self,
        *,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        data_set: str = "images",
        test_set: str | None = None,
        crop: float = 1.0,
        pad: int = 0,
        flip: bool = False,
        train_size: int | None = None,
        test_size: int | None = None,
        test_batch: int = 64,
        channels_last: bool = False,
    ) -> None:
        _check_colours("mean", mean)
        _check_colours("std", std)
        super().__init__(
            mean=mean,
            std=std,
            train_size=train_size,
            test_size=test_size,
            test_batch=test_batch,
            channels_last=channels_last,
        )
        if not isinstance(data_set, str) or not data_set.strip():
            raise ValueError(
                f"task.data_set={data_set}: expected a name; quote a number: task.data_set=\"'12'\""
            )
        if not _number(crop) or not 0 < crop <= 1:
            raise ValueError(
                f"task.crop={crop}: expected a part of the image's area, above 0 and up to 1, "
                "which is the whole image"
            )
        if not isinstance(pad, int) or isinstance(pad, bool) or not 0 <= pad <= size:
            raise ValueError(
                f"task.pad={pad}: expected a frame's width in pixels, from 0 (none) to "
                f"task.size={size}"
            )
        for key, value in (("flip", flip), ("channels_last", channels_last)):
            if not isinstance(value, bool):
                raise ValueError(f"task.{key}={value}: expected true or false")
        self.size, self.test_set = size, test_set
        self.crop, self.pad, self.flip = crop, pad, flip
        self.randoms = 2 * (pad > 0) + 4 * (crop < 1) + flip
        # Drawn before images are read, and so not by `hold`.
        self._asked, self._sizes = self._sizes, dict.fromkeys(self._sizes)

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put the images on the device.

        With ``data.source`` "synthetic", a stand-in under ``data.root/synthetic`` is made, and read
        alike.

        Raises:
            ValueError: for a tree or a picture that does not fit (see `image_tree.read` and
                `squares.read`), or more of them than memory holds.
            OSError: for a folder or file that cannot be read.
        """
        root = folder_synthetic.place(data.root, data.source)
        if data.source == "synthetic":
            folder_synthetic.write(root)
        tree = image_tree.read(root, self.test_set)
        self.num_classes = len(tree.classes)  # type: ignore[misc]  # of this tree
        train, test = self._drawn("train_size", tree.train), self._drawn("test_size", tree.test)
        count = len(train) + len(test)
        for place in ("cpu", device):
            memory.check(
                (count, 3, self.size, self.size), f"{count} images at task.size={self.size}", place
            )
        self.hold(self._read(train), self._read(test), device)

    def _drawn(self, key: str, pictures: Sequence[Picture]) -> Sequence[Picture]:
        """A fixed draw of the size asked for, as `Classification` has it."""
        size = self._asked[key]
        if size is None:
            return pictures
        if size > len(pictures):
            raise ValueError(
                f"task.{key}={size}, but there are {len(pictures)} images; ask for fewer, or leave "
                "it out for all"
            )
        return [pictures[index] for index in reduced.drawn(len(pictures), size).tolist()]

    def _read(self, pictures: Sequence[Picture]) -> tuple[Tensor, Tensor]:
        labels = torch.tensor([label for _, label in pictures], dtype=torch.int64)
        return squares.read([path for path, _ in pictures], self.size), labels

    def gather(self, indices: Tensor, uniforms: Tensor) -> Tensor:
        """Randomly framed, cut and mirrored images, (b, 3, size, size) uint8; see the class."""
        images, left = self.images.index_select(0, indices), uniforms
        if self.pad:
            images, left = crops.padded(images, left[:, :2], self.pad), left[:, 2:]
        if self.crop < 1:
            images, left = crops.resized(images, left[:, :4], self.crop), left[:, 4:]
        return crops.mirrored(images, left[:, 0] < 0.5) if self.flip else images


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_colours(key: str, values: Any) -> None:
    three = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 3
    if not three or not all(_number(value) for value in values):
        raise ValueError(
            f"task.{key}={values}: expected three numbers, of red, green and blue at pixels from 0 "
            f"to 1: 'task.{key}=[0.5,0.5,0.5]'"
        )
