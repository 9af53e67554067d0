"""Figures hold what they claim: the library's kernels, every trial, the right lambda."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from chandir.report.judge.claims_file import artefacts
from chandir.report.judge.findings import findings
from chandir.report.read.cells import cells
from chandir.report.read.runs import read
from chandir.report.show import figures
from chandir.report.show.figures import curves, effects, kernels, lambdas, scores
from chandir.report.show.figures.style import inline, looks
from chandir.report.show.rows import tabulate
from chandir.report.statistics import Contrast
from tests import fake_runs, planted
from tests.fake_runs import H0, H0_LAMBDA, SOBOLEV


def rows_of(runs):
    return tabulate(cells(read(runs)))


@pytest.mark.parametrize("lam", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("n", [1, 2, 3, 16, 64])
def test_figure_2_shows_the_librarys_kernels(n, lam):
    chandir = pytest.importorskip("chandir")
    found = kernels.kernels(n, lam)
    for name, metric in (
        ("h0_lambda", chandir.H0Lambda(lam=lam)),
        ("sobolev", chandir.Sobolev(lam=lam)),
    ):
        operator = np.linalg.inv(np.asarray(metric.gram(n)))
        assert found[name] == pytest.approx(operator[0], abs=1e-11)


def test_a_band_is_the_t_interval_of_each_epoch(tmp_path):
    fake_runs.cell(tmp_path, H0, [90.0, 91.0, 93.0], epochs=4)
    (row,) = rows_of(tmp_path)
    epochs, mean, half = curves.band(row.cell.complete, "test_accuracy")
    values = np.array([[e["test_accuracy"] for e in t.log] for t in row.cell.complete])
    low, high = stats.t.interval(0.95, 2, values.mean(0), stats.sem(values, axis=0))
    assert epochs.tolist() == [1, 2, 3, 4]
    assert mean - half == pytest.approx(low)
    assert mean + half == pytest.approx(high)
    assert mean[-1] == pytest.approx(row.last.mean)


def test_a_shorter_trial_counts_where_it_has_epochs(tmp_path):
    fake_runs.trial(tmp_path, 0, H0, 90.0, epochs=4)
    folder = fake_runs.trial(tmp_path, 1, H0, 10.0, epochs=4, status="diverged")
    fake_runs.change(folder, lambda rows: rows.__delitem__(slice(2, None)))
    (row,) = rows_of(tmp_path)
    _, mean, half = curves.band(row.cell.complete, "test_accuracy")
    assert mean[3] == 90.0
    assert half[1] > 0 == half[2] == half[3]


def test_sweeps_put_the_papers_lambda_on_the_axis(tmp_path):
    fake_runs.lambdas(tmp_path, n=2)
    for lam in (0.5, 2.0):
        fake_runs.cell(
            tmp_path, {**SOBOLEV, "lam": lam}, [90.0, 91.0], task="mnist-swap", name="mnist"
        )
    rows = [row for row in rows_of(tmp_path) if row.setting.name.startswith("mnist")]
    found = {sweep.name: [lam for lam, _ in sweep.points] for sweep in lambdas.sweeps(rows)}
    assert found == {
        "h0_lambda (λ = lam)": [0.5, 1, 2, 5, 10, 20],
        "sobolev (λ = weight)": [0.5, 1, 2, 5, 10, 20],
        "sobolev (λ = lam)": [0.5, 1, 2],
    }
    for sweep in lambdas.sweeps(rows):
        swept = re.search(r"= (\w+)", sweep.name).group(1)
        assert [row.cell.config["metric"][swept] for _, row in sweep.points] == found[sweep.name]


def test_two_values_make_a_sweep_and_directions_are_lines_of_their_own(tmp_path):
    for direction, values in (
        ("output", (1.0, 2.0)),
        ("input", (1.0, 5.0)),
        ("rasterized", (1.0,)),
    ):
        for lam in values:
            fake_runs.cell(tmp_path, {**H0_LAMBDA, "direction": direction, "lam": lam}, [90.0])
    found = {s.name: [lam for lam, _ in s.points] for s in lambdas.sweeps(rows_of(tmp_path))}
    assert found == {
        "h0_lambda (λ = lam)": [1, 2],
        "h0_lambda (λ = lam), input": [1, 5],
        "h0_lambda (λ = lam), rasterized": [1],
    }


def test_a_metric_at_one_strength_is_drawn_once_beside_one_that_was_swept(tmp_path):
    fake_runs.cell(tmp_path, SOBOLEV, [90.0, 91.0])
    fake_runs.cell(tmp_path, {**H0_LAMBDA, "lam": 5.0}, [90.0, 91.0])
    assert lambdas.sweeps(rows_of(tmp_path)) == []
    fake_runs.cell(tmp_path, H0_LAMBDA, [90.0, 91.0])
    found = {s.name: [lam for lam, _ in s.points] for s in lambdas.sweeps(rows_of(tmp_path))}
    assert found == {"h0_lambda (λ = lam)": [1, 5], "sobolev (λ = weight)": [1]}


def test_a_legend_names_what_any_panel_shows(tmp_path):
    for name, metric in (("mnist", SOBOLEV), ("fashion-mnist", H0_LAMBDA)):
        where = {"task": "mnist-swap", "name": name}
        fake_runs.cell(tmp_path, H0, [90.0, 91.0], **where)
        for lam in (1.0, 5.0):
            swept = "weight" if metric is SOBOLEV else "lam"
            fake_runs.cell(tmp_path, {**metric, swept: lam}, [90.0, 91.0], **where)
    rows = rows_of(tmp_path)
    panels = [list(group) for _, group in groupby(rows, key=lambda row: row.setting.name)]
    svg = lambdas.draw(panels, tmp_path, "fig6", "Figure 6").svg
    text = list(ElementTree.fromstring(svg).itertext())
    for name in ("h0", "h0_lambda (λ = lam)", "sobolev (λ = weight)"):
        assert text.count(name) == 1, name


def test_every_trial_is_drawn(tmp_path):
    def markers(n):
        fake_runs.cell(tmp_path / str(n), H0, fake_runs.scores(90, 1, n))
        svg = scores.of_rows(rows_of(tmp_path / str(n)), tmp_path, "scores").svg
        return len(re.findall("<use ", svg))

    few, some, many = markers(4), markers(9), markers(29)
    assert some - few == pytest.approx(5, abs=2)  # ticks may differ by one or two
    assert many - some == pytest.approx(20, abs=2)


def test_every_figure_carries_n_and_labels_and_is_reproducible(tmp_path):
    fake_runs.demo(tmp_path / "runs", labels=("synthetic data",))
    fake_runs.lambdas(tmp_path / "runs", n=3, labels=("synthetic data",))
    rows = rows_of(tmp_path / "runs")
    for task, n in (("digits", "5 trials per cell"), ("mnist-swap", "3 trials per cell")):
        own = [row for row in rows if row.cell.task == task]
        first = figures.of_task(own, set(), tmp_path / "a")
        again = figures.of_task(own, set(), tmp_path / "b")
        assert [drawing.name for drawing in first] == [drawing.name for drawing in again]
        assert any("curves" in drawing.name for drawing in first)
        assert any("lambda" in drawing.name for drawing in first) == (task == "mnist-swap")
        for one, other in zip(first, again, strict=True):
            assert one.svg == other.svg
            assert (tmp_path / "a" / f"{one.name}.png").stat().st_size > 5000
            text = "".join(ElementTree.fromstring(one.svg).itertext())
            assert n in text
            assert "not as in the paper: synthetic data" in text


def test_inlined_figures_share_no_ids_and_let_the_page_choose_colours(tmp_path):
    (drawing,) = figures.general(tmp_path)
    svg = inline(drawing)
    ids = re.findall(r'\bid="([^"]+)"', svg)
    used = re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)
    assert set(used) <= set(ids)
    assert all(name.startswith("figure2-") for name in ids)
    assert "fill: #0072b2" not in svg
    assert "stroke: var(--fig-0072b2, #0072b2)" in svg
    ElementTree.fromstring(svg)


def test_a_metric_has_its_colour_in_every_figure_and_neighbours_differ():
    found = looks(["h0", *"abcdefg"])
    assert len({look.colour for look in found.values()}) == 8
    assert len({look.marker for look in found.values()}) == 8
    alone = looks(["sobolev, input"])["sobolev, input"]
    among = looks(["LS", "h0", "h0_lambda", "sobolev (λ = weight)", "sobolev (λ = lam)"])
    assert among["sobolev (λ = weight)"] == alone
    assert len(set(among.values())) == 5


def test_a_setting_that_an_artefact_shows_is_not_drawn_twice(tmp_path):
    fake_runs.demo(tmp_path / "runs")
    rows = rows_of(tmp_path / "runs")
    assert figures.of_task(rows, {id(row.cell) for row in rows}, tmp_path) == []
    assert figures.of_task(rows, {id(rows[0].cell)}, tmp_path) != []


def test_every_gain_is_drawn_filled_where_zero_is_outside_and_beside_the_papers(tmp_path):
    planted.table3(tmp_path / "runs", epochs=2)
    found = findings([a for a in artefacts() if a.name == "table3"], cells(read(tmp_path / "runs")))
    gains = effects.drawable(found)
    assert [f.claim.text for f in gains] == ["sobolev better than h0", "h0_lambda better than h0"]
    svg = effects.draw(gains, "test FID", tmp_path, "effects", "Effects", "24 trials.").svg
    text = "".join(ElementTree.fromstring(svg).itertext())
    assert "sobolev − h0" in text
    assert "24 trials." in text
    assert "fill: #ffffff" not in svg, "both exclude zero"
    crosses = re.findall(r"stroke: #1b1f24; stroke-width: 1.2", svg)
    assert crosses, "the paper's own"
    nothing = [replace(f, contrast=replace(f.contrast, terms=f.contrast.terms[:1] * 2), paper=None)
               for f in gains]  # fmt: skip
    flat = [replace(f, contrast=Contrast(tuple((s * c, x) for s, (c, x) in
                                               zip((1, -1), f.contrast.terms, strict=True))))
            for f in nothing]  # fmt: skip
    svg = effects.draw(flat, "test FID", tmp_path, "effects", "Effects", "24 trials.").svg
    assert "fill: #ffffff" in svg, "no difference at all: hollow"
    assert "stroke: #1b1f24; stroke-width: 1.2" not in svg


def test_a_score_of_the_last_epoch_alone_leaves_the_losses_curves() -> None:
    """SPADE's: its FID takes minutes, so that only the end has one."""
    from chandir.report.show.figures.curves import _logged

    losses = {"train_loss_generator": 2.0, "train_loss_discriminator": 1.0}
    log = [losses, losses, {**losses, "test_fid": 60.0}]
    own = ["train_fid", "test_fid"]
    assert _logged(own, [log]) == sorted(losses)
    assert _logged(own, [log[2:]]) == ["test_fid"]
    assert _logged(own, [[{**epoch, "test_fid": 60.0} for epoch in log]]) == ["test_fid"]
