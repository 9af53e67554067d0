"""How much the channels of trained convolutions correlate (the paper's Figures 1, 11, 13, 14).

A convolution's weight is seen as W (O, I, K): output channels, input channels, kernel taps. Along
direction "output" its filters are the O slices W[o], along "input" the I slices W[:, i], each
flattened to a vector. What lies between two of them is their uncentred correlation, the cosine

    C[a, b] = <w_a, w_b> / (|w_a| |w_b|).

For independent filters of symmetric noise E C[a, b] = 0 in both directions, with deviation
1 / sqrt(m) for filters of m weights; a part shared by all filters, which is what a channel-directed
gradient feeds, makes it positive. Centring each filter first would hide a shared offset.

The paper prints no formula for any of the four figures. Not determined by its text are: centred or
not; signed, absolute or squared; all pairs or neighbours alone; which layers, and whether layers or
pairs count equally. The definitions below are ours, and the paper's numbers may be of another one.
For a whole model all pairs count equally. If layers did, the three colours of a first layer, which
correlate strongly, would dominate the average along the input, and Figure 1's small values could
not come about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

DIRECTIONS = ("output", "input")
BINS = 400  # of the histogram, over [-1, 1]
DISTANCES, POINTS = 64, 16  # of a layer's curve and scatter, that a summary keeps at most

# A module's name before what a state dict calls its trained tensor, with spectral or weight norm
# of either style or without: weight_g and original0 are not it, but the filters' norms.
_WEIGHT = re.compile(
    r"(?:(.+?)\.)?(?:weight(?:_orig|_v)?|parametrizations\.weight\.original1?)",
)


def kernels(model: nn.Module | Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Every convolution's name and trained weight (O, I, K), in float64 on the CPU.

    Under spectral norm the trained tensor differs from the applied one by one factor, which no
    correlation sees; under weight norm by one for each output channel, which those along "output"
    and `invariant` do not see. Pruned entries count as they were before.

    Args:
        model: a module, or a state dict. A state dict does not say what its tensors are: those of
            three to five dimensions that are named as weights are taken as (out, in, taps...), so
            transposed convolutions need the module. A tensor with two names counts once.

    Raises:
        ValueError: for a weight that is not finite, or complex.
    """
    convolutions: dict[str, nn.Module] | None = None
    seen: set[tuple[Any, ...]] = set()
    if isinstance(model, nn.Module):
        convolutions = {name: m for name, m in model.named_modules() if isinstance(m, _ConvNd)}
        model = model.state_dict()
    for key, tensor in model.items():
        match = _WEIGHT.fullmatch(key)
        if match is None or not 3 <= tensor.dim() <= 5:
            continue
        name = match[1] or ""
        if convolutions is not None and name not in convolutions:
            continue
        memory = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if memory in seen:
            continue
        seen.add(memory)
        if tensor.is_complex():
            raise ValueError(f"{key} is {tensor.dtype}: expected real weights")
        weight = tensor.detach().to("cpu", torch.float64).flatten(2)
        module = convolutions[name] if convolutions else None
        if isinstance(module, _ConvTransposeNd):  # (in, out / groups, K)
            weight = weight.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
        if not weight.isfinite().all():
            raise ValueError(
                f"{key}: the weight has entries that are not finite, so that nothing in it is "
                "correlated; take weights from before the training diverged"
            )
        yield name, weight


def filters(weight: Tensor, direction: str) -> Tensor:
    """The n filters of W (O, I, K) as rows (n, m): (O, I K) for "output", (I, O K) for "input".

    Raises:
        ValueError: for another direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction={direction!r}: expected one of {DIRECTIONS}")
    return (weight if direction == "output" else weight.transpose(0, 1)).flatten(1)


def pairwise(weight: Tensor, direction: str) -> Tensor:
    """C (n, n), the correlation of every two filters; 0 where one of them is zero."""
    unit = nn.functional.normalize(filters(weight, direction), dim=1, eps=1e-300)
    return (unit @ unit.T).clamp(-1, 1)


def curve(correlation: Tensor) -> Tensor:
    """Figure 11: the mean of C over pairs at distance d = |a - b|, for d = 1 ... n - 1, (n - 1,).

    A first-order autoregression of coefficient phi along the direction gives phi^d.
    """
    n = len(correlation)
    return torch.stack([correlation.diagonal(d).mean() for d in range(1, n)])


def histogram(correlation: Tensor) -> Tensor:
    """Figure 13: how many pairs a < b have C in each of BINS equal bins over [-1, 1], (BINS,)."""
    a, b = torch.triu_indices(len(correlation), len(correlation), 1)
    return torch.histc(correlation[a, b], BINS, -1, 1)


def scatter(weight: Tensor, direction: str) -> tuple[Tensor, Tensor]:
    """Figure 14: mean and standard deviation of every fiber along the direction.

    A fiber runs through all channels of the direction at one place of the others: for "output",
    W[:, i, k]. A scaling of input channel i multiplies both numbers of its fibers alike, so were
    scalings the cause of large means, |mean| and deviation would rise together.

    Returns:
        means and deviations, each (m,).
    """
    rows = filters(weight, direction)
    return rows.mean(0), rows.std(0, correction=0)


def balance(weight: Tensor, tolerance: float = 1e-12, steps: int = 1000) -> Tensor:
    """r_o c_i W[o, i], with positive r and c such that all channels have the same mean square.

    A network with ReLU does not change when an output channel of one layer (with its bias and batch
    norm) is scaled by s > 0 and the same input channel of the next by 1 / s. All W that such
    scalings turn into each other have the same balanced form, which Sinkhorn's iteration finds.
    Channels that are zero stay zero. Where so many kernels are zero that there is no such form, all
    is NaN.
    """
    weight = weight / weight.abs().max().clamp(min=1e-300)  # squares neither vanish nor overflow
    power = weight.square().mean(2)  # (O, I)
    rows = torch.ones_like(power[:, :1])
    columns = torch.ones_like(power[:1])
    for _ in range(steps):
        previous = rows
        rows = _inverse((power * columns).mean(1, keepdim=True))
        columns = _inverse((power * rows).mean(0, keepdim=True))
        if (rows - previous).abs().max() <= tolerance * rows.abs().max():
            break
    balanced = weight * (rows * columns).sqrt()[:, :, None]
    squares = balanced.square().mean((1, 2))[power.sum(1) > 0]
    found = bool(((squares / squares.mean() - 1).abs() < 1e-3).all())  # of columns it holds anyway
    return balanced if found else torch.full_like(balanced, math.nan)


def invariant(weight: Tensor, direction: str) -> float:
    """Figure 1's table: the mean of C over all pairs of filters of the *balanced* weight.

    Why this one: it is unchanged by every scaling of output or input channels that the paper's
    Appendix F names, in both directions, with one definition for both; it vanishes in expectation
    for noise; and it is the share of the weight's energy in the mean along the direction, f̄ of the
    paper, set so that noise has 0 and identical filters have 1.
    """
    unit = nn.functional.normalize(filters(balance(weight), direction), dim=1, eps=1e-300)
    n = len(unit)
    # The sum over all pairs is the square of the sum: linear in n.
    return ((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1))).item()


def summary(model: nn.Module | Mapping[str, Any]) -> dict[str, Any]:
    """All of it for a model, as a small JSON-ready mapping.

    Args:
        model: see `kernels`.

    Returns:
        {"output": {...}, "input": {...}, "layers": [{"name", "shape": [O, I, K], "output": {...},
        "input": {...}}, ...]}. Every direction has, over the pairs of one layer or of all of them,
        "mean": of C; "invariant"; "curve": C at distance 1, 2, and so on. The model's has also
        "histogram": how many pairs, in BINS equal bins over [-1, 1]. A layer's curve ends at
        DISTANCES; it has also "scaling": the correlation of |mean| and deviation over its fibers;
        "fiber_means" and "fiber_deviations": of at most POINTS fibers, evenly spaced. None stands
        for a direction with one channel alone, and for a number that is not defined.

    Raises:
        ValueError: for a model without convolutions, or with weights that are not finite.
    """
    layers: list[dict[str, Any]] = []
    parts: dict[str, list[tuple[Tensor, float]]] = {direction: [] for direction in DIRECTIONS}
    counts = {direction: torch.zeros(BINS, dtype=torch.float64) for direction in DIRECTIONS}
    for name, weight in kernels(model):
        layer: dict[str, Any] = {"name": name, "shape": list(weight.shape)}
        for direction in DIRECTIONS:
            layer[direction] = None
            correlation = pairwise(weight, direction)
            if len(correlation) > 1:
                part = curve(correlation), invariant(weight, direction)
                parts[direction].append(part)
                counts[direction] += histogram(correlation)
                layer[direction] = _pooled([part], DISTANCES) | _points(weight, direction)
        layers.append(layer)
    if not layers:
        raise ValueError(
            "the model has no convolution to look at; give a module with convolutions, or its "
            "state dict"
        )
    result: dict[str, Any] = {}
    for direction in DIRECTIONS:
        bins = {"histogram": [int(count) for count in counts[direction]]}
        result[direction] = _pooled(parts[direction]) | bins if parts[direction] else None
    return result | {"layers": layers}


def _pooled(parts: list[tuple[Tensor, float]], distances: int | None = None) -> dict[str, Any]:
    """Curves and invariants of layers put together, every pair counting the same."""
    longest = max(len(line) for line, _ in parts)
    sums, pairs = torch.zeros(2, longest, dtype=torch.float64)
    invariants = 0.0
    for line, share in parts:
        count = torch.arange(len(line), 0, -1)  # n channels have n - d pairs at distance d
        sums[: len(line)] += line * count
        pairs[: len(line)] += count
        invariants += share * count.sum().item()
    return {
        "mean": _number(sums.sum() / pairs.sum()),
        "invariant": _number(invariants / pairs.sum()),
        "curve": [_number(value) for value in (sums / pairs)[:distances]],
    }


def _points(weight: Tensor, direction: str) -> dict[str, Any]:
    means, deviations = scatter(weight, direction)
    m = len(means)
    scaling = torch.corrcoef(torch.stack([means.abs(), deviations]))[0, 1] if m > 1 else math.nan
    kept = torch.arange(min(m, POINTS)) * m // min(m, POINTS)
    return {
        "scaling": _number(scaling),
        "fiber_means": [_number(value) for value in means[kept]],
        "fiber_deviations": [_number(value) for value in deviations[kept]],
    }


def _inverse(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, 0)


def _number(value: Tensor | float) -> float | None:
    """Four significant digits keep a summary small; None is for what JSON cannot write."""
    number = float(value)
    return float(f"{number:.4g}") if math.isfinite(number) else None
