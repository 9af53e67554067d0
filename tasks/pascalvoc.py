"""PASCAL VOC 2012 segmentation: 10,582 training and 1,449 test pictures, 21 classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tasks import reduced, voc_synthetic
from tasks.download import fetch
from tasks.segmentation import Segmentation, check_classes
from tasks.voc_files import Pair, augmented, pairs, read

VOC = "VOC2012"
# Pictures in VOC 2012's own lists, and in SBD's augmented set without those of val.
PICTURES = {"train": 1464, "val": 1449, "trainval": 2913, "aug": 10582}


class PascalVoc(Segmentation):
    """VOC 2012, or another data set in its layout, named by ``data_set``; see `Segmentation`.

    All pictures are decoded once, when the task is loaded, and live on the device: VOC with SBD
    takes 9 GB there, and as much host memory while it is read.

    Args:
        data_set: what ``data.root`` holds. Another name than VOC2012 is a label of the numbers, and
            lists of any length are taken.
        train_set: "aug" (SegmentationClassAug without the test set's pictures) or the name of a
            list in ImageSets/Segmentation.
        test_set: the name of a list.
        num_classes: background included; 11 for a tree of CamVid, say.
        crop: see `Segmentation`, as for the others.
        loss: likewise.
        void: likewise.
        train_size: likewise.
        test_size: likewise.
        test_batch: likewise.
    """

    name = "pascalvoc"

    def __init__(
        self,
        *,
        data_set: str = VOC,
        train_set: str = "aug",
        test_set: str = "val",
        num_classes: int = 21,
        crop: int = 512,
        loss: str = "lovasz",
        void: str = "background",
        train_size: int | None = None,
        test_size: int | None = None,
        test_batch: int = 2,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            crop=crop,
            loss=loss,
            void=void,
            train_size=train_size,
            test_size=test_size,
            test_batch=test_batch,
        )
        if not data_set.strip():
            raise ValueError(
                f"task.data_set={data_set!r}: expected the name of what data.root holds"
            )
        self.data_set, self.train_set, self.test_set = data_set, train_set, test_set

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put the pictures on the device.

        The tree is torchvision's: ``data.root/VOCdevkit/VOC2012``, downloaded there if missing.
        With ``data.verify``, and unless ``data_set`` says that it is another data set, the number
        of pictures in a list of VOC's has to be VOC's. With ``data.source`` "synthetic", a stand-in
        under ``data.root/synthetic`` is made instead, and read alike.

        Raises:
            FileNotFoundError: for files that are missing, and cannot be downloaded.
            ValueError: for files that are not what they should be, naming the first.
        """
        root = Path(data.root).expanduser()
        if data.source == "synthetic":
            root = root / "synthetic" / f"voc-{self.num_classes}-classes"
        voc = root / "VOCdevkit" / "VOC2012"
        if data.source == "synthetic":
            voc_synthetic.write(voc, self.num_classes)
        else:
            self._fetch(root, voc)
        train = pairs(voc, self.train_set, held_out=self.test_set)
        test = pairs(voc, self.test_set)
        if data.source == "real" and data.verify and self.data_set == VOC:
            _verify(self.train_set, train)
            _verify(self.test_set, test)
        scenes = read(self._reduced("train_size", train), self.num_classes)
        check_classes(scenes.labels, "train_set", 2, self.num_classes)
        test_scenes = read(self._reduced("test_size", test), self.num_classes)
        check_classes(test_scenes.labels, "test_set", 1, self.num_classes)
        self.hold(scenes, test_scenes, device)

    def _fetch(self, root: Path, voc: Path) -> None:
        from torchvision.datasets import VOCSegmentation  # here, for it takes seconds to import

        if "aug" in self.train_set:
            augmented(voc)  # before a download of 2 GB that does not bring it
        needed = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")

        def missing() -> list[str]:
            return [str((voc / n).relative_to(root)) for n in needed if not (voc / n).is_dir()]

        fetch(root, missing, lambda into: VOCSegmentation(into, download=True))

    def _reduced(self, key: str, found: list[Pair]) -> list[Pair]:
        size = self._sizes[key]
        if size is None:
            return found
        if size > len(found):
            raise ValueError(
                f"task.{key}={size}: there are {len(found)} pictures; ask for fewer, or null for "
                "all"
            )
        return [found[k] for k in reduced.drawn(len(found), size).tolist()]


def _verify(split: str, found: list[Pair]) -> None:
    if len(found) != PICTURES.get(split, len(found)):
        raise ValueError(
            f"{split}: {len(found)} pictures, {VOC} has {PICTURES[split]}; copy the tree or the "
            "list anew, name another data set with task.data_set (labelled), or accept them with "
            "data.verify=false"
        )
