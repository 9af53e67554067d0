"""The rows on a terminal: columns by its width, numbers as on the page."""

from __future__ import annotations

import pytest

from chandir import report
from chandir.report.show import terminal
from tests import fake_runs


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_a_table_is_never_wider_than_the_terminal(tmp_path, width):
    fake_runs.demo(tmp_path)
    lines = terminal.tables(terminal.rows_of(report.gather(tmp_path)), width).splitlines()
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if line.startswith("Metric"))
    assert ("95 % interval" in header) == (width >= 70)
    assert ("Best epoch" in header) == (width >= 120)
    assert any("92.00 ± 0.50" in line for line in lines)
    assert not any("|" in line for line in lines)


def test_a_terminal_without_unicode_is_spelt_for_before_widths_are_measured(tmp_path):
    fake_runs.demo(tmp_path)

    def spelt(text: str) -> str:
        return text.replace("±", "+-").encode("ascii", "replace").decode()

    text = terminal.tables(terminal.rows_of(report.gather(tmp_path)), 80, spelt)
    assert "+- 0.50" in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_what_a_sweep_says_is_what_the_page_says(tmp_path):
    fake_runs.demo(tmp_path)
    rows = terminal.rows_of(report.gather(tmp_path))
    folders = [trial.folder for row in rows for trial in row.cell.complete]
    told = terminal.compared(folders)
    assert set(told) == {row.cell.folder for row in rows}
    for row in rows:
        mean, gain, interval = told[row.cell.folder]
        assert mean.startswith(f"{row.last.mean:.2f} ± ")
        assert bool(gain) == bool(interval) == (not row.cell.baseline)
