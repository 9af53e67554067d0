"""Faults 1, 4 and 5 where they meet: damage, then a kill; a full disk that holds a trial."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chandir.harness.base import files
from chandir.harness.base.errors import UserError
from chandir.harness.durable import weights
from chandir.harness.durable.record import Record
from chandir.harness.trial import checkpoint, resume
from chandir.harness.trial.seeding import Streams
from chandir.harness.trial.trial import run
from chandir.report.read import runs
from tests.harness.faults import (
    ALWAYS,
    SHORT,
    die_before,
    ended,
    finished,
    forked,
    interrupted,
    job,
    ran,
    saved,
)


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


@pytest.mark.parametrize(
    "name", ["config.yaml", "provenance.json", "log.jsonl", "correlation.json"]
)
def test_a_complete_trial_with_any_damaged_file_runs_again_and_is_whole(
    tmp_path: Path, name: str, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Complete for the harness is complete for the report; a pipe hangs nobody."""
    finished(tmp_path, SHORT)
    folder = job(tmp_path, SHORT).folder
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert runs.read(tmp_path)[0].status == "damaged"
    assert not Record(folder).complete
    assert finished(tmp_path, SHORT) == undisturbed
    assert f"{name} is not a regular file: the trial runs again" in capsys.readouterr().out
    assert runs.read(tmp_path)[0].complete
    assert Record(folder).complete


def test_a_score_that_is_not_finite_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is finite and there is nothing to score: masks that are all void, for example."""
    from tasks.digits import Digits

    planned = job(tmp_path, SHORT, ALWAYS)
    evaluate = Digits.evaluate
    nothing = lambda *of: evaluate(*of) | {"test_accuracy": float("nan")}  # noqa: E731
    monkeypatch.setattr(Digits, "evaluate", nothing)
    for _ in range(2):
        with pytest.raises(UserError, match=r"test_accuracy is .* expected a finite number"):
            finished(tmp_path, SHORT, ALWAYS)
        assert not (planned.folder / "final.json").exists()
        assert runs.read(tmp_path)[0].status == "failed"


def test_a_kill_between_the_weights_and_the_result_costs_one_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undisturbed: dict[str, Any]
) -> None:
    planned = job(tmp_path, SHORT, ALWAYS)

    def trial() -> None:
        def write_and_die(folder: Path, state: dict[str, Any]) -> None:
            (folder / "weights.pt").write_bytes(b"half of the weigh")
            os.kill(os.getpid(), signal.SIGKILL)

        weights.write = write_and_die
        run(planned.resolved, planned.folder)

    for _ in range(2):  # the second one finds what the first one left
        assert ended(forked(trial)) == -signal.SIGKILL
        assert saved(planned.folder) == 3
        assert (planned.folder / "weights.pt").exists()
        assert not Record(planned.folder).complete
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    assert "starting anew" not in capsys.readouterr().out
    assert torch.load(planned.folder / "weights.pt", weights_only=True).keys()


def test_the_result_is_there_only_after_whole_weights(tmp_path: Path) -> None:
    """Killed before each thing that the end of a trial asks of the disk."""
    planned = job(tmp_path, SHORT, ALWAYS)
    found = set()
    for call in range(1, 40):

        def trial(call: int = call) -> None:
            write = weights.write

            def write_and_die(folder: Path, state: dict[str, Any]) -> None:
                die_before(call)
                write(folder, state)

            weights.write = write_and_die
            run(planned.resolved, planned.folder)

        status = ended(forked(trial))
        names = [(planned.folder / name).exists() for name in ("weights.pt", "final.json")]
        found.add(tuple(names))
        if names[0]:
            assert torch.load(planned.folder / "weights.pt", weights_only=True).keys()
        if names[1]:
            break
        assert status == -signal.SIGKILL
    assert found == {(False, False), (True, False), (True, True)}


def test_a_disk_too_full_for_the_weights_is_told_and_ends_without_a_result(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    prepare = files.prepare

    def full(path: Path, content: bytes) -> Path:
        if path.name == "weights.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return prepare(path, content)

    monkeypatch.setattr(files, "prepare", full)
    assert not ran(job(tmp_path, SHORT, ALWAYS))
    told = capfd.readouterr().err
    assert "cannot save the weights of" in told
    assert "free some space" in told
    assert not Record(job(tmp_path, SHORT).folder).complete
    monkeypatch.setattr(files, "prepare", prepare)
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed


def test_what_a_trial_has_saved_counts_as_space_for_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Linear(100, 100)
    need = (checkpoint.COPIES + 1) * 4 * (100 * 100 + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=need - 1))
    with pytest.raises(UserError, match="the checkpoints and the weights of this trial; free some"):
        checkpoint.check_space(tmp_path, model, keep=True)
    checkpoint.check_space(tmp_path, model, keep=False)
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    checkpoint.check_space(tmp_path, model, keep=True)


@pytest.mark.parametrize(
    ("damage", "from_epoch"),
    [
        (lambda lines: lines[:1], 1),  # the generation before has its log
        (lambda lines: [], 0),
        (lambda lines: [lines[0], lines[1].replace("seconds", "second")], 1),
        (lambda lines: [lines[0].replace("2", "\udcff"), lines[1]], 0),
    ],
)
def test_a_damaged_log_costs_the_epochs_that_it_lost(
    tmp_path: Path,
    damage: Callable[[list[str]], list[str]],
    from_epoch: int,
    undisturbed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = interrupted(tmp_path)
    log = folder / "log.jsonl"
    damaged = "".join(f"{line}\n" for line in damage(log.read_text().splitlines()))
    log.write_bytes(damaged.encode(errors="surrogateescape"))
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    told = capsys.readouterr().out
    assert f"log.jsonl is whole up to epoch {from_epoch}" in told
    assert ("starting anew" in told) == (from_epoch == 0)
    assert (
        json.loads((folder / "provenance.json").read_text())["segments"][-1]["after_epoch"]
        == from_epoch
    )


def _rewrite(path: Path, state: Any) -> None:
    """A checkpoint with a right checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    path.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def _without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: [1, 2],
        lambda state: None,
        lambda state: state | {"epoch": "2"},
        lambda state: state | {"epoch": 0},
        *map(_without, ("epoch", "model", "optimizers", "streams", "segments", "sources", "data")),
        lambda state: state | {"model": {"conv.weight": torch.zeros(3)}},
        lambda state: state | {"model": {k: v[..., :1] for k, v in state["model"].items()}},
        lambda state: state | {"optimizers": {}},
        lambda state: state | {"streams": {"order": torch.zeros(3, dtype=torch.uint8)}},
        lambda state: state | {"segments": [{"sources": 3}]},
        lambda state: state | {"optimizers": _moments(state["optimizers"])},
    ],
)
def test_a_checkpoint_of_wrong_content_falls_back_to_the_generation_before(
    tmp_path: Path,
    spoil: Callable[[dict[str, Any]], Any],
    undisturbed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = interrupted(tmp_path)
    new, old = (folder / name for name in checkpoint.NAMES)
    state, _ = checkpoint.load(folder)
    assert state is not None
    assert old.exists()
    _rewrite(new, spoil(state))
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    assert "falling back to the generation before" in capsys.readouterr().out
    segments = json.loads((folder / "provenance.json").read_text())["segments"]
    assert segments[-1]["after_epoch"] == 1


def _moments(optimizers: dict[str, Any]) -> dict[str, Any]:
    (name,) = optimizers
    states = {k: {"momentum_buffer": torch.zeros(7)} for k in optimizers[name]["state"]}
    return {name: optimizers[name] | {"state": states}}


class _Factored(torch.optim.Optimizer):
    """Another's class, which keeps the rows' second moment under a name that others use."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            rows = torch.ones(len(parameter), 1)
            self.state[parameter] = {"step": torch.tensor(1.0), "exp_avg_sq": rows}


@pytest.mark.parametrize(("kind", "fits"), [(_Factored, True), (torch.optim.Adam, False)])
def test_moments_of_other_shapes_fit_where_nobody_knows_the_shapes(
    kind: Callable[[Any], torch.optim.Optimizer], fits: bool
) -> None:
    model = torch.nn.Linear(3, 2, bias=False)
    factored, optimizer = _Factored(model.parameters()), kind(model.parameters())
    factored.step()
    kept, streams = factored.state_dict()["state"], Streams(0)
    state = {
        "model": model.state_dict(),
        "optimizers": {"model": optimizer.state_dict() | {"state": kept}},
        "streams": streams.state(),
    }
    with nullcontext() if fits else pytest.raises(checkpoint.Unfit, match="exp_avg_sq is"):
        resume._Start(model, {"model": optimizer}, streams).replace(state)
    assert bool(optimizer.state) is fits


def test_without_a_generation_that_fits_the_start_is_untouched(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """What a bad checkpoint loaded before it failed is undone."""
    folder = interrupted(tmp_path)
    state, _ = checkpoint.load(folder)
    assert state is not None
    for name in checkpoint.NAMES:  # its weights load, its streams do not
        _rewrite(folder / name, state | {"streams": {}})
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed


@pytest.mark.parametrize("content", [b"", b'{"status": "do', b"\0" * 200])
def test_a_result_that_cannot_be_read_is_none_and_the_trial_runs_again(
    tmp_path: Path,
    content: bytes,
    undisturbed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(tmp_path, SHORT)
    (final,) = tmp_path.glob("*/*/*/final.json")
    whole = json.loads(final.read_text())
    final.write_bytes(content)
    assert not Record(final.parent).complete
    assert finished(tmp_path, SHORT) == undisturbed
    assert "final.json is not JSON" in capsys.readouterr().out
    assert json.loads(final.read_text())["last"] == whole["last"]
