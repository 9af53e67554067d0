"""The tensors and axes that directions and scopes mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

from chandir import Sobolev, apply_
from chandir.axes import DIRECTIONS, select
from chandir.fibers import fibers

CONVOLUTIONS = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


def axes(model: nn.Module, direction: str, scope: str = "all") -> dict[str, tuple[int | None, int]]:
    return {target.name: (target.dim, target.groups) for target in select(model, direction, scope)}


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_declare_their_axes(rank: int) -> None:
    conv, transposed = (kind(6, 4, 3, groups=2) for kind in CONVOLUTIONS[rank])
    assert axes(conv, "output", "conv") == {"weight": (0, 1)}
    assert axes(conv, "input", "conv") == {"weight": (1, 1)}
    assert axes(transposed, "output", "conv") == {"weight": (1, 1)}
    assert axes(transposed, "input", "conv") == {"weight": (1, 2)}  # in view: (groups, in, ...)
    assert select(transposed, "input", "conv")[0].view(transposed.weight).shape[:2] == (2, 3)
    assert axes(CONVOLUTIONS[rank][1](6, 4, 3), "input", "conv") == {"weight": (0, 1)}
    assert axes(conv, "rasterized", "conv") == {"weight": (None, 1)}


def test_linear_and_lines() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    lines = {"0.bias": (None, 1), "1.weight": (None, 1), "1.bias": (None, 1)}
    assert axes(model, "output") == {"0.weight": (0, 1), **lines}
    assert axes(model, "input") == {"0.weight": (1, 1)}
    assert axes(model, "rasterized") == {"0.weight": (None, 1), **lines}


def test_scope_conv_takes_weights_of_convolutions_alone() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4), nn.Embedding(9, 4)
    )
    for direction in DIRECTIONS:
        assert list(axes(model, direction, "conv")) == ["0.weight"]


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (spectral_norm, "0.weight_orig"),
        (parametrizations.spectral_norm, "0.parametrizations.weight.original"),
        pytest.param(
            weight_norm, "0.weight_v", marks=pytest.mark.filterwarnings("ignore::FutureWarning")
        ),
        (parametrizations.weight_norm, "0.parametrizations.weight.original1"),
        (parametrizations.orthogonal, "0.parametrizations.weight.original"),
    ],
    ids=["spectral-old", "spectral", "weight-old", "weight", "orthogonal"],
)
def test_norms_are_seen_through(wrap, name: str) -> None:
    model = nn.Sequential(wrap(nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False)))
    assert axes(model, "output", "conv") == {name: (1, 1)}
    assert axes(model, "input", "conv") == axes(model, "input") == {name: (1, 2)}
    lines = {n: axis for n, axis in axes(model, "output").items() if n != name}
    assert all(axis == (None, 1) for axis in lines.values())
    assert len(lines) == (1 if wrap in (weight_norm, parametrizations.weight_norm) else 0)


def test_norm_of_the_model_itself() -> None:
    model = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    assert axes(model, "input", "conv") == {"parametrizations.weight.original1": (1, 1)}


def test_selecting_leaves_power_iteration_alone() -> None:
    model = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    select(model, "output", "all")
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


class LowRank(nn.Module):
    """Trains two thin factors in place of the weight."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return weight[:, :2].clone(), weight[:2].clone()


def test_factors_of_another_shape_have_no_axes() -> None:
    model = nn.Linear(5, 4)
    parametrize.register_parametrization(model, "weight", LowRank(), unsafe=True)
    with pytest.raises(ValueError, match=r"parametrizations.weight.original0 \(4, 2\) of "):
        select(model, "output", "all")


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.table = nn.Parameter(torch.ones(3, 4))


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        (Own(), r"table \(3, 4\) of Own"),
        (nn.Sequential(nn.Embedding(5, 3)), r"0.weight \(5, 3\) of Embedding"),
        (nn.MultiheadAttention(4, 2), r"in_proj_weight \(12, 4\) of MultiheadAttention"),
    ],
)
def test_axes_are_never_guessed(model: nn.Module, culprit: str) -> None:
    for direction in ("output", "input"):
        with pytest.raises(ValueError, match=f"{culprit} has no declared {direction} axis") as told:
            select(model, direction, "all")
        assert ('or scope="conv"' in str(told.value)) == isinstance(model, Own), "it has one"
    assert len(select(model, "rasterized", "all")) == len(list(model.parameters()))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_weight_that_was_cut_has_the_axes_of_its_rank(direction: str) -> None:
    """Of grey images, or pruned by hand: the weight counts, not what the module says of it."""
    whole, grey = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
    grey.weight = nn.Parameter(grey.weight.detach().sum(1, keepdim=True)[:5])
    assert axes(grey, direction, "conv") == axes(whole, direction, "conv")
    grey.weight.grad = f = torch.randn_like(grey.weight)
    expected = Sobolev().gradient(f, {"output": 0, "input": 1, "rasterized": None}[direction])
    apply_(grey, Sobolev(), direction)
    assert torch.equal(grey.weight.grad, expected)
    grey.weight = nn.Parameter(torch.ones(45))
    if direction != "rasterized":
        with pytest.raises(ValueError, match=r"weight \(45,\) of Conv2d has no declared"):
            select(grey, direction, "conv")


def test_complex_weights_have_no_real_gradient() -> None:
    conv = nn.Conv2d(2, 3, 1, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"weight is torch.complex64.*real and imaginary parts"):
        select(conv, "output", "conv")
    conv = nn.Conv2d(2, 3, 1)
    conv.register_parameter("spectrum", nn.Parameter(torch.ones(3, 2, dtype=torch.complex64)))
    assert [target.name for target in select(conv, "output", "conv")] == ["weight"]


def test_shared_parameters_are_taken_once() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    model[1].weight = model[0].weight
    assert axes(model, "output", "conv") == {"0.weight": (0, 1)}


def test_shared_parameters_must_agree() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 4, 1))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match=r"0.weight and 1.weight are one parameter.*untie"):
        select(model, "output", "conv")
    assert axes(model, "rasterized", "conv") == {"0.weight": (None, 1)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_declaration_is_enough(order: tuple[int, int]) -> None:
    embedding, linear = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    linear.weight = embedding.weight
    model = nn.Sequential(*[(embedding, linear)[i] for i in order])
    assert list(axes(model, "output").values()) == [(0, 1)]


def test_lazy_parameters_have_no_shape() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    with pytest.raises(ValueError, match=r"0.weight is lazy.*run the model once"):
        select(model, "output", "conv")
    model(torch.ones(1, 2, 5, 5))
    assert axes(model, "output", "conv") == {"0.weight": (0, 1)}


def test_empty_selections() -> None:
    with pytest.raises(ValueError, match=r"scope='conv'.* selects nothing in Linear.*all"):
        select(nn.Linear(3, 3), "output", "conv")
    with pytest.raises(ValueError, match=r'selects nothing in BatchNorm2d.*direction="output"'):
        select(nn.BatchNorm2d(3), "input", "all")


@pytest.mark.parametrize(
    ("direction", "scope", "message"),
    [
        ("outptu", "conv", "direction='outptu'.*did you mean 'output'"),
        ("raster", "conv", "direction='raster'.*did you mean 'rasterized'"),
        ("output", "cnov", "scope='cnov'.*did you mean 'conv'"),
        ("output", "everything", "scope='everything': expected one of 'conv', 'all'"),
        (0, "conv", "direction=0: expected one of"),
    ],
)
def test_misspelt_choices(direction: str, scope: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(nn.Conv2d(3, 3, 3), direction, scope)


def test_model_must_be_a_module() -> None:
    with pytest.raises(ValueError, match=r"model is list: expected a torch.nn.Module"):
        select([nn.Conv2d(3, 3, 3)], "output", "conv")  # type: ignore[arg-type]


def test_no_fiber_crosses_groups() -> None:
    model = nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False).double()
    model.weight.grad = grad = torch.randn_like(model.weight)
    expected = torch.cat([Sobolev().gradient(part, 0) for part in grad.clone().chunk(2)])
    apply_(model, Sobolev(), "input")
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-14)


class Flat(nn.Module):
    """Trains the weight as a vector, as some sharded training does."""

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        return vector.view(8, 3, 3, 3)

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.reshape(-1)


@pytest.mark.parametrize("direction", ["output", "input"])
def test_a_flattened_weight_has_lost_its_axes(direction: str) -> None:
    model = nn.Conv2d(3, 8, 3)
    parametrize.register_parametrization(model, "weight", Flat(), unsafe=True)
    with pytest.raises(ValueError, match=r"original \(216,\) of \w+ has no declared"):
        select(model, direction, "conv")
    (target,) = select(model, "rasterized", "conv")
    assert (target.dim, target.entries) == (None, 216)


@pytest.mark.parametrize("direction", ["output", "input", "rasterized"])
def test_entries_of_a_fiber(direction: str) -> None:
    for module in (nn.Conv2d(6, 4, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)):
        for target in select(module, direction, "conv"):
            x = fibers(target.view(target.parameter.detach()), target.dim)
            assert x.shape[1] == target.entries
