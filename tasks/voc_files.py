"""Reading the VOCdevkit layout, and what can be wrong with such a tree, in words.

``JPEGImages/NAME.jpg``; ``SegmentationClass/NAME.png``, whose pixel values are classes and 255;
``ImageSets/Segmentation/SPLIT.txt``, a name per line. SBD's augmented label maps, if any, are
``SegmentationClassAug/NAME.png``.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tasks import photographs
from tasks.segmentation_scenes import VOID, Scenes

Head = tuple[int, int, int]  # height, width, EXIF orientation to apply
AUGMENTED = "SegmentationClassAug"


@dataclass(frozen=True)
class Pair:
    """A picture's file and its label map's."""

    image: Path
    mask: Path


def split_file(voc: Path, split: str) -> Path:
    """The list of a split's names."""
    return voc / "ImageSets" / "Segmentation" / f"{split}.txt"


def names(voc: Path, split: str) -> list[str]:
    """The names in a split's list.

    Raises:
        FileNotFoundError: if there is no such list.
        ValueError: for one that is empty, names a picture twice, or is another kind of list.
    """
    path = split_file(voc, split)
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        raise FileNotFoundError(f"{path}: no such list of pictures; lists there: {there}")
    found = [line.strip() for line in _text(path).splitlines() if line.strip()]
    pictures = voc / "JPEGImages"
    bad = next((n for n in found if _no_name(n) and not (pictures / f"{n}.jpg").is_file()), None)
    if bad is not None or not found:
        raise ValueError(
            f"{path}: {f'{bad!r}' if bad else 'empty'}; expected one name without ending per line, "
            "as in VOC's ImageSets/Segmentation (the lists of ImageSets/Main are another kind)"
        )
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(f"{path}: {twice} is there twice; expected each picture once")
    return found


def _text(path: Path) -> str:
    """A list's text: UTF-8, or what its first bytes say."""
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not a text in UTF-8 or UTF-16 ({error.reason} at byte {error.start}): save "
            "it as UTF-8"
        ) from None


def _no_name(line: str) -> bool:
    """Whether a line looks like a file's name, or a row of ImageSets/Main: a name and a number."""
    ending = Path(line).suffix.lower() in (".jpg", ".jpeg", ".png")
    return ending or re.fullmatch(r"\S+\s+-?\d", line) is not None


def augmented(voc: Path) -> Path:
    """The folder of SBD's label maps.

    Raises:
        FileNotFoundError: if it is not there.
    """
    folder = voc / AUGMENTED
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: not there; SBD's augmented label maps are no part of VOC: put them there, "
            "or train on VOC's own with task.train_set=train (labelled)"
        )
    return folder


def pairs(voc: Path, split: str, held_out: str | None = None) -> list[Pair]:
    """The pictures of a split.

    Args:
        voc: the folder that holds ``JPEGImages``.
        split: a list's name (label maps from SegmentationClassAug if "aug" is in it, else from
            SegmentationClass); or, with ``held_out``, "aug": every label map of
            SegmentationClassAug but those of the list ``held_out``, by name.
        held_out: the name of a list, with which no picture may be shared.

    Raises:
        FileNotFoundError: for a list, a picture or a label map that is not there, naming it.
        ValueError: for a malformed list, or one that shares pictures with ``held_out``.
    """
    folder = augmented(voc) if "aug" in split else voc / "SegmentationClass"
    others = set(names(voc, held_out)) if held_out is not None else set()
    if split == "aug" and held_out is not None:
        chosen = sorted({path.stem for path in folder.glob("[!.]*.png")} - others)
    else:
        chosen = names(voc, split)
        if shared := [name for name in chosen if name in others]:
            raise ValueError(
                f"{split_file(voc, split)}: {len(shared)} pictures are in {held_out}.txt too, the "
                f"first {shared[0]}; expected sets without a common picture: name others with "
                "task.train_set and task.test_set"
            )
    found = [Pair(voc / "JPEGImages" / f"{n}.jpg", folder / f"{n}.png") for n in chosen]
    missing = [path for pair in found for path in (pair.image, pair.mask) if not path.is_file()]
    if missing or not found:
        raise FileNotFoundError(
            f"{split}: {len(missing)} of the {2 * len(found)} files are not there"
            f"{f', the first {missing[0]}' if missing else ''}; copy the tree anew, or correct the "
            "list of names"
        )
    return found


def read(found: Sequence[Pair], num_classes: int) -> Scenes:
    """Decode every picture and label map into memory, on as many threads as there are cores.

    Raises:
        ValueError: for a file that cannot be decoded, sizes that disagree, a label map in colours,
            or a label that is neither a class nor 255, naming the file.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        # From the files' heads: sizes say how much memory to take.
        heads = list(pool.map(_head, found))
        sizes = torch.tensor([head[:2] for head in heads], dtype=torch.int64)
        areas = sizes.prod(1)
        total = int(areas.sum())
        scenes = Scenes(
            torch.empty(total, 3, dtype=torch.uint8),
            torch.empty(total, dtype=torch.uint8),
            sizes[:, 0].contiguous(),
            sizes[:, 1].contiguous(),
        )
        pixels, labels = scenes.pixels.numpy(), scenes.labels.numpy()

        def decode(pair: Pair, start: int, area: int, head: Head) -> None:
            pixels[start : start + area] = _photograph(pair.image, head[2]).reshape(-1, 3)
            mask = _decoded(pair.mask).reshape(-1)
            wrong = mask[(mask >= num_classes) & (mask != VOID)]
            if len(wrong):
                raise ValueError(
                    f"{pair.mask}: label {wrong.max()}; expected 0 to {num_classes - 1}, or {VOID} "
                    "for void: repair the file, or set task.num_classes"
                )
            labels[start : start + area] = mask

        list(pool.map(decode, found, scenes.starts.tolist(), areas.tolist(), heads))
    return scenes


def _head(pair: Pair) -> Head:
    """Height, width, and the EXIF orientation to apply."""
    with _opened(pair.mask) as image:
        mode, size = image.mode, image.size
    with _opened(pair.image) as image:
        orientation = photographs.turn(pair.image, image, size)
        width, height = image.size
    if orientation in photographs.TURNED:
        width, height = height, width
    if (width, height) != size:
        raise ValueError(
            f"{pair.image} has {width}x{height} pixels, its label map {pair.mask} "
            f"{size[0]}x{size[1]}; expected the same: copy both anew"
        )
    if mode not in ("P", "L", "1"):
        raise ValueError(
            f"{pair.mask}: an image of mode {mode}; expected a label map, mode P, L or 1, whose "
            "pixel values are the classes: convert the colours to class numbers"
        )
    return height, width, orientation


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        image = Image.open(path)
    except Exception as error:  # damaged heads raise nearly anything
        raise _undecodable(path, error) from error
    with image:
        yield image


def _photograph(path: Path, orientation: int) -> np.ndarray:
    with _opened(path) as image:
        try:
            image.load()
        except Exception as error:
            raise _undecodable(path, error) from error
        return np.asarray(photographs.rgb(path, photographs.upright(image, orientation)))


def _decoded(path: Path) -> np.ndarray:
    with _opened(path) as image:
        try:
            return np.asarray(image).astype(np.uint8)
        except Exception as error:
            raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: cannot be decoded ({type(error).__name__}: {error}); the file is damaged or "
        "truncated, copy it anew"
    )
