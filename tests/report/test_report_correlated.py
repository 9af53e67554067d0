"""The table of how alike the channels of what was trained are."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from chandir.report.read.cells import cells
from chandir.report.read.runs import read
from chandir.report.show import correlated
from chandir.report.show.rows import tabulate
from tests import fake_runs, planted


def test_each_cell_has_the_mean_over_its_trials(tmp_path: Path) -> None:
    strengths = [0.1, 0.2, 0.4]
    for k, strength in enumerate(strengths):
        kept = planted.correlation(strength)
        fake_runs.trial(tmp_path, k, fake_runs.H0, 90.0, correlation=kept)
    sheet = correlated.correlated(tabulate(cells(read(tmp_path))))
    assert sheet is not None
    [row], [values] = sheet.body, sheet.values
    found = dict(zip(sheet.header, row, strict=True))
    assert (found["Metric"], found["Trials"]) == ("h0", "3")
    assert values["Output"] == pytest.approx(statistics.fmean(strengths))
    assert values["Input"] == pytest.approx(statistics.fmean(strengths) / 100)
    assert (
        found["Output"] == f"{statistics.fmean(strengths):.3f} ± {statistics.stdev(strengths):.3f}"
    )


def test_a_direction_with_one_channel_has_no_number(tmp_path: Path) -> None:
    kept = planted.correlation(0.1) | {"input": None}
    fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0, correlation=kept)
    sheet = correlated.correlated(tabulate(cells(read(tmp_path))))
    assert sheet is not None
    found = dict(zip(sheet.header, sheet.body[0], strict=True))
    assert (found["Output"], found["Input"]) == ("0.100", "—")


def test_without_any_there_is_no_table(tmp_path: Path) -> None:
    fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0)
    assert correlated.correlated(tabulate(cells(read(tmp_path)))) is None
