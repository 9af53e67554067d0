"""What news make of a display: any order, any width, lines or drawn anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandir.harness.base import output
from chandir.harness.base.words import cut, duration, many
from chandir.harness.sweep.differences import Differences
from chandir.harness.sweep.plan import jobs
from chandir.harness.tracking import news
from chandir.harness.tracking.display import Plain, shown
from chandir.harness.tracking.live import Live, drawn
from chandir.harness.tracking.news import Ended, Epoch, Said, Started, Stepped
from chandir.harness.tracking.standing import Planned, Standing

FOLDERS = [Path(f"runs/task/cell-{n}/trial-0") for n in range(5)]
PLANNED = [
    Planned(folder, f"h0_lambda {'long ' * n}lam=5, trial {n}", 4, n % 2)
    for n, folder in enumerate(FOLDERS[:4])  # of the last one nobody has heard
]
folders, counts = st.sampled_from(FOLDERS), st.integers(0, 40)
texts = st.text(max_size=120)
NEWS = st.one_of(
    st.builds(Started, folders),
    st.builds(Stepped, folders, counts, counts, st.booleans()),
    st.builds(Epoch, folders, st.integers(1, 5), st.floats(), texts),
    st.builds(Ended, folders, st.sampled_from(["done", "failed", "lost"]), texts, st.floats(0, 9),
              texts, texts),
    st.builds(Said, texts, st.booleans()),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(NEWS, max_size=30), st.integers(20, 200), st.integers(1, 60))
def test_news_in_any_order_are_shown_within_the_terminal(
    told: list[news.News], width: int, height: int
) -> None:
    clock = iter(range(100_000))
    for planned in (PLANNED, PLANNED[:1]):
        standing = Standing.of(planned, clock=lambda: float(next(clock)))
        for each in told:
            standing.hear(each)
            lines = drawn(standing, width, height)
            assert all(line.cell_len < width for line in lines)
            assert "\n" not in "".join(line.plain for line in lines)
            assert len(lines) <= max(3, height - 1)
            assert 0 <= standing.share <= 1
            assert standing.complete + standing.failed <= standing.total
            assert (standing.left() or 0) >= 0


def test_the_time_left_is_that_of_the_epochs_left_at_the_pace_of_their_kind() -> None:
    now = [0.0]
    a, b, c = (Planned(Path(f"r/t/{n}/trial-0"), n, 10, kind) for n, kind in ("ax", "bx", "cy"))
    standing = Standing.of([a, b, c], before=2, clock=lambda: now[0])
    assert standing.left() is None
    standing.hear(Stepped(a.folder, 0, 100, begun=True))
    now[0] = 6.0
    standing.hear(Stepped(a.folder, 20, 100))  # 3 s an epoch
    # 8 + 10 epochs of its kind, and 10 of one that was not measured, one trial at a time
    assert standing.left() == pytest.approx(28 * 3)
    standing.hear(Stepped(c.folder, 50, 100, begun=True))  # goes on after 5 of 10
    now[0] = 10.0
    standing.hear(Stepped(c.folder, 60, 100))  # 4 s an epoch; a has told nothing since
    assert standing.left() == pytest.approx((18 * 3 + 4 * 4) / 2)
    standing.hear(Ended(a.folder, news.DIVERGED, "10.00 %"))  # early
    # Two at a time still: the other one is about to start, and takes longest.
    assert standing.left() == pytest.approx(10 * 3)
    assert (standing.complete, standing.total) == (3, 5)
    standing.hear(Ended(b.folder, news.FAILED, why="no"))
    standing.hear(Ended(c.folder, "worker lost (SIGKILL)", why="again"))
    assert (standing.failed, standing.complete) == (1, 3)
    assert standing.left() == pytest.approx(10 * 4)  # c has to be started again


def test_lines_are_whole_one_per_event_and_one_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("chandir.harness.tracking.display.time.monotonic", lambda: now[0])
    standing, face = Standing.of(PLANNED, clock=lambda: now[0]), Plain()

    def tell(told: news.News) -> str:
        standing.hear(told)
        face.show(told, standing)
        shown = capsys.readouterr()
        return shown.out + shown.err

    first, second, *_ = FOLDERS
    assert tell(Started(first)) == tell(Stepped(first, 0, 40, begun=True)) == ""
    now[0] = 10
    assert tell(Stepped(first, 10, 40)) == ""
    line = tell(Epoch(first, 1, 0.5, "91.00 %"))
    assert line == ("h0_lambda lam=5, trial 0: 1 of 4 epochs, loss 0.5, 91.00 % "
                    "(0 of 4 trials, about 2 min left)\n")  # fmt: skip
    now[0] = 60
    assert tell(Epoch(first, 2, 0.5, "92.00 %")) == ""
    now[0] = 71
    assert tell(Stepped(first, 25, 40)).startswith("h0_lambda lam=5, trial 0: 2 of 4 epochs")
    done = tell(Ended(first, news.DONE, "93.00 %", 80.0))
    assert done.startswith("done: h0_lambda lam=5, trial 0: 93.00 %, 80 s (1 of 4 trials")
    failed = tell(Ended(second, news.FAILED, why="OSError: injected"))
    assert failed == "failed: h0_lambda long lam=5, trial 1: OSError: injected\n"
    assert tell(Said("a line")) == "a line\n"


def test_without_a_listener_what_is_said_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    news.tell(Stepped(FOLDERS[0], 1, 2))
    news.tell(Ended(FOLDERS[0], news.DONE, "1 %"))
    assert capsys.readouterr() == ("", "")
    news.say("heard")
    news.tell(Ended(FOLDERS[0], news.FAILED, why="ValueError: no", trace="Traceback: here\n"))
    assert capsys.readouterr() == (
        "heard\n", f"Traceback: here\nfailed: {FOLDERS[0]}: ValueError: no\n",
    )  # fmt: skip


def test_no_trial_dies_of_a_listener(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(told: news.News) -> None:
        raise BrokenPipeError

    with news.told_to(broken):
        news.tell(Stepped(FOLDERS[0], 1, 2))
        news.say("heard all the same")
    assert capsys.readouterr().out == "heard all the same\n"


def test_a_display_of_lines_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(PLANNED):  # no terminal here
        news.tell(Ended(FOLDERS[0], news.DONE, "1 %"))
    news.tell(Ended(FOLDERS[1], news.DONE, "2 %"))  # nobody listens any more
    told = capsys.readouterr().out
    assert told == "done: h0_lambda lam=5, trial 0: 1 % (1 of 4 trials)\n"


def test_short_names_are_what_differs() -> None:
    sweep = jobs(
        ("task=mnist-swap", "data.name=mnist,fashion-mnist", "metric=h0,h0_lambda,sobolev")
    )
    names = Differences(sweep)
    assert names.titles == ["data", "metric"]
    assert [names.name(home) for home in names.cells][:3] == [
        "mnist h0", "mnist h0_lambda", "mnist sobolev",
    ]  # fmt: skip
    assert names.common().startswith("mnist-swap, convnet, sgd, batch ")
    lams = Differences(jobs(("metric=h0_lambda", "metric.lam=1,5", "task.batch_size=8,16")))
    assert lams.titles == ["batch", "lam"]
    assert list(map(lams.name, lams.cells)) == ["b8 lam=1", "b16 lam=1", "b8 lam=5", "b16 lam=5"]
    one = Differences(jobs(("metric=h0",)))
    assert (one.titles, list(map(one.name, one.cells))) == ([], ["h0"])
    # What follows from another difference is none of its own.
    rates = Differences(jobs(("optimizer=sgd,adam", "trial=range(3)")))
    assert rates.titles == ["optimizer"]


@pytest.mark.slow
def test_every_cell_of_every_experiment_has_a_name_of_its_own() -> None:
    for name in ("fig5", "fig6", "fig10", "table3", "control"):
        names = Differences(jobs((f"experiment={name}",)))
        told = [names.name(home) for home in names.cells]
        assert len(set(told)) == len(told) > 1
        assert max(map(len, told)) < 60


@pytest.mark.parametrize(
    ("variables", "unicode"),
    [
        ({}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, False),
    ],
)
def test_what_the_locale_asks_for(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], unicode: bool
) -> None:
    for name in ("LANG", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert output.unicode() == unicode
    assert output.spelt("1 ± 2 ━") == ("1 ± 2 ━" if unicode else "1 +- 2 #")


def test_counts_and_times_in_words() -> None:
    assert [many(1, "trial"), many(2, "trial"), many(1056, "step")] == [
        "1 trial", "2 trials", "1,056 steps",
    ]  # fmt: skip
    assert [*map(duration, (0.2, 45, 89, 240, 3900, 200_000))] == [
        "0 s", "45 s", "89 s", "4 min", "1 h 05 min", "2 d 7 h",
    ]  # fmt: skip
    assert cut("a long name of a cell", 11) == "a lon… cell"
    assert cut("short", 11) == "short"


@given(st.text(st.sampled_from("a\x1b[;?0K2JmH]\x07\\\r\b\n\t"), max_size=60) | st.text())
def test_what_a_trial_says_moves_no_cursor(said: str) -> None:
    kept = output.still(said)
    assert all(each >= " " or each in "\n\t" for each in kept)
    assert "\x7f" not in kept
    if not any(each < " " or each == "\x7f" for each in said):
        assert kept == said


def test_colours_go_and_their_words_stay() -> None:
    assert output.still("\x1b[1;31mError\x1b[0m: \x1b]0;title\x07no\x1b[2J\x1b[H memory\r") == (
        "Error: no memory"
    )


def test_a_size_of_zero_is_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, "0")
    assert Live(Standing.of(PLANNED)).console.width > 0
