"""The run folders that a publication carries: its page is built from them again."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chandir import report, runfolder
from chandir.harness.durable.claim import claim
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


@pytest.mark.parametrize("linked", [True, False])
def test_what_lies_beside_the_runs_is_found_from_inside_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    """results/runs may be a link to where there is room; results/bench lies beside the link."""
    runs, found = tmp_path / "results" / "runs", []
    fake_runs.trial(tmp_path / "room" if linked else runs, 0, fake_runs.H0, 90.0)
    if linked:
        runs.parent.mkdir()
        runs.symlink_to(tmp_path / "room")
    monkeypatch.chdir(runs.parent if linked else runs)
    monkeypatch.setattr(report, "build", lambda *of: found.append(of[3]))
    assert report_script.main(["runs" if linked else ".", "--out", str(tmp_path / "page")]) == 0
    assert found == [tmp_path / "results"]


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


@pytest.mark.parametrize("calls", range(1, 8))
def test_a_kill_leaves_a_trial_that_is_whole_or_has_no_result(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    replace, left = Path.replace, iter(range(calls))

    def killed(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            archive.unpack(published, tmp_path)
    for trial in folders.read(tmp_path):
        assert trial.status in ("done", "incomplete"), trial.reason
    assert all(
        trial.complete for trial in map(runfolder.state, archive.unpack(published, tmp_path))
    )


def test_a_trial_that_a_process_runs_is_named_and_left_alone(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = archive.unpack(published, tmp_path)[1]
    (folder / "final.json").unlink()
    with claim(folder):
        assert unpack_script.main([str(published), "--into", str(tmp_path)]) == 1
        assert f"{folder} is being run by process {os.getpid()}" in capsys.readouterr().err
        assert not (folder / "final.json").exists()
    assert unpack_script.main([str(published), "--into", str(tmp_path)]) == 0
    assert not list(tmp_path.rglob("claim.json"))


def test_the_same_trials_give_the_same_bytes(published: Path, tmp_path: Path) -> None:
    complete = [trial for trial in folders.read(published.parents[1] / "runs") if trial.complete]
    assert archive.packed(reversed(complete)) == (published / archive.NAME).read_bytes()


def test_two_results_folders_with_one_cell_are_refused(tmp_path: Path) -> None:
    """Beside each other below RUNS, where the report tells them apart and the archive cannot."""
    for name in ("here", "there"):
        fake_runs.trial(tmp_path / "runs" / name, 0, fake_runs.H0, 90.0)
    with pytest.raises(ValueError, match=r"there/.* and .*here/.* are both digits/.*/trial-0: exp"):
        publication.publish(tmp_path / "runs", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("below", ["", "digits", "digits/*", "digits/*/trial-0"])
def test_runs_may_be_any_folder_down_to_a_trials_and_named_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)
    (inside,) = (tmp_path / "runs").glob(below) if below else [tmp_path / "runs"]
    monkeypatch.chdir(inside)
    publication.publish(Path(), tmp_path / "out")
    with archive.opened(tmp_path / "out") as carried:
        (trial,) = folders.read(carried)
    assert trial.complete
    assert trial.folder.parts[-3] == "digits"


def test_a_publication_that_fails_leaves_the_one_before(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(published, tmp_path / "out")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)

    def fails(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(publication, "_origins", fails)
    with pytest.raises(OSError, match="full"):
        publication.publish(tmp_path / "runs", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


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
