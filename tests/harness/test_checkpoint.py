"""Faults 1, 4 and 5 where they meet: damage, then a kill; a full disk that holds a trial."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chandir.harness import checkpoint, files
from chandir.harness.errors import UserError
from chandir.harness.record import Record
from tests.harness.faults import ALWAYS, SHORT, die_before, ended, finished, forked, interrupted

KEEP = "checkpoint.keep=true"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("call", range(1, 6))
def test_after_a_damaged_file_a_kill_inside_the_next_save_leaves_a_whole_one(
    tmp_path: Path, call: int
) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path, {"epoch": epoch})
    flip(tmp_path / "checkpoint.pt")
    state, damaged = checkpoint.load(tmp_path)
    assert state == {"epoch": 1}
    assert len(damaged) == 1

    def save() -> None:
        die_before(call)
        checkpoint.save(tmp_path, {"epoch": 2})

    assert ended(forked(save)) in (-signal.SIGKILL, 0)
    files.clean(tmp_path)
    state, damaged = checkpoint.load(tmp_path)
    assert state in ({"epoch": 1}, {"epoch": 2})
    assert not damaged


def test_kills_between_the_kept_weights_and_the_result_cost_one_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undisturbed: dict[str, Any]
) -> None:
    folder = interrupted(tmp_path, KEEP, epoch=3)
    for _ in range(2):  # the second one finds what the first one left
        checkpoint.keep_weights(folder, {"w": torch.zeros(3)})
        state, told = checkpoint.load(folder)
        assert state is not None
        assert state["epoch"] == 3
        assert ["holds weights without a result" in line for line in told] == [True]
    assert finished(tmp_path, SHORT, ALWAYS, KEEP) == undisturbed
    assert "starting anew" not in capsys.readouterr().out


def test_what_a_trial_has_saved_counts_as_space_for_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Linear(100, 100)
    need = checkpoint.COPIES * 4 * (100 * 100 + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=need - 1))
    with pytest.raises(UserError, match="free some space"):
        checkpoint.check_space(tmp_path, model)
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    checkpoint.check_space(tmp_path, model)


def test_a_log_that_lost_an_epoch_is_refused(tmp_path: Path) -> None:
    folder = interrupted(tmp_path)
    log = folder / "log.jsonl"
    log.write_text(log.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"1 epochs are readable: expected the 2 .* run it anew"):
        finished(tmp_path, SHORT, ALWAYS)


@pytest.mark.parametrize("content", [b"", b'{"status": "do', b"\0" * 200])
def test_a_result_that_cannot_be_read_is_none_and_the_trial_runs_again(
    tmp_path: Path, content: bytes, undisturbed: dict[str, Any]
) -> None:
    finished(tmp_path, SHORT)
    (final,) = tmp_path.glob("*/*/*/final.json")
    whole = json.loads(final.read_text())
    final.write_bytes(content)
    assert not Record(final.parent).complete
    assert finished(tmp_path, SHORT) == undisturbed
    assert json.loads(final.read_text())["last"] == whole["last"]
