"""A user's own images: held as they are, augmented as asked, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import data
from tasks import crops, image_tree, memory, squares
from tasks.folder import Folder
from tests.harness.runs import call, trials
from tests.tasks.pictures import picture, tree

COLOURS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def loaded(root: Path, source: str = "real", **settings: Any) -> Folder:
    task = Folder(**({"size": 16} | COLOURS | settings))
    task.load(SimpleNamespace(root=str(root), source=source, verify=True, name=None), "cpu")
    return task


def test_images_labels_and_classes_are_the_tree_s(tmp_path: Path) -> None:
    task = loaded(tree(tmp_path))
    read = image_tree.read(tmp_path)
    assert (task.train_size, task.test_size, task.num_classes) == (12, 6, 3)
    assert task.images.dtype == torch.uint8
    for images, labels, pictures in (
        (task.images, task.labels, read.train),
        (task.test_images, task.test_labels, read.test),
    ):
        assert labels.tolist() == [label for _, label in pictures]
        for image, (path, _) in zip(images, pictures, strict=True):
            assert np.array_equal(image.numpy(), squares.square(path, 16))


def test_a_part_is_a_fixed_draw_of_which_the_rest_is_not_read(tmp_path: Path) -> None:
    whole = loaded(tree(tmp_path))
    drawn = torch.randperm(12, generator=torch.Generator().manual_seed(0))[:5]
    (tmp_path / "train" / "ant" / "left-out.png").touch()  # the thirteenth, unreadable
    with pytest.raises(ValueError, match=r"left-out.png: cannot be read"):
        loaded(tmp_path)
    (tmp_path / "train" / "ant" / "left-out.png").unlink()
    out = [path for k, (path, _) in enumerate(image_tree.read(tmp_path).train) if k not in drawn]
    out[0].write_bytes(b"")
    part = loaded(tmp_path, train_size=5)
    assert torch.equal(part.images, whole.images[drawn])
    assert torch.equal(part.labels, whole.labels[drawn])


def test_uniforms_choose_place_window_and_mirroring_in_this_order(tmp_path: Path) -> None:
    tree(tmp_path)
    indices = torch.tensor([3, 3, 8, 0])
    for pad, crop, flip, count in ((2, 0.5, True, 7), (0, 0.5, True, 5), (2, 1, True, 3),
                                   (2, 0.5, False, 6), (0, 1, False, 0)):  # fmt: skip
        task = loaded(tmp_path, pad=pad, crop=crop, flip=flip)
        assert task.randoms == count
        draws = torch.rand(4, count, generator=torch.Generator().manual_seed(2))
        expected, left = task.images[indices], draws
        if pad:
            expected, left = crops.padded(expected, left[:, :2], pad), left[:, 2:]
        if crop < 1:
            expected, left = crops.resized(expected, left[:, :4], crop), left[:, 4:]
        if flip:
            expected = crops.mirrored(expected, left[:, 0] < 0.5)
        assert torch.equal(task.gather(indices, draws), expected)
        inputs, labels = task.batch(indices, draws)
        assert torch.allclose(inputs, (expected / 255 - 0.5) / 0.25)
        assert labels.tolist() == task.labels[indices].tolist()


def test_the_files_settings_are_what_the_task_gets(tmp_path: Path) -> None:
    (job,) = jobs(("task=folder", f"data.root={tree(tmp_path)}", "task.size=32"))
    task = data.load(job.resolved.config, torch.device("cpu"))
    assert task.randoms == 5  # a window and mirroring
    assert tuple(task.mean) == (0.485, 0.456, 0.406)


BAD = (
    ("task.mean=[0.5]", r"task.mean=\[0.5\]: expected three numbers"),
    ("task.std=[a,b,c]", r"task.std=.*expected three numbers"),
    ("task.std=[1,1,0]", r"expected as many positive stds"),
    ("task.crop=0", r"task.crop=0: expected a part of the image's area, above 0"),
    ("task.crop=padded", r"task.crop=padded: expected a part"),
    ("task.pad=-1", r"task.pad=-1: expected a frame's width in pixels, from 0"),
    ("task.pad=225", r"task.pad=225: expected.*to task.size=224"),
    ("task.flip=maybe", r"task.flip=maybe: expected true or false"),
    ("task.channels_last=1", r"task.channels_last=1: expected true or false"),
    ("task.data_set=12", r"task.data_set=12: expected a name"),
    ("task.train_size=0", r"train_size=0: expected a whole number >= 1"),
)


@pytest.mark.parametrize(("argument", "words"), BAD)
def test_a_bad_setting_is_refused_by_the_constructor(
    argument: str, words: str, tmp_path: Path
) -> None:
    (job,) = jobs(("task=folder", "data.source=synthetic", f"data.root={tmp_path}", argument))
    with pytest.raises(UserError, match=words):
        data.build(job.resolved.config)


def test_more_images_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task.train_size=13, but there are 12 images; ask for"):
        loaded(tree(tmp_path), train_size=13)


def test_more_images_than_memory_holds_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path)
    (tmp_path / "train" / "ant" / "0.png").write_bytes(b"unreadable")
    meminfo = tmp_path / "meminfo"
    need = 18 * 3 * 1024**2
    meminfo.write_text(f"MemTotal: 1 kB\nMemAvailable: {need // 1024 - 1} kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    with pytest.raises(ValueError, match=r"18 images at task.size=1024 take 0.05 GiB.*smaller"):
        loaded(tmp_path, size=1024)
    meminfo.write_text(f"MemTotal: 1 kB\nMemAvailable: {need // 1024} kB\n")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        loaded(tmp_path, size=1024)


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "LIMIT", limit)
    free = memory.available()
    limit.write_text("max\n")
    assert memory.available() == pytest.approx(free, rel=0.2)  # others use it meanwhile
    limit.write_text("1000\n")
    assert memory.available() == 1000


def test_another_data_set_at_the_same_place_is_told(tmp_path: Path) -> None:
    """Same counts, same key: the data's checksum tells them apart."""
    first = loaded(tree(tmp_path)).checksum
    picture(tmp_path / "train" / "ant" / "0.png", seed=99)
    assert loaded(tmp_path).checksum != first


def test_the_stand_in_is_made_and_learnable(tmp_path: Path) -> None:
    task = loaded(tmp_path, source="synthetic")
    assert loaded(tmp_path, source="synthetic").checksum == task.checksum
    means = torch.stack([task.images[task.labels == k].float().mean((0, 2, 3)) for k in range(3)])
    nearest = torch.cdist(task.test_images.float().mean((2, 3)), means).argmin(1)
    assert (nearest == task.test_labels).float().mean() > 0.9


@pytest.mark.slow
def test_the_experiment_compares_on_a_tree_and_ends_on_the_page(tmp_path: Path) -> None:
    from chandir import report

    tree(tmp_path / "mine", train=8, test=4)
    arguments = ("experiment=compare", "task=folder", f"data.root={tmp_path / 'mine'}")
    small = ("model.arch=resnet18", "task.size=32", "task.epochs=1", "task.batch_size=8")
    done = call(*arguments, *small, "trial=0,1", f"paths.results={tmp_path / 'runs'}", timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(trials(tmp_path / "runs")) == 8
    report.build(tmp_path / "runs", tmp_path / "page")
    table = (tmp_path / "page" / "tables" / "results.md").read_text(encoding="utf-8")
    assert "folder · torchvision resnet18 · sgd · batch 8" in table
    for name in ("h0_lambda", "h0_mean", "sobolev"):
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
        assert line.count("[") == 2  # intervals of its mean and of its difference to h0
    again = call(*arguments, *small, "trial=0,1", f"paths.results={tmp_path / 'runs'}")
    assert "8 of 8 trials were complete already" in again.stdout
