"""The verdict rule, condition by condition, and what it does to planted effects."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chandir.report.judge import rule
from chandir.report.judge.artefacts import parts
from chandir.report.judge.claims_file import arm, artefacts
from chandir.report.judge.findings import findings, paper_contrast
from chandir.report.judge.judging import UNRESOLVABLE
from chandir.report.judge.rule import Verdict
from chandir.report.judge.simulation import chances, classify
from chandir.report.read.cells import cells
from chandir.report.read.divergence import settle
from chandir.report.read.runs import read
from chandir.report.show import overview
from chandir.report.statistics import Contrast, Summary, holm
from tests import fake_runs, planted


def contrast(value, half, n=25):
    """Return a contrast with about this 95 % interval, value ± half."""
    one = Contrast(((1.0, Summary(n, value, 1.0)),))
    sd = half / (one.at(0.95)[1] - value)
    return Contrast(((1.0, Summary(n, value, sd)),))


@pytest.mark.parametrize(
    ("value", "half", "paper", "verdict", "detail"),
    [
        (0.3, 0.1, 0.3, Verdict.REPRODUCED, "size agrees"),
        (0.9, 0.1, 0.3, Verdict.REPRODUCED, "size differs"),
        (0.3, 0.1, None, Verdict.REPRODUCED, ""),
        (0.3, 0.1, 1.5, Verdict.SMALLER, "size differs"),
        (0.05, 0.04, 0.12, Verdict.SMALLER, "size differs"),  # s is 0.1, not 0.06
        (0.0, 0.1, 0.3, Verdict.NOT_REPRODUCED, "a gain of 0.15 is excluded"),
        (-0.3, 0.1, 0.3, Verdict.NOT_REPRODUCED, "opposite"),
        (0.0, 0.2, 0.3, Verdict.INCONCLUSIVE, ""),
        (0.1, 0.2, 0.3, Verdict.INCONCLUSIVE, ""),
    ],
)
def test_each_condition_of_the_rule(value, half, paper, verdict, detail):
    found = rule.gain(contrast(value, half), 0.95, paper, 0.1, 25)
    assert (found.verdict, found.detail) == (verdict, detail)


def test_a_stricter_level_can_only_weaken_a_verdict():
    at = {level: rule.gain(contrast(0.3, 0.25), level, 0.3, 0.1, 25).verdict
          for level in (0.95, 0.999)}  # fmt: skip
    assert at == {0.95: Verdict.REPRODUCED, 0.999: Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("mean", "sd", "verdict"),
    [(93.3, 0.2, Verdict.AGREES), (93.6, 0.2, Verdict.DIFFERS), (93.3, 0.05, Verdict.DIFFERS),
     (93.6, 2.0, Verdict.DIFFERS)],
)  # fmt: skip
def test_a_level_agrees_inside_the_prediction_interval_and_the_margin(mean, sd, verdict):
    one = Contrast(((1.0, Summary(25, mean, sd)),))
    assert rule.level(one, 93.24, 0.3, 25).verdict is verdict


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [(0.05, 0.1, Verdict.REPRODUCED), (0.1, 0.4, Verdict.INCONCLUSIVE),
     (0.6, 0.1, Verdict.NOT_REPRODUCED), (-0.6, 0.1, Verdict.NOT_REPRODUCED)],
)  # fmt: skip
def test_likeness_needs_a_narrow_interval_not_a_large_p(value, half, verdict):
    one = contrast(value, half)
    assert rule.equal(one, one.equivalence(0.3), 0.95, 0.3).verdict is verdict


def claim(artefact, text, context):
    return next(c for a in artefacts() if a.name == artefact for c in a.claims
                if (c.text, c.context) == (text, context))  # fmt: skip


@pytest.mark.parametrize(
    ("artefact", "batch", "true", "none"),
    [  # simulated, in per cent: reproduced, inconclusive; reproduced, smaller, not, open
        ("table2-resnet56-sgd", 8, (100, 0), (0, 2.6, 97, 0)),
        ("table2-resnet56-sgd", 32, (100, 0), (2.5, 0, 76, 21)),
        ("table2-resnet56-adam", 128, (60, 40), (2.3, 0, 19, 78)),
    ],
)
def test_the_simulated_rule_behaves_as_the_reference_says(artefact, batch, true, none):
    one = claim(artefact, "sobolev better than h0", f"batch size {batch}")
    own = paper_contrast(one)
    found = chances(one.paper, one.paper, own, 0.1)
    assert (100 * found.reproduced, 100 * found.inconclusive) == pytest.approx(true, abs=1.5)
    found = chances(0, one.paper, own, 0.1)
    shares = found.reproduced, found.smaller, found.not_reproduced, found.inconclusive
    assert [100 * share for share in shares] == pytest.approx(none, abs=1.5)


def test_the_simulated_rule_is_the_rule():
    noise = np.random.default_rng(0)
    for value, half in zip(noise.normal(0, 0.3, 200), noise.uniform(0.01, 0.5, 200), strict=True):
        one = contrast(value, half)
        low, high = one.at(0.95)
        s = rule.threshold(0.3, 0.1)
        many = classify(np.array([low]), np.array([high]), s)
        (verdict,) = [v for v, hit in many.items() if hit[0]]
        assert verdict is rule.gain(one, 0.95, 0.3, 0.1, 25).verdict


def test_the_paper_itself_resolves_thirteen_of_its_eighteen_gains():
    """Holm over all eighteen leaves out every Adam cell but one."""
    gains = [c for a in artefacts() for c in a.claims
             if c.kind == "gain" and c.family in ("Table 2, SGD", "Table 2, Adam")]  # fmt: skip
    tested = holm([paper_contrast(c).p for c in gains])
    assert len(gains) == 18
    assert sum(t.p <= 0.05 for t in tested) == 13
    lost = {c.artefact for c, t in zip(gains, tested, strict=True) if t.p > 0.05}
    assert lost == {"table2-resnet56-adam"}


def measured(runs, *names):
    found = findings([a for a in artefacts() if a.name in names], cells(settle(read(runs))))
    return {(f.claim.kind, f.claim.arms[0].name, f.claim.context): f for f in found
            if f.claim.value == "score"
            and (f.claim.baseline == () or f.claim.baseline[0].name == "h0")}  # fmt: skip


def test_planted_effects_get_their_verdicts(tmp_path):
    planted.table2(tmp_path, "resnet56-adam", epochs=2)
    found = measured(tmp_path, "table2-resnet56-adam")
    for batch, effects in planted.TABLE2["resnet56-adam"].items():
        for name, (effect, verdict) in zip(("sobolev", "h0_lambda"), effects, strict=True):
            one = found["gain", name, f"batch size {batch}"]
            assert one.judgement.verdict.value == verdict, (name, batch)
            assert one.contrast.value == pytest.approx(effect)
    weak = found["gain", "sobolev", "batch size 128"].judgement.detail
    assert "needs 22 trials an arm" in weak
    assert UNRESOLVABLE in weak
    assert found["level", "h0", "batch size 8"].judgement.verdict is Verdict.AGREES


def test_table_3_as_printed_reproduces_itself(tmp_path):
    planted.table3(tmp_path, epochs=2)
    found = measured(tmp_path, "table3")
    gain = found["gain", "h0_lambda", ""]
    assert gain.contrast.value == pytest.approx(7.78), "lower is better, so the sign is turned"
    assert gain.tested.p == pytest.approx(2 * gain.p)
    assert {f.judgement.verdict for f in found.values()} == {Verdict.REPRODUCED, Verdict.AGREES}


def digits(runs, name, mean, n=25, **options):
    spread = fake_runs.scores(mean, 0.3, n, len(name))
    return fake_runs.arm(runs, arm(name, "digits"), spread, epochs=2, **options)


def answers(runs):
    return measured(runs, "digits")["gain", "sobolev", ""].judgement


def test_what_is_missing_partial_or_reduced_is_said_and_never_judged(tmp_path):
    assert answers(tmp_path).verdict is Verdict.NOT_RUN
    digits(tmp_path / "a", "sobolev", 95.0)
    assert answers(tmp_path / "a").verdict is Verdict.INCOMPLETE
    assert answers(tmp_path / "a").detail == "no comparable runs of h0"
    digits(tmp_path / "a", "h0", 93.0, code="b" * 64)
    assert answers(tmp_path / "a").verdict is Verdict.INCOMPLETE, "other code is never compared"
    for runs, options, said in (
        ("b", {"n": 7}, "7 of 25 trials; direction agrees"),
        ("c", {"scale": "short", "labels": ("scale short", "2 epochs")},
         "scale short; 2 epochs; direction agrees"),
    ):  # fmt: skip
        digits(tmp_path / runs, "sobolev", 95.0, **options)
        digits(tmp_path / runs, "h0", 93.0, **options)
        found = answers(tmp_path / runs)
        assert (found.verdict, found.detail) == (Verdict.NOT_COMPARABLE, said)


@pytest.mark.parametrize("options", [{"source": "synthetic"}, {"scale": "smoke"}])
def test_what_measures_nothing_runs_no_claim_and_counts_in_none(tmp_path, options):
    digits(tmp_path, "sobolev", 95.0, **options)
    digits(tmp_path, "h0", 93.0, **options)
    assert answers(tmp_path).verdict is Verdict.NOT_RUN
    (part,) = [p for p in parts(artefacts(), cells(read(tmp_path))) if p.artefact.name == "digits"]
    assert not part.ran
    assert all(not sample for f in part.findings for sample in f.samples)


def test_a_lone_arm_of_a_shortened_run_is_no_artefact(tmp_path):
    def table2(values, **options):
        fake_runs.arm(
            tmp_path, arm("sobolev", "resnet56-sgd", task__batch_size=32), values, **options
        )
        found = parts(artefacts(), cells(read(tmp_path)))
        return next(p for p in found if p.artefact.name == "table2-resnet56-sgd")

    short = table2([55.0], labels=("3 epochs (paper: 240)",), epochs=3)
    assert not short.ran
    assert "sobolev, batch size 32: 0 of 25 trials" in short.missing
    assert table2([93.0]).ran, "at its own settings it is a beginning"


def test_what_was_planned_counts_and_not_what_was_added(tmp_path):
    digits(tmp_path, "sobolev", 95.0)
    digits(tmp_path, "h0", 93.0)
    before = measured(tmp_path, "digits")["gain", "sobolev", ""]
    folder = next(tmp_path.glob("digits/*h0-*"))
    for k in (25, 26):
        extra = fake_runs.arm(tmp_path / "x", arm("h0", "digits"), [0.0] * (k + 1), epochs=2)
        (extra / f"trial-{k}").rename(folder / f"trial-{k}")
        __import__("shutil").rmtree(tmp_path / "x")
    after = measured(tmp_path, "digits")["gain", "sobolev", ""]
    assert len(read(folder)) == 27
    assert after.contrast == before.contrast


def test_the_paper_protocol_is_chosen_before_a_reduced_run(tmp_path):
    for name, mean in (("h0", 93.0), ("sobolev", 95.0)):
        digits(tmp_path, name, mean)
        digits(tmp_path, name, 50.0, n=30, scale="short", labels=("scale short",))
    found = measured(tmp_path, "digits")["gain", "sobolev", ""]
    assert found.judgement.verdict is Verdict.YES
    assert found.contrast.value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "score", "expected"),
    [("digits", fake_runs.SCORE, 10.0), ("pascalvoc", {**fake_runs.SCORE, "name": "test_iou"}, 0.0),
     ("spade-cityscapes", fake_runs.FID, 91.0)],
)  # fmt: skip
def test_a_diverged_trial_counts_at_the_worst_value(tmp_path, name, score, expected):
    fake_runs.trial(tmp_path, 0, fake_runs.H0, 60.0, task=name, score_spec=score)
    fake_runs.trial(tmp_path, 1, fake_runs.SOBOLEV, 91.0, task=name, score_spec=score)
    lost = fake_runs.trial(tmp_path, 2, fake_runs.H0, 55.0, task=name, score_spec=score,
                           status="diverged")  # fmt: skip
    for value in (55.0, None):
        scored = {score["name"]: value}
        fake_runs.change(lost, lambda rows, to=scored: [row.update(to) for row in rows])
        (found,) = [t for t in settle(read(tmp_path)) if t.status == "diverged"]
        worst = 91.0 if expected == 91.0 else expected
        assert {found.final[epoch][score["name"]] for epoch in ("last", "best")} == {worst}


def test_a_diverged_trial_without_any_worst_value_is_set_aside_by_name(tmp_path):
    lost = fake_runs.trial(
        tmp_path, 0, fake_runs.H0, 55.0, score_spec=fake_runs.FID, status="diverged"
    )
    fake_runs.change(lost, lambda rows: [row.update(test_fid=None) for row in rows])
    (found,) = settle(read(tmp_path))
    assert (found.status, found.complete) == ("damaged", False)
    assert "no test_fid of the task is finite" in found.reason


def test_missing_arms_are_named_with_what_is_done(tmp_path):
    digits(tmp_path, "h0", 93.0)
    digits(tmp_path, "sobolev", 95.0, n=7)
    (part,) = parts([a for a in artefacts() if a.name == "digits"], cells(read(tmp_path)))
    assert "sobolev: 7 of 25 trials" in part.missing
    assert "h0_norm: 0 of 25 trials" in part.missing
    assert not any(text.startswith("h0:") for text in part.missing)
    assert part.artefact.command == "python run.py experiment=digits"


def test_runs_outside_the_protocol_are_a_family_of_their_own(tmp_path):
    labels = ("scale short", "10 epochs (paper: 100)")
    planted.figure6(tmp_path, epochs=2, scale="short", labels=labels)
    (part,) = parts([a for a in artefacts() if a.name == "fig6"], cells(settle(read(tmp_path))))
    gains = [f for f in part.findings if f.claim.kind == "gain"]
    for f, tested in zip(gains, holm([f.p for f in gains]), strict=True):
        assert f.tested == tested
    assert {f.judgement.verdict for f in part.findings} == {Verdict.NOT_COMPARABLE}
    assert {f.judgement.towards for f in part.findings} == {"agrees"}
    assert gains[0].judgement.detail == "; ".join([*labels, "direction agrees"])
    assert part.findings[-1].judgement.detail.endswith("likeness agrees")
    assert overview.directions([part]) == "28 agree in direction"
    assert part.reduced
    sheet = overview.roll_up([part])
    assert dict(zip(sheet.header, sheet.body[0], strict=True)) == {
        "Artefact": "Figure 6: accuracy over lambda", "Not comparable": "28",
        "Direction": "28 agree",
    }  # fmt: skip


def test_a_direction_has_to_survive_the_family(tmp_path):
    """p = 0.03 alone agrees; beside five others, run or not, it is open."""
    sd, n = 0.3, 10
    for k, name in enumerate(("h0", "sobolev")):
        half = 2.3 * sd * (2 / n) ** 0.5  # t of 2.3 with 18 degrees of freedom
        values = fake_runs.scores(93.0 + k * half, sd, n, k)
        where = arm(name, "resnet56-sgd", task__batch_size=8)
        fake_runs.arm(tmp_path, where, values, epochs=2)
    one = measured(tmp_path, "table2-resnet56-sgd")["gain", "sobolev", "batch size 8"]
    assert one.p == pytest.approx(0.034, abs=0.002)
    assert one.tested.p == pytest.approx(6 * one.p), "what has not run counts in the family"
    assert one.judgement.towards == "open"


def test_the_interval_of_likeness_tells_what_its_p_tells(tmp_path):
    planted.digits(tmp_path, epochs=2)
    found = findings([a for a in artefacts() if a.name == "digits"], cells(settle(read(tmp_path))))
    alike = [f for f in found if f.claim.kind == "equal"]
    assert {f.judgement.verdict for f in alike} == {Verdict.YES, Verdict.INCONCLUSIVE}
    for f in alike:
        low, high = f.contrast.at(f.level)
        assert (-f.claim.margin < low and high < f.claim.margin) == (f.tested.p <= 0.05)


def test_our_questions_are_answered_one_by_one(tmp_path):
    planted.digits(tmp_path, epochs=2)
    own = [a for a in artefacts() if a.name == "digits"]
    sheet = overview.own(parts(own, cells(settle(read(tmp_path)))))
    answers = {line[1]: dict(zip(sheet.header[2:], line[2:], strict=True)) for line in sheet.body}
    assert answers["Better than plain gradients?"]["Yes"] == "2"
    assert answers["Better than a larger step along the mean alone?"]["Yes"] == "2"
    assert answers["No different from that larger step?"]["Inconclusive"] == "2"
    assert answers["Does a larger step alone help?"] == {"Yes": "1", "Inconclusive": "1"}
    assert answers["Is the output direction better than the others?"]["Inconclusive"] == "4"
    assert answers["No different from the other directions?"]["Yes"] == "4"
    assert answers["Does the spread between trials shrink?"]["Yes"] == "2"


def test_what_is_inconclusive_says_how_many_trials_would_settle_it(tmp_path):
    for k, name in enumerate(("h0", "h0_mean", "sobolev")):
        fake_runs.arm(tmp_path, arm(name, "digits"), fake_runs.scores(95.0, 1.0, 25, k), epochs=2)
    found = findings([a for a in artefacts() if a.name == "digits"], cells(settle(read(tmp_path))))
    said = {(f.claim.kind, f.claim.text): f.judgement.detail for f in found}
    for key, expected in {
        ("gain", "sobolev better than h0"): r"gain that counts \(0\.1\) needs \d+ trials",
        (
            "equal",
            "sobolev within 0.5 of h0_mean",
        ): r"equals, if they are, within 0\.5 needs \d\d trials",
        ("spread", "sobolev varies less than h0"): r"ratio that counts \(0\.1\) needs \d+ trials",
    }.items():
        assert re.search(expected, said[key]), said[key]


def test_a_gain_is_held_against_every_learning_rate(tmp_path):
    """What our own question varies is no deviation; another reduction still is."""
    planted.digits(tmp_path, epochs=2)
    planted.digits_rates(tmp_path, epochs=2)
    own = [a for a in artefacts() if a.name == "variant-digits-lr"]
    (part,) = parts(own, cells(settle(read(tmp_path))))
    assert not part.missing
    assert [group.name for group in part.groups] == [
        f"batch size 8, lr {lr}" for lr in ("0.0025", "0.005", "0.01", "0.02", "0.04")
    ]
    said = {f.claim.text: f.judgement.verdict for f in part.findings if not f.claim.context}
    assert said["sobolev better than h0, lr 0.005"] is Verdict.YES
    assert said["sobolev better than h0, lr 0.01"] is Verdict.YES
    assert said["sobolev better than h0, lr 0.02"] is Verdict.INCONCLUSIVE
    same = [f for f in part.findings if f.claim.context == "lr 0.02"]
    assert {f.judgement.verdict for f in same} == {Verdict.YES}
    assert {round(f.contrast.value, 6) for f in same} == {0.5}
