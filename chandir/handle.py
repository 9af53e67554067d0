"""Handle: a metric attached to an optimizer, and the same map applied by hand."""

from __future__ import annotations

import sys
import weakref
from collections import defaultdict
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chandir.axes import Target, select
from chandir.fibers import fibers
from chandir.metrics import Metric, act, check_gradient, check_response, operator_for, overwrite

if TYPE_CHECKING:
    from chandir.operators import Operator

# The live handles of each optimizer, in the order in which they act.
_ATTACHED: weakref.WeakKeyDictionary[Optimizer, list[Handle]] = weakref.WeakKeyDictionary()

# Larger gradients keep a GPU busy by themselves, and a copy of them all would need memory.
STACKED = 2**20


class Handle:
    """A metric at work in an optimizer, until `remove`. Made by `attach`."""

    def __init__(self, optimizer: Optimizer, metric: Metric, targets: list[Target]) -> None:
        self.metric = metric
        self._targets = targets
        self._optimizer = weakref.ref(optimizer)
        self._hook = optimizer.register_step_pre_hook(self._before_step)
        _ATTACHED.setdefault(optimizer, []).append(self)

    def __repr__(self) -> str:
        names = ", ".join(target.name for target in self._targets[:2])
        more = f" and {len(self._targets) - 2} more" if len(self._targets) > 2 else ""
        return f"<Handle: {self.metric} on {names or 'nothing'}{more}>"

    def remove(self) -> None:
        """Detach the metric, which leaves the optimizer as it was. Again, it does nothing."""
        self._hook.remove()
        self._targets = []
        optimizer = self._optimizer()
        if optimizer is not None and self in _ATTACHED.get(optimizer, []):
            _ATTACHED[optimizer].remove(self)

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
        if closure is not None:
            raise ValueError(
                "step(closure) would compute the gradient after the metric has acted: expected "
                "step() without a closure; call the closure yourself, then step()"
            )
        if not _nested(optimizer, sys._getframe(1)):
            overwrite_gradients(self.metric, _held(self._targets, optimizer))


def _nested(optimizer: Optimizer, call: FrameType) -> bool:
    """Whether a call of the optimizer's hooks comes from within another one.

    torch wraps the step of every class that was ever constructed, so that one which calls its
    base's has its hooks called twice; the gradient is to change once. Nothing is kept between the
    two that a step which fails would leave behind.
    """
    frame = call.f_back
    while frame is not None:
        if frame.f_code is call.f_code and any(it is optimizer for it in frame.f_locals.values()):
            return True
        frame = frame.f_back
    return False


def attach(
    optimizer: Optimizer,
    model: nn.Module,
    metric: Metric,
    direction: str = "output",
    scope: str = "conv",
    *,
    after: Handle | None = None,
) -> Handle:
    """Let optimizer step on the gradients of metric, for the selected parameters of model.

    The optimizer stays what it is: schedulers, GradScaler, state_dict, fused and foreach variants
    work as before. Just before each step, the gradients in ``.grad`` are overwritten. The order is
    backward, unscale, clip, metric, coupled weight decay, momentum: decay is not smoothed.

    Hooks are not part of a state_dict and are dropped by deepcopy and pickle: attach after
    constructing or copying. Each step() applies the metric, so step once per backward pass.

    Args:
        optimizer: any torch optimizer whose step needs no closure.
        model: holds the parameters. Those that the optimizer does not hold are left alone.
        metric: `H0Lambda`, `Sobolev`, `LaplacianSmoothing`, `H0` or your own.
        direction: "output", "input" or "rasterized": the axis of the fibers.
        scope: "conv" for the weights of convolutions, "all" for every parameter.
        after: the handle of the metric that is attached already, on whose gradient this one acts.

    Returns:
        The handle, whose ``remove()`` detaches the metric.

    Raises:
        ValueError: a choice is unknown, nothing is selected, the optimizer holds nothing of it, or
            it has a metric already that `after` does not name. Later, by step, if given a closure.
    """
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer is {type(optimizer).__name__}: expected a torch Optimizer")
    if not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise ValueError(
            f"{type(optimizer).__name__} wraps an optimizer and has no hooks of its own: attach to "
            "the optimizer inside, before it is wrapped"
        )
    _check_metric(metric)
    targets = select(model, direction, scope)
    if not _held(targets, optimizer):
        raise ValueError(
            f"the optimizer holds none of the {len(targets)} tensors that direction={direction!r}, "
            f"scope={scope!r} selects in {type(model).__name__} (the first: {targets[0].name}): "
            "give the model that this optimizer trains, or another scope"
        )
    for n in {target.entries for target in targets} - {0}:
        check_response(metric, n)
    live = _ATTACHED.get(optimizer, [])
    if after is not (live[-1] if live else None):
        raise ValueError(
            f"this {type(optimizer).__name__} already has {live[-1].metric} attached: remove() its "
            "handle, or give it as after= to act on its gradient; lost it? Make a new optimizer"
            if live
            else f"after={after}, but this {type(optimizer).__name__} has no metric attached: "
            "expected None"
        )
    return Handle(optimizer, metric, targets)


def apply_(
    model: nn.Module, metric: Metric, direction: str = "output", scope: str = "conv"
) -> None:
    """Overwrite the gradients in model by those of metric, as `attach` does before each step.

    Parameters without a gradient are skipped. Arguments and errors are those of `attach`.

    Raises:
        ValueError: a choice is unknown, nothing is selected, or a gradient is not dense and real.
    """
    _check_metric(metric)
    overwrite_gradients(metric, select(model, direction, scope))


@torch.no_grad()
def overwrite_gradients(
    metric: Metric, targets: Iterable[Target], *, stack: bool | None = None
) -> None:
    """Overwrite the gradients of targets: on CUDA, or with stack=True, all of a shape at once.

    A GPU waits for the launch of small kernels, so gradients whose fibers have one shape are
    stacked there. On a CPU that gains nothing (h0_lambda of ResNet-56: 0.63 ms against 0.59), and
    a gradient's last bits would depend on its company.
    """
    alike: dict[tuple[object, ...], list[Tensor]] = defaultdict(list)
    known: dict[tuple[int, torch.dtype, torch.device], Operator] = {}
    for target in targets:
        grad = target.parameter.grad
        if grad is None:
            continue
        try:
            check_gradient(grad)
        except ValueError as error:
            raise ValueError(f"{target.name}: {error}") from None
        f = target.view(grad)
        x = fibers(f, target.dim)
        if x.data_ptr() != f.data_ptr() or not x.is_contiguous():  # a copy, or a view with gaps
            if 0 in grad.stride():  # expanded: its entries are one in memory
                target.parameter.grad = grad.contiguous()
                f = target.view(target.parameter.grad)
            f.copy_(metric.gradient(f, target.dim))
        elif (grad.is_cuda if stack is None else stack) and x.numel() <= STACKED:
            alike[x.shape, x.dtype, x.device].append(x)
        elif x.numel():
            key = x.shape[1], x.dtype, x.device
            if key not in known:
                known[key] = operator_for(metric, *key)
            act(known[key], x)
    for xs in alike.values():
        stacked = torch.stack(xs)  # (k, a, n, b)
        overwrite(metric, stacked.flatten(0, 1))
        torch._foreach_copy_(xs, stacked.unbind())


def _held(targets: list[Target], optimizer: Optimizer) -> list[Target]:
    """Return the targets in the optimizer's groups, those added since it was made included."""
    held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    return [target for target in targets if target.parameter in held]


def _check_metric(metric: Metric) -> None:
    if not isinstance(metric, Metric):
        raise ValueError(f"metric is {metric!r}: expected a metric, such as chandir.Sobolev()")
    kind = type(metric)
    for name in ("gradient", "matrix", "gram"):
        if getattr(kind, name) is not getattr(Metric, name):
            raise ValueError(
                f"{kind.__name__} overrides {name}(), which follows from its response(n) and would "
                "be ignored: define the metric by response(n) alone"
            )
    if kind.__hash__ is None:
        raise ValueError(
            f"{kind.__name__} cannot be hashed, by which its operators are found again: make it a "
            "frozen dataclass"
        )
