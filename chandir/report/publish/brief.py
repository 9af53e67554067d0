"""What the publications say of the claims in a line each: the table of the project's README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chandir.report.judge.finding import fewer
from chandir.report.judge.rule import Verdict
from chandir.report.publish import answers
from chandir.report.publish.answers import Comparison
from chandir.report.show.words import DASH, spread
from chandir.report.statistics import Summary

# The paper's metrics, and what they are held against, in words.
COLUMNS = ("sobolev", "h0_lambda")
BASELINES = {
    "h0": "plain gradients",
    "h0_mean": "`h0_mean`: plain gradients, learning rate times 1 + λ",
}
_JUDGED = (Verdict.REPRODUCED, Verdict.SMALLER, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)
_NONE = "**none has been judged by the full protocol yet**"
_HEADER = """| setting | baseline | its score | `sobolev` minus it | `h0_lambda` minus it |
|---|---|--:|---|---|"""


def brief(results: Path) -> str:
    """How many of the paper's claims are judged, and both metrics against both baselines.

    One row for each setting, strength and baseline that ran with all its trials, variants left out:
    plain gradients, and those at the learning rate that makes their step along the mean as long as
    the metrics'. What has begun is in the full tables.
    """
    summaries = answers.read(results)
    if not summaries:
        return "Nothing is published yet.\n"
    chosen = answers.choose(summaries)
    rows: list[tuple[str, ...]] = []
    for artefact, publication, found in answers.by_artefact(chosen):
        if not artefact.name.startswith("variant-"):
            folder = f"{results.name}/{publication}"
            rows += _rows(artefact.title, found, folder, summaries[publication])
    lines, before = [_claims(found for _, found in chosen.values())], ("", "")
    lines += ["", _HEADER] if rows else []
    for setting, how, *rest in rows:  # what the row above says too is not said again
        text = how if setting == before[0] else f"{setting}; {how}"
        lines.append(f"| {' | '.join(['' if (setting, how) == before else text, *rest])} |")
        before = setting, how
    return "\n".join(lines) + "\n"


def _claims(found: Iterable[Comparison]) -> str:
    """What became of the paper's claims; levels are not among them."""
    claims = [f for f in found if not f["ours"] and f["kind"] != "level"]
    judged = Counter(f["verdict"] for f in claims if f["verdict"] in {v.value for v in _JUDGED})
    words = ", ".join(f"{count} {verdict.lower()}" for verdict, count in judged.items())
    has = f"{judged.total()} {'has' if judged.total() == 1 else 'have'}"
    states = [f"{has} been judged by the full protocol: **{words}**" if judged else _NONE]
    apart = [f for f in claims if f["verdict"] == Verdict.NOT_COMPARABLE.value]
    begun = sum(map(_begun, apart))
    if short := len(apart) - begun:
        states.append(f"{short} ran in a shortened form, which can neither confirm nor refute them")
    if begun:
        states.append(f"{begun} {'has' if begun == 1 else 'have'} begun, with trials to come")
    return f"Of the paper's {len(claims)} claims {'; '.join(states)}."


def _begun(found: Comparison) -> bool:
    """Whether trials are all that the claim lacks: what ran of it is as the protocol has it."""
    counts = {fewer(n, found["planned"]) for n in found["n"]}
    return counts.issuperset(found["outside_protocol"])


def _rows(
    title: str, found: Sequence[Comparison], folder: str, summary: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    """An artefact's rows: a setting, how it ran, a baseline, each metric's difference to it.

    Metrics share a row where they are as strong and have as many trials: it says one number for
    both.
    """
    groups: dict[tuple[Any, ...], dict[str, Comparison]] = {}
    for each in found:
        metric, baseline = each["arms"][0].split(",")[0], (each["baseline"] or [""])[0]
        whole = min(each["n"]) >= each["planned"]
        if whole and each["kind"] == "gain" and metric in COLUMNS and baseline in BASELINES:
            strength = _strength(each).rpartition(" ")[2]  # of one `lam`, of the other `weight`
            row = groups.setdefault((each["context"], baseline, strength, *each["n"]), {})
            row.setdefault(metric, each)  # first the scores, as declared
    for (context, baseline, *_), row in groups.items():
        compared = list(row.values())
        link = f"[{title}]({answers.table(folder, compared[0])})"
        strength = " and ".join(dict.fromkeys(filter(None, map(_strength, compared))))
        ran = f"{answers.trials(compared[0])} trials each"
        how = "; ".join([*filter(None, (strength, ran)), *answers.shared(compared)])
        differences = (_difference(row[m]) if m in row else DASH for m in COLUMNS)
        mean = _mean(summary, compared[0])
        setting = "; ".join(filter(None, (link, context)))
        yield (setting, how, BASELINES[baseline], mean, *differences)


def _strength(found: Comparison) -> str:
    """What a metric's name does not say of it: "lam 5"."""
    return str(found["arms"][0].partition(", ")[2])


def _difference(found: Comparison) -> str:
    return f"{answers.effect(found)}: **{answers.verdict(found).lower()}**"


def _mean(summary: Mapping[str, Any], found: Comparison) -> str:
    """The baseline's mean ± standard deviation over the trials that are compared."""
    if "means" not in found:  # a publication that is older than the column
        return DASH
    folder = found["cells"][1]
    unit = next(each["score"]["unit"] for each in summary["cells"] if each["folder"] == folder)
    text = spread(Summary(found["n"][1], found["means"][1], found["sds"][1]), 2)
    return f"{text} {unit}".rstrip()
