"""Axes: along which axis of which tensor a direction runs. The kind of module says it.

A convolution's weight is (out, in / groups, ...), a transposed one's (in, out / groups, ...).
Spectral and weight norm, in both styles of torch, are seen through to the tensor that is trained:
of weight norm's two that is the direction v; the magnitude g counts as a 1-D parameter. Any other
parametrization of one tensor is taken to keep the axes if it keeps the shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

DIRECTIONS = ("output", "input", "rasterized")
SCOPES = ("conv", "all")

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_DECLARED = (*_CONV, *_TRANSPOSED, nn.Linear)

# A trained weight's names in its module: plain, old spectral norm, old weight norm, and the two
# parametrized ones, of which original1 and original0 are weight norm's v and g.
_WEIGHTS = ("weight", "weight_orig", "weight_v", "weight.original", "weight.original1")
_MAGNITUDES = ("weight_g", "weight.original0")


@dataclass(frozen=True)
class Target:
    """A selected parameter and the axis of its fibers.

    Attributes:
        name: its name in the model.
        parameter: the parameter.
        dim: axis of the fibers in `view`; None for the whole tensor in row-major order.
        groups: into how many parts axis 0 falls that no fiber crosses.
    """

    name: str
    parameter: nn.Parameter
    dim: int | None
    groups: int = 1

    @property
    def entries(self) -> int:
        """How many a fiber has."""
        if self.dim is None:
            return self.parameter.numel()
        rows, *others = self.parameter.shape or (1,)
        shape = (rows, *others) if self.groups == 1 else (0, rows // self.groups, *others)
        return shape[self.dim]

    def view(self, f: Tensor) -> Tensor:
        """Return f, which has the parameter's shape, with the groups as an axis of their own."""
        return f if self.groups == 1 else f.unflatten(0, (self.groups, -1))


def select(model: nn.Module, direction: str, scope: str) -> list[Target]:
    """Return the parameters of model that scope names, each once, with their axes in direction.

    Args:
        model: any module, trained or not.
        direction: "output", "input" or "rasterized". A 1-D parameter is one fiber, and is left out
            by "input".
        scope: "conv" for the weights of convolutions, "all" for every parameter.

    Raises:
        ValueError: direction or scope is unknown; nothing is selected; a parameter is lazy or
            complex, has axes that no module declares, or is shared by modules that declare
            different ones; or weights were flattened (FSDP1).
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is {type(model).__name__}: expected a torch.nn.Module")
    _check_choice("direction", direction, DIRECTIONS)
    _check_choice("scope", scope, SCOPES)
    targets: dict[nn.Parameter, Target] = {}
    undeclared: dict[nn.Parameter, str] = {}
    for name, parameter, module, key in _uses(model):
        try:
            check_whole(parameter)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if scope == "conv" and not (isinstance(module, _CONV + _TRANSPOSED) and key in _WEIGHTS):
            continue
        if is_lazy(parameter):
            raise ValueError(
                f"{name} is lazy, without a shape: run the model once on a batch first"
            )
        if parameter.is_complex():
            raise ValueError(
                f"{name} is {parameter.dtype}, and metrics are of real gradients: expected its "
                "real and imaginary parts as two parameters, or a scope that leaves it out"
            )
        if direction == "rasterized" or _is_line(module, parameter, key):
            if direction != "input":
                targets.setdefault(parameter, Target(name, parameter, None))
            continue
        axis = _axis(module, key, parameter, direction)
        if axis is None:
            undeclared[parameter] = f"{name} {tuple(parameter.shape)} of {type(module).__name__}"
            continue
        target = Target(name, parameter, *axis)
        first = targets.setdefault(parameter, target)
        if (first.dim, first.groups) != axis:
            raise ValueError(
                f"{first.name} and {name} are one parameter, but its {direction} axis is "
                f"{first.dim} in the first and {axis[0]} in the second: "
                'use direction="rasterized", or untie them'
            )
    convolutions = any(isinstance(module, _CONV + _TRANSPOSED) for module in model.modules())
    only = ' or scope="conv"' if convolutions else ""
    for parameter, where in undeclared.items():
        if parameter not in targets:
            raise ValueError(
                f"{where} has no declared {direction} axis, unlike the whole weights of Conv*d, "
                f'ConvTranspose*d and Linear: use direction="rasterized"{only}, and no '
                "parametrization that flattens weights"
            )
    if not targets:
        remedy = 'use scope="all"' if scope == "conv" else 'use direction="output"'
        raise ValueError(
            f"scope={scope!r}, direction={direction!r} selects nothing in {type(model).__name__}: "
            f"expected at least one such parameter; {remedy} or another model"
        )
    return list(targets.values())


def check_whole(parameter: nn.Parameter) -> None:
    """Raise a ValueError if a parameter was flattened, and has lost its axes."""
    if getattr(parameter, "_fsdp_flattened", False):
        raise ValueError(
            "a piece of weights that FullyShardedDataParallel flattened, which have lost their "
            "axes: shard the model by torch's fully_shard, which keeps them"
        )


def _uses(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module, str]]:
    """Yield (name in the model, parameter, module that uses it, name in that module)."""
    for path, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            name = f"{path}.{key}" if path else key
            if isinstance(module, ParametrizationList):  # at "<module>.parametrizations.<tensor>"
                owner, _, tensor = f".{path}".rpartition(".parametrizations.")
                yield name, parameter, model.get_submodule(owner[1:]), f"{tensor}.{key}"
            else:
                yield name, parameter, module, key


def _is_line(module: nn.Module, parameter: nn.Parameter, key: str) -> bool:
    """Whether the parameter is 1-D, as is weight norm's g, stored as (out, 1, ...).

    A weight that has axes and comes as a line was flattened, and has lost them.
    """
    if isinstance(module, _DECLARED) and key in _WEIGHTS:
        return False
    return parameter.ndim < 2 or (key in _MAGNITUDES and parameter.numel() == max(parameter.shape))


def _axis(
    module: nn.Module, key: str, weight: nn.Parameter, direction: str
) -> tuple[int, int] | None:
    """Return `Target`'s (dim, groups) of the module's trained weight in direction, else None."""
    if isinstance(module, _CONV):
        shape = (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
        axes = {"output": (0, 1), "input": (1, 1)}
    elif isinstance(module, _TRANSPOSED):
        shape = (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
        axes = {"output": (1, 1), "input": (int(module.groups > 1), module.groups)}
    elif isinstance(module, nn.Linear):
        shape = (module.out_features, module.in_features)
        axes = {"output": (0, 1), "input": (1, 1)}
    else:
        return None
    # A weight as the module uses it may have had channels cut or replaced, and keeps its axes while
    # it has as many. A parametrization may train a tensor whose axes mean something else.
    dim, groups = axes[direction]
    known = weight.ndim == len(shape) if key == "weight" else weight.shape == shape
    whole = known and weight.shape[0] % groups == 0
    return (dim, groups) if key in _WEIGHTS and whole else None


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}{hint}")
