"""The sentences at the top: no word beyond what the intervals hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chandir.report.judge.artefacts import parts
from chandir.report.judge.claims_file import arm, artefacts
from chandir.report.read.cells import cells
from chandir.report.read.runs import read
from chandir.report.read.wording import phrase
from chandir.report.show.answer import answers, question
from chandir.report.show.figures.worth import worth
from chandir.report.show.rows import tabulate
from chandir.report.show.words import bounded, counted
from tests import fake_runs
from tests.fake_runs import FID, H0, H0_LAMBDA, SOBOLEV


def said(runs):
    found = cells(read(runs))
    rows = tabulate(found)
    pieces = parts(artefacts(), found)
    return answers(rows, pieces), question(rows, answers(rows, pieces), any(p.ran for p in pieces))


def arms(runs, *means, sd=0.5, n=5, **options):
    for seed, (metric, mean) in enumerate(zip((H0, H0_LAMBDA, SOBOLEV), means, strict=False)):
        fake_runs.cell(runs, metric, fake_runs.scores(mean, sd, n, seed), **options)


def test_an_interval_about_zero_is_no_difference_resolved_and_says_what_remains(tmp_path):
    arms(tmp_path, 95.0, 95.1, 94.9)
    ((one,), _) = said(tmp_path)
    assert "no difference to plain gradients was resolved" in one.sentence
    assert "better" not in one.sentence.replace("resolved", "")
    assert "worse" not in one.sentence
    assert "Within these 95 % intervals, gains of up to 0.83 and losses of up to 0.83 points" in (
        one.sentence
    )
    assert "5 trials of each arm" in one.sentence


def test_better_and_worse_are_told_by_the_scores_own_direction(tmp_path):
    arms(tmp_path / "a", 90.0, 92.0, 88.0)
    ((one,), _) = said(tmp_path / "a")
    for text in ("h0_lambda was better than plain gradients: +2.00 points, 95 % interval [",
                 "sobolev was worse than plain gradients: −2.00 points"):  # fmt: skip
        assert text in one.sentence
    arms(tmp_path / "b", 90.0, 80.0, sd=1.0, score_spec=FID)
    ((one,), _) = said(tmp_path / "b")
    assert "h0_lambda was better than plain gradients: −10.00 in test FID" in one.sentence


def test_an_interval_that_correction_would_widen_over_zero_remains_open(tmp_path):
    # Of two comparisons, p = 0.03 and p = 0.9: the first is not significant after Holm.
    arms(tmp_path, 95.0, 95.82, 95.0)
    ((one,), _) = said(tmp_path)
    lam = one.others[0].difference
    assert 0.025 < lam.p < 0.05
    assert "no difference to plain gradients was resolved" in one.sentence
    assert "h0_lambda remains open: its own interval excludes zero, but not after" in one.sentence


def figure6(runs, name, mean, sd=0.1, n=5, seed=0, **where):
    own = arm(name, "mnist-swap", data__name="mnist")
    own = replace(own, where=tuple({**dict(own.where), **where}.items()))
    fake_runs.arm(runs, own, fake_runs.scores(mean, sd, n, seed))


def test_a_declared_comparison_is_told_by_its_family_whatever_part_of_it_ran(tmp_path):
    """Of Figure 6's 24 claims two ran: its verdicts and the sentence are by the same correction."""
    figure6(tmp_path, "h0", 97.0)
    figure6(tmp_path, "h0_mean", 97.175, seed=1)  # declared as one of two, not in Figure 6
    figure6(tmp_path, "h0_lambda", 96.8, seed=2, **{"metric.lam": 5.0})
    figure6(tmp_path, "sobolev", 97.0, seed=3, **{"metric.weight": 1.0})
    ((one,), _) = said(tmp_path)
    p = {row.cell.config["metric"]["name"]: row.difference.p for row in one.others}
    assert 0.05 / 24 < p["h0_lambda"] < 0.05 / 3
    assert 0.05 / 3 < p["h0_mean"] < 0.05 / 2
    assert "h0_mean was better than plain gradients: +0.17 points" in one.sentence
    assert "h0_lambda" not in one.short
    told, hint = one.sentence.split(" h0_lambda (lam 5) remains open: ")
    assert hint == "its own interval excludes zero, but not after correction for 24 comparisons."
    # What remains possible is said of the arms that were named last, before the hint.
    assert told.endswith(
        "gains of up to 0.15 and losses of up to 0.15 points remain possible there."
    )
    figure6(tmp_path, "h0_lambda", 95.0, seed=2, **{"metric.lam": 20.0})
    ((one,), _) = said(tmp_path)
    assert "h0_lambda (lam 20) was worse than plain gradients: −2.00" in one.sentence


def test_losses_of_many_are_said_by_their_size(tmp_path):
    figure6(tmp_path, "h0", 97.0)
    for lam, loss in ((0.5, 1.0), (2.0, 1.5), (5.0, 2.0), (20.0, 3.0)):
        figure6(tmp_path, "h0_lambda", 97.0 - loss, seed=2, **{"metric.lam": lam})
    ((one,), _) = said(tmp_path)
    assert "were worse than plain gradients, by 1.00 to 3.00 points." in one.sentence


@pytest.mark.parametrize("options", [{"scale": "smoke"}, {"source": "synthetic"}])
def test_what_measures_nothing_and_lone_trials_answer_nothing(tmp_path, options):
    arms(tmp_path / "a", 90.0, 92.0, **options)
    assert said(tmp_path / "a") == ([], "Channel-directed gradients: a smoke run")
    fake_runs.cell(tmp_path / "b", H0, [90.0])
    fake_runs.cell(tmp_path / "b", SOBOLEV, [92.0])
    assert said(tmp_path / "b")[0] == []


def test_the_papers_settings_come_first_and_a_users_own_name_the_page(tmp_path):
    arms(tmp_path / "own", 80.0, 81.0, task="folder", model="torchvision")
    found, title = said(tmp_path / "own")
    assert title == "Channel-directed gradients on folder (torchvision, SGD, batch 100)"
    for seed, name in enumerate(("h0", "sobolev")):
        one = arm(name, "resnet56-sgd", task__batch_size=8)
        fake_runs.arm(tmp_path / "own", one, fake_runs.scores(93.0, 0.2, 25, seed))
    found, title = said(tmp_path / "own")
    assert [answer.first.cell.task for answer in found] == ["cifar10", "folder"]
    assert title == "Channel-directed gradients: does the paper hold?"


def test_a_figure_compares_or_shows_a_spread():
    assert worth([[1.0], [2.0]])
    assert worth([[1.0, 2.0]])
    assert not worth([[1.0], []])
    assert not worth([])


def test_settings_numbers_and_ranges_are_said_as_people_say_them():
    assert phrase("task.schedule.every", 1) == "rate lowered each epoch"
    assert phrase("threads", 1) == "1 thread"
    assert phrase("optimizer.lr", 0.005) == "learning rate 0.005"
    assert phrase("task.train_size", None) == "all training images"
    assert (counted(1, "trial"), counted(2, "trial")) == ("1 trial", "2 trials")
    percent = {"name": "test_accuracy", "unit": "%"}
    assert bounded((4.81, 140.12), percent) == (4.81, 100.0)
    assert bounded((-3.0, 12.0), {"name": "test_fid", "unit": ""}) == (0.0, 12.0)
