"""Numbers as people read them: no rounding hides on which side of a verdict's limit an end lies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandir.report.judge import rule
from chandir.report.show.words import MINUS, decimals, interval
from chandir.report.statistics import Contrast, Summary


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((-0.0923, 0.0971), "[−0.092, +0.097]"),  # a gain of 0.1 is excluded
        ((-0.0880, 0.1041), "[−0.088, +0.104]"),  # and here it is not
        ((-0.61, -0.0034), "[−0.610, −0.003]"),
        ((-0.45, 0.21), "[−0.45, +0.21]"),
        ((-0.45, 0.1), "[−0.45, +0.10]"),  # exactly on it
    ],
)
def test_an_end_near_a_limit_has_the_decimals_that_tell(
    ends: tuple[float, float], shown: str
) -> None:
    assert interval(ends, decimals(0.1, ends, rule.limits("gain", None, 0.1, None)), True) == shown


def test_without_a_limit_near_there_is_one_decimal_more_than_what_counts() -> None:
    assert [decimals(smallest) for smallest in (1.0, 0.1, 0.01, 0.005)] == [2, 2, 3, 4]
    assert decimals(0.1, (0.0999999, 0.1000001), (0.1,)) == 5, "some end has to come"


@settings(deadline=None)
@given(value=st.floats(-2, 2), sd=st.floats(0.01, 1), paper=st.none() | st.floats(0.1, 2))
def test_the_printed_interval_gives_the_printed_verdict(
    value: float, sd: float, paper: float | None
) -> None:
    """Who reads the table comes to the verdict by the rule alone."""
    contrast = Contrast(((1.0, Summary(5, value, sd)), (-1.0, Summary(5, 0.0, sd))))
    ends, decisive = contrast.at(0.95), rule.limits("gain", paper, 0.1, None)
    assert ends is not None
    if any(abs(end - limit) < 1e-5 for end in ends for limit in decisive):
        return
    printed = interval(ends, decimals(0.1, ends, decisive), sign=True)
    low, high = (float(x.replace(MINUS, "-")) for x in printed.strip("[]").split(", "))
    zero, least = decisive
    told = "yes" if low > zero else "opposite" if high < zero else "no" if high < least else "open"
    verdict = rule.gain(contrast, 0.95, paper, 0.1, 5)
    assert (
        told
        == {
            rule.Verdict.REPRODUCED: "yes",
            rule.Verdict.SMALLER: "yes",
            rule.Verdict.INCONCLUSIVE: "open",
            rule.Verdict.NOT_REPRODUCED: "opposite" if verdict.detail == "opposite" else "no",
        }[verdict.verdict]
    )
