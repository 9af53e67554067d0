"""Steps: what torch's hooks let happen before an optimizer reads its gradients, once a step."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from chandir.handle import Handle


class Steps:
    """The steps of one optimizer, in each of which the attached metrics act once, in turn.

    They act before a step without a closure. In one with a closure they act after each of its
    evaluations, since the backward pass is inside. A step that calls its base class's is one step.

    Args:
        optimizer: whose steps they are. It keeps this object, which keeps no reference to it.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.handles: list[Handle] = []
        # torch.compile leaves the metrics as they are: no graph could hold the checks. Constructing
        # an optimizer has loaded dynamo, so that this costs nothing.
        self._act = torch.compiler.disable(self._act_now)
        self._hooks = (
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(_after),
        )
        self._acted: bool | None = None  # in the step under way, if its class calls its base's
        # What stands for optimizer.step, which holds the optimizer: kept by that alone.
        self._outermost: Callable[[], Any] = lambda: None
        if _calls_bases(type(optimizer)):
            self._tell_apart(optimizer)

    def remove(self, optimizer: Optimizer, handle: Handle) -> None:
        """Let a metric act no more; after the last, the optimizer is as it was."""
        if handle in self.handles:
            self.handles.remove(handle)
        if self.handles:
            return
        for hook in self._hooks:
            hook.remove()
        outermost, now = self._outermost(), vars(optimizer).get("step")
        if outermost is not None and getattr(now, "__func__", None) is outermost:
            del optimizer.step  # type: ignore[misc]
            if stood := vars(outermost)["stood"]:
                optimizer.step = stood  # type: ignore[method-assign]
        _STEPS.pop(optimizer, None)

    def _before(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._acted:
            return None  # the step of a base class
        if self._acted is False:
            self._acted = True
        closure = _closure(args, kwargs)
        if closure is None:
            self._act(optimizer)
            return None
        wrapped = _Closure(closure, functools.partial(self._act, optimizer))
        if "closure" in kwargs:
            return args, {**kwargs, "closure": wrapped}
        return (args[0], wrapped, *args[2:]), kwargs

    def _act_now(self, optimizer: Optimizer) -> None:
        for handle in tuple(self.handles):
            handle.act(optimizer)

    def _tell_apart(self, optimizer: Optimizer) -> None:
        """Note where a step begins and ends, also by an error, which no hook tells.

        torch wraps the step of every class that was ever constructed, so that one which calls its
        base's has its hooks called twice; what it did to the gradient in between is its own matter.
        """
        plain = _function(optimizer.step)

        @functools.wraps(plain)
        def outermost(optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            self._acted = False
            try:
                return plain(optimizer, *args, **kwargs)
            finally:
                self._acted = None

        outermost.stood = vars(optimizer).get("step")  # type: ignore[attr-defined]
        self._outermost = weakref.ref(outermost)
        optimizer.step = types.MethodType(outermost, optimizer)  # type: ignore[method-assign]


_STEPS: weakref.WeakKeyDictionary[Optimizer, Steps] = weakref.WeakKeyDictionary()


def steps(optimizer: Optimizer) -> Steps:
    """Return the steps of an optimizer, made and hooked into it if there are none yet."""
    if optimizer not in _STEPS:
        _STEPS[optimizer] = Steps(optimizer)
    return _STEPS[optimizer]


def attached(optimizer: Optimizer) -> list[Handle]:
    """Return the handles of an optimizer, in the order in which their metrics act."""
    return list(_STEPS[optimizer].handles) if optimizer in _STEPS else []


class _Closure:
    """A closure after whose backward pass something is done."""

    def __init__(self, closure: Callable[[], Any], then: Callable[[], None]) -> None:
        self.closure, self.then = closure, then
        self.evaluated = False

    def __call__(self) -> Any:
        loss = self.closure()
        self.then()
        self.evaluated = True
        return loss


def _function(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step as a function of the optimizer: what stands for it, in a copy too, takes it."""
    if (function := getattr(step, "__func__", None)) is not None:
        return function  # type: ignore[no-any-return]

    @functools.wraps(step)  # a scheduler's, which knows its optimizer
    def known(_: Optimizer, *args: Any, **kwargs: Any) -> Any:
        return step(*args, **kwargs)

    return known


def _closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any] | None:
    """Return the closure among the arguments of a step, of which the first is the optimizer."""
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    return closure if callable(closure) else None


def _after(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    closure = _closure(args, kwargs)
    if isinstance(closure, _Closure) and not closure.evaluated:
        raise ValueError(
            f"{type(optimizer).__name__}.step(closure) did not evaluate its closure, so that it "
            "stepped on the plain gradient: call the closure yourself, then step() without it"
        )


def _calls_bases(kind: type[Optimizer]) -> bool:
    """Whether a step of this class may call another's."""
    return sum("step" in vars(base) for base in kind.__mro__ if base is not Optimizer) > 1
