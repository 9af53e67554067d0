"""Channel correlation: tensors whose correlation is known, and laws."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from chandir import correlation
from chandir.correlation import DIRECTIONS, balance, curve, histogram, invariant, pairwise, scatter
from models.resnet56 import ResNet56

OUT, IN, TAPS = 24, 40, 9


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def white():
    return noise(OUT, IN, TAPS)


def off_diagonal(matrix):
    n = len(matrix)
    return torch.stack([matrix[a, b] for a in range(n) for b in range(a + 1, n)])


def shared_output(strength, seed=0):
    """Filters along output that share a part, so that the correlation of any two is known."""
    return strength * noise(1, IN, TAPS, seed=seed + 100) + noise(OUT, IN, TAPS, seed=seed)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_white_noise_has_none(white, direction):
    pairs = off_diagonal(pairwise(white, direction))
    n, m = correlation.filters(white, direction).shape
    deviation = 1 / math.sqrt(m)
    assert pairs.std().item() == pytest.approx(deviation, rel=0.15)
    mean_deviation = deviation / math.sqrt(n * (n - 1) / 2)
    assert abs(pairs.mean().item()) < 4 * mean_deviation
    assert abs(invariant(white, direction)) < 4 * mean_deviation


@pytest.mark.parametrize("phi", [0.9, 0.5, -0.5])
def test_autoregression_along_output(phi):
    innovations = noise(OUT, 400, TAPS)
    rows = [innovations[0]]
    for innovation in innovations[1:]:
        rows.append(phi * rows[-1] + math.sqrt(1 - phi**2) * innovation)
    weight = torch.stack(rows)
    expected = phi ** torch.arange(1, OUT, dtype=torch.float64)
    torch.testing.assert_close(curve(pairwise(weight, "output")), expected, rtol=0, atol=0.06)
    # Along input the fibers stay independent.
    assert curve(pairwise(weight, "input"))[:20].abs().max() < 0.06


@pytest.mark.parametrize("strength", [0.1, 0.5, 2.0])
def test_shared_part_plus_noise(strength):
    weight = shared_output(strength)
    expected = strength**2 / (1 + strength**2)
    tolerance = 6 / math.sqrt(IN * TAPS)
    assert off_diagonal(pairwise(weight, "output")).mean().item() == pytest.approx(
        expected, abs=tolerance
    )
    assert invariant(weight, "output") == pytest.approx(expected, abs=tolerance)
    assert abs(invariant(weight, "input")) < tolerance


def test_ends_of_the_scale():
    same = noise(1, IN, TAPS).expand(OUT, IN, TAPS)
    assert invariant(same, "output") == pytest.approx(1)
    torch.testing.assert_close(pairwise(same, "output"), torch.ones(OUT, OUT).double())
    different = torch.eye(OUT, dtype=torch.float64)[:, :, None]
    assert invariant(different, "output") == invariant(different, "input") == 0
    assert torch.equal(pairwise(different, "input"), torch.eye(OUT).double())
    opposite = torch.cat([same[:1], -same[:1]])
    assert invariant(opposite, "output") == pytest.approx(-1)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_curve_and_histogram_count_every_pair_once(white, direction):
    matrix = pairwise(white, direction)
    n = len(matrix)
    for d, value in enumerate(curve(matrix), start=1):
        pairs = [matrix[a, a + d] for a in range(n - d)]
        assert value.item() == pytest.approx(float(sum(pairs)) / len(pairs))
    counts = histogram(matrix)
    assert counts.sum() == n * (n - 1) / 2
    bins = ((off_diagonal(matrix) + 1) / 2 * correlation.BINS).long()
    assert torch.equal(counts, torch.bincount(bins, minlength=correlation.BINS).double())


def test_invariant_is_the_mean_correlation_of_the_balanced_weight():
    weight = shared_output(0.7) * noise(1, IN, 1, seed=3).exp()
    for direction in DIRECTIONS:
        expected = off_diagonal(pairwise(balance(weight), direction)).mean().item()
        assert invariant(weight, direction) == pytest.approx(expected)


def test_rescaling_changes_no_invariant():
    weight = shared_output(0.7)
    scaled = weight * noise(OUT, 1, 1, seed=1).exp() * noise(1, IN, 1, seed=2).mul(2).exp()
    torch.testing.assert_close(balance(weight), balance(scaled))
    for direction in DIRECTIONS:
        assert invariant(scaled, direction) == pytest.approx(invariant(weight, direction), rel=1e-9)
    plain, moved = (off_diagonal(pairwise(w, "output")).mean() for w in (weight, scaled))
    assert abs(plain - moved) > 0.1 * plain  # what the invariant is there for


def test_balanced_channels_have_equal_energy():
    balanced = balance(noise(OUT, IN, TAPS) * noise(1, IN, 1, seed=2).exp())
    torch.testing.assert_close(balanced.square().mean((1, 2)), torch.ones(OUT).double())
    torch.testing.assert_close(balanced.square().mean((0, 2)), torch.ones(IN).double())
    torch.testing.assert_close(balance(balanced), balanced)


def test_dead_channels_correlate_with_nothing(white):
    white[3] = 0
    white[:, 5] = 0
    assert not pairwise(white, "output")[3].any()
    assert not balance(white)[3].any()
    for direction in DIRECTIONS:
        assert math.isfinite(invariant(white, direction))
        assert math.isfinite(invariant(torch.zeros_like(white), direction))


def test_scaling_alone_lets_mean_and_deviation_rise_together(white):
    def layer(weight):
        return correlation.summary({"conv.weight": weight})["layers"][0]["output"]

    assert abs(layer(white)["scaling"]) < 4 / math.sqrt(IN * TAPS)
    scaled = layer(white * noise(1, IN, 1, seed=2).exp())
    assert scaled["scaling"] > 0.5
    assert len(scaled["fiber_means"]) == len(scaled["fiber_deviations"]) == correlation.POINTS


def test_scatter_is_of_the_fibers(white):
    means, deviations = scatter(white, "output")
    assert means.view(IN, TAPS)[7, 2].item() == pytest.approx(white[:, 7, 2].mean().item())
    fiber = white[:, 7, 2]
    deviation = (fiber - fiber.mean()).square().mean().sqrt()
    assert deviations.view(IN, TAPS)[7, 2].item() == pytest.approx(deviation.item())


def test_directions_are_each_others_transpose(white):
    turned = white.transpose(0, 1)
    assert torch.equal(pairwise(white, "output"), pairwise(turned, "input"))
    assert invariant(white, "output") == pytest.approx(invariant(turned, "input"))
    with pytest.raises(ValueError, match=r"direction='rasterized'.*output"):
        pairwise(white, "rasterized")


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_axes_are_those_of_the_module(dim, groups):
    conv = getattr(nn, f"Conv{dim}d")(6, 8, 2, groups=groups)
    (name, weight), *_ = correlation.kernels(nn.Sequential(conv))
    assert (name, weight.shape) == ("0", (8, 6 // groups, 2**dim))
    transposed = getattr(nn, f"ConvTranspose{dim}d")(6, 8, 2, groups=groups)
    ((_, weight),) = correlation.kernels(transposed)
    assert weight.shape == (8, 6 // groups, 2**dim)
    # Output channel o of group g sees the group's inputs alone.
    for o in range(8):
        g, place = divmod(o, 8 // groups)
        for i in range(6 // groups):
            expected = transposed.weight[g * (6 // groups) + i, place].flatten().double()
            assert torch.equal(weight[o, i], expected)


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel])
def test_a_state_dict_gives_what_its_module_gives(wrap):
    model = wrap(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.Linear(4, 2)))
    assert correlation.summary(model) == correlation.summary(model.state_dict())


@pytest.mark.parametrize(
    "norm",
    [
        nn.utils.spectral_norm,
        parametrizations.spectral_norm,
        parametrizations.weight_norm,
        pytest.param(
            nn.utils.weight_norm, marks=pytest.mark.filterwarnings("ignore::FutureWarning")
        ),
    ],
)
def test_normalised_weights_are_found_by_every_name(norm):
    plain = nn.Conv2d(5, 8, 3)
    expected = correlation.summary(nn.Sequential(plain))
    model = nn.Sequential(norm(plain))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for found in (correlation.summary(model), correlation.summary(model.state_dict())):
        assert [layer["name"] for layer in found["layers"]] == ["0"]
        assert found["output"]["curve"] == expected["output"]["curve"]
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])  # looking does not advance the power iteration


def test_summary_of_a_network_is_small_json():
    torch.manual_seed(0)
    summary = correlation.summary(ResNet56())
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert len(text) < 120_000
    assert len(summary["layers"]) == 57
    for direction in DIRECTIONS:
        part = summary[direction]
        assert abs(part["mean"]) < 0.001
        assert abs(part["invariant"]) < 0.001
        assert len(part["curve"]) == 63
        assert len(part["histogram"]) == correlation.BINS


def test_summary_weighs_every_pair_the_same():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3))
    summary = correlation.summary(model)
    for direction in DIRECTIONS:
        weights = [weight for _, weight in correlation.kernels(model)]
        matrices = [pairwise(weight, direction) for weight in weights]
        pairs = [off_diagonal(matrix) for matrix in matrices]
        expected = torch.cat(pairs).mean().item()
        assert summary[direction]["mean"] == pytest.approx(expected, rel=1e-3)
        counted = [len(p) for p in pairs]
        shares = [invariant(w, direction) * n for w, n in zip(weights, counted, strict=True)]
        expected = sum(shares) / sum(counted)
        assert summary[direction]["invariant"] == pytest.approx(expected, rel=1e-3)
        for d, value in enumerate(summary[direction]["curve"], start=1):
            diagonals = [m.diagonal(d) for m in matrices if len(m) > d]
            assert value == pytest.approx(torch.cat(diagonals).mean().item(), rel=1e-3)
        counts = sum(histogram(matrix) for matrix in matrices)
        assert summary[direction]["histogram"] == counts.tolist()


def test_single_channels_have_no_correlation():
    summary = correlation.summary(nn.Sequential(nn.Conv2d(1, 8, 3)))
    assert summary["input"] is None
    assert summary["layers"][0]["input"] is None
    assert summary["output"]["mean"] is not None


def test_models_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="no convolution"):
        correlation.summary(nn.Linear(3, 3))
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"0\.weight: the weight has entries that are not finite"):
        correlation.summary(model)

    with pytest.raises(ValueError, match=r"weight is torch\.complex64: expected real weights"):
        correlation.summary(nn.Conv2d(3, 8, 3, dtype=torch.complex64))


def test_what_is_tied_counts_once():
    shared = nn.Conv2d(4, 4, 3)
    twice = nn.Sequential(shared, nn.Conv2d(4, 8, 3), shared)
    copied = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 8, 3), nn.Conv2d(4, 4, 3))
    copied[0].weight = copied[2].weight
    for model in (twice, copied):
        assert correlation.summary(model) == correlation.summary(model.state_dict())
        assert len(correlation.summary(model)["layers"]) == 2


def test_weights_without_a_balanced_form_have_no_invariant():
    mask = torch.ones(8, 4, 1)
    mask[:7, 1:] = 0  # seven output channels that share their only input
    weight = noise(8, 4, 9) * mask
    assert balance(weight).isnan().all()
    assert math.isnan(invariant(weight, "output"))


def test_invariants_of_tiny_weights_are_those_of_large_ones():
    weight = noise(OUT, IN, TAPS)
    expected = invariant(weight, "output")
    assert invariant(weight * 1e-160, "output") == pytest.approx(expected, rel=1e-9)
