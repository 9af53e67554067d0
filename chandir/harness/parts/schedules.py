"""Learning rates over epochs: torch's schedulers, played once before the trial.

A scheduler of any class steps on an optimizer of one parameter, and what it makes of the rate in
each epoch is kept. So an epoch's rate depends on its number alone, and a trial that continues needs
no state of it. `Step`, `Cosine` and `Constant` are the paper's and the followed codes', as torch's
LambdaLR with a closed form, whose digits do not depend on the epochs before.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, StepLR

from chandir.harness.base.errors import UserError
from chandir.harness.base.keyed import Keyed
from chandir.harness.config.schema import Config, Count, Positive, Schedule
from chandir.harness.parts import classes


class Step(LambdaLR):
    """The rate times ``factor``^d after d = floor((epoch - 1) / every) drops."""

    drops = True

    def __init__(self, optimizer: Optimizer, every: Count, factor: Positive = 0.1) -> None:
        super().__init__(optimizer, lambda passed: factor ** (passed // every))


class Cosine(LambdaLR):
    """The rate times (1 + cos(pi t / every)) / 2, t = (epoch - 1) mod every.

    The warm restarts of Loshchilov and Hutter (arXiv 1608.03983), with cycles of one length.
    """

    def __init__(self, optimizer: Optimizer, every: Count) -> None:
        super().__init__(
            optimizer, lambda passed: (1 + math.cos(math.pi * (passed % every) / every)) / 2
        )


class Constant(LambdaLR):
    """The rate stays."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, lambda passed: 1.0)


def drops(schedule: Schedule) -> bool:
    """Whether the rate falls at single epochs, at which momentum may be forgotten."""
    kind = classes.load("schedule", schedule)
    return bool(getattr(kind, "drops", kind in (StepLR, MultiStepLR)))


def rates(config: Config, base: float) -> tuple[dict[str, Any], ...]:
    """What the schedule sets in each epoch: ``lr``, and what else it changes, such as momentum.

    Args:
        config: the trial's.
        base: the rate before the schedule.

    Raises:
        UserError: for settings that the scheduler refuses, a class that is none, and one that needs
            scores: a trial's only ones are the test set's.
    """
    assert config.task.epochs is not None
    schedule = Keyed(config.schedule.model_dump_json(), config.schedule)
    defaults = _changeable(config)
    return _rates(schedule, Keyed(str(defaults), defaults), config.task.epochs, base)


def sets_rate(config: Config, base: float) -> bool:
    """Whether the schedule sets the rate itself, whatever it was, instead of multiplying it."""
    one, other = ([each["lr"] for each in rates(config, it)] for it in (base, base / 2))
    return one == other


def _changeable(config: Config) -> dict[str, Any]:
    """The optimizer's settings, such as momentum, which a schedule may change beside the rate."""
    signature = classes.signature("optimizer", config.optimizer)
    known = {p.name: p.default for p in signature if p.default is not p.empty}
    known |= config.optimizer.settings
    known.pop("lr", None)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}


@lru_cache(maxsize=256)
def _rates(
    keyed: Keyed[Schedule], changeable: Keyed[dict[str, Any]], epochs: int, base: float
) -> tuple[dict[str, Any], ...]:
    schedule, defaults = keyed.value, changeable.value
    kind = classes.load("schedule", schedule)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = Optimizer([parameter], {"lr": base, **defaults})  # takes no step
    before = dict(optimizer.param_groups[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, of steps in another order
        scheduler = classes.make("schedule", schedule, optimizer)
        if not hasattr(scheduler, "step"):
            raise UserError(f"schedule={schedule.name}: {schedule.target} is no torch scheduler")
        played = []
        for _ in range(epochs):
            group = optimizer.param_groups[0]
            played.append({key: _plain(group[key]) for key in ("lr", *sorted(defaults))})
            try:
                scheduler.step()
            except TypeError as error:
                raise UserError(
                    f"schedule={schedule.name}: {kind.__name__} wants more than the number of the "
                    f"epoch ({error}): expected a schedule that needs no scores; the only ones are "
                    "the test set's, which may not steer a training"
                ) from None
            except (ValueError, ArithmeticError):  # a cycle that has ended, such as OneCycleLR's
                if len(played) < epochs:
                    raise UserError(
                        f"schedule={schedule.name}: {kind.__name__} ends after epoch {len(played)} "
                        f"of {epochs}; make it longer"
                    ) from None
    for epoch, each in enumerate(played, 1):
        if not 0 <= each["lr"] < math.inf:
            raise UserError(
                f"schedule={schedule.name}: the rate of epoch {epoch} is {each['lr']:g}: expected "
                "a finite number from 0 up"
            )
    changed = {
        key for key in before if any(each.get(key, before[key]) != before[key] for each in played)
    }
    return tuple(
        {key: each[key] for key in each if key == "lr" or key in changed} for each in played
    )


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, torch.Tensor) else value
