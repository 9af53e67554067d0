"""A tree of images: read as ImageFolder reads it, or refused in words before anything runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import jobs
from tasks import folder_shape, folder_synthetic, image_tree
from tests.harness.runs import ROOT
from tests.tasks.pictures import picture, tree


def test_files_and_classes_are_those_of_image_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, classes=("b", "B", "a 1", "é"))
    for name in ("z/x.png", "z-0.png", "Z.JPG", "10.webp", "9.png", "y.d/x.bmp"):
        picture(root / "train" / "b" / name)
    read = image_tree.read(root)
    for split, found in (("train", read.train), ("val", read.test)):
        oracle = ImageFolder(str(root / split))
        assert list(read.classes) == oracle.classes
        assert [(str(path), label) for path, label in found] == oracle.samples


def test_endings_are_torchvisions() -> None:
    assert set(image_tree.ENDINGS) == set(IMG_EXTENSIONS)


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    root = tree(tmp_path)
    plain = image_tree.read(root)
    for name in ("ant/._0.png", "ant/.DS_Store", "ant/Thumbs.db", ".cache/x.png", "._bee",
                 "__MACOSX/ant/._0.png", "bee/@eaDir/0.png", "desktop.ini"):  # fmt: skip
        path = root / "train" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"left behind")
    (root / "train" / "labels.csv").write_text("beside the classes")
    assert image_tree.read(root) == plain


def test_links_are_followed(tmp_path: Path) -> None:
    root = tree(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for split in ("train", "val"):
        (linked / split).symlink_to(root / split)
    moved = root / "train" / "ant" / "0.png"
    shutil.move(moved, tmp_path / "elsewhere.png")
    moved.symlink_to(tmp_path / "elsewhere.png")
    assert len(image_tree.read(linked).train) == 12


def test_the_set_that_is_there_scores_and_of_two_the_one_named(tmp_path: Path) -> None:
    tree(tmp_path, test=2)
    assert len(image_tree.read(tmp_path).test) == 6
    tree(tmp_path, test=3, test_set="test")
    with pytest.raises(ValueError, match=r"val/ and test/.*say task.test_set=val or"):
        image_tree.read(tmp_path)
    assert len(image_tree.read(tmp_path, "val").test) == 6
    assert len(image_tree.read(tmp_path, "test").test) == 9
    with pytest.raises(ValueError, match=r"task.test_set=holdout: expected val or test"):
        image_tree.read(tmp_path, "holdout")


def _remove(name: str) -> Callable[[Path], object]:
    return lambda root: shutil.rmtree(root / name)


def _empty(root: Path) -> None:
    for file in (root / "train" / "bee").iterdir():
        file.unlink()


def _one_class(root: Path) -> None:
    for split in ("train", "val"):
        for name in ("bee", "cat"):
            shutil.rmtree(root / split / name)


def _flat(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, r"no such folder: expected one that holds train/<class>/.*data"),
    "no train": (_remove("train"), r"holds val/, and no train/: expected train/<class>/"),
    "no test": (_remove("val"), r"holds train/, and no val/ or test/: expected train/<class>/"),
    "no classes": (_flat, r"train: holds no class folder: expected"),
    "missing class": (_remove("val/bee"), r"train/ has 3 classes and val/ 2.*train/bee.*same in"),
    "more classes": (lambda root: picture(root / "val/dog/0.png"), r"only in one.*val/dog: "),
    "one class": (_one_class, r"holds one class, ant: expected two or more"),
    "empty class": (_empty, r"train/bee: no picture in it: expected some of each class"),
    "stray": (lambda root: picture(root / "train/0.png"), r"outside the class folders: 0.png: "),
    "text": (
        lambda root: (root / "train/ant/notes.txt").write_text("x"),
        r"notes.txt: no picture by its name: expected one that ends in .jpg.*convert",
    ),
    "broken link": (
        lambda root: (root / "train/ant/9.png").symlink_to("nowhere"),
        r"9.png: a link that leads nowhere: expected a picture",
    ),
    "loop": (
        lambda root: (root / "train/ant/again").symlink_to(root / "train" / "ant"),
        r"again: a link that leads back to a folder which holds it",
    ),
    "pipe": (lambda root: os.mkfifo(root / "train/ant/9.png"), r"9.png: no regular file: expec"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_tree_that_does_not_fit_is_refused_by_the_plan(case: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "mine")
    spoil, words = BAD[case]
    spoil(root)
    with pytest.raises(UserError, match=words):
        jobs(("task=folder", f"data.root={root}"))


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("data.root=null", "data.root=None: expected a folder"),
        ("data.root=", "data.root=: expected a folder"),
        ("task.size=0", "task.size=0: expected pixels, a whole number from 1 up"),
        ("task.size=32.5", "task.size=32.5: expected pixels"),
        ("task.size=null", "task.size=None: expected pixels"),
        ("task.test_set=train", "task.test_set=train: expected val or test"),
    ],
)
def test_a_bad_setting_of_the_tree_is_refused_by_the_plan(
    argument: str, words: str, tmp_path: Path
) -> None:
    root = [] if argument.startswith("data.root") else [f"data.root={tree(tmp_path)}"]
    with pytest.raises(UserError, match=words):
        jobs(("task=folder", *root, argument))


def test_a_folder_that_cannot_be_read_is_refused_by_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path)
    scandir = os.scandir

    def forbidden(path: str | Path) -> object:
        if str(path).endswith("bee"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UserError, match=r"train/bee: Permission denied: expected data that can"):
        jobs(("task=folder", f"data.root={tmp_path}"))


def test_the_plan_tells_network_steps_and_key_what_the_tree_holds(tmp_path: Path) -> None:
    tree(tmp_path / "mine", train=5)
    (job,) = jobs(("task=folder", f"data.root={tmp_path / 'mine'}", "task.size=48"))
    config = job.resolved.config
    assert config.task.shape == {"channels": 3, "classes": 3, "size": 48, "samples": 15}
    assert (config.model.model_extra or {})["num_classes"] == 3
    moved = shutil.copytree(tmp_path / "mine", tmp_path / "moved")
    (same,) = jobs(("task=folder", f"data.root={moved}", "task.size=48"))
    assert same.folder == job.folder
    tree(tmp_path / "more", train=6)
    (other,) = jobs(("task=folder", f"data.root={tmp_path / 'more'}", "task.size=48"))
    assert other.folder != job.folder


def test_the_stand_in_holds_what_its_plan_says(tmp_path: Path) -> None:
    told = folder_shape.tell(str(tmp_path), "synthetic", None, 3, 64)
    assert not any(tmp_path.iterdir())
    root = folder_synthetic.place(str(tmp_path), "synthetic")
    folder_synthetic.write(root)
    read = image_tree.read(root)
    assert (told["classes"], told["samples"]) == (len(read.classes), len(read.train))
    assert len(read.test) == folder_synthetic.samples("val")


def test_images_are_counted_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from tasks import folder_shape\n"
        f"told = folder_shape.tell({str(tree(tmp_path))!r}, 'real', None, 3, 32)\n"
        "print(told['samples'], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["12", "False"]
