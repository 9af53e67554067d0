"""The declared claims: they fit the paper's numbers, and the experiments that run them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from chandir.report.judge import claims_file
from chandir.report.judge.claims_file import arm, artefacts, published
from chandir.report.judge.samples import _equal
from chandir.report.read.cells import _flatten
from chandir.report.statistics import error_reduced

ROOT = Path(__file__).parents[2]
NAMES = [artefact.name for artefact in artefacts()]


@pytest.mark.parametrize("artefact", artefacts(), ids=NAMES)
def test_an_artefacts_command_runs_every_arm_for_the_planned_trials(artefact):
    """The experiment in conf/, as the harness resolves it, is what the claims are about."""
    from chandir.harness.sweep.plan import jobs

    assert (ROOT / "conf/experiment" / f"{artefact.name}.yaml").exists()
    found: dict[str, tuple[dict, set]] = {}
    for job in jobs((f"experiment={artefact.name}",)):
        flat = dict(_flatten(job.resolved.plain()))
        found.setdefault(str(job.folder.parent), (flat, set()))[1].add(job.trial)
    for own in artefact.arms:
        matches = [
            trials for flat, trials in found.values()
            if all(_equal(flat.get(key), value) for key, value in own.where)
        ]  # fmt: skip
        assert len(matches) == 1, (own, "one cell, no more and no less")
        assert set(range(artefact.trials)) <= matches[0], own


def test_every_table_of_the_paper_is_claimed_in_full():
    levels = [c for a in artefacts() for c in a.claims if c.kind == "level"]
    printed = [
        mean for setup in published()["table2"].values() for row in setup.values()
        for mean in row.values()
    ] + [row["mean"] for row in published()["table3"].values()]  # fmt: skip
    assert sorted(c.paper for c in levels) == sorted(printed)
    gains = [c for a in artefacts() for c in a.claims if c.kind == "gain"]
    assert sum(c.family.startswith("Table 2, SGD") for c in gains) == 12
    assert sum(c.family == "Table 2, Adam" for c in gains) == 6


def test_the_papers_effects_are_signed_so_that_positive_supports_the_claim():
    effects = {(c.artefact, c.text, c.context): c.paper for a in artefacts() for c in a.claims}
    for key, effect in {
        ("table2-resnet56-sgd", "sobolev better than h0", "batch size 8"): 1.45,
        ("table2-vgg16-sgd", "h0_lambda better than h0", "batch size 6"): 0.55,
        ("table3", "h0_lambda better than h0", ""): 7.78,
        ("table3", "h0_lambda varies less than h0", ""): pytest.approx(0.868, abs=5e-4),
        ("fig7", "sobolev better than h0 (gap)", ""): 1.2,
        ("fig9", "sobolev gains more over h0", "batch size 8 against 128"): 1.3,
    }.items():
        assert effects[key] == pytest.approx(effect)


def test_the_printed_reductions_of_error_follow_from_the_printed_means():
    for setup, rows in published()["error_reduced_percent"].items():
        for batch, row in rows.items():
            means = published()["table2"][setup][batch]
            for name, reduced in row.items():
                found = error_reduced(means[name], means["h0"], "higher", "%")
                assert found == pytest.approx(reduced, abs=0.051)


def test_a_changed_claim_has_another_hash():
    content = (ROOT / "chandir/report/judge/claims.yaml").read_bytes()
    assert claims_file.digest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["sobolov", "sobolev, outwards"])
def test_a_misspelt_arm_is_refused_with_what_there_is(name):
    with pytest.raises(ValueError, match=r"arm 'sobol.*expected one of h0, sobolev"):
        arm(name, "digits")


def test_an_arms_words_override_its_direction_and_scope():
    assert dict(arm("LS, output, conv", "resnet56-sgd").where)["optimizer.direction"] == "output"
    where = dict(arm("sobolev, input", "resnet56-sgd").where)
    assert (where["metric.direction"], where["metric.scope"]) == ("input", "conv")


def test_our_claims_answer_a_question_and_the_papers_do_not():
    for artefact in artefacts():
        for claim in artefact.claims:
            assert bool(claim.question) == artefact.ours == claim.ours
            assert claim.question.endswith("?") == artefact.ours
