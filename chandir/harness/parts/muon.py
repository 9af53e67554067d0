"""Muon for convolutional networks: orthogonalised momentum for matrices, AdamW for all else.

`torch.optim.Muon` takes matrices alone. As its authors do, a convolution's weight (out, in, h, w)
is taken as the matrix (out, in h w); biases and the scales of normalisations are AdamW's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

if not hasattr(torch.optim, "Muon"):  # before torch 2.9
    raise ImportError(f"torch {torch.__version__} has no Muon; expected 2.9 or newer")


class Muon(Optimizer):
    """Muon (Jordan et al., kellerjordan.github.io/posts/muon) with AdamW for vectors.

    Both are torch's own, on views of the parameters and gradients; this class hands them on.

    Args:
        params: parameters or groups.
        lr: of the matrices.
        momentum: of the matrices.
        weight_decay: of the matrices, apart from the gradient.
        nesterov: look ahead, as its authors do.
        vector_lr: AdamW's rate as a fraction of ``lr``, so that one schedule is both's.
        betas: AdamW's.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        nesterov: bool = True,
        vector_lr: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        if vector_lr <= 0:
            raise ValueError(f"Muon(vector_lr={vector_lr}): expected a number > 0")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "vector_lr": vector_lr,
                "betas": betas,
            },
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None and p.dim() >= 2]
            vectors = [p for p in group["params"] if p.grad is not None and p.dim() < 2]
            if matrices:
                self._step(self._muon(group, matrices), matrices)
            if vectors:
                self._step(self._adamw(group, vectors), vectors)
        return loss

    def _step(self, inner: Optimizer, parameters: list[Tensor]) -> None:
        """Let torch's optimizer step on views, whose state is ours.

        Moments are kept in the parameter's shape, as other optimizers keep them: a checkpoint is
        held to it, and the order of a matrix's columns is a matter of one process.
        """
        (own,) = inner.param_groups
        for parameter, view in zip(parameters, own["params"], strict=True):
            assert parameter.grad is not None
            view.grad = _matrix(parameter.grad, parameter).reshape(view.shape)
            inner.state[view] = {
                name: _matrix(value, parameter).reshape(view.shape) if value.dim() else value
                for name, value in self.state[parameter].items()
            }
        inner.step()
        for parameter, view in zip(parameters, own["params"], strict=True):
            self.state[parameter] = {
                name: _tensor(value, parameter) if value.dim() else value
                for name, value in inner.state[view].items()
            }

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> Optimizer:
        kept = ("lr", "momentum", "weight_decay", "nesterov")
        views = [_matrix(p.detach(), p).view(len(p), -1) for p in parameters]
        return torch.optim.Muon(views, **{key: group[key] for key in kept})

    def _adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> Optimizer:
        lr = group["lr"] * group["vector_lr"]
        views = [parameter.detach() for parameter in parameters]
        return AdamW(views, lr=lr, betas=group["betas"], weight_decay=0.0)


def _matrix(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor with its axes as the parameter's lie in memory, so that a matrix is a view.

    Another order of columns gives the same step in that order.
    """
    if _last(parameter):
        return tensor.permute(0, 2, 3, 1)
    return tensor


def _tensor(matrix: Tensor, parameter: Tensor) -> Tensor:
    """The view of a matrix in the shape of the parameter: undoes `_matrix`."""
    if _last(parameter):
        out, channels, height, width = parameter.shape
        return matrix.view(out, height, width, channels).permute(0, 3, 1, 2)
    return matrix.view(parameter.shape)


def _last(parameter: Tensor) -> bool:
    """Whether it lies in memory as channels_last."""
    return parameter.dim() == 4 and not parameter.is_contiguous()
