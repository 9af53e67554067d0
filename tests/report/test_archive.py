"""The run folders that a publication carries: its page is built from them again."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chandir.report.publish import archive, publication
from chandir.report.read import runs as folders
from scripts import report as report_script
from scripts import unpack as unpack_script
from tests import fake_runs


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publication of the demo, beside the run folders that it was made of."""
    where = tmp_path_factory.mktemp("published")
    fake_runs.demo(where / "runs")
    fake_runs.trial(where / "runs", 7, fake_runs.H0, 1.0, status="incomplete")
    return publication.publish(where / "runs", where / "results" / "demo").parent


def test_the_page_is_built_again_number_for_number(published: Path, tmp_path: Path) -> None:
    assert report_script.main([str(published), "--out", str(tmp_path / "page")]) == 0
    again = json.loads((tmp_path / "page" / "summary.json").read_text(encoding="utf-8"))
    first = json.loads((published / "summary.json").read_text(encoding="utf-8"))
    assert again == first
    for table in sorted((published / "tables").iterdir()):
        assert (tmp_path / "page" / "tables" / table.name).read_bytes() == table.read_bytes()


def test_failures_are_carried_and_what_is_under_way_is_not(tmp_path: Path) -> None:
    fake_runs.demo(tmp_path / "runs")
    for trial, status in ((7, "incomplete"), (8, "failed")):
        fake_runs.trial(tmp_path / "runs", trial, fake_runs.H0, 1.0, status=status)
    out = publication.publish(tmp_path / "runs", tmp_path / "results" / "demo").parent
    with archive.opened(out) as runs:
        found = [(trial.index, trial.status) for trial in folders.read(runs)]
    assert found.count((8, "failed")) == 1
    assert (7, "incomplete") not in found
    assert len(found) == 16
    cells = json.loads((out / "summary.json").read_text(encoding="utf-8"))["cells"]
    assert {"done": 5, "failed": 1} in [cell["trials"] for cell in cells]


def test_a_folders_name_may_be_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    fake_runs.cell(runs, fake_runs.H0, [90.0, 91.0])
    (folder,) = runs.glob("*/*")
    long = folder.rename(folder.with_name(f"{'n' * 244}-0123456789"))
    publication.publish(runs, tmp_path / "out")
    with archive.opened(tmp_path / "out") as carried:
        assert [path.name for path in carried.glob("*/*")] == [long.name]


def test_a_sweep_goes_on_from_it(published: Path, tmp_path: Path) -> None:
    into = tmp_path / "elsewhere" / "runs"
    assert unpack_script.main([str(published), "--into", str(into)]) == 0
    original = [trial for trial in folders.read(published.parents[1] / "runs") if trial.complete]
    unpacked = folders.read(into)
    assert [t.folder.parts[-3:] for t in unpacked] == [t.folder.parts[-3:] for t in original]
    assert all(trial.complete for trial in unpacked), "what is incomplete stays behind"
    for mine, theirs in zip(unpacked, original, strict=True):
        assert (mine.final, mine.log, mine.provenance) == (
            theirs.final,
            theirs.log,
            theirs.provenance,
        )
    assert unpack_script.main([str(published), "--into", str(into)]) == 0, "the same is no conflict"


def test_another_trial_of_the_same_name_is_kept(published: Path, tmp_path: Path) -> None:
    folder = archive.unpack(published, tmp_path)[0]
    (folder / "log.jsonl").write_text("mine")
    (folder / "final.json").unlink()
    with pytest.raises(ValueError, match=r"log\.jsonl is another trial's"):
        archive.unpack(published, tmp_path)
    assert not (folder / "final.json").exists(), "nothing is written then"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_named(
    published: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = archive.unpack(published, tmp_path)[0]
    (folder / "log.jsonl").unlink()
    make(folder / "log.jsonl")
    with pytest.raises(ValueError, match=r"log\.jsonl is no file: expected one, or nothing there"):
        archive.unpack(published, tmp_path)


def test_a_disk_that_fills_up_leaves_no_half_of_a_file(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "log.jsonl" not in path.name:
            return write(path, content)
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert unpack_script.main([str(published), "--into", str(tmp_path)]) == 1
    assert not [path for path in tmp_path.rglob("*") if "log.jsonl" in path.name]
    assert archive.unpack(published, tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_same_trials_give_the_same_bytes(published: Path, tmp_path: Path) -> None:
    complete = [trial for trial in folders.read(published.parents[1] / "runs") if trial.complete]
    archive.pack(reversed(complete), tmp_path / archive.NAME)
    assert (tmp_path / archive.NAME).read_bytes() == (published / archive.NAME).read_bytes()


@pytest.mark.parametrize(
    "name", ["../outside/cell/final.json", "/a/b/final.json", "a/b/trial-0/run.py", "final.json"]
)
def test_names_that_are_no_run_folders_are_refused(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / archive.NAME, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match="it is no publication's"):
        archive.unpack(tmp_path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_link_in_it_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / archive.NAME, "w:xz") as tar:
        member = tarfile.TarInfo("task/cell/trial-0/final.json")
        member.type, member.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(member)
    with pytest.raises(ValueError, match="it is no publication's"):
        archive.unpack(tmp_path, tmp_path / "runs")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99])
def test_a_damaged_archive_is_named(published: Path, tmp_path: Path, damage: object) -> None:
    content = (published / archive.NAME).read_bytes()
    (tmp_path / archive.NAME).write_bytes(damage(content))  # type: ignore[operator]
    assert unpack_script.main([str(tmp_path), "--into", str(tmp_path / "runs")]) == 1
    with pytest.raises(ValueError, match=r"runs\.tar\.xz: damaged or no archive"):
        archive.unpack(tmp_path, tmp_path / "runs")


def test_a_folder_that_is_no_publication(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unpack_script.main([str(tmp_path), "--into", str(tmp_path / "runs")]) == 1
    assert "has no runs.tar.xz: expected a folder that scripts/publish.py wrote" in (
        capsys.readouterr().err
    )
