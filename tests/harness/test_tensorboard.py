"""TensorBoard beside a trial and afterwards: read back with TensorBoard's own reader."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.durable.record import Record
from scripts import tensorboard_sync
from tests.harness.faults import (
    ALWAYS,
    SHORT,
    ended,
    epochs,
    finished,
    forked,
    interrupted,
    job,
    ran,
    wait_for,
)

TENSORBOARD = "tracker=tensorboard"

pytestmark = pytest.mark.usefixtures("patient")


def recorded(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert len(list(folder.glob("tensorboard/events.out.tfevents.*"))) == 1
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def check_rows(folder: Path) -> None:
    """Every epoch once, with the log's numbers, as wide as a scalar is."""
    import numpy

    rows, found = Record(folder).rows(), recorded(folder)
    assert set(found.Tags()["scalars"]) == {key for row in rows for key in row} - {"epoch"}
    for tag in found.Tags()["scalars"]:
        ours = [(r["epoch"], numpy.float32(r[tag] or float("nan"))) for r in rows if tag in r]
        theirs = [(event.step, numpy.float32(event.value)) for event in found.Scalars(tag)]
        numpy.testing.assert_array_equal(numpy.array(ours), numpy.array(theirs))


def hyper(folder: Path, tag: str) -> Any:
    from tensorboard.plugins.hparams import plugin_data_pb2

    data = recorded(folder).SummaryMetadata(tag).plugin_data
    assert data.plugin_name == "hparams"
    return plugin_data_pb2.HParamsPluginData.FromString(data.content)


def test_a_trial_reads_back_as_it_ran_and_its_numbers_stay(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert finished(tmp_path, SHORT, TENSORBOARD) == undisturbed
    folder = job(tmp_path, SHORT, TENSORBOARD).folder
    check_rows(folder)
    given = hyper(folder, "_hparams_/session_start_info").session_start_info.hparams
    assert given["metric"].string_value == "h0"
    assert given["optimizer.lr"].number_value == 0.01
    assert given["optimizer.nesterov"].HasField("bool_value")
    assert given["trial"].number_value == 0
    experiment = hyper(folder, "_hparams_/experiment").experiment
    assert [each.name.tag for each in experiment.metric_infos] == ["test_accuracy"]
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

    end = hyper(folder, "_hparams_/session_end_info").session_end_info
    assert end.status == STATUS_SUCCESS
    (text,) = recorded(folder).Tensors("config")
    told = text.tensor_proto.string_val[0].decode()
    assert "    metric:\n      _target_: chandir.H0" in told
    assert "    provenance:" in told


def test_a_continued_trial_stays_one_run(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = interrupted(tmp_path, TENSORBOARD)
    assert finished(tmp_path, SHORT, ALWAYS, TENSORBOARD) == undisturbed
    check_rows(folder)


def test_a_trial_that_is_asked_to_leave_leaves_what_it_measured(tmp_path: Path) -> None:
    planned = job(tmp_path, "task.epochs=100000", TENSORBOARD)
    child = forked(lambda: ran(planned))
    wait_for(lambda: list(planned.folder.glob("tensorboard/events*")) and epochs(tmp_path))
    os.kill(child, signal.SIGTERM)
    assert ended(child) == 128 + signal.SIGTERM
    check_rows(planned.folder)
    assert "_hparams_/session_end_info" not in recorded(planned.folder).summary_metadata


def test_a_diverged_trials_nan_is_told_as_such(tmp_path: Path) -> None:
    finished(tmp_path, SHORT, TENSORBOARD, "optimizer.lr=1e20")
    folder = job(tmp_path, SHORT, "optimizer.lr=1e20").folder
    assert math.isnan(recorded(folder).Scalars("train_loss")[-1].value)
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE

    end = hyper(folder, "_hparams_/session_end_info").session_end_info
    assert end.status == STATUS_FAILURE


def test_without_it_training_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert finished(tmp_path, SHORT, TENSORBOARD) == undisturbed
    assert (
        "tracker=tensorboard: tensorboard is not installed; training goes on without it, "
        "scripts/tensorboard_sync.py mirrors the run folders later"
    ) in capsys.readouterr().err


def test_sync_makes_the_same_record_afterwards_and_twice_is_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "beside", SHORT, TENSORBOARD)
    finished(tmp_path / "after", SHORT)
    assert tensorboard_sync.main([str(tmp_path / "beside")]) == 0
    assert "0 mirrored, 1 there already" in capsys.readouterr().out
    after = job(tmp_path / "after", SHORT).folder
    for said in ("1 mirrored, 0 there already", "0 mirrored, 1 there already"):
        assert tensorboard_sync.main([str(tmp_path / "after")]) == 0
        assert said in capsys.readouterr().out
    check_rows(after)
    first = Record(after).rows()[0]["seconds"]
    started = hyper(after, "_hparams_/session_start_info").session_start_info.start_time_secs
    shown = recorded(after).Scalars("train_loss")[0].wall_time
    assert shown == pytest.approx(started + first)  # when it ran, not when it was mirrored


def test_sync_names_a_folder_that_is_not_there_or_has_no_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tensorboard_sync.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere: there is no such folder; expected" in capsys.readouterr().err
    assert tensorboard_sync.main([str(tmp_path)]) == 1
    assert f"{tmp_path}: no trial there; expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "clock"),
    [
        ({"started": "2025-01-02T03:04:05+0000"}, 1735787045.0),
        ({"started": "2025-01-02T03:04:05+0530"}, 1735787045.0 - 5.5 * 3600),
        ({"started": "yesterday"}, 1e9),
        ({}, 1e9),
    ],
)
def test_a_trial_that_does_not_say_when_it_began_has_its_records_time(
    tmp_path: Path, record: dict[str, str], clock: float
) -> None:
    from chandir.harness.tracking import tensorboard_run

    (tmp_path / "provenance.json").write_text("{}")
    os.utime(tmp_path / "provenance.json", (1e9, 1e9))
    config = finished_config(tmp_path / "runs")
    assert tensorboard_run.opened(tmp_path, config, record).clock == clock


def test_what_trials_are_compared_by_are_their_names_numbers_and_choices(tmp_path: Path) -> None:
    from chandir.harness.tracking.tensorboard_run import hyper_parameters

    config = finished_config(tmp_path, "metric=sobolev", "metric.lam=0.5")
    found = hyper_parameters(config)
    assert found["metric"] == "sobolev"
    assert found["metric.lam"] == 0.5
    assert found["batch_size"] == 8.0
    assert not any(key.endswith("_target_") for key in found)
    assert all(value is not None for value in found.values())


def finished_config(root: Path, *overrides: str) -> Any:
    from chandir.runfolder.contents import read_config

    finished(root, SHORT, *overrides)
    return read_config(job(root, SHORT, *overrides).folder)
