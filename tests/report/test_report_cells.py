"""What is averaged, what is compared, and what never is."""

from __future__ import annotations

import pytest

from chandir.report.read.cells import cells
from chandir.report.read.comparisons import settings
from chandir.report.read.runs import read
from chandir.report.show.rows import tabulate
from tests import fake_runs
from tests.fake_runs import H0, H0_LAMBDA, SOBOLEV


def sizes(runs):
    return [len(cell.complete) for cell in cells(read(runs))]


@pytest.mark.parametrize("other", [{"code": "b" * 64}, {"checksum": "d" * 64}, {"labels": ("x",)}])
def test_one_folder_with_two_origins_is_two_cells(tmp_path, other):
    for k in range(3):
        fake_runs.trial(tmp_path, k, H0, 90.0)
    for k in (3, 4):
        fake_runs.trial(tmp_path, k, H0, 50.0, **other)
    assert sizes(tmp_path) == [3, 2]
    assert [row.last.mean for row in tabulate(cells(read(tmp_path)))] in ([90, 50], [50, 90])


@pytest.mark.parametrize(
    "other",
    [
        {"scale": "short"}, {"source": "synthetic"}, {"lr": 0.02}, {"batch": 8}, {"model": "vgg16"},
        {"optimizer": "adam"}, {"epochs": 6}, {"name": "fashion-mnist"}, {"code": "b" * 64},
        {"checksum": "d" * 64},
    ],
)  # fmt: skip
def test_cells_are_compared_only_if_the_metric_alone_differs(tmp_path, other):
    fake_runs.cell(tmp_path, H0, [90.0, 91.0])
    fake_runs.cell(tmp_path, SOBOLEV, [92.0, 93.0], **other)
    rows = tabulate(cells(read(tmp_path)))
    assert [row.difference for row in rows] == [None, None]
    names = [setting.name for setting in settings(cells(read(tmp_path)))]
    assert len(set(names)) == 2, "each setting can be told from the other by its name"


def test_a_metric_of_ones_own_is_compared_though_h0_does_not_run_its_file(tmp_path):
    heat = {**SOBOLEV, "name": "heat", "_target_": "heat.Heat"}
    fake_runs.cell(tmp_path, H0, [90.0, 91.0], own={"net.py": "0"})
    fake_runs.cell(tmp_path, SOBOLEV, [91.0, 92.0], own={"net.py": "0"})
    folder = fake_runs.cell(tmp_path, heat, [92.0, 93.0], own={"net.py": "0", "heat.py": "1"})
    assert [row.difference and row.difference.value for row in tabulate(cells(read(tmp_path)))] == [
        None, 2.0, 1.0,
    ]  # fmt: skip
    # Two versions of it are two rows, told apart; another network is another setting.
    fake_runs.trial(tmp_path, 2, heat, 70.0, own={"net.py": "0", "heat.py": "2"})
    versions = [cell.origin["code"] for cell in cells(read(tmp_path)) if cell.folder == folder]
    (setting,) = settings(cells(read(tmp_path)))
    names = {setting.metric(cell) for cell in setting.cells if cell.folder == folder}
    assert names == {f"heat, code {code}" for code in versions}
    fake_runs.trial(tmp_path, 3, heat, 70.0, own={"net.py": "9", "heat.py": "2"})
    assert len(settings(cells(read(tmp_path)))) == 2


def test_labels_differ_between_metrics_without_hindering_their_comparison(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.0, 91.0])
    fake_runs.cell(tmp_path, {**SOBOLEV, "lam": 3.0}, [92.0, 93.0], labels=("lam 3 is ours",))
    assert tabulate(cells(read(tmp_path)))[1].difference.value == pytest.approx(2)


def test_no_trial_vanishes(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.0, 91.0, 92.0])
    fake_runs.trial(tmp_path, 3, H0, 10.0, status="diverged")
    fake_runs.trial(tmp_path, 4, H0, 0.0, status="failed", code="b" * 64)
    fake_runs.trial(tmp_path, 5, H0, 0.0, status="incomplete", checksum="")
    (fake_runs.trial(tmp_path, 6, H0, 0.0) / "config.yaml").unlink()
    fake_runs.trial(tmp_path, 7, H0, 93.0, code="b" * 64)
    found = cells(read(tmp_path))
    assert sum(len(cell.trials) for cell in found) == 8
    assert found[0].counts == {"done": 3, "diverged": 1, "failed": 1, "incomplete": 1, "damaged": 1}
    assert sorted(found[0].scores()) == [10, 90, 91, 92], "a diverged trial counts"


def test_a_cell_that_only_failed_stands_in_its_setting(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.0, 91.0])
    fake_runs.trial(tmp_path, 0, SOBOLEV, 0.0, status="failed", code="b" * 64, checksum="")
    (setting,) = settings(cells(read(tmp_path)))
    assert [setting.metric(cell) for cell in setting.cells] == ["h0", "sobolev"]
    row = tabulate(cells(read(tmp_path)))[1]
    assert (row.planned, row.last, row.difference) == (1, None, None)


def test_a_folder_without_a_readable_config_makes_no_cell(tmp_path):
    (fake_runs.trial(tmp_path, 0, H0, 90.0) / "config.yaml").unlink()
    assert cells(read(tmp_path)) == []


def test_metrics_are_named_by_what_tells_them_apart(tmp_path):
    for metric in (H0, H0_LAMBDA, {**H0_LAMBDA, "lam": 5.0}, SOBOLEV,
                   {**SOBOLEV, "direction": "input"}, {**SOBOLEV, "scope": "all"}):  # fmt: skip
        fake_runs.cell(tmp_path, metric, [90.0])
    (setting,) = settings(cells(read(tmp_path)))
    assert [setting.metric(cell) for cell in setting.cells] == [
        "h0", "h0_lambda, lam 1", "h0_lambda, lam 5", "sobolev, input, conv",
        "sobolev, output, all", "sobolev, output, conv",
    ]  # fmt: skip


def test_a_network_with_a_name_of_its_own_is_called_by_both(tmp_path):
    for k, arch in enumerate(("resnet18", "resnet34")):
        fake_runs.trial(tmp_path, k, H0, 90.0, model="torchvision", overrides={"model.arch": arch})
    names = [setting.name for setting in settings(cells(read(tmp_path)))]
    assert names == [f"torchvision {arch} · sgd · batch 100" for arch in ("resnet18", "resnet34")]


def test_settings_are_told_apart_by_names_not_by_classes(tmp_path):
    for name, every in (("step", 3), ("cosine", None)):
        schedule = {"_target_": f"a.{name}", "name": name, "every": every}
        fake_runs.cell(tmp_path, H0, [90.0], overrides={"task.schedule": schedule})
    names = [setting.name for setting in settings(cells(read(tmp_path)))]
    assert [name.partition("batch 100 · ")[2] for name in names] == [
        "task.schedule.every 3 · task.schedule.name step",
        "task.schedule.every null · task.schedule.name cosine",
    ]  # fmt: skip
