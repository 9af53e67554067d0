"""Tables over all artefacts: the count of each verdict, and how the rule behaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chandir.report.judge.artefacts import Part
from chandir.report.judge.claims_file import artefacts
from chandir.report.judge.finding import Finding
from chandir.report.judge.findings import paper_contrast
from chandir.report.judge.rule import OURS, Verdict
from chandir.report.judge.simulation import chances
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import number

_COLUMNS = {
    "Reproduced": (Verdict.REPRODUCED,),
    "Smaller": (Verdict.SMALLER,),
    "Not reproduced": (Verdict.NOT_REPRODUCED,),
    "Inconclusive": (Verdict.INCONCLUSIVE,),
    "Not comparable": (Verdict.NOT_COMPARABLE,),
    "Incomplete": (Verdict.INCOMPLETE,),
    "Not run": (Verdict.NOT_RUN,),
    "No gain": (Verdict.NO_CLAIM,),
}


def roll_up(parts: Sequence[Part]) -> Sheet:
    """Count the verdicts on the paper's claims, artefact by artefact, and in total; no average."""
    body: list[tuple[str, ...]] = []
    values: list[dict[str, float | None]] = []
    total: Counter[str] = Counter()
    for part in parts:
        if not part.artefact.ours:
            counts = _counts(part.findings)
            total.update(counts)
            body.append((part.artefact.title, *_line(counts)))
            values.append({title: float(count) for title, count in counts.items()})
    body.append(("All", *_line(total)))
    values.append({title: float(count) for title, count in total.items()})
    titles = ["Artefact", *_COLUMNS, "Direction", "Levels"]
    keep = [i for i, title in enumerate(titles) if i == 0 or any(line[i] for line in body)]
    lines = tuple(tuple(line[i] for i in keep) for line in body)
    caption = (
        "The paper's claims: how many have which verdict. Direction: of those not comparable, how "
        "many agree and how many are opposite; the others are open. Levels: means that agree, of "
        "those judged."
    )
    return Sheet(caption, tuple(titles[i] for i in keep), lines, (), tuple(values))


def totals(parts: Sequence[Part], ours: bool = False) -> dict[Verdict, int]:
    """Count the verdicts on all of the paper's claims, or of our questions; levels not among."""
    claims = [f for part in parts if part.artefact.ours is ours for f in part.findings]
    counts = Counter(f.judgement.verdict for f in claims if f.claim.kind != "level")
    return {verdict: counts[verdict] for verdict in Verdict if counts[verdict]}


def directions(parts: Sequence[Part]) -> str:
    """Which way those of the paper's claims went that are not comparable; empty without any."""
    claims = [f for part in parts if not part.artefact.ours for f in part.findings]
    counts = Counter(
        f.judgement.towards for f in claims
        if f.judgement.verdict is Verdict.NOT_COMPARABLE and f.claim.kind != "level"
    )  # fmt: skip
    words = {"agrees": "agree in direction", "open": "open", "opposite": "opposite"}
    return ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key])


def own(parts: Sequence[Part]) -> Sheet:
    """Count the answers to our own questions, question by question."""
    answers = [*OURS.values(), Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE, Verdict.INCOMPLETE,
               Verdict.NOT_RUN]  # fmt: skip
    body = []
    for part in parts:
        if part.artefact.ours:
            title = part.artefact.title
            for question in dict.fromkeys(f.claim.question for f in part.findings):
                some = [f for f in part.findings if f.claim.question == question]
                counts = Counter(f.judgement.verdict for f in some)
                towards = _towards(Counter(f.judgement.towards for f in some))
                body.append((title, question, *(str(counts[a] or "") for a in answers), towards))
                title = ""
    titles = ("Setting", "Question", *(a.value for a in answers), "Direction")
    keep = [i for i, title in enumerate(titles) if i < 2 or any(line[i] for line in body)]
    lines = tuple(tuple(line[i] for i in keep) for line in body)
    caption = (
        "Our own questions: how many comparisons have which answer. Direction: of those not "
        "comparable."
    )
    return Sheet(caption, tuple(titles[i] for i in keep), lines)


def behaviour() -> Sheet:
    """How the rule behaves for every claim whose spread the paper's numbers tell, in per cent."""
    body, last = [], ""
    families: dict[str, int] = {}
    for artefact in artefacts():
        for claim in artefact.claims:
            families[claim.family] = families.get(claim.family, 0) + 1
    for artefact in artefacts():
        for claim in artefact.claims:
            paper, smallest = paper_contrast(claim), 1.0 if artefact.name == "table3" else 0.1
            if paper is None or claim.paper is None or claim.paper < smallest:
                continue
            true = chances(claim.paper, claim.paper, paper, smallest)
            strict = chances(
                claim.paper, claim.paper, paper, smallest, 1 - 0.05 / families[claim.family]
            )
            none = chances(0, claim.paper, paper, smallest)
            text = f"{claim.text}, {claim.context}" if claim.context else claim.text
            shares = (
                true.reproduced, true.inconclusive, strict.reproduced,
                none.reproduced, none.smaller, none.not_reproduced, none.inconclusive,
            )  # fmt: skip
            title = artefact.title if artefact.title != last else ""
            last = artefact.title
            body.append((title, text, number(claim.paper, 2, sign=True), *map(_share, shares)))
    header = ("Setting", "Claim", "Paper", "Reproduced", "Inconclusive", "Strictest level",
              "Falsely so", "Falsely smaller", "Excluded", "Left open")  # fmt: skip
    note = (
        "Per cent of 10,000 simulated sweeps with the planned trials. Columns 2 to 4: the paper's "
        "effect is true, at 95 % and at the strictest level of Holm's procedure in the family; the "
        "last four: there is no effect. Deviations: Table 3's own; for accuracies the paper prints "
        "none, and the least that a test set of 10,000 images causes is assumed, error / 20,000 "
        "for the variance (arXiv 2304.01910). Larger ones make more inconclusive."
    )
    return Sheet("How the verdict rule behaves.", header, tuple(body), (note,))


def _counts(findings: Sequence[Finding]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for f in findings:
        verdict = f.judgement.verdict
        if f.claim.kind == "level":
            counts["Levels"] += verdict is Verdict.AGREES
            counts["levels"] += verdict in (Verdict.AGREES, Verdict.DIFFERS)
        else:
            counts.update(title for title, some in _COLUMNS.items() if verdict in some)
            counts[f.judgement.towards] += verdict is Verdict.NOT_COMPARABLE
    return counts


def _line(counts: Counter[str]) -> list[str]:
    levels = f"{counts['Levels']} of {counts['levels']}" if counts["levels"] else ""
    return [*(str(counts[title] or "") for title in _COLUMNS), _towards(counts), levels]


def _towards(counts: Counter[str]) -> str:
    found = [f"{counts[word]} {word}" for word in ("agrees", "opposite") if counts[word]]
    return ", ".join(found).replace("agrees", "agree" if counts["agrees"] > 1 else "agrees")


def _share(value: float) -> str:
    percent = 100 * value
    return f"{percent:.1f}" if 0 < percent < 10 else f"{percent:.0f}"
