"""Answers: what the data of each setting say of the metrics beside plain gradients, in words.

The words follow from intervals alone: see `chandir.report.show.standing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from chandir.report.judge.artefacts import Part
from chandir.report.show.rows import Row, digits, gain_digits
from chandir.report.show.standing import Standing, Word, standings
from chandir.report.show.words import counted, deviations, interval, number, score

MOST = 9  # rows of the table; the others are among all results
CONTROLS = ("h0_mean", "h0_norm")
OPEN = 2  # answers that are not folded
_NAMES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "muon": "Muon",
          "LS": "SGD with Laplacian smoothing"}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What one setting says.

    Attributes:
        rows: h0 with at least two trials, then every other arm with at least two.
        standings: Of each of these others.
        artefacts: Titles of the artefacts that it is part of, the paper's first.
    """

    rows: tuple[Row, ...]
    standings: tuple[Standing, ...]
    artefacts: tuple[str, ...] = ()

    @property
    def first(self) -> Row:
        """The row of plain gradients."""
        return self.rows[0]

    @property
    def others(self) -> tuple[Row, ...]:
        """The rows beside it."""
        return self.rows[1:]

    @property
    def place(self) -> str:
        """Where: the task and what tells the setting from others."""
        return f"{self.first.cell.task} · {self.first.setting.title}"

    @property
    def shown(self) -> tuple[Row, ...]:
        """The rows of its table: all, or where these are many those that the sentence names."""
        if len(self.rows) <= MOST:
            return self.rows
        named = {id(row) for row in (*self._told, *self._of("hint"), *self._plain)}
        return (self.first, *(row for row in self.others if id(row) in named))

    @property
    def sentence(self) -> str:
        """What the data say, and what they leave open."""
        better, worse = self._of("better"), self._of("worse")
        hints, still = self._of("hint"), self._of("open")
        said = [self._against(some, word)
                for some, word in ((better, "better"), (worse, "worse")) if some]  # fmt: skip
        if not said:
            said.append(f"no difference to plain gradients was resolved{self._listed(still)}")
        elif still:
            others = [_said(row) for row in still]
            if len(self.rows) > MOST and len(still) > 1:  # the table has them not
                others = [counted(len(still), "other arm")]
            said.append(f"no difference was resolved for {_and(others)}")
        said += self._bounds(still)  # of the arms that were just named
        if hints:
            said.append(self._hinted(hints))
        sizes = _range([len(row.cell.complete) for row in self.rows])
        place = f"{_setup(self.first)}; {sizes} trials of each arm"
        first, *rest = said
        text = f"On {self.first.cell.task} ({place}), {first}."
        # A sentence may begin with a metric, whose name stays as it is.
        more = [f"{x[0].upper() if x.startswith('no ') else x[0]}{x[1:]}." for x in rest]
        return " ".join([text, *more])

    @property
    def outside(self) -> str:
        """How the setting deviates from the paper, as a sentence; empty if it does not."""
        text = deviations(self.first.setting.labels)
        return f"{text[0].upper()}{text[1:]}." if text else ""

    @property
    def short(self) -> str:
        """The whole in one line, for a fold."""
        words: tuple[Word, ...] = ("better", "worse")
        parts = [f"{_and([_said(row) for row in some])} {word} than plain gradients"
                 for word in words if (some := self._of(word))]  # fmt: skip
        sizes = _range([len(row.cell.complete) for row in self.rows])
        said = "; ".join(parts) or "no difference to plain gradients resolved"
        return f"{said} ({sizes} trials of each arm)"

    @property
    def _plain(self) -> list[Row]:
        """Arms at their files' own settings, which are the paper's."""

        def plain(row: Row) -> bool:
            metric = row.cell.config["metric"]
            return all(metric.get(k) == v for k, v in row.cell.usual.items() if k in metric)

        return [row for row in self.others if plain(row)]

    @property
    def _told(self) -> list[Row]:
        return [*self._of("better"), *self._of("worse")]

    def _of(self, word: Word) -> list[Row]:
        both = zip(self.others, self.standings, strict=True)
        return [row for row, standing in both if standing.word == word]

    def _against(self, some: Sequence[Row], word: str) -> str:
        names, was = _and([_said(row) for row in some]), "was" if len(some) == 1 else "were"
        lead = f"{names} {was} {word} than plain gradients"
        if len(some) == 1:
            return f"{lead}: {_gain(some[0])}"
        if len(some) <= 3:
            return f"{lead}: {'; '.join(f'{_said(row)} {_gain(row)}' for row in some)}"
        sizes = [abs(row.difference.value) for row in some if row.difference]
        least, most = (number(size, digits(some[0].cell)) for size in (min(sizes), max(sizes)))
        return f"{lead}, by {least} to {most}{_unit(some[0])}"

    def _hinted(self, some: Sequence[Row]) -> str:
        those, one = _and([_said(row) for row in some]), len(some) == 1
        own = "its own interval excludes" if one else "their own intervals exclude"
        both = zip(self.others, self.standings, strict=True)
        among = {standing.among for _, standing in both if standing.word == "hint"}
        many = f"{among.pop()}" if len(among) == 1 else "multiple"
        return (
            f"{those} {'remains' if one else 'remain'} open: {own} zero, but not after "
            f"correction for {many} comparisons"
        )

    def _listed(self, some: Sequence[Row]) -> str:
        named = [row for row in self._plain if row in some] or list(some)
        few = [f"{_said(row)} {_gain(row)}" for row in named if row.difference][:3]
        return f": {'; '.join(few)}" if few else ""

    def _bounds(self, some: Sequence[Row]) -> list[str]:
        """What the intervals of the open arms leave possible: an absence is never shown by them."""
        own = [row for row in some if not control(row)] or list(some)
        found = [gain.interval for row in own if (gain := row.difference) and gain.interval]
        if not found:
            return []
        lower = self.first.cell.score["better"] == "lower"
        best = -min(low for low, _ in found) if lower else max(high for _, high in found)
        worst = max(high for _, high in found) if lower else -min(low for low, _ in found)
        d = digits(self.first.cell)
        lead = "Within these 95 % intervals" if len(found) > 1 else "Within this 95 % interval"
        gain_text, loss_text = (number(max(end, 0), d) for end in (best, worst))
        where = "" if len(some) == len(self.others) else " there"
        apart = " (controls apart)" if len(own) < len(some) else ""
        return [
            f"{lead}, gains of up to {gain_text} and losses of up to {loss_text}"
            f"{_unit(self.first)} remain possible{where}{apart}"
        ]


def control(row: Row) -> bool:
    """Whether it is plain gradients with a larger step, beside which a metric has to stand."""
    return str(row.cell.config["metric"]["name"]) in CONTROLS


def answers(rows: Sequence[Row], parts: Sequence[Part]) -> list[Answer]:
    """Return the answers that the rows allow, the most telling first.

    That is: within the paper's protocol, then of the paper's artefacts at other settings, then of
    our own questions, then whatever else; of each, the one with most trials.
    """
    ran = [part for part in parts if part.ran]
    own: dict[int, list[Part]] = {}
    for part in ran:
        for sample in part.samples:
            own.setdefault(id(sample.cell), []).append(part)
    found = []
    for _, some in groupby(rows, key=lambda row: id(row.setting)):
        group = [row for row in some if len(row.cell.complete) > 1 and row.cell.measures]
        base = [row for row in group if row.cell.baseline]
        others = [row for row in group if row.difference and not row.cell.baseline]
        if base and others:
            inside = [part for row in group for part in own.get(id(row.cell), ())]
            titles = dict.fromkeys(p.artefact.title for p in inside if not p.artefact.ours)
            titles |= dict.fromkeys(p.artefact.title for p in inside if p.artefact.ours)
            rank = min((p.artefact.ours for p in inside), default=2)
            rank = -1 if inside and not any(row.labels for row in group) else int(rank)
            n = sum(len(row.cell.complete) for row in group)
            said = standings(base[0], others, parts)
            found.append((rank, -n, Answer((*base, *others), said, tuple(titles))))
    return [answer for *_, answer in sorted(found, key=lambda one: one[:2])]


def question(rows: Sequence[Row], found: Sequence[Answer], ours: bool) -> str:
    """Return the page's title: the paper's question, or what a user compared.

    `ours`: whether anything on the page is of the paper's or of our declared settings.
    """
    if ours or not rows:
        return "Channel-directed gradients: does the paper hold?"
    if not any(row.cell.measures for row in rows):
        return "Channel-directed gradients: a smoke run"
    compared = [one.first for one in found] or list(rows)
    places = list(dict.fromkeys(f"{row.cell.task} ({_setup(row)})" for row in compared))
    more = f" and {counted(len(places) - 1, 'other setting')}" if len(places) > 1 else ""
    return f"Channel-directed gradients on {places[0]}{more}"


def _setup(row: Row) -> str:
    """The setting in a sentence: its parts in words, commas between them."""
    name = str(row.cell.config["optimizer"]["name"])
    words = row.setting.title.split(" · ")
    return ", ".join(_NAMES.get(word, word) if word == name else word for word in words)


def _said(row: Row) -> str:
    """A metric within a list: what tells it from others in brackets."""
    name, _, rest = row.metric.partition(", ")
    return f"{name} ({rest})" if rest else name


def _gain(row: Row) -> str:
    gain = row.difference
    assert gain is not None
    d = gain_digits(row)
    bounds = f", 95 % interval {interval(gain.interval, d, sign=True)}" if gain.interval else ""
    return f"{number(gain.value, d, sign=True)}{_unit(row)}{bounds}"


def _unit(row: Row) -> str:
    name = score(row.cell.score["name"])
    return " points" if row.cell.score.get("unit") == "%" else f" in {name}"


def _range(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
