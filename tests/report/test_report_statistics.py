"""Statistics by worked example, by law and by simulation."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chandir.report.statistics import (
    Contrast,
    bca,
    brown_forsythe,
    difference,
    error_reduced,
    hedges,
    holm,
    improvement,
    paired,
    power,
    power_alike,
    rate,
    spread,
    summarise,
    trials_alike,
    trials_needed,
)

# Cushny and Peebles 1905, the data of Student 1908: hours of sleep gained with two drugs.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

scores = st.lists(st.floats(0, 100), min_size=2, max_size=30)


def test_welch_agrees_with_the_published_worked_example():
    """R's ``t.test(extra ~ group, data = sleep)``, as its manual prints it."""
    found = difference(summarise(DRUG_1), summarise(DRUG_2))
    assert found.value == pytest.approx(-1.58)
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert found.interval == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


def test_the_interval_agrees_with_the_published_worked_example():
    """R's ``t.test`` of the paired differences of the same data: mean 1.58, [0.700, 2.460]."""
    found = summarise([b - a for a, b in zip(DRUG_1, DRUG_2, strict=True)])
    assert found.mean == pytest.approx(1.58)
    assert found.interval == pytest.approx((0.7001142, 2.4598858), abs=5e-8)


def test_table_3_of_the_paper_from_its_own_means_and_deviations():
    """FID 57.99 ± 5.01 against 65.77 ± 11.94, 24 trained models each."""
    from tests.fake_runs import scores as planted

    found = difference(
        summarise(planted(57.99, 5.01, 24, 1)), summarise(planted(65.77, 11.94, 24, 2))
    )
    assert found.value == pytest.approx(-7.78)
    assert found.interval == pytest.approx((-13.2, -2.4), abs=0.05)
    assert found.p == pytest.approx(0.006, abs=5e-4)


@settings(deadline=None)  # the first example imports SciPy
@given(scores, scores)
def test_a_difference_is_antisymmetric_and_inside_its_interval(a, b):
    ab, ba = (difference(summarise(x), summarise(y)) for x, y in ((a, b), (b, a)))
    assert ab.value == -ba.value
    if ab.interval:
        assert ab.p == pytest.approx(ba.p)
        assert ab.interval[0] <= ab.value <= ab.interval[1]
        assert ab.interval == pytest.approx((-ba.interval[1], -ba.interval[0]))


@settings(deadline=None)
@given(scores, st.floats(0.1, 10), st.floats(-50, 50))
def test_a_summary_follows_a_change_of_units(values, scale, shift):
    one, other = summarise(values), summarise([scale * value + shift for value in values])
    assert other.mean == pytest.approx(scale * one.mean + shift, abs=1e-9)
    assert other.sd == pytest.approx(scale * one.sd, abs=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_cover_and_tests_keep_their_level(n):
    """2,000 draws without an effect: 95 % ± 1.5 % cover, and Welch errs in at most 5 % + 1.5 %."""
    noise = random.Random(n)
    covered = found = 0
    for _ in range(2000):
        a = summarise([noise.gauss(0, 1) for _ in range(n)])
        b = summarise([noise.gauss(0, 2.4) for _ in range(n)])
        covered += a.interval[0] <= 0 <= a.interval[1]
        found += difference(a, b).p < 0.05
    assert abs(covered / 2000 - 0.95) < 0.015
    assert found / 2000 < 0.065


def test_what_does_not_exist_is_none():
    one, same = summarise([90.0]), summarise([90.0, 90.0])
    assert (one.mean, one.sd, one.interval) == (90.0, None, None)
    assert (same.sd, same.interval) == (0.0, (90.0, 90.0))
    assert difference(one, same).interval is None
    assert difference(same, same).p is None
    with pytest.raises(ValueError, match="no values"):
        summarise([])


@pytest.mark.parametrize(
    ("h0", "other", "reduced"),
    [(86.54, 87.99, 10.8), (86.54, 88.04, 11.1), (93.24, 93.57, 4.9), (91.20, 91.20, 0.0)],
)
def test_error_reduced_is_that_of_table_2(h0, other, reduced):
    assert error_reduced(other, h0, "higher", "%") == pytest.approx(reduced, abs=0.05)


def test_error_reduced_where_lower_is_better_or_undefined():
    assert error_reduced(60.0, 80.0, "lower", "") == 25
    assert error_reduced(0.9, 0.8, "higher", "") is None
    assert error_reduced(100.0, 100.0, "higher", "%") is None


def test_a_contrast_of_two_is_welch_and_of_one_is_students_test():
    a, b = summarise(DRUG_1), summarise(DRUG_2)
    two = Contrast(((1, a), (-1, b)))
    assert (two.freedom, two.p) == (pytest.approx(17.776, abs=5e-4), difference(a, b).p)
    gains = [y - x for x, y in zip(DRUG_1, DRUG_2, strict=True)]
    one = Contrast(((1, summarise(gains)),))
    assert one.p == pytest.approx(0.002833, abs=5e-7), "R's paired t.test of the same data"
    assert one.freedom == pytest.approx(9)


def test_a_contrast_of_four_adds_variances():
    samples = [summarise([0.0, s, 2 * s]) for s in (1.0, 2.0, 3.0, 4.0)]
    both = Contrast(tuple(zip((1, -1, -1, 1), samples, strict=True)))
    assert both.error == pytest.approx(math.sqrt((1 + 4 + 9 + 16) / 3))
    assert both.value == pytest.approx(1 - 2 - 3 + 4)


def test_a_prediction_interval_covers_a_repeat():
    noise, inside = np.random.default_rng(1), 0
    for _ in range(1500):
        ours = difference(*(summarise(noise.normal(0, sd, 8).tolist()) for sd in (1, 2)))
        again = noise.normal(0, 1, 25).mean() - noise.normal(0, 2, 25).mean()
        low, high = ours.repeat(25)
        inside += low <= again <= high
    assert abs(inside / 1500 - 0.95) < 0.02


def test_equivalence_is_that_of_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    a, b = np.array(DRUG_1), np.array(DRUG_2)
    p, *_ = weightstats.ttost_ind(a, b, -3, 3, usevar="unequal")
    assert difference(summarise(DRUG_1), summarise(DRUG_2)).equivalence(3) == pytest.approx(p)
    with pytest.raises(ValueError, match="margin 0"):
        difference(summarise(DRUG_1), summarise(DRUG_2)).equivalence(0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_and_its_intervals_agree_with_it(values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(values, method="holm")[1]
    for p, tested, adjusted in zip(values, holm(values), expected, strict=True):
        assert tested.p == pytest.approx(adjusted)
        if abs(tested.p - 0.05) > 1e-9:
            assert (p <= 1 - tested.level) == (tested.p <= 0.05)


def test_holm_counts_what_has_not_run():
    assert [t and round(t.p, 6) for t in holm([0.01, None, 0.02])] == [0.03, None, 0.04]
    assert holm([None, None]) == [None, None]


def test_hedges_g_has_the_exact_correction():
    """J(df = 10) is 0.9227, as the tables of Hedges (1981) have it."""
    a, b = summarise([1.0, 2, 3, 4, 5, 6]), summarise([3.0, 4, 5, 6, 7, 8])
    assert hedges(a, b) == pytest.approx(0.9227 * -2 / a.sd, rel=1e-4)
    assert hedges(a, summarise([1.0])) is None


def test_wilsons_interval_agrees_with_the_published_example():
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 and 15 of 148."""
    assert rate(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert rate(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert rate(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_the_chance_of_improvement_counts_pairs_and_has_a_width_when_every_pair_agrees():
    assert improvement([1, 2, 3], [0, 2])[0] == pytest.approx((1 + 1.5 + 2) / 6)
    theta, (low, high) = improvement([5.0, 6, 7], [1.0, 2, 3])
    assert (theta, high) == (1, 1)
    assert 0.3 < low < 0.8
    (a, (lo, hi)), (b, (lo2, hi2)) = improvement([1, 3, 5], [2, 4]), improvement([2, 4], [1, 3, 5])
    assert (a, lo, hi) == pytest.approx((1 - b, 1 - hi2, 1 - lo2))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_of_the_chance_covers(shift):
    noise, truth, inside = np.random.default_rng(2), NormalDist().cdf(shift / math.sqrt(2)), 0
    for _ in range(800):
        arm, base = noise.normal(shift, 1, 10).tolist(), noise.normal(0, 1, 10).tolist()
        low, high = improvement(arm, base)[1]
        inside += low <= truth <= high
    assert abs(inside / 800 - 0.95) < 0.025


@pytest.mark.parametrize(("n", "least"), [(3, 0.25), (5, 0.0625)])
def test_sign_flips_are_exact_for_few_trials(n, least):
    found = paired({k: 1.0 + 0.1 * k for k in range(n)}, {k: 0.01 * k * k for k in range(n)})
    assert found.sign_flip == pytest.approx(least), "the smallest p that n pairs allow"


def test_pairing_uses_equal_trials_alone_and_sees_what_seeds_share():
    seeds = np.random.default_rng(3).normal(0, 1, 20)
    own = np.random.default_rng(4).normal(0.3, 0.3, 20)
    a = {k: float(seeds[k] + own[k]) for k in range(20)}
    b = {k: float(seeds[k]) for k in range(5, 20)} | {99: 1e9}
    found = paired(a, b)
    assert found.n == 15
    assert found.correlation > 0.9
    welch = difference(summarise([*a.values()]), summarise([b[k] for k in range(5, 20)]))
    assert found.p < 0.01 < welch.p
    assert paired(a, {0: 1.0}) is None
    assert paired({0: 1.0, 1: 2.0}, {0: 0.0, 1: 1.0}).p is None, "no spread of differences"


def test_the_bootstrap_is_seeded_and_refuses_few_trials():
    a, b = DRUG_1, DRUG_2
    assert bca(a, b) == bca(a, b)
    low, high = bca(a, b)
    welch = difference(summarise(a), summarise(b)).interval
    assert (low, high) == pytest.approx(welch, abs=0.35)
    assert bca(a[:9], b) is None


def test_brown_forsythe_is_levene_about_the_median_and_undefined_without_spread():
    a, b = [1.0, 2, 3, 4, 20], [1.0, 1.1, 1.2, 1.3, 1.4]
    z = [[abs(x - np.median(v)) for x in v] for v in (a, b)]
    within = sum(sum((x - np.mean(v)) ** 2 for x in v) for v in z) / 8
    between = sum(5 * (np.mean(v) - np.mean(z[0] + z[1])) ** 2 for v in z)

    assert brown_forsythe(a, b) == pytest.approx(stats.f.sf(between / within, 1, 8))
    assert brown_forsythe([1.0, 1, 1], [2.0, 2, 2]) is None


@pytest.mark.parametrize("tails", ["normal", "t with 5 degrees of freedom"])
def test_the_interval_of_the_spread_covers_without_normality(tails):
    noise, inside, ratio = np.random.default_rng(5), 0, 2.4
    for _ in range(400):
        draw = noise.normal if tails == "normal" else lambda size: noise.standard_t(5, size)
        arm, base = draw(size=24), ratio * draw(size=24)
        low, high = spread(arm.tolist(), base.tolist()).interval
        inside += low <= math.log(ratio) <= high
    assert abs(inside / 400 - 0.95) < 0.035


def test_the_spread_is_a_log_ratio_and_needs_four_values():
    a = DRUG_1
    found = spread(a, [3 * x + 7 for x in a])
    assert found.value == pytest.approx(math.log(3))
    assert spread(a[:3], a) is None
    assert spread([1.0] * 5, a) is None


@pytest.mark.parametrize(("n", "effect"), [(10, 1.32), (25, 0.81)])
def test_power_is_that_of_the_reference_table(n, effect):
    assert power(effect, (1, 1), n) == pytest.approx(0.8, abs=0.01)


def test_the_trials_needed_are_those_of_the_reference_table():
    """At the paper's own gains and the deviations that a finite test set causes."""

    def own(score):
        return math.sqrt(100 * (100 - score) / 20_000)

    for gain, scores_, n in (
        (0.15, (93.24, 93.39), 24), (0.22, (91.20, 91.42), 16), (0.17, (89.53, 89.70), 30),
        (0.09, (91.04, 91.13), 87), (1.0, None, 17),
    ):  # fmt: skip
        sds = (1.0, 1.0) if scores_ is None else (own(scores_[0]), own(scores_[1]))
        assert trials_needed(gain, sds) == pytest.approx(n, abs=1)
    assert trials_needed(0.02, (0.2, 0.2)) > 300
    assert trials_needed(0.0, (0.2, 0.2)) is None
    assert trials_needed(1e-6, (0.2, 0.2)) is None


@pytest.mark.parametrize(
    ("n", "effect", "sds", "level"),
    [
        (2, 5.0, (1.0, 0.2), 0.95), (3, 3.07, (1.0, 1.0), 0.95), (5, 2.02, (1.0, 1.0), 0.95),
        (3, 0.1, (0.005, 0.02), 1 - 0.05 / 24), (7, 0.1, (0.02, 0.042), 1 - 0.05 / 24),
        (4, 3.0, (0.01, 1.0), 0.95), (25, -0.7, (1.0, 1.0), 0.95),
    ],
)  # fmt: skip
def test_power_is_what_a_simulation_finds_at_few_trials_and_strict_levels(n, effect, sds, level):
    draws = np.random.default_rng(6).normal(0, np.array(sds)[:, None, None], (2, 20_000, n))
    test = stats.ttest_ind(draws[0] + effect, draws[1], axis=1, equal_var=False)
    found = np.mean(test.pvalue < 1 - level)
    assert power(effect, sds, n, level) == pytest.approx(found, abs=0.015)


@given(
    effect=st.floats(1e-3, 1e3),
    sds=st.tuples(st.floats(1e-3, 1e2), st.floats(0, 1e2)),
    level=st.floats(0.5, 0.9999),
)
def test_the_trials_needed_are_the_fewest_whatever_the_spreads(effect, sds, level):
    n = trials_needed(effect, sds, level)
    if n is None:
        assert power(effect, sds, 10_000, level) < 0.8
    else:
        assert power(effect, sds, n, level) >= 0.8
        assert n == 2 or power(effect, sds, n - 1, level) < 0.8


def test_power_to_find_equals_is_what_a_simulation_finds_and_the_trials_reach_it():
    noise = np.random.default_rng(7)
    draws = noise.normal(0, [[[1.0]], [[0.5]]], (2, 2000, 15))
    hits = sum(
        difference(summarise(a.tolist()), summarise(b.tolist())).equivalence(0.9) <= 0.05
        for a, b in draws.swapaxes(0, 1)
    )
    assert hits / 2000 == pytest.approx(power_alike(0.9, (1.0, 0.5), 15), abs=0.03)
    n = trials_alike(0.9, (1.0, 0.5))
    assert power_alike(0.9, (1.0, 0.5), n) >= 0.8 > power_alike(0.9, (1.0, 0.5), n - 1)
    assert trials_alike(1e-6, (1.0, 1.0)) is None
    assert trials_alike(0.5, (0.0, 0.0)) is None
