"""One row model, four formats: the same numbers, and every label beside them."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import pytest

from chandir.report.read.cells import cells
from chandir.report.read.runs import read
from chandir.report.show import results as table
from chandir.report.show.rows import brief, tabulate, texts
from chandir.report.show.sheet import escape, plain
from tests import fake_runs
from tests.fake_runs import H0, H0_LAMBDA, SOBOLEV

NASTY = r"50 % of \data{} | a_b & #1 $x^2$ ~ [sic] <b> −1 ± 2 · é"


@pytest.fixture
def rows(tmp_path):
    fake_runs.demo(tmp_path, labels=("5 epochs (paper: 100)",))
    fake_runs.trial(
        tmp_path, 5, SOBOLEV, 10.0, status="diverged", labels=("5 epochs (paper: 100)",)
    )
    fake_runs.trial(tmp_path, 5, H0, 0.0, status="failed", labels=("5 epochs (paper: 100)",))
    fake_runs.demo(tmp_path, batch=8, labels=("5 epochs (paper: 100)", NASTY))
    fake_runs.cell(tmp_path, H0, [65.0, 66.0], task="spade", score_spec=fake_runs.FID)
    fake_runs.cell(tmp_path, SOBOLEV, [60.0, 60.5], task="spade", score_spec=fake_runs.FID)
    return tabulate(cells(read(tmp_path)))


def lines(rows):
    """The Markdown tables' cells, header first."""
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.markdown(rows).splitlines()
             if line.startswith("|")]  # fmt: skip
    return [
        [cell.strip() for cell in line] for line in split if not set("".join(line)) <= set("-:|")
    ]


def test_markdown_holds_the_planted_numbers(rows):
    found = [line[1:] for line in lines(rows) if line[1:3] == ["h0_lambda", "5"]]
    assert len(found) == 2
    for line in found:
        assert line[2:5] == ["92.00 ± 0.50", "[91.38, 92.62]", line[4]]
        assert line[5:9] == ["+2.00", "[+1.27, +2.73]", "< 0.001", "20.0 %"]


def test_every_table_is_rectangular(rows):
    for block in table.markdown(rows).split("**")[2::2]:
        widths = {
            len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines() if "|" in line[:1]
        }
        assert len(widths) == 1


def test_no_trial_is_silent(rows):
    text = table.markdown(rows)
    assert "5 of 6 (1 failed)" in text
    assert "6 (1 diverged)" in text


def test_lower_is_better_where_it_is(rows):
    sobolev = texts(rows[-1])
    assert (sobolev["Difference to h0"], sobolev["Error reduced"]) == ("−5.25", "8.0 %")
    assert "test FID, lower is better" in table.markdown(rows)
    assert brief(rows[-1])["Mean"].startswith("60.25 [")


def test_every_label_is_in_every_format(rows):
    markdown, latex, sheet = table.markdown(rows), table.latex(rows), table.to_csv(rows)
    assert "Not as in the paper: 5 epochs (paper: 100)" in markdown
    assert f"a: {plain(NASTY)}" in markdown
    assert f"a: {escape(NASTY)}" in latex
    assert NASTY in sheet


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            "h0_lambda, 90.1 [89.0, 91.2], p < 0.01, 2 * 3",
            r"h0_lambda, 90.1 [89.0, 91.2], p < 0.01, 2 \* 3",
        ),
        ("a|b\nc", r"a\|b c"),
        ("[x](http://e)", r"[x]\(http://e)"),
        ("<script>", r"\<script>"),
        ("_a_ `b` **c**", r"\_a\_ \`b\` \*\*c\*\*"),
        (r"\|", r"\\\|"),
    ],
)
def test_markdown_prints_a_label_as_it_is(text, printed):
    assert plain(text) == printed


def test_csv_keeps_full_precision(rows):
    records = list(csv.DictReader(io.StringIO(table.to_csv(rows))))
    assert len(records) == len(rows)
    for record, row in zip(records, rows, strict=True):
        assert float(record["last_mean"]) == row.last.mean
        assert int(record["planned"]) == row.planned
        assert record["metric"] == row.cell.config["metric"]["name"]
        if row.difference:
            assert float(record["difference"]) == row.difference.value
            assert float(record["p"]) == row.difference.p
        else:
            assert record["difference"] == record["p"] == ""


def test_one_trial_has_no_interval_and_no_p(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.0])
    fake_runs.cell(tmp_path, H0_LAMBDA, [91.0])
    text = texts(tabulate(cells(read(tmp_path)))[1])
    assert [*text.values()] == [
        "h0_lambda", "1", "91.00", "—", text["Best epoch"], "+1.00", "—", "—", "10.0 %",
    ]  # fmt: skip


def test_zero_has_no_sign(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.001])
    fake_runs.cell(tmp_path, SOBOLEV, [90.0])
    assert texts(tabulate(cells(read(tmp_path)))[1])["Difference to h0"] == "0.00"


@pytest.mark.parametrize(
    ("gain", "shown"), [(0.230, "+0.230 [+0.003, +0.457]"), (0.223, "+0.223 [−0.004, +0.450]")]
)
def test_no_rounding_hides_whether_a_difference_may_be_none(tmp_path, gain, shown):
    """Three trials of each, deviation 0.1: Welch's half-width is 0.2267."""
    spread = (-0.1, 0.0, 0.1)
    fake_runs.cell(tmp_path, H0, [90 + x for x in spread])
    fake_runs.cell(tmp_path, SOBOLEV, [90 + gain + x for x in spread])
    row = tabulate(cells(read(tmp_path)))[1]
    assert brief(row)["Difference to h0"] == shown
    assert f"{texts(row)['Difference to h0']} {texts(row)['its 95 % interval']}" == shown


def test_no_rows_give_empty_tables():
    assert table.markdown([]) == table.to_csv([]) == ""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex (texlive)")
def test_latex_compiles(rows, tmp_path):
    source = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
        f"\n{table.latex(rows)}\n" + r"\end{document}"
    )
    (tmp_path / "table.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
