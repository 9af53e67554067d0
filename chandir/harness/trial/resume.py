"""Continuing a trial: from the newest generation that is whole, fits and has its log, or anew."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from chandir.harness.base.errors import UserError, out_of_memory
from chandir.harness.config.schema import Config
from chandir.harness.durable.provenance import diff, machines
from chandir.harness.durable.record import Record
from chandir.harness.parts import optimizers
from chandir.harness.trial import checkpoint
from chandir.harness.trial.seeding import Streams

MOMENTS = {"momentum_buffer", "exp_avg", "exp_avg_sq", "square_avg"}


def resume(
    record: Record,
    config: Config,
    origin: dict[str, Any],
    model: nn.Module,
    steppers: dict[str, torch.optim.Optimizer],
    streams: Streams,
) -> dict[str, Any]:
    """Load the newest whole checkpoint into the networks, optimizers and streams.

    A complete trial gets here to run again, see `origins.again`: from its start.
    """
    new: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "segments": []}
    if record.complete:
        record.tidy()  # first, so that nothing continues from them after a kill
        record.revoke()
        checkpoint.remove(record.folder)  # weights of an older version, under that name
        return new
    logged = len(record.rows())
    fresh = _Start(model, steppers, streams) if checkpoint.exist(record.folder) else None
    anew = False

    def use(state: dict[str, Any]) -> None:
        nonlocal anew
        checkpoint.check(state)
        if state["epoch"] > logged:
            raise checkpoint.Unfit(
                f"is of epoch {state['epoch']}, and log.jsonl is whole up to epoch {logged}"
            )
        changed = _changes(state, origin)
        if changed and config.on_change == "refuse":
            raise UserError(
                f"{record.folder}: since its checkpoint, {'; '.join(changed)}: expected the same "
                "data and the same code; on_change=restart runs it anew, on_change=continue mixes "
                "both"
            )
        anew = bool(changed) and config.on_change == "restart"
        if not anew:
            assert fresh is not None
            fresh.replace(state)

    state, damaged = checkpoint.load(record.folder, use)
    for message in damaged:
        print(message, flush=True)
    if anew or state is None:
        record.look()
        checkpoint.remove(record.folder)
        return new
    before, now = machines({"segments": state["segments"][-1:]}), machines(origin)
    if before and before != now:
        print(
            f"{record.folder}: goes on after epoch {state['epoch']} on {now[0]}, begun on "
            f"{before[0]}: its last digits may differ from those of one machine alone",
            flush=True,
        )
    return state


class _Start:
    """The networks, optimizers and streams of a trial at its start, to come back to."""

    def __init__(
        self, model: nn.Module, steppers: dict[str, torch.optim.Optimizer], streams: Streams
    ) -> None:
        self.model, self.steppers, self.streams = model, steppers, streams
        self.weights = copy.deepcopy(model.state_dict())
        self.states = {name: copy.deepcopy(each.state_dict()) for name, each in steppers.items()}
        self.drawn = streams.state()

    def replace(self, state: dict[str, Any]) -> None:
        """Continue where a state was taken.

        Raises:
            Unfit: if it is of something else; all is as at the start.
        """
        try:
            self.model.load_state_dict(state["model"])
            for name, optimizer in self.steppers.items():
                optimizers.restore(optimizer, state["optimizers"][name])
            self.streams.restore(state["streams"])
            self._check_moments()
        except Exception as error:
            if out_of_memory(error) or "CUDA error" in str(error):
                raise
            self.model.load_state_dict(self.weights)
            for name, optimizer in self.steppers.items():
                optimizer.load_state_dict(self.states[name])
            self.streams.restore(self.drawn)
            why = " ".join(str(error).split())[:120]
            raise checkpoint.Unfit(
                f"does not fit this trial ({type(error).__name__}: {why})"
            ) from None

    def _check_moments(self) -> None:
        """An optimizer loads moments of any shape, and fails at its first step."""
        for optimizer in filter(_elementwise, self.steppers.values()):
            for parameter, moments in optimizer.state.items():
                for name in MOMENTS & moments.keys():
                    moment = moments[name]
                    if moment is not None and moment.shape != parameter.shape:
                        raise ValueError(f"{name} is {tuple(moment.shape)}")


def _elementwise(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `MOMENTS` are known to have the shapes of the parameters.

    They have in torch's classes, ours, and what derives from them. What another's class keeps under
    such a name, factored moments for example, is for itself to know.
    """
    kinds = [kind for kind in type(optimizer).__mro__ if kind is not torch.optim.Optimizer]
    return any(kind.__module__.startswith(("torch.optim.", "chandir.")) for kind in kinds)


def _changes(state: dict[str, Any], origin: dict[str, Any]) -> list[str]:
    before, now = state["sources"], origin["sources"]
    files_changed = sorted(name for name in before | now if before.get(name) != now.get(name))
    commit = state["segments"][-1].get("commit") if state["segments"] else None
    changes = [f"{name} changed{diff(commit or '', [name])}" for name in files_changed]
    old, new = state["data"], origin["data"]["checksum"]
    if old != new:
        changes.append(f"the data changed (checksum {old[:12]}, now {new[:12]})")
    return changes
