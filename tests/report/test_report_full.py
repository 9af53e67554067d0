"""The whole of it at full size: planted effects come out as verdicts, tables and figures."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from chandir import report
from chandir.report.judge.claims_file import artefacts
from chandir.report.judge.findings import findings
from chandir.report.read.cells import cells
from chandir.report.read.divergence import settle
from chandir.report.read.runs import read
from chandir.report.show import measured as beside
from tests import planted


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """540 + 72 + 9 trials of the tables and Figure 7, and 880 of the others."""
    folder = tmp_path_factory.mktemp("full") / "runs"
    planted.everything(folder, epochs=4)
    return folder


def test_every_planted_effect_has_its_verdict(runs):
    trials = settle(read(runs))
    assert Counter(trial.status for trial in trials) == {"done": 1501}
    found = findings(artefacts(), cells(trials))
    seen = {
        (f.claim.artefact, f.claim.arms[0].name, f.claim.context): f.judgement.verdict.value
        for f in found if f.claim.kind == "gain" and f.claim.baseline[0].name == "h0"
    }  # fmt: skip
    for setup, rows in planted.TABLE2.items():
        for batch, effects in rows.items():
            for name, (_, verdict) in zip(("sobolev", "h0_lambda"), effects, strict=True):
                assert seen[f"table2-{setup}", name, f"batch size {batch}"] == verdict
    by_artefact: dict[str, Counter] = {}
    for f in found:
        if f.claim.kind != "level":
            counts = by_artefact.setdefault(f.claim.artefact, Counter())
            counts[f.judgement.verdict.value] += 1
    assert by_artefact["table3"] == {"Reproduced": 4}
    assert by_artefact["fig6"] == {"Reproduced": 28}
    assert by_artefact["fig7"] == {"Not comparable": 4}, "the network is a substitute"
    assert by_artefact["fig8"] == by_artefact["fig9"] == {"Reproduced": 1}
    assert by_artefact["fig10"] == {"Reproduced": 4}
    assert by_artefact["fig11"] == {"Reproduced": 5}
    alike = {f.claim.baseline[0].name: f.judgement.verdict.value for f in found
             if f.claim.family == "Digits, correlation"}  # fmt: skip
    assert alike == {"h0": "Yes", "h0_mean": "Yes"}
    control = {(f.claim.arms[0].name, f.claim.baseline[0].name): f.judgement.verdict.value
               for f in found
               if f.claim.artefact == "control" and f.claim.context == "batch size 8"}  # fmt: skip
    assert control["h0_mean", "h0"] == "Yes", "the larger step alone gains"
    assert control["sobolev", "h0_mean"] == "Yes", "and the smoothing adds to it"
    assert control["h0_norm", "h0"] == "Inconclusive"


@pytest.mark.slow
def test_it_renders_in_full(runs, tmp_path):
    page = report.build(runs, tmp_path / "out").read_text(encoding="utf-8")
    for name in ("table2-resnet56-sgd", "table2-vgg16-sgd", "table2-resnet56-adam", "control",
                 "table3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10",
                 "fig11", "digits", "variant-digits-lr"):  # fmt: skip
        assert f'<div id="{name}"' in page
        for suffix in ("md", "tex"):
            assert (tmp_path / "out" / "tables" / f"{name}.{suffix}").stat().st_size > 500
    drawn = {path.stem for path in (tmp_path / "out" / "figures").glob("*.svg")}
    assert drawn >= {"figure2", "fig4-curves", "fig5", "fig5-left", "fig6", "fig7", "fig7-curves",
                     "fig8-curves", "fig9-curves", "fig10", "figure11", "figure13", "figure14",
                     "digits-figure11", "digits-figure13", "digits-figure14",
                     "table2-vgg16-sgd", "table3", "control", "digits", "digits-curves",
                     "digits-effects", "control-effects", "table2-vgg16-sgd-effects",
                     "table3-effects"}  # fmt: skip
    assert not (tmp_path / "out" / "figures" / "cifar10-scores.svg").exists(), "drawn above"
    assert "of 9" in page
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert "4 not comparable (2 agree in direction, 2 open)" in text
    assert re.search(r"Of the paper's \d+ claims: \d+ reproduced", text)
    latex_compiles_and_fits(tmp_path / "out" / "tables", tmp_path)


def test_latex_tables_compile_and_fit_the_line(tmp_path):
    planted.table2(tmp_path / "runs", "resnet56-adam", epochs=2)
    planted.figure7(tmp_path / "runs", epochs=2)
    report.build(tmp_path / "runs", tmp_path / "out")
    latex_compiles_and_fits(tmp_path / "out" / "tables", tmp_path)


def latex_compiles_and_fits(tables, folder):
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex (texlive)")
    inputs = "\n".join(
        rf"\input{{{path}}}\clearpage" for path in sorted(tables.glob("*.tex"))
        if path.stem != "results"
    )  # fmt: skip
    source = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}"
        r"\usepackage{booktabs}\usepackage[textwidth=140mm,textheight=240mm]{geometry}"
        rf"\begin{{document}}{inputs}\end{{document}}"
    )
    (folder / "all.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    wide = re.findall(r"Overfull \\hbox \((\d+\.\d+)pt too wide\)[^\n]*", done.stdout)
    assert [points for points in wide if float(points) > 1] == []


def test_figure_1_and_speed_come_from_files_beside_the_runs(tmp_path):
    import json

    assert beside.figure1(tmp_path) is None
    assert beside.speed(tmp_path) is None
    summary = {"output": {"invariant": 0.02}, "input": {"invariant": 0.005}}
    (tmp_path / "resnet50.json").write_text(json.dumps(summary))
    (tmp_path / "vgg16.json").write_text("{")  # damaged: left out, never fatal
    found = {line[0]: line[1:] for line in beside.figure1(tmp_path).body}
    assert found["resnet50"] == ("0.0077", "0.0200", "0.0047", "0.0050", "agrees")
    assert found["vgg16"][1::2] == ("—", "—")
    shares = {"sobolev, output": 0.015, "h0_lambda, output": 0.005}
    ratios = {row: {"median": share} for row, share in shares.items()}
    where = {"name": "X", "torch": "2", "taken": "2026-01-01T00"}
    record = {"benchmark": "metric", "batch": 128, "environment": where,
              "models": {"resnet56": {"ratio_to_step": ratios}}}  # fmt: skip
    (tmp_path / "bench.json").write_text(json.dumps(record))
    for i, other in enumerate(({}, {"resnet56": {"seconds": {}}}, None)):  # left out, never fatal
        (tmp_path / f"odd-{i}.json").write_text(
            json.dumps({"benchmark": "metric", "models": other})
        )
    rows = {line[1]: line[2:] for line in beside.speed(tmp_path).body}
    assert rows == {"h0_lambda": ("negligible", "0.50 %"),
                    "sobolev": ("50 %, in C++ 15 %", "1.50 %")}  # fmt: skip


def test_speed_is_read_from_what_the_benchmark_writes():
    """Its records under version control, not one made up here."""
    sheet = beside.speed(Path(__file__).parents[2] / "results" / "bench")
    settings = [line[0] for line in sheet.body if line[0]]
    assert any(setting.startswith("resnet56, batch size 8") for setting in settings)
    assert len(sheet.body) == 3 * len(settings)
