"""Gradients: the one pass over a model that takes all selected ones to a metric's, or none.

It looks at every gradient first, and raises before any is written if one cannot be taken. How
fibers lie in a gradient does not change from step to step, and is found once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chandir import sharded
from chandir.axes import Target, check_whole
from chandir.fibers import fibers
from chandir.metrics import Metric, act, check_gradient, operator_for, overwrite, wide

if TYPE_CHECKING:
    from chandir.operators import Operator

# Larger gradients keep a GPU busy by themselves, and a copy of them all would need memory.
STACKED = 2**20

_Key = tuple[int, torch.dtype, torch.device]  # what `operator_for` takes


class Gradients:
    """The gradients of some parameters, ready to be overwritten by those of a metric.

    Args:
        metric: whose gradients they become.
        targets: the parameters, and along which axes their fibers run.
    """

    def __init__(self, metric: Metric, targets: Iterable[Target]) -> None:
        self.metric = metric
        self._places = [_Place(target) for target in targets]

    def prepare(self) -> None:
        """Make the operators that gradients like their parameters will need.

        Raises:
            ValueError: the metric has none for a fiber's length.
        """
        for target in (place.target for place in self._places):
            kind = target.parameter.dtype, target.parameter.device
            if target.entries and kind[1].type != "meta":
                operator_for(self.metric, target.entries, *kind)

    @torch.no_grad()
    def overwrite(self, *, stack: bool | None = None) -> None:
        """Overwrite them: on CUDA, or with stack=True, all of a shape at once.

        A GPU waits for the launch of small kernels, so gradients whose fibers have one shape are
        stacked there. On a CPU that gains nothing (h0_lambda of ResNet-56: 0.63 ms against 0.59),
        and a gradient's last bits would depend on its company.

        Raises:
            ValueError: a gradient is not a dense, real tensor, has another shape than its parameter
                had or waits for a sum over processes; or the metric has no operator for a fiber's
                length. None was written then.
        """
        views: list[tuple[_Place, Operator, Tensor]] = []
        known: dict[_Key, Operator] = {}  # made before anything is written
        copied: list[tuple[_Place, Tensor]] = []
        split: list[sharded.Shard] = []
        for place in self._places:
            grad = place.parameter.grad
            if grad is None:
                continue
            if not place.fits(grad):
                try:
                    place.check(grad)
                    if sharded.is_sharded(grad):
                        shard = sharded.Shard(place.target, grad)
                        grad = shard.local
                        if shard.over:
                            check_gradient(grad)
                            split.append(shard)
                            continue
                    place.look(grad)
                except ValueError as error:
                    raise ValueError(f"{place.target.name}: {error}") from None
            if not place.size:
                continue
            operator = known.get(place.key)
            if operator is None:
                operator = known[place.key] = operator_for(self.metric, *place.key)
            if place.sizes is None:
                copied.append((place, grad))
            else:
                views.append((place, operator, grad.as_strided(place.sizes, place.strides)))
        sharded.prepare(self.metric, split)
        self._overwrite_views(views, stack)
        for place, grad in copied:
            place.overwrite_by_copy(self.metric, grad)
        sharded.overwrite(self.metric, split)

    def _overwrite_views(
        self, found: list[tuple[_Place, Operator, Tensor]], stack: bool | None
    ) -> None:
        """Overwrite gradients whose fibers are views of them, whole on this process."""
        alike: dict[tuple[object, ...], list[Tensor]] = defaultdict(list)
        for place, operator, x in found:
            if (place.on_gpu if stack is None else stack) and place.size <= STACKED:
                alike[x.shape, place.key].append(x)
            elif place.wide:
                operator.step(x)
            else:
                act(operator, x)
        for xs in alike.values():
            stacked = torch.stack(xs)  # (k, n, b), or (k, a, n, b)
            overwrite(self.metric, stacked.flatten(0, -3))
            torch._foreach_copy_(xs, stacked.unbind())


class _Place:
    """How the fibers of a target lie in its gradients; found again where one lies otherwise."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.parameter = target.parameter
        self._whole = target.parameter.shape  # for which its axes were found
        # Of the fibers (a, n, b), or (n, b) where a = 1; None if no view shows them.
        self.sizes: tuple[int, ...] | None = None
        self.strides: tuple[int, ...] = ()
        self.key: _Key = (0, torch.float32, torch.device("cpu"))
        self.size, self.wide, self.on_gpu = 0, True, False
        self._shape: tuple[int, ...] = ()
        self._stride: tuple[int, ...] | None = None

    def fits(self, grad: Tensor) -> bool:
        """Whether a gradient lies as the last one that was looked at."""
        return (
            type(grad) is Tensor
            and grad.layout is torch.strided
            and grad.stride() == self._stride
            and grad.shape == self._shape
            and grad.dtype is self.key[1]
            and grad.device == self.key[2]
        )

    def check(self, grad: Tensor) -> None:
        """Raise a ValueError unless the gradient has the axes that the parameter had."""
        check_whole(self.parameter)
        if grad.shape != self._whole:
            raise ValueError(
                f"the gradient is {tuple(grad.shape)}, but the parameter was {tuple(self._whole)} "
                "when its axes were found: remove() the handle and attach again"
            )

    def look(self, grad: Tensor) -> None:
        """Find the fibers of a gradient.

        Raises:
            ValueError: it is not a dense, real tensor.
        """
        check_gradient(grad)
        f = self.target.view(grad)
        x = fibers(f, self.target.dim)
        seen = x.data_ptr() == f.data_ptr() and x.is_contiguous()  # else a copy, or gaps
        skip = int(x.shape[0] == 1)
        self.sizes, self.strides = (tuple(x.shape[skip:]) if seen else None), x.stride()[skip:]
        self.key = x.shape[1], x.dtype, x.device
        self.size, self.wide, self.on_gpu = x.numel(), wide(x.dtype) is x.dtype, x.is_cuda
        self._shape, self._stride = grad.shape, grad.stride()

    def overwrite_by_copy(self, metric: Metric, grad: Tensor) -> None:
        """Overwrite a gradient of which the fibers are no view."""
        if 0 in grad.stride():  # expanded: its entries are one in memory
            self.parameter.grad = grad = grad.contiguous()
        f = self.target.view(grad)
        f.copy_(metric.gradient(f, self.target.dim))
