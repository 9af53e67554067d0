"""Handle: a metric attached to an optimizer, and the same map applied by hand."""

from __future__ import annotations

import gc
import operator
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import LBFGS, Optimizer

from chandir.axes import Target, select
from chandir.gradients import Gradients
from chandir.metrics import Metric, check_response
from chandir.steps import Steps, attached, steps


class Handle:
    """A metric at work in an optimizer, until `remove`. Made by `attach`.

    A copy of it, by deepcopy or pickle, is attached to nothing, as a copied optimizer has no hooks.
    """

    def __init__(self, optimizer: Optimizer, metric: Metric, targets: list[Target]) -> None:
        self.metric = metric
        self._targets = targets
        self._optimizer: Callable[[], Optimizer | None] = weakref.ref(optimizer)
        self._parameters = parameters(optimizer)  # when it last stepped
        self._gradients = Gradients(metric, held(targets, self._parameters))
        self._steps: Steps | None = steps(optimizer)
        self._steps.handles.append(self)

    def __repr__(self) -> str:
        optimizer = None if self._steps is None else self._optimizer()
        if optimizer is None:
            return f"<Handle: {self.metric}, detached>"
        names = [target.name for target in held(self._targets, parameters(optimizer))]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        return f"<Handle: {self.metric} on {', '.join(names[:2]) or 'nothing'}{more}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (self.metric,)

    def remove(self) -> None:
        """Detach the metric, which leaves the optimizer as it was. Again, it does nothing."""
        optimizer = self._optimizer()
        if self._steps is not None and optimizer is not None:
            self._steps.remove(optimizer, self)
        self._targets, self._parameters, self._steps = [], [], None
        self._gradients = Gradients(self.metric, [])

    def act(self, optimizer: Optimizer) -> None:
        """Overwrite the gradients of the targets that the optimizer holds, as its steps do.

        Raises:
            ValueError: its parameters were replaced, or a gradient cannot be taken.
        """
        now = parameters(optimizer)
        same = len(now) == len(self._parameters) and all(map(operator.is_, now, self._parameters))
        if not same:
            self._follow(now)
        self._gradients.overwrite()

    def _follow(self, now: list[nn.Parameter]) -> None:
        """Take up groups that were added or removed; where others stand for them, it is an error.

        A wrapper that shards a model gives its optimizer new parameters, which no target names: the
        metric would act on nothing, and nobody would be told.
        """
        among, before = set(now), held(self._targets, self._parameters)
        lost = [target.name for target in before if target.parameter not in among]
        if lost and among.difference(self._parameters):
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise ValueError(
                f"{lost[0]}{more}, to which {self.metric} is attached, left the optimizer, and "
                "other parameters came, as when a wrapper shards the model: remove() this handle, "
                "and attach to the model and the optimizer that the wrapper returns (.optimizer)"
            )
        self._parameters = now
        self._gradients = Gradients(self.metric, held(self._targets, now))


def _detached(metric: Metric) -> Handle:
    handle = Handle.__new__(Handle)
    handle.metric, handle._targets, handle._steps = metric, [], None
    handle._parameters, handle._gradients = [], Gradients(metric, [])
    handle._optimizer = lambda: None
    return handle


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
    work as before. Just before each step, the gradients in ``.grad`` are overwritten; in
    ``step(closure)``, as Lightning calls it, after each evaluation of the closure. The order is
    backward, unscale, clip, metric, coupled weight decay, momentum: decay is not smoothed. If one
    gradient cannot be taken, none is overwritten.

    Attach to the model and optimizer that train: after ``fully_shard``, which is supported, before
    a wrapper such as Accelerate's ``prepare``. Where this shards the model, attach after it, to the
    ``.optimizer`` of what it returns.

    Note:
        Hooks are not part of a state_dict and are dropped by deepcopy and pickle: attach after
        constructing or copying. Each step() applies the metric, so step once per backward pass.
        Parameters that the model has now are seen, also those given to ``add_param_group`` later;
        layers added to the model later are not: remove the handle and attach again. Where it is
        not ``step()`` that updates the weights (SAM's ``first_step`` and ``second_step``), attach
        to the optimizer inside whose ``step()`` does. ``.grad`` is overwritten without history:
        second derivatives, after ``backward(create_graph=True)``, are those of the plain gradient.

    Args:
        optimizer: any torch optimizer but LBFGS.
        model: holds the parameters. Those that the optimizer does not hold are left alone.
        metric: `H0Lambda`, `Sobolev`, `LaplacianSmoothing`, `H0` or your own.
        direction: "output", "input" or "rasterized": the axis of the fibers.
        scope: "conv" for the weights of convolutions, "all" for every parameter.
        after: the handle of the metric that is attached already, on whose gradient this one acts.

    Returns:
        The handle, whose ``remove()`` detaches the metric.

    Raises:
        ValueError: a choice is unknown, nothing is selected, the optimizer holds nothing of it or
            is of a kind that cannot be served, weights are flattened (FSDP1), the metric has no
            operator for a fiber's length, or there is a metric already that `after` does not name.
            Later, by step, if a gradient is not dense and real or of another shape than its
            parameter had, the optimizer's parameters were replaced, or a closure is given that the
            optimizer does not evaluate.
    """
    check_optimizer(optimizer)
    check_metric(metric)
    targets = select(model, direction, scope)
    found = held(targets, parameters(optimizer))
    if not found:
        raise ValueError(
            f"the optimizer holds none of the {len(targets)} tensors that direction={direction!r}, "
            f"scope={scope!r} selects in {type(model).__name__} (the first: {targets[0].name}): "
            "give the model that this optimizer trains, or another scope"
        )
    for n in {target.entries for target in targets} - {0}:
        check_response(metric, n)
    Gradients(metric, found).prepare()
    live = attached(optimizer)
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

    Parameters without a gradient are skipped. Arguments and errors are those of `attach`, as is
    what it notes of second derivatives.

    Raises:
        ValueError: a choice is unknown, nothing is selected, or a gradient is not dense and real.
            None was overwritten then.
    """
    check_metric(metric)
    Gradients(metric, select(model, direction, scope)).overwrite()


def parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters in the optimizer's groups, those added since it was made included."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def held(targets: list[Target], among: Iterable[nn.Parameter]) -> list[Target]:
    """Return the targets whose parameters are among these."""
    known = set(among)
    return [target for target in targets if target.parameter in known]


def check_optimizer(optimizer: Optimizer) -> None:
    """Raise a ValueError unless a metric can be attached to optimizers of this kind."""
    kind = type(optimizer).__name__
    inside = [name for name, it in getattr(optimizer, "__dict__", {}).items() if _hooks(it)]
    if not isinstance(optimizer, Optimizer) and not inside:
        raise ValueError(f"optimizer is {kind}: expected a torch Optimizer")
    if getattr(optimizer, "_overlap_with_ddp", False):
        raise ValueError(
            f"this {kind} updates the weights while DDP communicates, without a step(): make it "
            "with overlap_with_ddp=False"
        )
    if not _hooks(optimizer):
        where = f"its .{inside[0]}" if inside else "the optimizer inside, before it is wrapped"
        raise ValueError(
            f"{kind} wraps an optimizer and its step() calls no hooks: attach to {where}"
        )
    if isinstance(optimizer, LBFGS):
        raise ValueError(
            f"{kind} searches along a line, and would compare slopes of one inner product with "
            "values and curvatures of another: expected an optimizer that steps on the gradient"
        )
    if _inside_zero(optimizer):
        raise ValueError(
            f"this {kind} is inside a ZeroRedundancyOptimizer and holds only the parameters of "
            "this process: attach to the ZeroRedundancyOptimizer, on every process"
        )


def _hooks(it: object) -> bool:
    """Whether it is an optimizer whose step calls the hooks that are registered with it.

    Some wrappers, as timm's Lookahead, make the registries themselves, without torch's constructor,
    which is what lets a class's step call them.
    """
    if not isinstance(it, Optimizer) or not hasattr(it, "_optimizer_step_pre_hooks"):
        return False
    own = "_optimizer_step_pre_hooks" in vars(it)  # else those of an optimizer inside, seen through
    return not own or getattr(type(it).step, "hooked", False)


def _inside_zero(optimizer: Optimizer) -> bool:
    """Whether a ZeroRedundancyOptimizer refers to it, of which it knows nothing itself."""
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    zero = getattr(module, "ZeroRedundancyOptimizer", None)
    if zero is None:
        return False
    owners = [it for it in gc.get_objects() if issubclass(type(it), zero)]
    return any(getattr(owner, "optim", None) is optimizer for owner in owners)


def check_metric(metric: Metric) -> None:
    """Raise a ValueError unless this is a metric, and defined by its response alone."""
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
