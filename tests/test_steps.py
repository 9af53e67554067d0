"""Steps with closures, steps that call steps, steps that fail: a metric acts once or not at all."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

import chandir
from chandir import H0Lambda, Sobolev

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam-fused": lambda p: Adam(p, lr=0.01, fused=True),
    "adadelta": lambda p: torch.optim.Adadelta(p),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten())


def loss(model: nn.Module, seed: int) -> Tensor:
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return model(images).square().mean()


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def by_hand(model: nn.Module, optimizer: Optimizer, batches: int, steps: int = 3) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        for batch in range(batches):
            loss(model, 10 * step + batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        chandir.apply_(model, Sobolev())
        optimizer.step()


class Closure:
    """Backward over some batches, then clipping, as Lightning's."""

    def __init__(self, model: nn.Module, batches: int) -> None:
        self.model, self.batches, self.step = model, batches, 0

    def __call__(self) -> Tensor:
        self.model.zero_grad()
        for batch in range(self.batches):
            value = loss(self.model, 10 * self.step + batch)
            value.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.1)
        self.step += 1
        return value.detach()


# Closures


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("named", [False, True])
def test_a_closure_equals_the_same_by_hand(
    make: Callable[..., Optimizer], batches: int, named: bool
) -> None:
    one, two = network(), network()
    by_hand(two, make(two.parameters()), batches)
    optimizer, closure = make(one.parameters()), Closure(one, batches)
    chandir.attach(optimizer, one, Sobolev())
    for step in range(3):
        before = copy.deepcopy(one)
        value = optimizer.step(closure=closure) if named else optimizer.step(closure)
        assert torch.equal(value, loss(before, 10 * step + batches - 1))
    assert equal(one, two)


def test_a_closure_without_a_backward_pass_acts_on_the_gradients_there_are() -> None:
    """Lightning passes one that does nothing, in manual optimisation."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, Sobolev())
    loss(model, 0).backward()
    expected = Sobolev().gradient(model[0].weight.grad)
    optimizer.step(lambda: None)
    assert torch.equal(model[0].weight.grad, expected)


def test_every_evaluation_is_transformed_and_both_metrics_act_in_turn() -> None:
    class Twice(SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.enable_grad():
                closure()
                closure()
            return super().step()

    model = network()
    optimizer = Twice(model.parameters(), lr=0.1)
    first = chandir.attach(optimizer, model, H0Lambda())
    chandir.attach(optimizer, model, Sobolev(), after=first)

    def closure() -> None:
        optimizer.zero_grad()
        loss(model, 0).backward()

    closure()
    expected = Sobolev().gradient(H0Lambda().gradient(model[0].weight.grad))
    optimizer.step(closure)
    assert torch.equal(model[0].weight.grad, expected)


def test_an_optimizer_that_leaves_its_closure_is_named() -> None:
    class Leaves(SGD):
        def step(self, closure: Any = None) -> Any:
            del closure
            return super().step()

    model = network()
    optimizer = Leaves(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, Sobolev())
    with pytest.raises(ValueError, match=r"Leaves.step\(closure\) did not evaluate its closure"):
        optimizer.step(lambda: loss(model, 0).backward())


def test_lbfgs_is_refused_at_once() -> None:
    model = network()
    with pytest.raises(ValueError, match="LBFGS searches along a line"):
        chandir.attach(torch.optim.LBFGS(model.parameters()), model, Sobolev())


# Steps that call steps


class Clips(SGD):
    """As optimizers that clip gradients are often made."""

    def step(self, closure: Any = None) -> Any:
        """Clip, and step as SGD does."""
        if self.param_groups[0]["params"][0].grad is not None:
            nn.utils.clip_grad_value_(self.param_groups[0]["params"], 1.0)
        return super().step(closure)


@pytest.fixture
def clips() -> tuple[nn.Module, Optimizer]:
    SGD([nn.Parameter(torch.zeros(1))], lr=1)  # from here on SGD.step calls hooks, too
    conv = nn.Conv2d(3, 8, 3, bias=False)
    return conv, Clips(conv.parameters(), lr=0.1)


@pytest.mark.parametrize("schedule", ["none", "before", "after"])
def test_what_a_step_does_to_the_gradient_is_not_transformed_again(
    clips: tuple[nn.Module, Optimizer], schedule: str
) -> None:
    conv, optimizer = clips
    if schedule == "before":
        torch.optim.lr_scheduler.StepLR(optimizer, 1)
    handle = chandir.attach(optimizer, conv, H0Lambda())
    if schedule == "after":
        torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            conv.weight.grad = torch.ones_like(conv.weight)  # 2 by the metric, clipped to 1
            optimizer.step()
            assert torch.equal(conv.weight.grad, torch.ones_like(conv.weight))
    handle.remove()
    conv.weight.grad = torch.full_like(conv.weight, 0.25)
    optimizer.step()
    assert torch.equal(conv.weight.grad, torch.full_like(conv.weight, 0.25))
    if schedule != "after":
        assert ("step" in vars(optimizer)) == (schedule == "before")


def test_a_step_that_fails_hides_nothing_from_the_next(
    clips: tuple[nn.Module, Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    conv, optimizer = clips
    chandir.attach(optimizer, conv, H0Lambda(0.5))
    conv.weight.grad = torch.full_like(conv.weight, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(optimizer, "_init_group", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
    conv.weight.grad = torch.full_like(conv.weight, 0.5)
    optimizer.step(lambda: None)
    assert torch.equal(conv.weight.grad, torch.full_like(conv.weight, 0.75))


def test_two_steps_where_one_optimizer_drives_another() -> None:
    """SAM: the metric belongs to the optimizer whose step() updates the weights."""

    class SAM(Optimizer):
        def __init__(self, base: Optimizer) -> None:
            super().__init__(base.param_groups, {})
            self.base = base

        @torch.no_grad()
        def first_step(self) -> None:
            for p in self.param_groups[0]["params"]:
                self.state[p] = p.clone()
                p.add_(0.05 * p.grad)
            self.zero_grad()

        @torch.no_grad()
        def second_step(self) -> None:
            for p in self.param_groups[0]["params"]:
                p.copy_(self.state[p])
            self.base.step()

    def train(by_hand: bool) -> nn.Module:
        model = network()
        sam = SAM(SGD(model.parameters(), lr=0.1))
        if not by_hand:
            chandir.attach(sam.base, model, Sobolev())
        loss(model, 0).backward()
        sam.first_step()
        loss(model, 0).backward()
        if by_hand:
            chandir.apply_(model, Sobolev())
        sam.second_step()
        return model

    assert equal(train(by_hand=False), train(by_hand=True))


# All gradients or none


def test_nothing_is_written_if_one_gradient_cannot_be() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Embedding(5, 3, sparse=True))
    for parameter in model[0].parameters():
        parameter.grad = torch.randn_like(parameter)
    model[2](torch.tensor([1])).sum().backward()
    optimizer = SGD(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, H0Lambda(), "rasterized", "all")
    before = copy.deepcopy(model[0].weight.grad)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"2.weight: the gradient is .*sparse"):
            optimizer.step()
        assert torch.equal(model[0].weight.grad, before)


class Crooked(Sobolev):
    """Modes that are not of its kernel, which no operator for long fibers can be made of."""

    def response(self, n: int) -> Tensor:
        return chandir.LaplacianSmoothing(1.0).response(n)


def test_nothing_is_written_if_one_operator_cannot_be_made() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 128, 1, bias=False))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = copy.deepcopy([parameter.grad for parameter in model.parameters()])
    with pytest.raises(ValueError, match="3 modes do not span a kernel of 128 entries"):
        chandir.apply_(model, Crooked())
    for parameter, grad in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, grad)
    with pytest.raises(ValueError, match="3 modes do not span"):
        chandir.attach(SGD(model.parameters(), lr=0.1), model, Crooked())


def test_finite_gradients_stay_finite_in_float16() -> None:
    """GradScaler has looked for infinite ones before the metric acts."""
    conv = nn.Conv2d(3, 8, 1, bias=False).half()
    largest = torch.finfo(torch.float16).max
    conv.weight.grad = torch.full_like(conv.weight, largest / 1.6)
    chandir.apply_(conv, H0Lambda())
    assert torch.equal(conv.weight.grad, torch.full_like(conv.weight, largest))
    conv.weight.grad[:, 0] = float("inf")
    conv.weight.grad[:, 1] = float("nan")
    chandir.apply_(conv, H0Lambda())
    assert conv.weight.grad[:, 0].isinf().all()
    assert conv.weight.grad[:, 1].isnan().all()
    assert conv.weight.grad[:, 2].isfinite().all()


# What handles are


def test_a_handle_names_what_its_optimizer_holds() -> None:
    model = network()
    optimizer = SGD(model[2].parameters(), lr=0.1)
    handle = chandir.attach(optimizer, model, H0Lambda(), scope="all")
    assert repr(handle) == "<Handle: H0Lambda(lam=1.0) on 2.weight, 2.bias>"
    handle.remove()
    assert repr(handle) == "<Handle: H0Lambda(lam=1.0), detached>"


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_model_may_keep_its_handle(clone: Callable[[Any], Any]) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    model.handle = chandir.attach(optimizer, model, Sobolev())  # type: ignore[assignment]
    loss(model, 0).backward()
    optimizer.step()
    other = clone(model)
    assert repr(other.handle) == f"<Handle: {Sobolev()}, detached>"
    other.handle.remove()
    assert "on 0.weight" in repr(model.handle)


def test_a_wrapper_is_told_where_the_optimizer_is() -> None:
    class Wrapper:
        def __init__(self, base: Optimizer) -> None:
            self.base = base

    model = network()
    with pytest.raises(ValueError, match=r"Wrapper wraps an optimizer .*: attach to its \.base"):
        chandir.attach(Wrapper(SGD(model.parameters(), lr=0.1)), model, Sobolev())  # type: ignore[arg-type]


def test_a_wrapper_whose_step_torch_never_hooked_is_told_apart() -> None:
    """timm's Lookahead makes the registries of hooks itself, and its step calls none of them."""

    class Lookahead(Optimizer):
        def __init__(self, base: Optimizer) -> None:
            self._optimizer_step_pre_hooks: Any = {}
            self._optimizer_step_post_hooks: Any = {}
            self.param_groups, self.state, self.base = base.param_groups, base.state, base

        def step(self, closure: Any = None) -> Any:
            return self.base.step(closure)

    model = network()
    ahead = Lookahead(SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"Lookahead wraps an .*: attach to its \.base$"):
        chandir.attach(ahead, model, Sobolev())
    chandir.attach(ahead.base, model, H0Lambda())
    model[0].weight.grad = torch.ones_like(model[0].weight)
    ahead.step()
    assert torch.equal(model[0].weight.grad, 2 * torch.ones_like(model[0].weight))


class Carried(SGD):
    """Copied with all that it has but hooks, what stands for its step included."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Carried:
        other = Carried.__new__(Carried)
        memo[id(self)] = other
        for key, value in vars(self).items():
            vars(other)[key] = type(value)() if "hooks" in key else copy.deepcopy(value, memo)
        return other

    def step(self, closure: Any = None) -> Any:
        """Step as SGD does."""
        return super().step(closure)


def test_what_stands_for_a_step_shows_its_signature_and_steps_its_own_optimizer() -> None:
    SGD([nn.Parameter(torch.zeros(1))], lr=1)  # from here on SGD.step calls hooks, too
    conv = nn.Conv2d(3, 8, 3, bias=False)
    optimizer = Carried(conv.parameters(), lr=1.0)
    before = inspect.signature(optimizer.step)
    chandir.attach(optimizer, conv, H0Lambda())
    assert inspect.signature(optimizer.step) == before
    two, other = copy.deepcopy((conv, optimizer))
    was = two.weight.detach().clone()
    two.weight.grad = torch.ones_like(two.weight)
    other.step()
    assert not torch.equal(two.weight, was)
    assert torch.equal(conv.weight, was)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("kind", [SGD, Clips])
def test_a_compiled_step_gives_no_warning_of_its_own(
    kind: type[SGD], recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = network(), network()
    optimizer = kind(one.parameters(), lr=0.1)
    chandir.attach(optimizer, one, Sobolev())
    step = torch.compile(optimizer.step)
    other = kind(two.parameters(), lr=0.1)
    plain = network()
    loss(plain, 0).backward()
    torch.compile(kind(plain.parameters(), lr=0.1).step)()  # what torch says of its own step, once
    recwarn.clear()
    caplog.clear()
    for seed in range(3):
        for model, opt in ((one, optimizer), (two, other)):
            opt.zero_grad()
            loss(model, seed).backward()
        step()
        chandir.apply_(two, Sobolev())
        other.step()
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    told = [str(warning.message) for warning in recwarn]
    told += [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert not told
