"""The trials of a stack, from start to end: each goes its own way, but for its epochs' training.

A trial that ends, fails or diverges leaves its lane to the next one. Without memory for an epoch,
the stack is halved: its trials save what they have, and start again, fewer at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from chandir.harness.base import signals
from chandir.harness.base.errors import out_of_memory
from chandir.harness.cells.resolve import Resolved
from chandir.harness.gpu import stack
from chandir.harness.trial import devices, loop
from chandir.harness.trial.loop import Request
from chandir.harness.trial.trial import Retry, course

Trial = tuple[Resolved, Path]  # and its run folder
Ended = Callable[[Trial, "Exception | None"], object]


class _Lane:
    """A trial under way."""

    def __init__(self, trial: Trial, lanes: int) -> None:
        self.trial = trial
        self.course = course(*trial, lanes=lanes)
        self.request: Request | None = None

    def advance(self, step: Callable[[], Request], ended: Ended) -> bool:
        """Let the trial do what follows an epoch; whether it asks for another one."""
        try:
            self.request = step()
            return True
        except StopIteration:
            ended(self.trial, None)
            return False
        except Exception as error:
            ended(self.trial, error)
        self.request = None
        devices.free()
        return False

    def leave(self, why: BaseException) -> None:
        """Save the end of the last whole epoch."""
        with suppress(type(why)):
            self.course.throw(why)


def run(
    trials: Sequence[Trial], size: int, ended: Callable[[Trial, Exception | None], bool]
) -> None:
    """Run every trial, ``size`` side by side.

    Args:
        trials: any number that are `stack.alike`.
        size: lanes.
        ended: told of each trial's end, with its error; false starts no further one.

    Raises:
        Leave: for a signal; every lane has saved the end of its last whole epoch.
    """
    waiting, lanes = deque(trials), list[_Lane]()

    def tell(trial: Trial, error: Exception | None) -> None:
        if not ended(trial, error):
            waiting.clear()

    try:
        while lanes or waiting:
            while waiting and len(lanes) < size:
                lanes.append(_Lane(waiting.popleft(), size))
                if not lanes[-1].advance(partial(next, lanes[-1].course), tell):
                    lanes.pop()
            if not _epoch(lanes, tell):
                size = len(lanes) // 2
                print(f"out of memory: {len(lanes)} lanes become {size}", flush=True)
                waiting.extendleft(reversed(_give_up(lanes)))
    except signals.Leave as leave:
        for lane in lanes:
            lane.leave(leave)
        raise


def _epoch(lanes: list[_Lane], ended: Ended) -> bool:
    """One epoch of each lane, after which some are gone; False if there is no memory for it."""
    requests = [lane.request for lane in lanes if lane.request is not None]  # all have one
    try:
        if len(lanes) > 1:
            epochs = stack.train_epoch(requests)
        else:
            epochs = [loop.train_epoch(*request) for request in requests]
        answers = [partial(lane.course.send, it) for lane, it in zip(lanes, epochs, strict=True)]
    except Exception as error:
        if out_of_memory(error) and len(lanes) > 1:
            return False
        answers = [partial(lane.course.throw, error) for lane in lanes]  # it is everyone's
    waiting, going = deque(zip(lanes, answers, strict=True)), list[_Lane]()
    del answers, requests  # what holds an error or a request holds a trial's memory
    while waiting:
        lane, answer = waiting.popleft()
        if lane.advance(answer, ended):
            going.append(lane)
    lanes[:] = going
    return True


def _give_up(lanes: list[_Lane]) -> list[Trial]:
    """Let every lane save and leave, and free its memory; the trials, to be started again."""
    trials = [lane.trial for lane in lanes]
    while lanes:
        lanes.pop().leave(Retry())
    devices.free()
    return trials
