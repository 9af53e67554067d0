"""One trial: its record, its seeds, its resumption."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from chandir import runfolder
from chandir.harness.base.errors import UserError
from chandir.harness.command.options import groups
from chandir.harness.config.schema import Config
from chandir.harness.durable import provenance, weights
from chandir.harness.durable.claim import Busy, claim
from chandir.harness.durable.numerics import LIMITS
from chandir.harness.durable.record import Record, result
from chandir.harness.parts import optimizers
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.trial import checkpoint, data
from chandir.harness.trial.seeding import Streams, seed
from chandir.harness.trial.trial import run
from chandir.runfolder.weights import lacking
from tests.harness.runs import SMALL, call, command, numbers, trials

# One step of these overflows float32.
BREAKS = ("optimizer.lr=1e30", "optimizer.weight_decay=1e10")


def job(tmp_path: Path, *overrides: str) -> Job:
    (only,) = jobs((*SMALL, f"paths.results={tmp_path}", *overrides))
    return only


def trained(tmp_path: Path, *overrides: str) -> Path:
    planned = job(tmp_path, *overrides)
    run(planned.resolved, planned.folder)
    return planned.folder


def test_a_trial_leaves_its_record(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "correlation.json",
        "final.json",
        "log.jsonl",
        "provenance.json",
        "weights.pt",
    ]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["metric"]["name"] == "sobolev"
    assert config["score"]["name"] == "test_accuracy"
    assert "digits is not in the paper" in config["labels"]
    rows = numbers(folder)["log"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert set(rows[0]) == {
        "epoch",
        "lr",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
    }
    final = json.loads((folder / "final.json").read_text())
    assert final["status"] == "done"
    assert final["last"] == {key: rows[-1][key] for key in final["last"]}
    assert final["best"]["test_accuracy"] == max(row["test_accuracy"] for row in rows)
    assert final["totals"]["steps"] == 3 * 5
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "chandir/harness/trial/loop.py" in provenance["sources"]
    assert "chandir/report/__init__.py" not in provenance["sources"]
    assert len(provenance["data"]["checksum"]) == 64


def test_evaluating_seldom_changes_nothing_that_is_trained(tmp_path: Path) -> None:
    often, seldom = (
        numbers(trained(tmp_path, "task.epochs=5", f"task.evaluate_every={each}"))
        for each in (1, 2)
    )
    tested = [row["epoch"] for row in seldom["log"] if "test_accuracy" in row]
    assert tested == [2, 4, 5]  # the last one always
    for row, other in zip(often["log"], seldom["log"], strict=True):
        assert other == {key: row[key] for key in other}
        assert set(row) - set(other) <= {"test_loss", "test_accuracy"}
    assert often["final"]["last"] == seldom["final"]["last"]
    scored = [row for row in seldom["log"] if row["epoch"] in tested]
    assert seldom["final"]["best"]["test_accuracy"] == max(r["test_accuracy"] for r in scored)


def test_a_trial_that_evaluates_seldom_resumes_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = ("task.epochs=5", "task.evaluate_every=3", "checkpoint.seconds=0")
    whole = numbers(trained(tmp_path / "whole", *seldom))
    build, begun = optimizers.begin_epoch, []

    def until_the_fourth(*arguments: object) -> object:
        begun.append(arguments[2])
        if len(begun) == 4:
            raise RuntimeError("cut off")
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(optimizers, "begin_epoch", until_the_fourth)
    with pytest.raises(RuntimeError, match="cut off"):
        trained(tmp_path / "cut", *seldom)
    assert numbers(trained(tmp_path / "cut", *seldom)) == whole
    assert begun == [1, 2, 3, 4, 4, 5]


def test_provenance_tells_what_last_bits_depend_on(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    found = json.loads((folder / "provenance.json").read_text())
    numerics = found["numerics"]
    assert numerics["capability"] == torch.backends.cpu.get_cpu_capability()
    assert numerics["libraries"]["onednn"].count(".") == 2
    assert numerics["limits"] == {name: os.environ[name] for name in LIMITS if name in os.environ}
    assert {"vendor", "family", "model", "instructions", "caches"} <= numerics["processor"].keys()
    assert found["segments"][0]["numerics"] == numerics


def test_a_record_does_not_grow_with_every_interruption(tmp_path: Path) -> None:
    """Another machine, other code: each has its part, but not each of its interruptions."""
    one = {"commit": "a", "dirty": False, "sources": {"x.py": "1"}, "machine": "one"}
    other = one | {"machine": "other"}
    segments: list[dict] = []
    for epoch, ran in enumerate([one, one, one, one, other, one, one, one]):
        new = {"after_epoch": epoch, "started": str(epoch), **ran}
        segments = provenance.continued(segments, new)
    assert [part["after_epoch"] for part in segments] == [0, 3, 4, 5, 7]
    assert [part["machine"] for part in segments] == ["one", "one", "other", "one", "one"]
    for stop in (1, 2, 3, 4):
        planned = job(tmp_path, "task.epochs=5", "checkpoint.seconds=0")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "save", _stopping(checkpoint.save, stop))
            with pytest.raises(KeyboardInterrupt):
                run(planned.resolved, planned.folder)
    record = json.loads((planned.folder / "provenance.json").read_text())
    assert [part["after_epoch"] for part in record["segments"]] == [0, 3]


def _stopping(save: Callable[..., None], epoch: int) -> Callable[..., None]:
    def save_and_stop(folder: Path, state: dict) -> None:
        save(folder, state)
        if state["epoch"] == epoch:
            raise KeyboardInterrupt

    return save_and_stop


def test_a_complete_trial_is_not_run_again(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    before = (folder / "log.jsonl").stat().st_mtime_ns
    trained(tmp_path)
    assert (folder / "log.jsonl").stat().st_mtime_ns == before


def test_numbers_do_not_depend_on_what_ran_before(tmp_path: Path) -> None:
    alone = numbers(trained(tmp_path / "alone", "trial=3"))
    for other in ("trial=0", "optimizer=adam", "metric=h0"):
        trained(tmp_path / "after", other)
    torch.rand(7)
    assert numbers(trained(tmp_path / "after", "trial=3")) == alone


def test_zero_is_a_seed_like_any_other(tmp_path: Path) -> None:
    zero = numbers(trained(tmp_path / "a", "trial=0"))
    assert zero == numbers(trained(tmp_path / "b", "trial=0"))
    assert zero["log"] != numbers(trained(tmp_path / "b", "trial=1"))["log"]


def test_a_trial_has_the_same_start_and_order_in_every_cell(tmp_path: Path) -> None:
    # With a learning rate too small to move a float32 weight, only they remain.
    still = "optimizer.lr=1e-30"
    first = [
        numbers(trained(tmp_path, metric, still))["log"]
        for metric in ("metric=h0", "metric=h0_lambda", "metric=sobolev")
    ]
    assert first[0] == first[1] == first[2]


def test_streams_differ_and_come_back(tmp_path: Path) -> None:
    assert len({seed(trial, name) for trial in range(9) for name in ("init", "order")}) == 18
    streams = Streams(0)
    state = streams.state()
    drawn = [torch.rand(3, generator=streams.order), torch.rand(3)]
    streams.restore(state)
    again = [torch.rand(3, generator=streams.order), torch.rand(3)]
    assert all(torch.equal(x, y) for x, y in zip(drawn, again, strict=True))


@pytest.mark.parametrize(
    "optimizer",
    [  # bfloat16, in which muon computes, takes seconds a step on many CPUs
        pytest.param(name, marks=[pytest.mark.slow] * (name == "muon"))
        for name in sorted(groups()["optimizer"])
    ],
)
def test_a_stopped_trial_continues_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    if optimizer == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("torch before 2.9")
    overrides = (f"optimizer={optimizer}", "metric=sobolev", "checkpoint.seconds=0")
    whole = numbers(trained(tmp_path / "whole", *overrides))

    planned = job(tmp_path / "cut", *overrides)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", _stopping(checkpoint.save, 2))
        with pytest.raises(KeyboardInterrupt):
            run(planned.resolved, planned.folder)
    assert not (planned.folder / "final.json").exists()
    run(planned.resolved, planned.folder)
    assert numbers(planned.folder) == whole
    record = json.loads((planned.folder / "provenance.json").read_text())
    assert [part["after_epoch"] for part in record["segments"]] == [0, 2]


@pytest.mark.slow
def test_kill_9_at_any_instant_gives_the_uninterrupted_numbers(tmp_path: Path) -> None:
    overrides = ("task.epochs=12", "checkpoint.seconds=0", "metric=sobolev")
    assert call(*overrides, f"paths.results={tmp_path / 'whole'}").returncode == 0
    cut = (*overrides, f"paths.results={tmp_path / 'cut'}")
    chance = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(command(*cut), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list((tmp_path / "cut").glob("*/*/*/log.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert call(*cut).returncode == 0
    (whole,), (killed,) = trials(tmp_path / "whole"), trials(tmp_path / "cut")
    assert numbers(killed) == numbers(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path, {"epoch": epoch})
    newest = tmp_path / "checkpoint.pt"
    whole = newest.read_bytes()
    for damaged in (whole[:-10], b"", whole[:80] + bytes([whole[80] ^ 1]) + whole[81:]):
        newest.write_bytes(damaged)
        state, messages = checkpoint.load(tmp_path)
        assert state == {"epoch": 1}
        assert "damaged" in messages[0]
    assert not newest.exists()  # or the next save would make it the older generation
    assert checkpoint.load(tmp_path)[0] == {"epoch": 1}


def test_changed_code_or_data_is_refused_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = job(tmp_path, "checkpoint.seconds=0")
    save = checkpoint.save

    def save_older_code(folder: Path, state: dict) -> None:
        save(folder, state | {"sources": state["sources"] | {"models/convnet.py": "other"}})
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_older_code)
    with pytest.raises(KeyboardInterrupt):
        run(planned.resolved, planned.folder)
    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(
        UserError, match=r"models/convnet.py changed \(git diff .*on_change=restart"
    ):
        run(planned.resolved, planned.folder)
    assert "models/convnet.py changed" in (planned.folder / "error.txt").read_text()
    again = job(tmp_path, "checkpoint.seconds=0", "on_change=restart")
    assert again.folder == planned.folder
    assert run(again.resolved, again.folder)["totals"]["epochs"] == 3


def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged(tmp_path: Path) -> None:
    folder = trained(tmp_path, "optimizer.lr=1e20")
    final = json.loads((folder / "final.json").read_text())
    assert final["status"] == "diverged"
    assert final["diverged"]["epoch"] == 1
    assert final["diverged"]["last_good_epoch"] == 0
    assert 0 < final["diverged"]["step"] < 5
    assert final["last"]["test_accuracy"] is not None
    assert final["last"]["train_loss"] is None  # JSON has no NaN


def test_weights_that_only_the_last_update_broke_are_diverged_too(tmp_path: Path) -> None:
    """Its loss was finite, being of the weights before it."""
    folder = trained(tmp_path, *BREAKS, "task.batch_size=599", "task.epochs=1")
    final = json.loads((folder / "final.json").read_text())
    assert final["last"]["train_loss"] is not None
    assert final["status"] == "diverged"
    assert final["diverged"] == {"epoch": 1, "step": 0, "last_good_epoch": 0}
    assert not (folder / "correlation.json").exists()


@pytest.mark.parametrize("seconds", [0, 60])
def test_of_a_diverged_trial_the_last_good_weights_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    def trained_until(epochs: int, name: str) -> dict[str, torch.Tensor]:
        options = ("schedule.every=9", f"checkpoint.seconds={seconds}")
        folder = trained(tmp_path / name, f"task.epochs={epochs}", *options)
        assert not list(folder.glob("checkpoint*"))
        return dict(torch.load(folder / "weights.pt", weights_only=True))

    good = trained_until(2, "good")
    begin = optimizers.begin_epoch

    def breaks_at_the_third(steppers: dict, config: Config, epoch: int) -> dict[str, float]:
        rates = begin(steppers, config, epoch)
        for group in (group for each in steppers.values() for group in each.param_groups):
            group["lr"] = 3e38 if epoch == 3 else group["lr"]
            group["weight_decay"] = 1e6 if epoch == 3 else group["weight_decay"]
        return rates

    monkeypatch.setattr(optimizers, "begin_epoch", breaks_at_the_third)
    kept = trained_until(5, "bad")
    assert all(torch.equal(kept[name], good[name]) for name in good)


def test_what_a_kill_after_the_result_left_is_removed(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    before = (folder / "weights.pt").read_bytes()
    for epoch in (1, 2):
        checkpoint.save(folder, {"epoch": epoch})
    assert len(list(folder.glob("checkpoint*"))) == 2
    assert call(*SMALL, f"paths.results={tmp_path}").returncode == 0
    assert not list(folder.glob("checkpoint*"))
    assert (folder / "weights.pt").read_bytes() == before


def test_weights_under_the_checkpoints_name_are_those_of_an_older_version_and_stay(
    tmp_path: Path,
) -> None:
    folder = trained(tmp_path)
    (folder / "weights.pt").unlink()
    checkpoint.save(folder, {"epoch": 1})
    (folder / "checkpoint.pt").rename(folder / "checkpoint.previous.pt")
    torch.save({"model": {"w": torch.zeros(2)}}, folder / "checkpoint.pt")
    before = (folder / "checkpoint.pt").read_bytes()
    Record(folder).tidy()
    assert [path.name for path in folder.glob("checkpoint*")] == ["checkpoint.pt"]
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not lacking(runfolder.state(folder))
    (folder / "checkpoint.pt").unlink()
    assert lacking(runfolder.state(folder))


def test_a_claimed_trial_is_named_and_a_dead_owners_is_free(tmp_path: Path) -> None:
    busy = pytest.raises(Busy, match=f"process {os.getpid()}")
    with claim(tmp_path), busy, claim(tmp_path, patience=0):
        pass
    script = (
        "import os, pathlib, sys\nfrom chandir.harness.durable.claim import claim\n"
        "with claim(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([command()[0], "-c", script, str(tmp_path)], check=False)
    assert (tmp_path / "claim.json").exists()
    with claim(tmp_path):
        pass
    assert not (tmp_path / "claim.json").exists()


def test_another_hosts_live_claim_is_respected_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(Busy, match="elsewhere"), claim(tmp_path):
        pass
    old = time.time() - 3600
    os.utime(path, (old, old))
    with claim(tmp_path):
        pass


def test_final_weights_are_those_that_the_last_score_is_of(tmp_path: Path) -> None:
    planned = job(tmp_path)
    folder = trained(tmp_path)
    model = data.build_model(planned.resolved.config)
    found = torch.load(folder / "weights.pt", weights_only=True)
    assert type(found) is dict
    assert list(found) == list(model.state_dict())
    model.load_state_dict(found)
    task = data.load(planned.resolved.config, torch.device("cpu"))
    with torch.no_grad():
        again = task.evaluate(model.eval(), True)
    last = json.loads((folder / "final.json").read_text())["last"]
    assert again == {name: last[name] for name in again}
    numbers_alone = sum(t.nbytes for t in found.values())
    assert (folder / "weights.pt").stat().st_size < numbers_alone + 1000 * len(found)


def test_weights_are_left_out_if_asked_for_also_where_a_kill_left_some(tmp_path: Path) -> None:
    folder = job(tmp_path).folder
    folder.mkdir(parents=True)
    torch.save({}, folder / "weights.pt")
    assert trained(tmp_path, "checkpoint.keep=false") == folder
    assert (folder / "final.json").exists()
    assert not (folder / "weights.pt").exists()


def test_kept_weights_are_their_numbers_and_nothing_else(tmp_path: Path) -> None:
    flat = torch.arange(6000.0)
    convolution = nn.Conv2d(3, 8, 5).to(memory_format=torch.channels_last)
    state = convolution.state_dict(keep_vars=True) | {"view": flat[8:16].view(2, 4).t()}
    state |= {"tied": state["bias"], "wide": torch.ones(1).expand(4, 4)}
    weights.write(tmp_path, state)
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert list(found) == ["weight", "bias", "view", "tied", "wide"]
    for name, value in found.items():
        assert torch.equal(value, state[name])
        assert value.is_contiguous()
        assert not value.requires_grad
        assert value.untyped_storage().nbytes() == value.nbytes
    assert found["tied"].data_ptr() == found["bias"].data_ptr()
    assert (tmp_path / "weights.pt").stat().st_size < 4 * (3 * 8 * 25 + 8 + 8 + 16) + 4000


def test_the_best_epoch_is_the_same_of_a_log_that_was_read_again() -> None:
    score = {"name": "test_accuracy", "better": "higher", "unit": "%"}
    for bad in (float("nan"), None):
        rows = [{"epoch": 1, "test_accuracy": bad}, {"epoch": 2, "test_accuracy": 5.0}]
        assert result(rows, score, 0, {}, None)["best"] == rows[1]
        assert result(rows[:1], score, 0, {}, {"epoch": 1})["best"] == rows[0]  # it diverged
