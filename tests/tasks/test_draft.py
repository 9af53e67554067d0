"""What is made for the user appears whole or not at all, and a kill leaves nothing for ever."""

from __future__ import annotations

import errno
import fcntl
import gzip
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks import cifar10, draft, mnist_swap, streets, voc_synthetic, weights
from tests.harness.runs import ROOT

MAKERS: dict[str, Callable[[Path], object]] = {
    "cifar10": lambda place: cifar10.write_synthetic(place, train=10, test=2),
    "mnist-swap": lambda place: mnist_swap.write_synthetic(place, train=2, test=2),
    "pascalvoc": lambda place: voc_synthetic.write(place, 3, train=1, test=1, more=0),
    "spade-cityscapes": streets.write,
}
KILLED = """
import os, signal, sys
from pathlib import Path
from tasks import draft
def fill(into):
    into.mkdir()
    (into / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
draft.make(Path(sys.argv[1]), fill)
"""


def killed(target: Path) -> None:
    """As if a process had been killed in the midst of making it."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    assert list(target.parent.rglob("half"))


@pytest.mark.parametrize("task", MAKERS)
def test_what_a_killed_process_left_is_removed_and_made_anew(tmp_path: Path, task: str) -> None:
    target = tmp_path / "data" / "made"
    killed(target)
    MAKERS[task](target)
    assert list(target.parent.iterdir()) == [target]
    assert not list(target.rglob("half"))


def test_a_download_of_weights_leaves_nothing_but_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "net.pth"
    torch.save({"a": torch.zeros(1)}, source)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    target = tmp_path / "hub" / "checkpoints" / "net.pth"
    killed(target)
    found = weights.read("setting=name", None, source.as_uri(), "setting=none")
    assert found["a"].tolist() == [0]
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_nothing_and_a_second_try_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def fail(into: Path) -> None:
        into.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draft.make(target, fail)
    assert not list(tmp_path.iterdir())
    draft.make(target, lambda into: into.write_text("whole"))
    draft.make(target, fail)  # it is there
    assert target.read_text() == "whole"


def test_those_that_start_together_make_it_once(tmp_path: Path) -> None:
    target, calls, seen = tmp_path / "made", [], []

    def fill(into: Path) -> None:
        calls.append(into)
        into.write_text("half")
        time.sleep(0.2)  # long enough for the others to come, and to read half of it
        into.write_text("whole")

    def make() -> None:
        draft.make(target, fill)
        seen.append(target.read_text())

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1
    assert seen == ["whole"] * 4
    assert list(tmp_path.iterdir()) == [target]


def test_without_locks_the_first_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    target = tmp_path / "made"

    def fill(into: Path) -> None:
        into.mkdir()
        (into / "mine").touch()
        target.mkdir(exist_ok=True)
        (target / "other").touch()  # another process was quicker

    draft.make(target, fill)
    assert [path.name for path in target.iterdir()] == ["other"]
    assert list(tmp_path.iterdir()) == [target]


def test_packed_files_are_unpacked_whole(tmp_path: Path) -> None:
    name = next(iter(mnist_swap.FILES))
    killed(tmp_path / name)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"whole"))
    assert mnist_swap.unpack(tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.gz"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    task = cifar10.Cifar10()
    data: Any = SimpleNamespace(root=str(tmp_path / "file"), source="synthetic", verify=True)
    with pytest.raises(NotADirectoryError):
        task.load(data, "cpu")
