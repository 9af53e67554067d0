"""Each operator against the full Fourier transform, and float32 where products are reduced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import chandir
from chandir import H0, H0Lambda, LaplacianSmoothing, Metric, Sobolev, operators, precision
from chandir.operators import AddMean, Blocks, Filter, Product
from tests import oracles

CPU = torch.device("cpu")
SMOOTHERS = [
    Sobolev(),
    Sobolev(0.01),
    Sobolev(20.0, h0_scale=0.0),
    LaplacianSmoothing(0.5),
    LaplacianSmoothing(1e-9),
    LaplacianSmoothing(1e6),
]


def choose(metric: Metric, n: int, dtype: torch.dtype = torch.float64) -> operators.Operator:
    return operators.operator(metric.response(n), metric.modes, dtype, CPU)


def expected(metric: Metric, x: Tensor) -> Tensor:
    return oracles.fourier(x.movedim(1, 0), metric.response(x.shape[1])).movedim(0, 1)


@pytest.mark.parametrize(
    ("metric", "n", "kind"),
    [
        (H0(), 512, AddMean),
        (H0Lambda(), 512, AddMean),
        (Sobolev(weight=0, h0_scale=3), 512, AddMean),
        (Sobolev(), 1, AddMean),
        (Sobolev(), 2, AddMean),
        (Sobolev(), 3, AddMean),
        (Sobolev(), 4, Product),
        (Sobolev(), 64, Product),
        (Sobolev(), 512, Blocks),
        (LaplacianSmoothing(), 3 * 64 * 9, Blocks),
        (Sobolev(), 509, Filter),  # prime: no blocks
    ],
)
def test_choice(metric: Metric, n: int, kind: type) -> None:
    assert type(choose(metric, n)) is kind


@pytest.mark.parametrize("metric", SMOOTHERS, ids=repr)
@pytest.mark.parametrize("n", [66, 72, 100, 250, 512, 640])
@pytest.mark.parametrize("limit", [0, 512], ids=["fourier", "matrix"])
def test_blocks(metric: Metric, n: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blocks, "MATRIX", limit)
    operator = choose(metric, n)
    assert isinstance(operator, Blocks)
    assert (operator.matrix is None) == (limit == 0)
    for a, b in ((1, 80), (3, 5), (1, 1), (2, 70)):
        x = oracles.white(a, n, b)
        result = x.clone()
        operator(result)
        torch.testing.assert_close(result, expected(metric, x), rtol=0, atol=2e-13)


@pytest.mark.parametrize("metric", [Sobolev(0.01), LaplacianSmoothing(0.5)], ids=repr)
def test_one_long_fiber(metric: Metric) -> None:
    n = 64 * 64 * 9
    operator = choose(metric, n)
    assert isinstance(operator, Blocks)
    x = oracles.white(1, n, 1)
    result = x.clone()
    operator(result)
    torch.testing.assert_close(result, expected(metric, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 16])
def test_add_mean_scales(n: int) -> None:
    x = oracles.white(2, n, 3)
    result = x.clone()
    AddMean(0.5, 2.0)(result)
    torch.testing.assert_close(result, 0.5 * x + 2 * x.mean(1, keepdim=True))


@pytest.mark.parametrize("metric", [Sobolev(), LaplacianSmoothing(0.5)], ids=repr)
@pytest.mark.parametrize("n", [64, 96, 101])
@pytest.mark.parametrize(("a", "b"), [(1, 300), (40, 9), (500, 1)])
def test_tiles_change_nothing(
    metric: Metric, n: int, a: int, b: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = oracles.white(a, n, b)
    whole, tiled = x.clone(), x.clone()
    choose(metric, n)(whole)
    monkeypatch.setattr(operators, "TILE", 100 * n)
    assert len(list(operators.tiles(tiled))) > 2
    assert all(tile.numel() <= 100 * n for tile in operators.tiles(tiled))
    choose(metric, n)(tiled)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("b", [operators.WIDE - 1, operators.WIDE])
def test_product_of_wide_and_narrow(b: int) -> None:
    matrix, x = oracles.white(3, 5), oracles.white(4, 5, b, seed=1)
    result = operators.product(matrix, x)
    torch.testing.assert_close(result, torch.einsum("mn,anb->amb", matrix, x))


@dataclass(frozen=True)
class Mistaken(Sobolev):
    """A response of its own, with the modes of another."""

    def response(self, n: int) -> Tensor:
        return LaplacianSmoothing(3.0).response(n)


def test_default_device_does_not_matter() -> None:
    for metric in (H0Lambda(7.0), Sobolev(7.0), LaplacianSmoothing(7.0)):
        for n in (48, 480, 509):
            f = oracles.white(1, n, 2)
            with torch.device("meta"):
                g = metric.gradient(f, 1)
            torch.testing.assert_close(g, expected(metric, f), rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [16, 48, 67, 96])
def test_what_is_kept_serves_whatever_mode_comes_next(n: int) -> None:
    """First in inference mode or under vmap, then in a step, and the other way round."""
    for metric in (H0Lambda(6.0), Sobolev(6.0), LaplacianSmoothing(6.0)):
        model = nn.Conv2d(3, n, 3, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        chandir.attach(optimizer, model, metric)
        fs = torch.randn(4, n, 27)
        for _ in range(2):
            with torch.inference_mode():
                model.weight.grad = torch.ones_like(model.weight)
                optimizer.step()
                metric.gradient(fs[0])
            many = torch.func.vmap(metric.gradient)(fs)
            torch.testing.assert_close(many, metric.gradient(fs, 1), rtol=1e-5, atol=1e-5)
            f = fs[0].view_as(model.weight)
            model.weight.grad = f.clone()
            optimizer.step()
            assert torch.equal(model.weight.grad, metric.gradient(f))


def test_modes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 modes do not span a kernel of 512 entries"):
        Mistaken().gradient(torch.ones(512))


@pytest.fixture(params=["medium", "autocast"])
def reduced(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("reduced")
@pytest.mark.parametrize("n", [64, 512, 509])
@pytest.mark.parametrize("b", [9, 90])
@pytest.mark.parametrize("metric", [H0Lambda(), Sobolev(0.01), LaplacianSmoothing(0.5)], ids=repr)
def test_float32_stays_float32(metric: Metric, n: int, b: int) -> None:
    assert precision.reduces_products(CPU)
    f = oracles.white(1, n, b)
    g = metric.gradient(f.float(), 1)
    torch.testing.assert_close(g.double(), expected(metric, f.float().double()), rtol=0, atol=2e-5)


def test_products_are_whole_by_default() -> None:
    assert not precision.reduces_products(CPU)


def test_apples_gpus_have_no_float64_and_their_products_leave_autocast() -> None:
    mps, x = torch.device("mps"), oracles.white(1, 8, 9).float()
    asked: list[torch.dtype] = []

    def make(dtype: torch.dtype) -> operators.Operator:
        asked.append(dtype)
        return choose(Sobolev(), 8, dtype)

    assert isinstance(precision.in_full(torch.float32, mps, make), operators.Product)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")  # of other devices
    assert isinstance(precision.in_full(torch.float32, mps, make), operators.Product)
    torch.set_float32_matmul_precision(before)
    with torch.autocast("mps", dtype=torch.float16):
        assert isinstance(precision.in_full(torch.float32, mps, make), precision.Outside)
    assert set(asked) == {torch.float32}
    outside = precision.Outside(choose(Sobolev(), 8, torch.float32), CPU)
    plain, inside = x.clone(), x.clone()
    outside(plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outside.step(inside)
    assert torch.equal(inside, plain)
