"""Fault 13, after the trial: complete with other code or data, which its cell's key cannot tell."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chandir import runfolder
from chandir.harness.base import folders
from chandir.harness.base.errors import UserError
from chandir.harness.durable import outcomes, provenance
from chandir.harness.durable.record import Record
from chandir.harness.sweep.complete import Complete
from chandir.harness.sweep.sweep import prepare
from chandir.harness.trial import checkpoint, data
from chandir.harness.trial.origins import Here
from chandir.harness.trial.trial import run
from chandir.runfolder.weights import lacking
from tests.harness.changed import (
    BASIC,
    NETWORK,
    both_codes,
    both_data,
    called,
    edited,
    old,
    other_code,
    other_data,
    trained,
)
from tests.harness.faults import COMMON, SHORT, die_before, ended, finished, forked, job
from tests.harness.runs import call, numbers, whole

CODE = f"with other code [0-9a-f]{{7}}: {NETWORK} changed"
DATA = "with other data 0000000: the data changed .checksum 000000000000, now [0-9a-f]{12}"
CHANGES = [(other_code, CODE), (other_data, DATA), (both_codes, CODE), (both_data, DATA)]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_it_is_refused_before_anything_runs_and_says_what_changed(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = trained(tmp_path, change)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert called(tmp_path, *BASIC, "trial=range(3)") == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("refused: 1 of 3 trials is complete with other code or data:\n")
    assert re.search(told, shown.err)
    for remedy in ("on_change=restart", "on_change=continue", "paths.results=elsewhere"):
        assert remedy in shown.err
    assert "planned" not in shown.out
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["trial-0"]


def test_a_commit_that_changes_no_source_of_numbers_is_none_of_it(tmp_path: Path) -> None:
    def committed(record: dict[str, Any]) -> None:
        record["segments"][0] |= {"commit": "f" * 40, "dirty": True}

    folder = trained(tmp_path, committed)
    assert called(tmp_path) == 0
    assert old(folder)


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_continue_leaves_it_and_runs_the_rest_without_a_mean_of_both(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = trained(tmp_path, change)
    for _ in range(2):  # the second time nothing is left to run
        assert called(tmp_path, *BASIC, "trial=range(3)", "on_change=continue") == 0
        assert old(folder)
        scores = [
            json.loads((folder.parent / f"trial-{k}" / "final.json").read_text())["last"]
            for k in range(3)
        ]
        first, *rest = [score["test_accuracy"] for score in scores]
        table = capsys.readouterr().out.partition("accuracy ± sd")[2].splitlines()[1:3]
        assert table[0].split()[1] == "2/3"
        assert f"  {sum(rest) / 2:.2f} ± " in table[0]
        assert table[1].strip().startswith("with other ")
        assert table[1].split()[4:7] == ["1", f"{first:.2f}", "%"]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_restart_runs_it_again_once(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    told: str,
    undisturbed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = trained(tmp_path, change)
    assert called(tmp_path, "on_change=restart") == 0
    assert "the trial runs again" in capsys.readouterr().out
    assert numbers(folder) == undisturbed
    assert not old(folder)
    assert len(json.loads((folder / "provenance.json").read_text())["segments"]) == 1
    edited(folder, lambda record: None)  # marks the new result
    for choice in ("restart", "refuse", "continue"):
        assert called(tmp_path, f"on_change={choice}") == 0
        assert old(folder)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, with two networks that share a module."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"own_{name}.py").write_text("import own_shared\n")
    (folder / "own_shared.py").write_text("DEPTH = 1\n")
    monkeypatch.setenv(folders.VARIABLE, str(folder))
    return folder


def test_an_edit_is_no_source_of_what_a_process_imported_before(own: Path) -> None:
    """A sweep whose cells follow each other, and an editor: modules stay what they were."""
    first = provenance.sources("own_first.Net")
    (own / "own_shared.py").write_text("DEPTH = 2\nimport own_new\n")
    (own / "own_new.py").write_text("")
    second = provenance.sources("own_second.Net")
    assert second["own_shared.py"] == first["own_shared.py"]
    assert "own_new.py" not in second


def test_a_source_that_is_no_python_is_left_to_its_import_to_tell(own: Path) -> None:
    (own / "own_shared.py").write_text("DEPTH =\n")
    assert {"own_first.py", "own_shared.py"} <= provenance.sources("own_first.Net").keys()


def test_an_edit_while_data_are_loaded_is_not_what_the_trial_ran(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, targets = data.load, provenance.targets

    def slowly(*of: Any) -> data.LoadedTask:
        (own / "own_shared.py").write_text("DEPTH = 2\n")
        return load(*of)

    monkeypatch.setattr(provenance, "targets", lambda of: (*targets(of), "own_first.Net"))
    monkeypatch.setattr(data, "load", slowly)
    text = (own / "own_shared.py").read_bytes()
    finished(tmp_path, SHORT)
    record = json.loads((job(tmp_path, SHORT).folder / "provenance.json").read_text())
    assert record["sources"]["own_shared.py"] == hashlib.sha256(text).hexdigest()[:16]


def test_a_sweep_holds_trials_to_the_code_that_it_was_planned_with(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts after an edit runs the new code, and says so."""
    targets = provenance.targets
    monkeypatch.setattr(provenance, "targets", lambda of: (*targets(of), "own_first.Net"))
    planned = prepare([*BASIC, *COMMON, SHORT, f"paths.results={tmp_path}", "trial=range(2)"])
    here = Here()
    Complete(planned, here)
    (own / "own_shared.py").write_text("DEPTH = 2\n")
    whole(planned[0])
    started_later = whole(planned[1]) / "provenance.json"
    record = json.loads(started_later.read_text())
    record["sources"]["own_shared.py"] = hashlib.sha256(b"DEPTH = 2\n").hexdigest()[:16]
    started_later.write_text(json.dumps(record))
    assert list(Complete(planned, here).others) == [planned[1].folder]


def test_the_process_that_runs_it_looks_for_itself(tmp_path: Path) -> None:
    """A requeued job, a second process: each is given the trial, and finds it run again."""
    folder = trained(tmp_path, other_code)
    for choice in ("refuse", "continue"):
        planned = job(tmp_path, SHORT, f"on_change={choice}")
        assert run(planned.resolved, folder)["totals"]["seconds"] == 12345
    planned = job(tmp_path, SHORT, "on_change=restart")
    assert run(planned.resolved, folder)["totals"]["seconds"] != 12345
    edited(folder, lambda record: None)
    assert run(planned.resolved, folder)["totals"]["seconds"] == 12345


def test_its_result_stays_until_the_new_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path, other_code)

    def full(*_: object) -> None:
        raise UserError("no space")

    monkeypatch.setattr(checkpoint, "check_space", full)
    assert called(tmp_path, "on_change=restart") == 1
    assert old(folder)
    assert "no space" in capsys.readouterr().out
    assert Record(folder).complete
    outcomes.drain()


def test_a_kill_leaves_the_old_result_with_its_record_or_none(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """No instant in which the old score is said to be of this code, or is without its weights."""
    folder = trained(tmp_path, other_code)
    (folder / "weights.pt").rename(folder / "checkpoint.pt")  # as older versions left them
    planned = job(tmp_path, SHORT, "on_change=restart")
    seen = []
    for count in range(1, 60):

        def again(count: int = count) -> None:
            die_before(count)
            run(planned.resolved, planned.folder)

        status = ended(forked(again))
        record = json.loads((folder / "provenance.json").read_text())
        new = record["sources"][NETWORK] != "0" * 16
        if Record(folder).complete:
            assert old(folder) == (not new)
            assert not lacking(runfolder.state(folder))
        seen.append(Record(folder).complete and not new)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert seen[0]
    assert not seen[-1]
    assert sorted(seen, reverse=True) == seen, "once it is gone it does not come back"
    assert not checkpoint.exist(folder)
    assert numbers(folder) == undisturbed


@pytest.mark.parametrize("change", [other_code, both_codes])
def test_what_it_left_to_continue_from_is_not_continued(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], undisturbed: dict[str, Any]
) -> None:
    """A checkpoint of its last epochs, by the code of today, begun with that of before."""

    def trial() -> None:
        remove = os.unlink
        os.unlink = lambda path, **of: None if "checkpoint" in str(path) else remove(path, **of)  # type: ignore[assignment]
        run(job(tmp_path, SHORT, "checkpoint.seconds=0").resolved, folder)

    folder = job(tmp_path, SHORT).folder
    assert ended(forked(trial)) == 0
    assert checkpoint.exist(folder)
    edited(folder, change)
    assert finished(tmp_path, SHORT, "on_change=restart") == undisturbed
    (segment,) = json.loads((folder / "provenance.json").read_text())["segments"]
    assert segment["after_epoch"] == 0


@pytest.mark.slow
def test_workers_run_it_again_and_the_next_command_finds_nothing(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    folders = [trained(tmp_path, other_code, f"trial={k}") for k in range(2)]
    sweep = ("-m", *COMMON, SHORT, f"paths.results={tmp_path}", "trial=range(2)")
    done = call(*sweep, "on_change=restart", "hydra.launcher.workers=2")
    assert done.returncode == 0, done.stderr
    assert "2 trials, 2 at a time" in done.stdout
    assert not any(map(old, folders))
    assert numbers(folders[0]) == undisturbed
    stamps = [(folder / "final.json").stat().st_mtime_ns for folder in folders]
    assert call(*sweep, "on_change=restart").returncode == 0
    assert [(folder / "final.json").stat().st_mtime_ns for folder in folders] == stamps
