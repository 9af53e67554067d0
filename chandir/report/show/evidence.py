"""The tables of an artefact: claims with verdicts, arms beside the paper, what else is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from chandir.report.judge.artefacts import Part
from chandir.report.judge.finding import Finding
from chandir.report.judge.influence import LEGEND
from chandir.report.judge.rule import Verdict, limits
from chandir.report.judge.samples import Sample
from chandir.report.show.rows import digits
from chandir.report.show.sheet import Sheet, letters
from chandir.report.show.words import DASH, bounded, decimals, interval, number, p_value, spread
from chandir.report.show.words import deviations as deviating
from chandir.report.statistics import (
    error_reduced,
)

METHOD = (
    "Effects are signed so that positive supports the claim. n: trials of each arm. Intervals: "
    "Welch, at the level that Holm's procedure gives within the family; runs outside the protocol "
    "are a family of their own. p: Welch, two-sided; for spreads Brown-Forsythe, their effect the "
    "jackknifed log ratio of standard deviations; for likeness two one-sided tests at α, with the "
    "interval at 1 - 2 α. " + LEGEND
)


def claims(part: Part, inline: bool = False) -> Sheet:
    """Every claim but the levels, with the paper's effect, ours, and the verdict.

    Args:
        part: The artefact.
        inline: Whether a verdict's detail stands beside it, for the page, which says the method
            once and of claims without runs their number; else both are footnotes.
    """
    found = by_heading([f for f in part.findings if f.claim.kind != "level"])
    if inline:
        found = [
            f for f in found if f.judgement.verdict not in (Verdict.NOT_RUN, Verdict.INCOMPLETE)
        ]
    grouped = any(f.claim.heading for f in found)
    common = deviations(part)
    details = [
        "; ".join(x for x in (*f.judgement.detail.split("; "), f.hanging) if x and x not in common)
        for f in found
    ]
    marks = letters([detail for detail in details if len(detail) > 12])
    body: list[tuple[str, ...]] = []
    values: list[dict[str, float | None]] = []
    last = ""
    for f, detail in zip(found, details, strict=True):
        verdict = f.judgement.verdict.value
        if detail:
            short = detail if inline or detail not in marks else f"({marks[detail]})"
            verdict += f", {short}" if inline or detail not in marks else f" {short}"
        d = places(f)
        shown = f.contrast if f.contrast else None
        line = {
            "Claim": f.claim.text,
            "n": _sizes(f),
            "Paper": number(f.paper, d, sign=True),
            "Measured": number(shown.value if shown else None, d, sign=True),
            "Interval": interval(shown.at(f.level) if shown else None, d, sign=True),
            "p": p_value(f.p),
            "Holm": p_value(f.tested.p if f.tested else None),
            "Verdict": verdict,
        }
        name = f.claim.heading
        body.append((*[name if name != last else ""] * grouped, *line.values()))
        last = name
        values.append({
            "Paper": f.paper, "Measured": shown.value if shown else None, "p": f.p,
            "Holm": f.tested.p if f.tested else None,
        })  # fmt: skip
    header: Sequence[str] = (["Setting"] if grouped else []) + [
        "Claim", "n", "Paper", "Measured", "Interval", "p", "Holm", "Verdict",
    ]  # fmt: skip
    if all(f.paper is None for f in found):  # nothing to stand beside
        keep = [i for i, title in enumerate(header) if title != "Paper"]
        header, body = _columns(header, keep), [_columns(line, keep) for line in body]
    notes = tuple(f"{mark}: {detail}" for detail, mark in marks.items())
    caption = f"{part.artefact.title}: {'answers' if part.artefact.ours else 'claims'}"
    caption += f". Outside the protocol: {'; '.join(common)}" if common else ""
    notes = () if inline else (*notes, METHOD)
    return Sheet(caption + ".", tuple(header), tuple(body), notes, tuple(values))


def deviations(part: Part) -> tuple[str, ...]:
    """What keeps every claim that has runs from the paper's protocol, said once for all."""
    found = [f.deviations for f in part.findings if f.present]
    return tuple(x for x in found[0] if all(x in other for other in found)) if found else ()


def arms(part: Part) -> Sheet:
    """Every arm: the paper's mean beside ours, and how much of the baseline's error is gone."""
    published = {
        f.claim.arms[0]: f for f in part.findings if f.claim.kind == "level" and f.claim.paper
    }
    grouped = any(group.name for group in part.groups)
    body, values = [], []
    for group in part.groups:
        first = True
        base = group["h0"]
        for arm, sample in zip(group.arms, group.samples, strict=True):
            level = published.get(arm)
            if sample is None and level is None:
                continue
            paper = level.claim.paper if level else None
            d = digits(sample.cell) if sample else 2
            mine = sample.summary if sample else None
            best = _best(sample)
            reduced = _reduced(sample, base)
            line = {
                "Arm": arm.name,
                "Paper": number(paper, 2),
                "Mean ± sd": spread(mine, d),
                "95 % interval": interval(bounded(mine.interval, sample.cell.score), d)
                if mine and sample
                else DASH,
                "Median, IQM": _robust(sample, d),
                "Best epoch": number(best, d),
                "Error cut": _cut(reduced, paper, published.get(group.arms[0]), sample),
                "Trials": _trials(sample, part.artefact.trials),
                "Verdict": _level(level),
            }
            body.append(
                tuple(([group.name if first else ""] if grouped else []) + [*line.values()])
            )
            values.append({
                "Paper": paper, "Mean ± sd": mine.mean if mine else None, "Best epoch": best,
                "Error cut": reduced, "Trials": float(len(sample.values)) if sample else 0.0,
            })  # fmt: skip
            first = False
    titles = ["Arm", "Paper", "Mean ± sd", "95 % interval", "Median, IQM", "Best epoch",
              "Error cut", "Trials", "Verdict"]  # fmt: skip
    header: Sequence[str] = ["Setting"] * grouped + titles
    if not published:  # the paper prints no mean here
        keep = [i for i, title in enumerate(header) if title not in ("Paper", "Verdict")]
        header, body = _columns(header, keep), [_columns(line, keep) for line in body]
    caption = f"{part.artefact.title}: every arm, last epoch"
    labels = deviating(label for s in part.samples for label in s.cell.labels)
    caption += f". {labels[0].upper()}{labels[1:]}" if labels else ""
    return Sheet(caption + ".", tuple(header), tuple(body), (), tuple(values))


def _columns(line: Sequence[str], keep: Sequence[int]) -> tuple[str, ...]:
    return tuple(line[i] for i in keep)


def _sizes(f: Finding) -> str:
    """The trials of each arm; one number where all have the same."""
    sizes = [len(sample.values) if sample else 0 for sample in f.samples]
    return str(sizes[0]) if len(set(sizes)) == 1 else ", ".join(map(str, sizes))


def _level(finding: Finding | None) -> str:
    if finding is None:
        return DASH
    return ", ".join(x for x in (finding.judgement.verdict.value, finding.judgement.detail) if x)


def _trials(sample: Sample | None, planned: int) -> str:
    n, lost = len(sample.values) if sample else 0, len(sample.diverged) if sample else 0
    late = len(sample.cell.complete) - len(sample.trials) if sample else 0
    text = f"{n}" if n == planned else f"{n} of {planned}"
    return text + f" ({lost} diverged)" * bool(lost) + f" ({late} later ones left out)" * bool(late)


def _robust(sample: Sample | None, d: int) -> str:
    """The median and the mean of the middle half: far from the mean if few trials make it."""
    if sample is None or not sample.values:
        return DASH
    from scipy import stats

    values = list(sample.values.values())
    middle = float(stats.trim_mean(values, 0.25))
    return f"{number(statistics.median(values), d)}, {number(middle, d)}"


def _cut(
    reduced: float | None, paper: float | None, base: Finding | None, sample: Sample | None
) -> str:
    """How much of the baseline's error is gone, the paper's beside ours."""
    text = number(reduced, 1, unit=" %")
    if reduced is None or paper is None or base is None or base.claim.paper is None or not sample:
        return text
    score = sample.cell.score
    other = error_reduced(paper, base.claim.paper, score["better"], score.get("unit", ""))
    return f"{text} (paper {number(other, 1)})"


def _best(sample: Sample | None) -> float | None:
    if sample is None or not sample.trials:
        return None
    name = sample.cell.score["name"]
    return math.fsum(float(t.final["best"][name]) for t in sample.trials) / len(sample.trials)


def _reduced(sample: Sample | None, base: Sample | None) -> float | None:
    if sample is None or base is None or sample is base:
        return None
    mine, other, score = sample.summary, base.summary, sample.cell.score
    if mine is None or other is None:
        return None
    return error_reduced(mine.mean, other.mean, score["better"], score.get("unit", ""))


def by_heading(found: Sequence[Finding]) -> list[Finding]:
    """Put the claims of one heading together, headings in the order of the file."""
    order = list(dict.fromkeys(f.claim.heading for f in found))
    return sorted(found, key=lambda f: order.index(f.claim.heading))


def places(f: Finding) -> int:
    """The decimals of an effect: as few as tell on which side of what decides it lies."""
    claim, ends = f.claim, f.contrast.at(f.level) if f.contrast else None
    return decimals(f.smallest, ends, limits(claim.kind, f.paper, f.smallest, claim.margin))
