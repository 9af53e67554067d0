"""Which verdicts hang on single trials: judged anew without each one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chandir import report
from chandir.report.judge.claims_file import arm, artefacts
from chandir.report.judge.finding import LEFT_OUT, left_out, measure
from chandir.report.judge.findings import findings
from chandir.report.judge.influence import LEGEND
from chandir.report.judge.judging import verdict
from chandir.report.publish import headline
from chandir.report.read.cells import cells
from chandir.report.read.divergence import settle
from chandir.report.read.runs import read
from chandir.report.statistics import holm
from tests import fake_runs

SPREAD = fake_runs.scores(90.0, 0.3, 25, 1)
NEAR = [value + 0.18 for value in fake_runs.scores(90.0, 0.3, 25, 2)]  # on the edge of a Yes
FAR = [value + 2 for value in NEAR]


def write(runs, **values):
    for name, scores in values.items():
        fake_runs.arm(runs, arm(name, "digits"), scores, epochs=2)


def family(runs):
    """The findings of the comparison with plain gradients, on the digits."""
    found = findings([a for a in artefacts() if a.name == "digits"], cells(settle(read(runs))))
    (name,) = {f.claim.family for f in found if f.claim.question == "Better than plain gradients?"}
    return [f for f in found if f.claim.family == name]


def by_hand(trials, claims, gone):
    """The words of a family's verdicts, by trials among which one is missing."""
    found = cells(trial for trial in trials if trial is not gone)
    measured = [replace(measure(claim, found), deviations=()) for claim in claims]
    corrected = holm([f.p for f in measured])
    return [verdict(replace(f, tested=t)).word for f, t in zip(measured, corrected, strict=True)]


def test_leaving_out_equals_runs_without_the_trial(tmp_path):
    runs = tmp_path / "runs"
    write(runs, h0=SPREAD, sobolev=NEAR, h0_lambda=FAR)
    found = family(runs)
    claims = [f.claim for f in found]
    expected = {f.claim.arms[0].name: set() for f in found}
    trials = settle(read(runs))
    for gone in trials:
        name = gone.config["metric"]["name"]
        for f, word in zip(found, by_hand(trials, claims, gone), strict=True):
            own = f.claim.arms[0].name
            if name in (own, "h0") and word != f.judgement.word:
                expected[own].add((name, gone.index, word))
    told = {f.claim.arms[0].name: {(c.arm, c.trial, c.word) for c in f.hangs_on} for f in found}
    assert told == expected
    assert told["sobolev"], "planted on the edge"
    assert not told["h0_lambda"], "planted far from it"


def test_one_trial_that_decides_is_named(tmp_path):
    write(tmp_path, h0=SPREAD, sobolev=[*FAR[:-1], 40.0])
    (one,) = [f for f in family(tmp_path) if f.claim.arms[0].name == "sobolev"]
    assert one.judgement.word == "Inconclusive"
    assert one.hanging == "leave-one-out: 1 of 50 differs, without trial 24 of sobolev: Yes"


def test_another_verdict_of_the_same_name_is_told_apart(tmp_path):
    """ "No, opposite" that becomes a plain "No" would read as no change at all."""
    write(tmp_path, h0=SPREAD, sobolev=[value - 0.38 for value in NEAR])
    (one,) = [f for f in family(tmp_path) if f.claim.arms[0].name == "sobolev"]
    assert one.judgement.word == "No, opposite"
    assert {change.word for change in one.hangs_on} == {"No"}
    assert one.hanging.endswith("of 50 differ, without any one of them: No, not opposite")


@pytest.mark.parametrize(("sobolev", "said"), [(NEAR, True), (FAR, False)])
def test_page_summary_and_headline_say_so(tmp_path, sobolev, said):
    runs = tmp_path / "runs"
    write(runs, h0=SPREAD, sobolev=sobolev)
    out = tmp_path / "results" / "some"
    page = report.build(runs, out).read_text(encoding="utf-8")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (one,) = [c for c in summary["comparisons"]
              if c["claim"] == "sobolev better than h0" and c["artefact"] == "digits"]  # fmt: skip
    assert bool(one["hangs_on"]) is said
    text = left_out(len(one["hangs_on"]), 50)
    assert (f"{text}, without" in page) is said
    (out / "scores.csv").touch()
    block = headline.full(tmp_path / "results")
    assert (f"({text})" in block) is said
    assert (LEGEND in block) is said
    for comparison in summary["comparisons"]:
        del comparison["hangs_on"]  # as in publications from before it was asked
    (out / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert LEFT_OUT not in headline.full(tmp_path / "results")


def test_too_few_trials_to_leave_one_out_hang_on_nothing(tmp_path):
    write(tmp_path, h0=[90.0, 90.1], sobolev=[91.0, 91.2])
    assert not any(f.hangs_on for f in family(tmp_path))
