"""The metrics against their oracles, their laws, and their misuse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chandir import H0, H0Lambda, LaplacianSmoothing, Metric, Sobolev
from tests import oracles

METRICS = [
    H0(),
    H0Lambda(1.0),
    H0Lambda(0.3),
    Sobolev(),
    Sobolev(0.01, weight=2.0, h0_scale=0.5),
    Sobolev(20.0, h0_scale=0.0),
    LaplacianSmoothing(0.5),
    LaplacianSmoothing(10.0),
]
SMOOTH = {lam: Sobolev(lam, h0_scale=0.0) for lam in oracles.LAMBDAS}

metrics = pytest.mark.parametrize("metric", METRICS, ids=repr)
sizes = pytest.mark.parametrize("n", oracles.SIZES)
lambdas = pytest.mark.parametrize("lam", oracles.LAMBDAS)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-13) -> None:
    scale = max(1.0, b.abs().max().item())
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale)


def conditioned(metric: Metric, n: int) -> float:
    """1e-13, or what the condition number of the Gram matrix allows a solution."""
    response = metric.response(n)
    return max(1e-13, 1e-15 * (response.max() / response.min()).item())


# Oracles


@metrics
@sizes
def test_gradient_solves_the_gram_system(metric: Metric, n: int) -> None:
    f = oracles.white(n, 7)
    close(metric.gram(n) @ metric.gradient(f), f, conditioned(metric, n))
    close(metric.matrix(n) @ f, metric.gradient(f))


@sizes
@lambdas
def test_gram_is_the_one_of_the_paper(n: int, lam: float) -> None:
    close(H0Lambda(lam).gram(n), oracles.gram_h0_lambda(n, lam))
    close(SMOOTH[lam].gram(n), oracles.gram_smooth(n, lam))
    close(LaplacianSmoothing(lam).gram(n), oracles.gram_laplacian(n, lam))


@sizes
@lambdas
def test_smooth_equals_cumsum_fourier_and_dense_inverse(n: int, lam: float) -> None:
    f = oracles.white(n, 5)
    g = SMOOTH[lam].gradient(f)
    close(g, oracles.smooth_cumsum(f, lam))
    close(g, oracles.fourier(f, SMOOTH[lam].response(n)))
    close(g, torch.linalg.solve(oracles.gram_smooth(n, lam), f), conditioned(SMOOTH[lam], n))


@sizes
@lambdas
def test_paper_riemann_sum_differs_by_a_gain_of_the_mean(n: int, lam: float) -> None:
    f = oracles.white(n, 5)
    riemann = oracles.smooth_riemann(f, lam)
    close(riemann, oracles.smooth_convolution(f, lam))
    close(SMOOTH[lam].gradient(f) + f.mean(0) / (12 * lam * n**2), riemann)


@sizes
@lambdas
def test_sobolev_is_a_sum(n: int, lam: float) -> None:
    f = oracles.white(n, 5)
    close(Sobolev(lam, 0.7, 1.3).gradient(f), 1.3 * f + 0.7 * oracles.smooth_cumsum(f, lam))


@sizes
@lambdas
def test_reweighted_is_figure_3_and_equation_8_up_to_scale(n: int, lam: float) -> None:
    f = oracles.white(n, 5)
    g = H0Lambda(lam).gradient(f)
    close(g, oracles.figure3(f, lam))
    close(g, (1 + lam) * oracles.equation8(f, 1 + lam))
    close(oracles.equation8(f, 1.0), f)


@sizes
@pytest.mark.parametrize("sigma", [0.05, 0.5, 10.0])
def test_laplacian_smoothing_equals_fourier_and_dense_inverse(n: int, sigma: float) -> None:
    f = oracles.white(n, 5)
    g = LaplacianSmoothing(sigma).gradient(f)
    close(g, torch.linalg.solve(oracles.gram_laplacian(n, sigma), f))
    close(g, oracles.fourier(f, LaplacianSmoothing(sigma).response(n)))


def test_first_mode_of_the_default_sobolev() -> None:
    assert SMOOTH[1.0].response(512)[1].item() == pytest.approx(0.0253, abs=5e-5)
    apart = Sobolev().response(16)[1:] / H0Lambda().response(16)[1:] - 1
    assert apart.max().item() == pytest.approx(0.026, abs=5e-4)


# Laws


@metrics
@given(n=st.integers(1, 150), shift=st.integers(0, 150), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_laws(metric: Metric, n: int, shift: int, seed: int) -> None:
    f, g = oracles.white(2, n, seed=seed)
    a, b = metric.gradient(f), metric.gradient(g)
    close(metric.gradient(2 * f - 3 * g), 2 * a - 3 * b)
    assert (f @ b).item() == pytest.approx((a @ g).item(), abs=1e-11)  # symmetric
    assert (f @ a).item() > 0  # positive definite: a descent direction
    close(metric.gradient(f.roll(shift)), a.roll(shift))
    close(a.mean(), metric.response(n)[0] * f.mean())


@metrics
@sizes
def test_gram_is_symmetric_positive_definite(metric: Metric, n: int) -> None:
    gram = metric.gram(n)
    close(gram, gram.mT)
    assert torch.linalg.eigvalsh(gram).min() > 0
    close(gram @ metric.matrix(n), torch.eye(n, dtype=torch.float64), conditioned(metric, n))


@pytest.mark.parametrize(
    "metric", [H0(), H0Lambda(0), Sobolev(weight=0), LaplacianSmoothing(0)], ids=repr
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_identity_is_bitwise(metric: Metric, dtype: torch.dtype) -> None:
    f = oracles.white(200, 3).to(dtype)
    f[0, 0], f[1, 0] = -0.0, float("inf")
    for dim in (0, 1, None):
        g = metric.gradient(f, dim)
        assert g is not f
        assert torch.equal(g, f)
        assert torch.equal(g.signbit(), f.signbit())


# Gradients of every shape, memory format and dtype


@metrics
@pytest.mark.parametrize("shape", [(6,), (6, 4), (5, 6, 3), (6, 4, 3, 2), (4, 96, 3, 3)])
def test_every_axis_is_transformed_fiber_by_fiber(metric: Metric, shape: tuple[int, ...]) -> None:
    f = oracles.white(*shape)
    for dim in range(f.ndim):
        expected = torch.tensordot(metric.matrix(shape[dim]), f, dims=([1], [dim])).movedim(0, dim)
        close(metric.gradient(f, dim), expected)
        close(metric.gradient(f, dim - f.ndim), expected)
    expected = (metric.matrix(f.numel()) @ f.flatten()).view(shape)
    close(metric.gradient(f, None), expected)


@metrics
@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_memory_format_changes_strides_only(metric: Metric, dim: int | None) -> None:
    f = oracles.white(6, 5, 4, 3)
    expected = metric.gradient(f, dim)
    wide = oracles.white(6, 10, 4, 3)
    wide[:, ::2] = f
    for other in (
        f.to(memory_format=torch.channels_last),
        f.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
        wide[:, ::2],
    ):
        before = other.clone()
        g = metric.gradient(other, dim)
        close(g, expected)
        assert torch.equal(other, before)
        assert g.stride() == torch.empty_like(other).stride()


@metrics
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 2e-6), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)],
)
@pytest.mark.parametrize("n", [3, 64, 512])
def test_low_precision_errs_by_its_rounding_alone(
    metric: Metric, dtype: torch.dtype, tolerance: float, n: int
) -> None:
    f = oracles.white(n, 70).to(dtype)
    g = metric.gradient(f)
    assert g.dtype == dtype
    close(g.double(), metric.gradient(f.double()), tolerance)


def test_degenerate_shapes() -> None:
    metric = Sobolev()
    assert metric.gradient(torch.empty(0, 3)).shape == (0, 3)
    assert metric.gradient(torch.empty(3, 0)).shape == (3, 0)
    assert metric.gradient(torch.empty(0), None).shape == (0,)
    assert metric.gradient(torch.tensor(2.0)).item() == 4.0
    assert metric.gradient(torch.tensor(2.0), None).item() == 4.0


def test_gradient_ignores_autograd() -> None:
    f = torch.randn(4, 3, requires_grad=True)
    assert not Sobolev().gradient(f * 2).requires_grad


# Metrics as values


def test_metrics_are_frozen_hashable_values() -> None:
    assert Sobolev(1) == Sobolev(1.0)
    assert len({Sobolev(), Sobolev(1, 1, 1), H0Lambda(), H0Lambda(2)}) == 3
    assert type(Sobolev(1).lam) is float
    with pytest.raises(AttributeError):
        Sobolev().lam = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), True, "1", None, 1j])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (H0Lambda, "lam"),
        (Sobolev, "lam"),
        (Sobolev, "weight"),
        (Sobolev, "h0_scale"),
        (LaplacianSmoothing, "sigma"),
    ],
)
def test_parameters_are_checked(kind: type[Metric], name: str, bad: object) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}.{name}=.* expected a finite number"):
        kind(**{name: bad})


def test_parameters_that_make_no_metric() -> None:
    with pytest.raises(ValueError, match="expected a finite number > 0"):
        Sobolev(lam=0)
    with pytest.raises(ValueError, match="makes every gradient 0"):
        Sobolev(weight=0, h0_scale=0)


@pytest.mark.parametrize(
    "f",
    [
        torch.ones(3, dtype=torch.int64),
        torch.ones(3, dtype=torch.complex64),
        torch.ones(3).to(torch.float8_e4m3fn),
        torch.ones(3).to_sparse(),
        [1.0, 2.0],
    ],
    ids=["int", "complex", "float8", "sparse", "list"],
)
def test_gradients_that_are_none(f: Tensor) -> None:
    with pytest.raises(ValueError, match=r"the gradient is .* expected a dense tensor"):
        Sobolev().gradient(f)


@pytest.mark.parametrize("dim", [2, -3])
def test_dim_out_of_range(dim: int) -> None:
    with pytest.raises(ValueError, match=f"dim={dim} is out of range .* expected -2 to 1"):
        Sobolev().gradient(torch.ones(3, 2), dim)


# Metrics of one's own


@dataclass(frozen=True)
class Decay(Metric):
    """A response that is known in no other form."""

    rate: float

    def response(self, n: int) -> Tensor:
        k = torch.arange(n, dtype=torch.float64)
        return torch.exp(-self.rate * torch.minimum(k, n - k)) + 0.1


@pytest.mark.parametrize("n", [1, 2, 3, 64, 101, 512])
def test_own_metric_needs_a_response_alone(n: int) -> None:
    f = oracles.white(n, 5)
    metric = Decay(0.2)
    g = metric.gradient(f)
    close(g, oracles.fourier(f, metric.response(n)))
    close(metric.gram(n) @ g, f, 1e-12)


@dataclass(frozen=True)
class Broken(Metric):
    values: tuple[float, ...]
    dtype: torch.dtype = torch.float64

    def response(self, n: int) -> Tensor:
        return torch.tensor(self.values, dtype=self.dtype)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Broken((1.0, 2.0)), r"expected \(3,\), torch.float64"),
        (Broken((1.0, 2.0, 2.0), torch.float32), r"expected \(3,\), torch.float64"),
        (Broken((1.0, 0.0, 0.0)), "expected positive, finite"),
        (Broken((1.0, float("inf"), float("inf"))), "expected positive, finite"),
        (Broken((1.0, 2.0, 3.0)), "is not even"),
    ],
)
def test_own_metric_is_checked(metric: Metric, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric.gradient(torch.ones(3))
    with pytest.raises(ValueError, match=message):
        metric.gram(3)


def test_metric_without_response() -> None:
    with pytest.raises(NotImplementedError, match="defines no response"):
        Metric().gradient(torch.ones(3))
