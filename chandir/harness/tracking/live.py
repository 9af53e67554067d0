"""The live display on a terminal: what has ended scrolls above, what runs is drawn anew below it.

Every line drawn anew fits the terminal, however wide. The cursor is never hidden, so that whatever
ends the process, a terminal is left as it was. Without Unicode bars are ASCII; under NO_COLOR no
style is written at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as Region
from rich.text import Text

from chandir.harness.base import output
from chandir.harness.base.words import cut, duration, many
from chandir.harness.tracking import news
from chandir.harness.tracking.standing import Running, Standing

PER_SECOND = 4  # times that it is drawn
NAME = 0.36  # of the width, at most, for names
STYLES = {news.DONE: "green", news.DIVERGED: "yellow", news.FAILED: "bold red"}


class _Terminal(Console):
    """A console whose cursor stays."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leave it."""
        return False


def _sane(environment: Mapping[str, str]) -> dict[str, str]:
    """Without a size of zero, at which nothing at all is shown: the terminal is asked instead."""
    sizes = ("COLUMNS", "LINES")
    return {key: value for key, value in environment.items()
            if key not in sizes or value.strip("0")}  # fmt: skip


class Live:
    """The display.

    Args:
        standing: how far the sweep is; read whenever it is drawn.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.console = _Terminal(
            file=sys.stdout,
            force_terminal=True,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
            highlight=False,
            markup=False,
            emoji=False,
            _environ=_sane(os.environ),
        )
        self.region = Region(
            get_renderable=lambda: _Drawn(self.standing),
            console=self.console,
            refresh_per_second=PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Live:
        self.region.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.region.stop()

    def show(self, told: news.News, standing: Standing) -> None:
        """Write above the region what stays; the rest is drawn next time."""
        if isinstance(told, news.Said):
            text = Text(output.spelt(output.still(told.text)), "yellow" if told.error else "")
            self._above(text)
        elif isinstance(told, news.Ended) and (told.why or standing.total > 1):
            text = Text(output.spelt(output.still(self._row(told))))
            text.stylize(STYLES.get(told.how, "yellow"), 0, len(told.how))
            self._above(Text(output.still(told.trace)) + text if told.trace else text)

    def _row(self, told: news.Ended) -> str:
        """How a trial ended, in columns."""
        most = int(self.console.width * NAME)
        widest = min(most, max(len(each.name) for each in self.standing.planned.values()))
        name = cut(self.standing.planned[told.trial].name, widest)
        took = duration(told.seconds) if told.seconds else ""
        what = told.why or f"{told.score:>10}  {took}"
        return f"{told.how:<{len(news.DIVERGED)}}  {name:<{widest}}  {what}".rstrip()

    def _above(self, text: Text) -> None:
        self.console.print(text, overflow="fold")


class _Drawn:
    """What is drawn of a standing."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.standing.lock:
            lines = drawn(self.standing, options.max_width, console.size.height)
        yield from lines


def drawn(standing: Standing, width: int, height: int) -> list[Text]:
    """The lines of the region, each narrower than the terminal.

    Args:
        standing: what to draw.
        width: of the terminal.
        height: of the terminal.
    """
    width = max(20, width) - 1  # a full line leaves the cursor in doubt
    running = list(standing.running.values())
    if standing.total == 1:
        lines = [_alone(trial, standing, width) for trial in running]
    else:
        shown = running[: max(1, height - 4)]
        lines = list(_table(shown, standing, width))
        if not running and not standing.ended:
            lines.append([("no trial runs yet", "dim")])
        if rest := len(running) - len(shown):
            lines.append([(f"and {rest} more", "dim")])
        lines.append(_overall(standing, width))
    return [_line(parts, width) for parts in lines]


Parts = list[tuple[str, str]]  # texts and their styles


def _line(parts: Parts, width: int) -> Text:
    text = Text(no_wrap=True, overflow="crop", end="\n")
    for part, style in parts:
        safe = "".join(each if each.isprintable() else " " for each in part)
        text.append(output.spelt(safe), style)
    text.truncate(width)
    return text


def _bar(share: float, width: int, style: str) -> Parts:
    full = min(width, int(share * width + 1e-9))
    return [("━" * full, style), ("─" * (width - full), "dim")]


def _table(running: list[Running], standing: Standing, width: int) -> Iterable[Parts]:
    """A line for each running trial, in columns."""
    names = [cut(each.planned.name, int(width * NAME)) for each in running]
    columns: list[list[str]] = [
        names,
        [f"epoch {each.epoch}/{each.planned.epochs}" if each.of else "starts" for each in running],
        ["" if each.loss is None else f"loss {each.loss:.4g}" for each in running],
        [each.score for each in running],
    ]
    if width > 100:
        lefts = [standing.left_of(each) for each in running]
        columns.append(["" if left is None else f"{duration(left)} left" for left in lefts])
    # As wide as they may become, so that nothing jumps.
    least = [max((len(each.name) for each in standing.planned.values()), default=0), 0, 11, 8, 0]
    least[0] = min(least[0], int(width * NAME))
    widths = [max([few, *map(len, column)]) for column, few in zip(columns, least, strict=False)]
    room = width - sum(widths) - 2 * len(widths)
    for row, each in zip(zip(*columns, strict=True), running, strict=True):
        parts: Parts = [(f"{row[0]:<{widths[0]}}  ", "bold"), (f"{row[1]:<{widths[1]}}  ", "")]
        if room >= 8 and each.of:
            share = each.at / max(1, each.planned.epochs)
            parts += [*_bar(share, min(room, 40), "cyan"), ("  ", "")]
        parts += [(f"{text:<{wide}}  ", "") for text, wide in zip(row[2:], widths[2:], strict=True)]
        yield parts


def _overall(standing: Standing, width: int) -> Parts:
    """All trials: a bar, how many, how long."""
    left = standing.left()
    first = f"{standing.complete} of {many(standing.total, 'trial')}"
    failed = f"  {standing.failed} failed" if standing.failed else ""
    last = f" {standing.share:4.0%}  " + (f"about {duration(left)} left" if left else "")
    room = width - len(first) - len(failed) - len(last) - 2
    return [
        (f"{first}  ", "bold"),
        *_bar(standing.share, max(0, min(room, 60)), "green"),
        (last, ""),
        (failed, "bold red"),
    ]


def _alone(trial: Running, standing: Standing, width: int) -> Parts:
    """A trial by itself: bar, rate, time left, loss, score."""
    if not trial.of:
        return [("loads data and network", "dim")]
    left = standing.left_of(trial)
    rate = trial.rate
    share = trial.at / max(1, trial.planned.epochs)
    texts = [f"{share:4.0%}"]
    if width > 100:
        texts.append(f"{trial.steps:,}/{trial.of:,} steps")
    texts += [f"{rate:,.{0 if rate >= 10 else 1}f} steps/s"] if rate else []
    texts += [f"loss {trial.loss:.4g}"] if trial.loss is not None else []
    texts += [trial.score] if trial.score else []
    texts += [f"{duration(left)} left"] if left is not None else []
    first, last = f"epoch {trial.epoch}/{trial.planned.epochs}  ", "  ".join(texts)
    room = width - len(first) - len(last) - 1
    bar: Parts = _bar(share, min(room, 40), "cyan") if room >= 4 else []
    return [(first, "bold"), *bar, (f" {last}", "")]
