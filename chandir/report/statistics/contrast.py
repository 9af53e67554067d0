"""Means of independent samples and their linear contrasts, with t-intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """n values, their mean and standard deviation (n - 1); one value has no spread, sd None."""

    n: int
    mean: float
    sd: float | None

    @property
    def interval(self) -> Interval | None:
        """The 95 % t-interval of the mean, mean ± t(0.975, n - 1) sd / sqrt(n)."""
        if self.sd is None:
            return None
        half = quantile(LEVEL, self.n - 1) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Contrast:
    """Σ c_i mean_i over independent samples, its standard error and Welch's degrees of freedom.

    With v_i = c_i² sd_i² / n_i: error = sqrt(Σ v_i), freedom = (Σ v_i)² / Σ v_i² / (n_i - 1)
    (Welch, Biometrika 1947; Satterthwaite 1946). Two samples with c = (1, -1) are Welch's t-test.

    Attributes:
        terms: (c_i, sample i).
    """

    terms: tuple[tuple[float, Summary], ...]

    @property
    def value(self) -> float:
        """The contrast itself."""
        return math.fsum(c * sample.mean for c, sample in self.terms)

    @property
    def error(self) -> float | None:
        """Its standard error; None where a sample has one value, or none has any spread."""
        if any(sample.sd is None for _, sample in self.terms):
            return None
        return math.sqrt(math.fsum(self._variances())) or None

    @property
    def freedom(self) -> float:
        """Its degrees of freedom; needs an error."""
        share = [v / math.fsum(self._variances()) for v in self._variances()]
        parts = (w**2 / (s.n - 1) for w, (_, s) in zip(share, self.terms, strict=True))
        return 1 / math.fsum(parts)

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval."""
        return self.at(LEVEL)

    def at(self, level: float) -> Interval | None:
        """The two-sided interval at another level; None without an error."""
        if self.error is None:
            return None
        half = quantile(level, self.freedom) * self.error
        return self.value - half, self.value + half

    @property
    def p(self) -> float | None:
        """The two-sided p-value of "the contrast is 0"; None without an error."""
        return None if self.error is None else 2 * self.tail(abs(self.value))

    def tail(self, value: float) -> float:
        """P(T error > value) for Student's T with these degrees of freedom; needs an error."""
        from scipy import stats

        assert self.error is not None
        return float(stats.t.sf(value / self.error, self.freedom))

    def repeat(self, n: int) -> Interval | None:
        """The 95 % prediction interval of the same contrast in a repeat with `n` trials an arm.

        As `at`, with sd_i² (1 / n_i + 1 / n) in place of sd_i² / n_i: the repeat varies as well.
        """
        if self.error is None:
            return None
        own = (c**2 * (s.sd or 0) ** 2 / n for c, s in self.terms)
        half = quantile(LEVEL, self.freedom) * math.sqrt(self.error**2 + math.fsum(own))
        return self.value - half, self.value + half

    def equivalence(self, margin: float) -> float | None:
        """The p-value of "|contrast| >= margin": two one-sided tests (Schuirmann 1987).

        Below 0.05, the 90 % interval lies within ± margin.

        Raises:
            ValueError: If the margin is not positive.
        """
        if margin <= 0:
            raise ValueError(f"margin {margin}: expected a positive difference that does not count")
        if self.error is None:
            return None
        return max(self.tail(margin - self.value), self.tail(margin + self.value))

    def _variances(self) -> list[float]:
        return [c**2 * (s.sd or 0) ** 2 / s.n for c, s in self.terms]


def summarise(values: Sequence[float]) -> Summary:
    """Summarise one sample.

    Raises:
        ValueError: If there are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarise: expected one score per trial, pass complete ones")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(n, mean, None)
    return Summary(n, mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)))


def difference(arm: Summary, baseline: Summary) -> Contrast:
    """Compare two samples by Welch's t-test, which lets their spreads differ."""
    return Contrast(((1.0, arm), (-1.0, baseline)))


def quantile(level: float, freedom: float) -> float:
    """The two-sided t-quantile: P(|T| <= it) = level."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, freedom))
