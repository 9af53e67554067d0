"""What else is known of each gain: pairing, chances, sizes, the bootstrap, divergence."""

from __future__ import annotations

from chandir.report.judge.artefacts import Part
from chandir.report.judge.finding import Finding
from chandir.report.judge.samples import Sample
from chandir.report.show.evidence import by_heading, places
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import DASH, interval, number, p_value
from chandir.report.statistics import (
    bca,
    difference,
    hedges,
    improvement,
    paired,
    rate,
    summarise,
)


def statistics(part: Part) -> Sheet | None:
    """What else is known of each gain; None if no gain has two arms yet."""
    body, last = [], ""
    found = [f for f in part.findings if f.claim.kind == "gain" and f.contrast is not None]
    found = by_heading(found)
    grouped = any(f.claim.heading for f in found)
    for f in found:
        name = f.claim.heading
        line = [name if name != last else ""] * grouped + _detail(f)
        body.append(tuple(line))
        last = name
    if not body:
        return None
    titles = ["Claim", "Paired p", "Sign flip p", "Seeds' r", "P(better)", "Hedges g",
              "BCa 95 %", "Diverged", "Converged only"]  # fmt: skip
    notes = (
        "Paired p, sign flip p: over trials of equal index; Seeds' r: correlation of the two arms "
        "over these. P(better): a trial of the first arm beats one of the second, 95 % interval. "
        "BCa: bootstrap, from 10 trials an arm. Diverged: of each arm, with Wilson's 95 % interval "
        "where there are any. Converged only: the effect without diverged trials.",
    )
    header = (["Setting"] if grouped else []) + titles
    caption = f"{part.artefact.title}: further statistics."
    return Sheet(caption, tuple(header), tuple(body), notes)


def _detail(f: Finding) -> list[str]:
    arm, base = f.present
    assert f.contrast is not None
    sign = f.contrast.terms[0][0]
    d = places(f)
    a, b = ({k: sign * v for k, v in s.values.items()} for s in (arm, base))
    pairs, chance = paired(a, b), improvement([*a.values()], [*b.values()])
    g = hedges(summarise([*a.values()]), summarise([*b.values()]))
    return [
        f.claim.text,
        p_value(pairs.p if pairs else None),
        p_value(pairs.sign_flip if pairs else None),
        number(pairs.correlation if pairs else None, 2, sign=True),
        f"{number(chance[0], 2)} {interval(chance[1], 2)}",
        number(g, 2, sign=True),
        interval(bca([*a.values()], [*b.values()]), d, sign=True),
        f"{_lost(arm)}, {_lost(base)}",
        _converged(arm, base, sign, d),
    ]


def _lost(sample: Sample) -> str:
    n, lost = len(sample.values), len(sample.diverged)
    if not lost:
        return "0"
    low, high = rate(lost, n)
    return f"{lost} [{100 * low:.0f}, {100 * high:.0f} %]"


def _converged(arm: Sample, base: Sample, sign: float, d: int) -> str:
    if not (arm.diverged or base.diverged):
        return DASH
    if not (arm.converged and base.converged):
        return "none"
    gain = difference(
        summarise([sign * v for v in arm.converged]), summarise([sign * v for v in base.converged])
    )
    return f"{number(gain.value, d, sign=True)} {interval(gain.interval, d, sign=True)}"
