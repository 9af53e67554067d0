"""A user's own images as torchvision's ImageFolder wants them, and what can be wrong with them.

``ROOT/train/<class>/...`` and ``ROOT/val/<class>/...`` or ``ROOT/test/<class>/...``. Classes are
numbered in the order of their names and files taken in the order of theirs, at any depth, links
followed: as ImageFolder does. Other than there, nothing is passed over without a word but what
systems leave behind. Needs neither torch nor torchvision, since a plan counts images too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = ("val", "test")
LAYOUT = "train/<class>/ and val/<class>/ or test/<class>/, with pictures in each class's folder"
# torchvision.datasets.folder.IMG_EXTENSIONS; a test holds that they are the same.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# What systems leave beside files, apart from names that start with a dot.
LEFTOVERS = {"__MACOSX", "@eaDir", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"}
NAMED = 5  # names that a message lists

Picture = tuple[Path, int]  # its file, and the number of its class


@dataclass(frozen=True)
class Tree:
    """What a tree holds.

    Attributes:
        classes: their names, in the order of their numbers.
        train: pictures to train on.
        test: pictures to score on.
    """

    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    test: tuple[Picture, ...]


def read(root: Path, test_set: str | None = None) -> Tree:
    """The tree below a folder.

    Args:
        root: holds ``train``.
        test_set: "val" or "test"; None takes the one that is there.

    Raises:
        ValueError: for a tree of another layout, classes that differ between the sets, fewer than
            two, one without pictures, a file that is none, or a link that leads nowhere or back.
        OSError: for a folder that cannot be read.
    """
    if test_set not in (None, *TESTS):
        raise ValueError(f"task.test_set={test_set}: expected val or test; null: the one there")
    if not root.is_dir():
        raise ValueError(
            f"data.root={root}: no such folder: expected one that holds {LAYOUT}; name it with "
            "data.root=PATH, or take data.source=synthetic for a small stand-in"
        )
    train, test = root / "train", root / _test_set(root, test_set)
    if not train.is_dir():
        raise ValueError(f"{root}: {_holds(root)}, and no train/: expected {LAYOUT}")
    classes, others = _classes(train), _classes(test)
    if classes != others:
        alone = [f"{train.name}/{name}" for name in classes if name not in others]
        alone += [f"{test.name}/{name}" for name in others if name not in classes]
        raise ValueError(
            f"{root}: train/ has {len(classes)} classes and {test.name}/ {len(others)}, and only "
            f"in one of them are {_listed(alone)}: expected the same in both; add the folder that "
            "is missing, with pictures, or remove the other"
        )
    if len(classes) < 2:
        raise ValueError(
            f"{train}: holds one class, {classes[0]}: expected two or more to tell apart; add a "
            "folder of pictures for each"
        )
    return Tree(classes, tuple(_pictures(train, classes)), tuple(_pictures(test, classes)))


def _test_set(root: Path, asked: str | None) -> str:
    there = [name for name in TESTS if (root / name).is_dir()]
    if asked in there or (asked is None and len(there) == 1):
        return asked or there[0]
    if asked is None and there:
        raise ValueError(
            f"{root}: holds val/ and test/: expected to know which one scores the networks; say "
            "task.test_set=val or task.test_set=test"
        )
    missing = f"{asked}/" if asked else "val/ or test/"
    raise ValueError(f"{root}: {_holds(root)}, and no {missing}: expected {LAYOUT}")


def _classes(split: Path) -> tuple[str, ...]:
    """The names of the class folders.

    Raises:
        ValueError: if there are none, or pictures beside them.
    """
    entries = list(_entries(split))
    if stray := [entry.name for entry in entries if entry.is_file() and _picture(entry.name)]:
        raise ValueError(
            f"{split}: pictures outside the class folders: {_listed(stray)}: expected "
            f"{split.name}/<class>/{stray[0]}; move them into the folder of their class"
        )
    names = tuple(entry.name for entry in entries if entry.is_dir())
    if not names:
        raise ValueError(f"{split}: holds no class folder: expected {LAYOUT}")
    return names


def _pictures(split: Path, classes: tuple[str, ...]) -> Iterator[Picture]:
    for label, name in enumerate(classes):
        found = sorted(_below(split / name, ()))
        if not found:
            raise ValueError(
                f"{split / name}: no picture in it: expected some of each class (files that end in "
                f"{', '.join(ENDINGS)}); put them there, or remove the class from both sets"
            )
        # By folder, then by name: ImageFolder's order, which is not that of the whole paths.
        yield from ((Path(folder, file), label) for folder, file in found)


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str]]:
    """Folder and name of every picture below, in no order; `above` are the folders on the way."""
    status = folder.stat()
    me = (status.st_dev, status.st_ino)
    if me in above:
        raise ValueError(
            f"{folder}: a link that leads back to a folder which holds it: expected a tree that "
            "ends; remove the link"
        )
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _below(Path(entry.path), (*above, me))
        elif not entry.is_file():
            what = "a link that leads nowhere" if entry.is_symlink() else "no regular file"
            raise ValueError(
                f"{entry.path}: {what}: expected a picture; put the file there, or remove this"
            )
        elif not _picture(entry.name):
            raise ValueError(
                f"{entry.path}: no picture by its name: expected one that ends in "
                f"{', '.join(ENDINGS)}; convert or rename it, or move it out of the class's folder"
            )
        else:
            yield str(folder), entry.name


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds by name, hidden files and systems' leftovers left out."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    leftovers = {name.lower() for name in LEFTOVERS}
    shown = [entry for entry in shown if entry.name.lower() not in leftovers]
    yield from sorted(shown, key=lambda entry: entry.name)


def _picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _holds(root: Path) -> str:
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in _entries(root)]
    return f"holds {_listed(names)}" if names else "holds nothing"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
