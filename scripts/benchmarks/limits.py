"""What a step has to move and compute, counted, operator by operator as torch dispatches it.

- ``flops``: floating-point operations of products and convolutions (two for a multiply-add),
  forward and backward, by ``torch.utils.flop_counter``;
- ``products``: bytes that these read and write when each reads its operands and writes its result
  once, everything between them taken to be fused into them: activations, their gradients, and a
  weight three times (read forward and backward, its gradient written);
- ``optimizer``: bytes of the update: gradient, weight and state read, weight and state written.

``unfused`` is what the operators move one by one, as an eager step runs them; it bounds that step,
not the network. A Winograd convolution needs fewer operations than are counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
NOTHING = (aten.empty, aten.empty_like, aten.empty_strided, aten._unsafe_view)
PRODUCTS = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution)
# Words of traffic for each parameter and step: gradient and weight read, weight written, and the
# state read and written (SGD's momentum, Adam's two moments).
WORDS = {"sgd": 3, "sgd with momentum": 5, "adam": 7}


@dataclass(frozen=True)
class Count:
    """What one step needs, in operations and bytes; see the module for the parts.

    Attributes:
        held: bytes that a step works on: parameters, gradients, state, and the results of the
            products of forward and backward.
    """

    flops: float = 0
    products: float = 0
    optimizer: float = 0
    unfused: float = 0
    held: float = 0

    @property
    def bytes(self) -> float:
        """The traffic that a step cannot do without."""
        return self.products + self.optimizer


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that each operator's operands and results take."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.unfused = self.results = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet is aten.convolution_backward:
            moved = self._convolution_backward(args, out)
        else:
            moved = size(args) + size(kwargs) + size(out)
        if packet in PRODUCTS or packet is aten.convolution_backward:
            self.products += moved
        if packet in PRODUCTS:
            self.results += size(out)
        if not _moves_nothing(func):
            self.unfused += moved
        return out

    @staticmethod
    def _convolution_backward(args: tuple[Any, ...], out: Any) -> int:
        """Only what the asked-for gradients need: those of the input, the weight, the bias."""
        grad, x, weight = args[:3]
        of_input, of_weight = args[-1][:2]
        return size(grad) + of_weight * size(x) + of_input * size(weight) + size(out)


def size(values: Any) -> int:
    """Bytes of the tensors in a nested structure; an expanded one counts what it holds."""
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    return sum(_distinct(tensor) * tensor.element_size() for tensor in tensors)


def _distinct(tensor: Tensor) -> int:
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= length if stride or not length else 1
    return count


def _moves_nothing(func: Any) -> bool:
    """Views and bare allocations: a result that is an argument's memory, and not written."""
    if func.overloadpacket in NOTHING:
        return True
    return any(result.alias_info is not None for result in func._schema.returns) and not any(
        argument.alias_info is not None and argument.alias_info.is_write
        for argument in func._schema.arguments
    )


def count(work: Callable[[], object], optimizers: dict[str, torch.optim.Optimizer]) -> Count:
    """Count a step's work: forward and backward, run once; then the updates, from their sizes.

    Args:
        work: runs forward and backward (forward alone for an evaluation) on some device, meta
            included.
        optimizers: that step after it; none for an evaluation.
    """
    traffic = _Traffic()
    flops = FlopCounterMode(display=False)
    with flops, traffic:
        work()
    update, held = 0, 0
    for optimizer in optimizers.values():
        kind = type(optimizer).__name__.lower()
        for group in optimizer.param_groups:
            name = "sgd with momentum" if kind == "sgd" and group["momentum"] else kind
            parameters = size(group["params"])
            update += WORDS[name] * parameters
            held += (WORDS[name] + 1) // 2 * parameters  # weight, gradient and state
    return Count(
        flops=flops.get_total_flops(),
        products=traffic.products,
        optimizer=update,
        unfused=traffic.unfused,
        held=held + traffic.results,
    )
