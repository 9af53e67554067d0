"""Optimizers of a trial: what the metric, LS and the controls do to a step, and the schedules."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import chandir
from chandir.harness.base.errors import UserError
from chandir.harness.cells import cell
from chandir.harness.config.schema import Config
from chandir.harness.parts import classes
from chandir.harness.parts.optimizers import begin_epoch, build, restore
from chandir.harness.parts.schedules import rates
from chandir.harness.sweep.plan import jobs


def config_of(*arguments: str) -> Config:
    (job,) = jobs(arguments)
    return job.resolved.config


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 4))


def stepped(config: Config, steps: int = 2) -> list[torch.Tensor]:
    """The weights after steps of the harness's optimizer on fixed gradients."""
    model = network()
    optimizer = build(config, model, "model")
    for step in range(steps):
        _gradients(model, step)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def _gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def by_hand(steps: int, rewrite: object, **sgd: float) -> list[torch.Tensor]:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), weight_decay=5e-4, momentum=0.9, **sgd)
    for step in range(steps):
        _gradients(model, step)
        rewrite(model)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_the_metric_acts_before_weight_decay_and_momentum() -> None:
    expected = by_hand(2, lambda model: chandir.apply_(model, chandir.Sobolev()), lr=0.01)
    assert same(stepped(config_of("metric=sobolev")), expected)


def test_ls_smooths_every_tensor_rasterized_after_the_metric() -> None:
    def rewrite(model: nn.Module) -> None:
        chandir.apply_(model, chandir.H0Lambda(2.0))
        for parameter in model.parameters():
            parameter.grad = chandir.LaplacianSmoothing(0.5).gradient(parameter.grad, None)

    config = config_of("optimizer=LS", "metric=h0_lambda", "metric.lam=2")
    assert same(stepped(config), by_hand(2, rewrite, lr=0.01, nesterov=True))


def test_the_mean_control_raises_the_rate_of_the_scope_alone() -> None:
    controlled = stepped(config_of("metric=h0_mean"))
    fast, slow = (stepped(config_of("metric=h0", f"optimizer.lr={lr}")) for lr in (0.02, 0.01))
    assert torch.equal(controlled[0], fast[0])  # the convolution's weight
    assert same(controlled[1:], slow[1:])


def test_the_norm_control_has_the_metrics_norm_and_the_plain_direction() -> None:
    config = config_of(
        "metric=h0_norm", "metric.lam=0.01", "optimizer.momentum=0", "optimizer.weight_decay=0"
    )
    model, before = network(), network()
    optimizer = build(config, model, "model")
    _gradients(model, 0)
    plain = model[0].weight.grad.clone()
    matched = chandir.Sobolev(lam=0.01).gradient(plain)
    optimizer.step()
    moved = (before[0].weight - model[0].weight) / 0.01
    assert moved.norm().item() == pytest.approx(matched.norm().item(), rel=1e-4)
    cosine = (moved * plain).sum() / (moved.norm() * plain.norm())
    assert cosine.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("schedule", "epoch", "factor"),
    [
        ("step schedule.every=40 schedule.factor=0.1", 40, 1.0),
        ("step schedule.every=40 schedule.factor=0.1", 41, 0.1),
        ("step schedule.every=40 schedule.factor=0.1", 240, 1e-5),
        ("cosine schedule.every=10", 1, 1.0),
        ("cosine schedule.every=10", 6, 0.5),
        ("cosine schedule.every=10", 11, 1.0),
        ("cosine schedule.every=10", 10, (1 + math.cos(0.9 * math.pi)) / 2),
        ("cosine", 121, 0.5),
        ("constant", 99, 1.0),
        ("exponential schedule.gamma=0.9", 4, 0.9**3),
        ("linear", 121, 0.5),
        ("linear schedule.total_iters=10 schedule.end_factor=0.2", 200, 0.2),
    ],
)
def test_schedules(schedule: str, epoch: int, factor: float) -> None:
    config = config_of("task=cifar10", "task.epochs=240", *f"schedule={schedule}".split())
    assert rates(config, 0.5)[epoch - 1] == {"lr": pytest.approx(0.5 * factor, rel=1e-9)}


@pytest.mark.parametrize("schedule", ["step", "cosine", "onecycle", "linear"])
def test_an_epochs_rate_is_that_of_torchs_own_scheduler(schedule: str) -> None:
    config = config_of("task.epochs=7", f"schedule={schedule}")
    optimizer = build(config, network(), "model")
    scheduler = classes.make("schedule", config.schedule, optimizer)
    played = build(config, network(), "model")
    for epoch in range(1, 8):
        begin_epoch({"model": played}, config, epoch)
        for key in ("lr", "momentum"):
            assert played.param_groups[0][key] == optimizer.param_groups[0][key]
        if epoch < 7:
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("schedule=exponential", "schedule.gamma=3", "task.epochs=1000"), "the rate of epoch"),
        (("schedule=onecycle", "schedule.total_steps=3"), "ends after epoch . of 20"),
        (("schedule=linear", "schedule.start_factor=0"), "schedule=linear: Starting"),
        (("schedule=linear", "schedule.total_iters=x"), "schedule.total_iters=x: expected"),
        (("schedule=cosine", "optimizer.reset_momentum=true"), "schedule=cosine has none"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        jobs(arguments)


def test_the_schedule_shrinks_with_the_epochs() -> None:
    full = config_of("task=cifar10").schedule.settings
    short = config_of("task=cifar10", "task.epochs=12").schedule.settings
    assert (full["every"], short["every"]) == (40, 2)
    assert (full["factor"], config_of("task=digits").schedule.settings["factor"]) == (0.1, 0.2)


def test_what_the_schedule_is_stands_in_names_and_labels() -> None:
    (usual,) = jobs(("task=cifar10",))
    (other,) = jobs(("task=cifar10", "schedule=cosine", "schedule.every=30"))
    assert "cosine-every30" in cell.name(other.resolved)
    assert "schedule cosine (protocol: step)" in other.resolved.labels
    assert not [label for label in usual.resolved.labels if "schedule" in label]


def test_momentum_is_forgotten_at_a_drop_if_asked_for() -> None:
    for reset in (True, False):
        config = config_of(f"optimizer.reset_momentum={str(reset).lower()}")
        model = network()
        optimizer = build(config, model, "model")
        _gradients(model, 0)
        optimizer.step()
        begin_epoch({"model": optimizer}, config, 8)
        assert optimizer.state
        begin_epoch({"model": optimizer}, config, 9)
        assert bool(optimizer.state) is not reset


def test_adams_state_moves_between_kinds_of_devices() -> None:
    """On CUDA its count of steps lives on the device (capturable), on a CPU it may not."""
    config = config_of("optimizer=adam")
    model = network()
    first, second = (build(config, model, "model") for _ in range(2))
    _gradients(model, 0)
    first.step()
    state = first.state_dict()
    for group in state["param_groups"]:
        group["capturable"] = True  # as from a GPU
    restore(second, state)
    assert [group["capturable"] for group in second.param_groups] == [False]
    second.step()
    assert {int(values["step"]) for values in second.state.values()} == {2}


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "muon"])
def test_other_optimizers_step_on_the_metrics_gradient(optimizer: str) -> None:
    if optimizer == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("torch before 2.9")
    plain, smooth = (
        stepped(config_of(f"optimizer={optimizer}", f"metric={metric}"))
        for metric in ("h0", "sobolev")
    )
    assert not torch.equal(plain[0], smooth[0])  # the convolution's weight
    assert same(plain[1:], smooth[1:])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
def test_muon_is_torchs_on_matrices_and_adamw_on_vectors() -> None:
    config = config_of("optimizer=muon", "metric=h0", "optimizer.lr=0.1")
    weights = stepped(config, steps=3)
    model = network()
    flat = [nn.Parameter(p.detach().flatten(1)) for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    both = (
        torch.optim.Muon(flat, lr=0.1, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(vectors, lr=0.1 * 0.05, weight_decay=0.0),
    )
    for step in range(3):
        _gradients(model, step)
        matrices = [p for p in model.parameters() if p.dim() > 1]
        for view, matrix in zip(flat, matrices, strict=True):
            view.grad = matrix.grad.flatten(1)
        for each in both:
            each.step()
    assert same([w for w in weights if w.dim() == 1], [v.detach() for v in vectors])
    assert same([w.flatten(1) for w in weights if w.dim() > 1], [f.detach() for f in flat])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
def test_muon_takes_weights_of_any_memory_format() -> None:
    config = config_of("optimizer=muon", "metric=h0")
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = network().to(memory_format=layout)
        optimizer = build(config, model, "model")
        _gradients(model, 0)
        optimizer.step()
        moved.append(model[0].weight.detach())
    assert torch.allclose(*moved, atol=1e-3)  # it computes in bfloat16
    assert not torch.allclose(moved[0], network()[0].weight, atol=1e-3)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("after", [torch.contiguous_format, torch.channels_last])
def test_muon_goes_on_from_a_saved_state(
    before: torch.memory_format, after: torch.memory_format
) -> None:
    """Its moments have the parameters' shapes, and mean the same in any memory format."""
    config = config_of("optimizer=muon", "metric=sobolev")
    model = network().to(memory_format=before)
    optimizer = build(config, model, "model")
    _gradients(model, 0)
    optimizer.step()
    for parameter, moments in optimizer.state.items():
        shapes = {value.shape for value in moments.values() if value.dim()}
        assert shapes == {parameter.shape}
    other = network().to(memory_format=after)
    other.load_state_dict(model.state_dict())
    continued = build(config, other, "model")
    restore(continued, copy.deepcopy(optimizer.state_dict()))
    for each, stepping in ((model, optimizer), (other, continued)):
        _gradients(each, 1)
        stepping.step()
    weights = [[p.detach() for p in each.parameters()] for each in (model, other)]
    if before == after:
        assert same(*weights)
    else:  # the sums are in another order, in bfloat16
        assert all(torch.allclose(x, y, atol=1e-3) for x, y in zip(*weights, strict=True))


def test_an_optimizer_that_the_paper_has_not_is_labelled() -> None:
    for optimizer, labelled in (("adamw", True), ("adam", False), ("LS", False)):
        (job,) = jobs(("task=cifar10", f"optimizer={optimizer}"))
        assert (f"{optimizer} is not in the paper" in job.resolved.labels) is labelled
