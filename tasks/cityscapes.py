"""Cityscapes on disk: photographs with their label and instance maps, as torchvision lays them out.

``leftImg8bit/<split>/<city>/<name>_leftImg8bit.png`` beside
``gtFine/<split>/<city>/<name>_gtFine_labelIds.png`` and ``..._instanceIds.png``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.photographs import MAPS, rgb, turn, upright

NAME = "Cityscapes"
IMAGES = {"train": 2975, "val": 500}  # of its splits
LABELS = 35  # channels of the followed code: labelIds 0 to 33, and 34, which no map holds
VOID = 255  # how tools write "no label" and the license plates' -1; it counts as LABELS - 1
EDGE = 4  # the plane of edges
# Cityscapes' colours of the labelIds 0 to 33, and of -1, the license plates.
# fmt: off
PALETTE = (
    (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0),
    (111, 74, 0), (81, 0, 81), (128, 64, 128), (244, 35, 232), (250, 170, 160),
    (230, 150, 140), (70, 70, 70), (102, 102, 156), (190, 153, 153), (180, 165, 180),
    (150, 100, 100), (150, 120, 90), (153, 153, 153), (153, 153, 153), (250, 170, 30),
    (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
    (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 0, 90),
    (0, 0, 110), (0, 80, 100), (0, 0, 230), (119, 11, 32), (0, 0, 142),
)
# fmt: on

Files = tuple[Path, Path, Path]


def find(root: Path, split: str) -> list[Files]:
    """Every photograph of a split with its label and instance map, in the order of their names.

    Raises:
        FileNotFoundError: for a split without photographs, and photographs without maps.
    """
    folder = root / "leftImg8bit" / split
    found, lost = [], []
    for image in sorted(folder.glob("*/*_leftImg8bit.png")):
        if image.name.startswith("."):  # a Mac's copy leaves these beside files
            continue
        name = image.name.removesuffix("_leftImg8bit.png")
        maps = root / "gtFine" / split / image.parent.name
        label = maps / f"{name}_gtFine_labelIds.png"
        instance = maps / f"{name}_gtFine_instanceIds.png"
        found.append((image, label, instance))
        lost += [str(path.relative_to(root)) for path in (label, instance) if not path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"{folder}: no <city>/*_leftImg8bit.png; unpack leftImg8bit_trainvaltest.zip and "
            "gtFine_trainvaltest.zip of Cityscapes there (its publisher asks for an account, so "
            "that it cannot be downloaded here), name the folder that has them with data.root, or "
            "take data.source=synthetic for a small stand-in"
        )
    if lost:
        raise FileNotFoundError(
            f"data.root={root}: {len(lost)} maps are missing, {', '.join(lost[:3])}...; unpack "
            "gtFine_trainvaltest.zip again, or remove the photographs without maps"
        )
    return found


def verify(split: str, files: list[Files]) -> None:
    """Tell a part of Cityscapes, or another data set in its layout, from Cityscapes.

    Raises:
        ValueError: if there are not as many photographs as the split has.
    """
    if len(files) != IMAGES[split]:
        raise ValueError(
            f"{split}: {len(files)} photographs, {NAME} has {IMAGES[split]}; unpack its zip files "
            "again, name another data set with task.data_set (labelled), or accept them with "
            "data.verify=false"
        )


def read(files: list[Files], height: int, width: int) -> Tensor:
    """Samples (n, 5, height, width) uint8: red, green, blue, label, edge of an instance (0, 1).

    Photographs are resized by Pillow's bicubic filter, maps by nearest neighbour. A pixel is an
    edge if one of its four neighbours has another instance id at that size.

    Raises:
        ValueError: for a damaged file, sizes that disagree, or a label out of range, naming it; for
            maps that all hold one label and no other, from which nothing can be generated.
    """

    def sample(paths: Files) -> np.ndarray[Any, Any]:
        return _sample(paths, height, width)

    # Decoding releases the interpreter's lock; the order stays.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        samples = torch.from_numpy(np.stack(list(pool.map(sample, files))))
    labels = samples[:, EDGE - 1].unique().tolist()
    if len(labels) < 2:
        maps = files[0][1].parent.parent
        none = f"without a label ({VOID} or {LABELS - 1})"
        held = none if labels == [LABELS - 1] else f"{labels[0]}"
        raise ValueError(
            f"{maps}: every pixel of the {len(files)} label maps is {held}: expected two labels at "
            "least, of which photographs differ; take the *_labelIds.png files as published, or "
            "more of them"
        )
    return samples


def _sample(paths: Files, height: int, width: int) -> np.ndarray[Any, Any]:
    from PIL import Image

    label_size = _open(paths[1], lambda image: image.size)

    def resized(image: Any) -> Any:
        turned = upright(image, turn(paths[0], image, label_size))
        whole = rgb(paths[0], turned)
        return whole.resize((width, height), Image.Resampling.BICUBIC), whole.size

    photograph, size = _open(paths[0], resized)
    maps = []
    for path in paths[1:]:
        mode = _open(path, lambda image: image.mode)
        if mode not in MAPS:
            raise ValueError(
                f"{path}: an image of mode {mode}: expected one whole number per "
                "pixel, mode L or I;16"
            )
        plane = _open(path, np.asarray)
        if plane.shape != size[::-1]:
            raise ValueError(
                f"{path}: a map of {' x '.join(map(str, plane.shape))}, but its photograph has "
                f"{size[1]} x {size[0]} pixels; expected one number per pixel, fetch both again"
            )
        wide = Image.fromarray(plane.astype(np.int32))  # 16 bits have no filters in Pillow
        maps.append(np.asarray(wide.resize((width, height), Image.Resampling.NEAREST)))
    label, instance = maps
    label = np.where(label == VOID, LABELS - 1, label)
    if label.min() < 0 or label.max() >= LABELS:
        worst = label.max() if label.max() >= LABELS else label.min()
        raise ValueError(
            f"{paths[1]}: label {worst}: expected Cityscapes' labelIds, 0 to {LABELS - 1}, or "
            f"{VOID} for none; take the *_labelIds.png files"
        )
    planes = [np.asarray(photograph).transpose(2, 0, 1), label[None], edges(instance)[None]]
    return np.concatenate(planes).astype(np.uint8)


def _open(path: Path, use: Callable[[Any], Any]) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return use(image)
    except ValueError as error:
        if str(path) in str(error):  # ours
            raise
        raise _damaged(path, error) from error
    except Exception as error:  # decoding damaged bytes raises nearly anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: not a whole image ({type(error).__name__}: {error}); fetch it again"
    )


def edges(instance: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where one of the four neighbours has another id: (h, w) bool of (h, w) ids."""
    edge = np.zeros(instance.shape, bool)
    across = instance[:, 1:] != instance[:, :-1]
    down = instance[1:] != instance[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def semantics(samples: Tensor) -> Tensor:
    """The generator's input (b, LABELS + 1, h, w) float32: one-hot labels and edges.

    Args:
        samples: (b, 5, h, w) uint8, see `read`.
    """
    ids = torch.arange(LABELS, dtype=torch.uint8, device=samples.device).view(1, -1, 1, 1)
    labels = samples[:, 3:EDGE] == ids
    return torch.cat([labels, samples[:, EDGE:].bool()], dim=1).float()


def photographs(samples: Tensor) -> Tensor:
    """The photographs (b, 3, h, w) float32 in [-1, 1] of samples (b, 5, h, w) uint8."""
    return samples[:, :3].float() / 127.5 - 1
