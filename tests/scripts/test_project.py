"""The projection: arithmetic by hand, shared trials once, and no number that nothing measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scripts.benchmarks import measure, project, projection, workload
from scripts.benchmarks.projection import Measured, Trial

SMALL = ("digits", "convnet", 8, "sgd")
LARGE = ("cifar10", "vgg16", 6, "sgd")
ARTEFACTS = {
    "one": [Trial("a", SMALL, steps=3600, epochs=10), Trial("b", SMALL, steps=3600, epochs=10)],
    "two": [Trial("b", SMALL, steps=3600, epochs=10), Trial("c", LARGE, steps=7200, epochs=20)],
}


def test_hours_by_hand() -> None:
    found = {SMALL: Measured(step=1.0, limit=0.5, evaluation=36.0)}
    table = projection.projection(ARTEFACTS, found)
    assert table["one"]["hours"] == {"one by one": 2.2, "packed": None, "limit": 1.0}
    assert table["two"]["hours"] == {"one by one": None, "packed": None, "limit": None}
    assert table["two"]["not_measured"] == ["cifar10 vgg16 batch 6 sgd"]
    assert [table[artefact]["new_trials"] for artefact in ARTEFACTS] == [2, 1]
    found[LARGE] = Measured(step=0.5, limit=0.25, packed=0.1)
    table = projection.projection(ARTEFACTS, found)
    assert table["two"]["hours"] == {"one by one": 2.1, "packed": None, "limit": 1.0}
    assert table["two"]["without_evaluation"] == ["cifar10 vgg16 batch 6 sgd"]
    assert table["everything, once"]["trials"] == 3
    assert table["everything, once"]["hours"]["one by one"] == pytest.approx(2 * 1.1 + 1)
    found[SMALL].packed = 0.1
    packed = projection.projection(ARTEFACTS, found)["two"]["hours"]["packed"]
    assert packed == pytest.approx((360 + 720) / 3600)


def test_what_is_not_measured_is_printed_as_such() -> None:
    found = {SMALL: Measured(step=1.0, limit=0.5, evaluation=0.0)}
    one, two = projection.text(projection.projection(ARTEFACTS, found)).splitlines()[1:3]
    assert one.split() == ["one", "2", "2", "0.01", "2", "-", "1", "2.0"]
    assert two.split()[4:7] == ["-", "-", "-"]
    assert two.endswith("not measured: 1 kinds")


@pytest.mark.slow
def test_table_2_is_the_papers() -> None:
    artefacts = projection.planned(())
    table2 = artefacts[projection.TABLE2]
    assert len(table2) == 540
    assert sum(trial.steps for trial in table2) == pytest.approx(466e6, rel=1e-2)
    kinds = project.wanted(artefacts, None)
    assert kinds[0] in {trial.kind for trial in table2}
    assert project.wanted(artefacts, ["digits"]) == [SMALL]
    assert {trial.folder for trial in artefacts["fig9"]} <= {trial.folder for trial in table2}


def test_packed_times_are_taken_only_from_the_same_kind_device_and_precision(
    tmp_path: Path,
) -> None:
    def note(**change: object) -> tuple[str, float | None]:
        record = {
            "benchmark": "pack",
            "environment": {"name": "this", "taken": "now"},
            "workload": dict(zip(("task", "model", "batch_size", "optimizer"), SMALL, strict=True)),
            "seconds_per_step": {"packed": 0.25},
        }
        record["workload"]["precision"] = "fp32"  # type: ignore[index]
        path = tmp_path / "pack.json"
        path.write_text(json.dumps(record | change))
        found = {SMALL: Measured(step=1.0, limit=0.5, details={"precision": "fp32"})}
        (line,) = project.take_packed(found, project._options(["--pack", str(path)]), "this")
        return line, found[SMALL].packed

    line, packed = note()
    assert packed == 0.25
    assert "250.000 ms a step" in line
    workload = dict(zip(("task", "model", "batch_size", "optimizer"), SMALL, strict=True))
    for change, reason in (
        ({"seconds_per_step": {}}, "no packed step time"),
        ({"benchmark": "step"}, "no packed step time"),
        ({"environment": {"name": "other", "taken": "now"}}, "measured on other"),
        ({"workload": workload | {"precision": "bf16"}}, "at precision bf16"),
        ({"workload": workload | {"batch_size": 9}}, "not among what was measured"),
    ):
        line, packed = note(**change)
        assert packed is None
        assert reason in line


def test_project_measures_a_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "project.json"
    sizes = ["--steps", "1", "--rounds", "1", "--test-images", "2", "--json", str(path)]
    assert project.main(["--only", "digits", "--device", "cpu", *sizes]) == 0
    record = json.loads(path.read_text())
    (entry,) = record["measured"].values()
    assert entry["step"] >= entry["limit"] > 0
    assert entry["details"]["counted"]["flops"] > 0
    demo, table2 = record["artefacts"]["demo"], record["artefacts"][projection.TABLE2]
    assert demo["hours"]["one by one"] > demo["hours"]["limit"] > 0
    assert set(table2["hours"].values()) == {None}
    assert "extrapolated" in capsys.readouterr().out


def test_a_workload_is_one_trials_training() -> None:
    ours = workload.build(["task=digits", "metric=h0_lambda"], torch.device("cpu"), 2, 3)
    before = [parameter.clone() for parameter in ours.model.parameters()]
    ours.train()()
    assert ours.task.train_size == 16
    assert not any(map(torch.equal, before, ours.model.parameters()))
    counted, parameters = ours.count(), sum(p.numel() for p in ours.model.parameters())
    assert counted.optimizer == 5 * 4 * parameters
    ours.evaluate()
    assert not ours.model.training
    assert measure.environment(torch.device("cpu"))["sources"] == measure.sources()
