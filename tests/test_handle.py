"""A metric at work in any optimizer equals rewriting .grad by hand, bit for bit."""

from __future__ import annotations

import copy
import gc
import pickle
import shutil
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

import chandir
from chandir import H0, H0Lambda, LaplacianSmoothing, Metric, Sobolev
from chandir.axes import DIRECTIONS, SCOPES, select
from chandir.gradients import Gradients

VARIANTS = {
    "sgd": lambda p, **k: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, **k),
    "adam": lambda p, **k: Adam(p, lr=0.01, weight_decay=0.01, **k),
    "adamw": lambda p, **k: AdamW(p, lr=0.01, weight_decay=0.01, **k),
    "rmsprop": lambda p, **k: RMSprop(p, lr=0.01, momentum=0.9, **k),
}
LOOPS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
OPTIMIZERS = [
    pytest.param(make, loop, id=f"{name}-{how}")
    for name, make in VARIANTS.items()
    for how, loop in LOOPS.items()
    if (name, how) != ("rmsprop", "fused")  # torch has none
]


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 3, groups=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 72, 1)),
        nn.Flatten(),
        nn.Linear(72 * 64, 5),
    )


def loss(model: nn.Module, seed: int) -> Tensor:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.cross_entropy(model(images), torch.arange(4))


def by_hand(model: nn.Module, metric: Metric, direction: str, scope: str) -> None:
    """Replace each selected gradient by a new tensor."""
    for target in select(model, direction, scope):
        parameter = target.parameter
        if parameter.grad is not None:
            g = metric.gradient(target.view(parameter.grad), target.dim)
            parameter.grad = g.view_as(parameter)


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def train(
    model: nn.Module, optimizer: Optimizer, before: Callable[[], object] = int, steps: int = 3
) -> None:
    for seed in range(steps):
        optimizer.zero_grad()
        loss(model, seed).backward()
        before()
        optimizer.step()


@pytest.fixture
def model() -> nn.Module:
    return network()


@pytest.fixture
def optimizer(model: nn.Module) -> Optimizer:
    return VARIANTS["sgd"](model.parameters())


# Equal to rewriting the gradient by hand


@pytest.mark.parametrize(("make", "loop"), OPTIMIZERS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("scope", SCOPES)
def test_any_optimizer(
    make: Callable[..., Optimizer], loop: dict[str, bool], direction: str, scope: str
) -> None:
    metric = Sobolev(0.5)
    one, two, three, plain = (network() for _ in range(4))
    optimizer = make(one.parameters(), **loop)
    chandir.attach(optimizer, one, metric, direction, scope)
    train(one, optimizer)
    train(two, make(two.parameters(), **loop), lambda: by_hand(two, metric, direction, scope))
    train(
        three,
        make(three.parameters(), **loop),
        lambda: chandir.apply_(three, metric, direction, scope),
    )
    train(plain, make(plain.parameters(), **loop))
    assert equal(one, two)
    assert equal(one, three)
    assert not equal(one, plain)


@pytest.mark.parametrize("metric", [H0Lambda(), LaplacianSmoothing(0.5)], ids=repr)
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.to(memory_format=torch.channels_last),
        lambda m: m.double(),
        lambda m: m.bfloat16(),
    ],
    ids=["channels_last", "float64", "bfloat16"],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_any_tensor(metric: Metric, change: Callable[[nn.Module], object], direction: str) -> None:
    one, two = network(), network()
    for m in (one, two):
        change(m)
        m.register_forward_pre_hook(lambda m, x: (x[0].to(m[0].weight.dtype),))
        nn.functional.cross_entropy(m(torch.ones(4, 3, 8, 8)).float(), torch.arange(4)).backward()
    before = [(p.grad, p.grad.data_ptr(), p.grad.stride()) for p in one.parameters()]
    chandir.apply_(one, metric, direction, "all")
    by_hand(two, metric, direction, "all")
    for p, q, (grad, address, strides) in zip(
        one.parameters(), two.parameters(), before, strict=True
    ):
        assert torch.equal(p.grad, q.grad)
        assert p.grad is grad  # so that views of it, as DDP's buckets, stay true
        assert p.grad.data_ptr() == address
        assert p.grad.stride() == strides


def test_gradients_with_gaps(model: nn.Module) -> None:
    weight = model[0].weight
    weight.grad = torch.randn(*weight.shape, 2)[..., 0]
    expected = Sobolev().gradient(weight.grad)
    address = weight.grad.data_ptr()
    chandir.apply_(model, Sobolev())
    assert torch.equal(weight.grad, expected)
    assert weight.grad.data_ptr() == address


@pytest.mark.parametrize("metric", [H0Lambda(), Sobolev(), LaplacianSmoothing(0.5)], ids=repr)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_stacking_equals_one_by_one(metric: Metric, direction: str, dtype: torch.dtype) -> None:
    def convolutions() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(8, 8, 3) for _ in range(4)] + [nn.Conv2d(80, 80, 1) for _ in range(3)]
        model = nn.Sequential(*layers).to(dtype)
        for i, p in enumerate(model.parameters()):
            p.grad = torch.randn_like(p)
            if i == 2:  # channels_last among others
                p.grad = p.grad.to(memory_format=torch.channels_last)
        return model

    one, two = convolutions(), convolutions()
    Gradients(metric, select(one, direction, "all")).overwrite()
    Gradients(metric, select(two, direction, "all")).overwrite(stack=True)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
        assert p.grad.stride() == q.grad.stride()


# Order, and what else takes part in a step


def test_order_is_metric_then_weight_decay_then_momentum() -> None:
    model = nn.Conv2d(3, 4, 2, bias=False).double()
    metric, weight, velocity = Sobolev(0.1), model.weight.detach().clone(), 0.0
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.3)
    chandir.attach(optimizer, model, metric)
    for seed in range(3):
        grad = torch.randn(
            model.weight.shape, generator=torch.Generator().manual_seed(seed)
        ).double()
        velocity = 0.9 * velocity + metric.gradient(grad) + 0.3 * weight
        weight = weight - 0.1 * velocity
        model.weight.grad = grad
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight, rtol=0, atol=1e-14)


def test_clipping_comes_first(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    chandir.attach(optimizer, model, Sobolev())
    train(model, optimizer, lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.1))

    def clip_and_apply() -> None:
        nn.utils.clip_grad_norm_(other.parameters(), 0.1)
        by_hand(other, Sobolev(), "output", "conv")

    train(other, VARIANTS["sgd"](other.parameters()), clip_and_apply)
    assert equal(model, other)


def test_accumulated_gradients_are_transformed_once(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    chandir.attach(optimizer, model, Sobolev())
    for m, opt in ((model, optimizer), (other, VARIANTS["sgd"](other.parameters()))):
        for seed in range(3):
            loss(m, seed).backward()
        if m is other:
            by_hand(m, Sobolev(), "output", "conv")
        opt.step()
    assert equal(model, other)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_grad_scaler(loop: dict[str, bool]) -> None:
    one, two = network(), network()
    scale = 2.0**10  # a power of two: scaling is exact
    for m in (one, two):
        optimizer = VARIANTS["sgd"](m.parameters(), **loop)
        if m is one:
            chandir.attach(optimizer, m, Sobolev())
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for seed in range(4):
            optimizer.zero_grad()
            scaler.scale(loss(m, seed)).backward()
            if seed == 1:
                m[0].weight.grad[0, 0, 0, 0] = float("inf")  # this step must be skipped
            if m is two:
                by_hand(m, Sobolev(), "output", "conv")
            scaler.step(optimizer)
            scaler.update()
        assert scaler.get_scale() == scale / 2
    assert equal(one, two)
    assert all(p.isfinite().all() for p in one.parameters())


def test_state_dict_is_the_optimizers_own(model: nn.Module, optimizer: Optimizer) -> None:
    chandir.attach(optimizer, model, Sobolev())
    train(model, optimizer)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    plain = VARIANTS["sgd"](network().parameters())
    assert saved[1]["param_groups"] == plain.state_dict()["param_groups"]

    resumed = network(seed=1)
    resumed_optimizer = VARIANTS["sgd"](resumed.parameters())
    chandir.attach(resumed_optimizer, resumed, Sobolev())
    resumed.load_state_dict(saved[0])
    resumed_optimizer.load_state_dict(saved[1])
    train(model, optimizer)
    train(resumed, resumed_optimizer)
    assert equal(model, resumed)


def test_scheduler_wraps_the_same_step(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    other_optimizer = VARIANTS["sgd"](other.parameters())
    chandir.attach(optimizer, model, Sobolev())
    for m, opt, before in (
        (model, optimizer, int),
        (other, other_optimizer, lambda: by_hand(other, Sobolev(), "output", "conv")),
    ):
        scheduler = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
        for _ in range(3):
            train(m, opt, before, steps=1)
            scheduler.step()
    assert equal(model, other)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_model(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    compiled = torch.compile(model)
    chandir.attach(optimizer, compiled, Sobolev())
    assert select(compiled, "output", "conv")[0].name == "_orig_mod.0.weight"
    train(compiled, optimizer)
    train(
        other,
        VARIANTS["sgd"](other.parameters()),
        lambda: by_hand(other, Sobolev(), "output", "conv"),
    )
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


def test_step_inside_autocast(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    chandir.attach(optimizer, model, Sobolev())
    loss(model, 0).backward()
    loss(other, 0).backward()
    by_hand(other, Sobolev(), "output", "conv")
    with torch.autocast("cpu", torch.bfloat16):
        optimizer.step()
    VARIANTS["sgd"](other.parameters()).step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


# Which parameters


def test_parameters_without_gradient_are_skipped(model: nn.Module, optimizer: Optimizer) -> None:
    chandir.attach(optimizer, model, Sobolev())
    model[0].requires_grad_(False)
    train(model, optimizer)
    assert model[0].weight.grad is None


def test_each_optimizer_transforms_its_own_parameters(model: nn.Module) -> None:
    first, second = SGD(model[0].parameters(), lr=1.0), SGD(model[3].parameters(), lr=1.0)
    chandir.attach(first, model, H0Lambda())
    chandir.attach(second, model, H0Lambda(3.0))
    loss(model, 0).backward()
    grads = [model[i].weight.grad.clone() for i in (0, 3)]
    first.step()
    assert torch.equal(model[0].weight.grad, H0Lambda().gradient(grads[0]))
    assert torch.equal(model[3].weight.grad, grads[1])
    second.step()
    assert torch.equal(model[3].weight.grad, H0Lambda(3.0).gradient(grads[1], 1))


def test_groups_added_later_take_part(model: nn.Module) -> None:
    optimizer = SGD(model[0].parameters(), lr=1.0)
    chandir.attach(optimizer, model, H0Lambda())
    optimizer.add_param_group({"params": model[3].parameters()})
    loss(model, 0).backward()
    grad = model[3].weight.grad.clone()
    optimizer.step()
    assert torch.equal(model[3].weight.grad, H0Lambda().gradient(grad, 1))


def test_groups_may_leave_and_come_back(model: nn.Module, optimizer: Optimizer) -> None:
    chandir.attach(optimizer, model, H0Lambda())
    away = optimizer.param_groups.pop()
    optimizer.add_param_group({"params": model[6].parameters()})  # of the same optimizer: no target
    loss(model, 0).backward()
    grad = model[0].weight.grad.clone()
    optimizer.step()
    assert torch.equal(model[0].weight.grad, grad)
    optimizer.param_groups.append(away)
    optimizer.param_groups.pop(0)
    optimizer.step()
    assert torch.equal(model[0].weight.grad, H0Lambda().gradient(grad))


def test_parameters_that_others_stand_for_are_named(model: nn.Module, optimizer: Optimizer) -> None:
    """As when a wrapper shards the model: the metric would act on nothing from then on."""
    chandir.attach(optimizer, model, H0Lambda())
    group = optimizer.param_groups[0]
    group["params"] = [nn.Parameter(p.detach().clone()) for p in group["params"]]
    for p in group["params"]:
        p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match=r"0.weight and 2 more, to which H0Lambda.* attach to the"):
        optimizer.step()


@pytest.mark.parametrize("flagged", [True, False])
def test_weights_that_were_flattened_after_attach_are_named(flagged: bool) -> None:
    """FSDP1 with use_orig_params keeps the parameters, and makes their gradients pieces."""
    conv = nn.Conv2d(3, 8, 3, bias=False)
    optimizer = SGD(conv.parameters(), lr=0.1)
    chandir.attach(optimizer, conv, H0Lambda())
    conv.weight.data = torch.ones(100)
    conv.weight.grad = torch.ones(100)
    if flagged:
        conv.weight._fsdp_flattened = True  # type: ignore[attr-defined]
    said = (
        "FullyShardedDataParallel flattened" if flagged else r"is \(100,\), but the parameter was"
    )
    with pytest.raises(ValueError, match=f"weight: .*{said}"):
        optimizer.step()
    assert torch.equal(conv.weight.grad, torch.ones(100))


def test_unused_gradients_stay(model: nn.Module, optimizer: Optimizer) -> None:
    chandir.attach(optimizer, model, H0Lambda(), "input", "all")
    loss(model, 0).backward()
    bias, magnitude = (
        model[0].bias.grad.clone(),
        model[4].parametrizations.weight.original0.grad.clone(),
    )
    optimizer.step()
    assert torch.equal(model[0].bias.grad, bias)
    assert torch.equal(model[4].parametrizations.weight.original0.grad, magnitude)


# Handles


def test_removed_metrics_leave_no_trace(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    handle = chandir.attach(optimizer, model, Sobolev())
    handle.remove()
    handle.remove()
    train(model, optimizer)
    train(other, VARIANTS["sgd"](other.parameters()))
    assert equal(model, other)
    chandir.attach(optimizer, model, Sobolev()).remove()


def test_attaching_twice_is_refused(model: nn.Module, optimizer: Optimizer) -> None:
    first = chandir.attach(optimizer, model, Sobolev())
    with pytest.raises(ValueError, match=r"has Sobolev\(.*\) attached: remove\(\) its handle"):
        chandir.attach(optimizer, model, H0Lambda())
    second = chandir.attach(optimizer, model, H0Lambda(), after=first)
    with pytest.raises(ValueError, match=r"has H0Lambda\(.*\) attached"):
        chandir.attach(optimizer, model, H0Lambda(), after=first)
    second.remove()
    first.remove()
    with pytest.raises(ValueError, match="has no metric attached: expected None"):
        chandir.attach(optimizer, model, H0Lambda(), after=first)


def test_composition(model: nn.Module, optimizer: Optimizer) -> None:
    other = network()
    first = chandir.attach(optimizer, model, Sobolev(), "output", "conv")
    chandir.attach(optimizer, model, LaplacianSmoothing(0.5), "rasterized", "all", after=first)

    def both() -> None:
        by_hand(other, Sobolev(), "output", "conv")
        by_hand(other, LaplacianSmoothing(0.5), "rasterized", "all")

    train(model, optimizer)
    train(other, VARIANTS["sgd"](other.parameters()), both)
    assert equal(model, other)


class CallsItsBase(SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("kind", [SGD, CallsItsBase])
@pytest.mark.parametrize("scheduled", [False, True])
def test_optimizers_are_not_kept_alive(model: nn.Module, kind: type[SGD], scheduled: bool) -> None:
    optimizer = kind(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1) if scheduled else None
    handle = chandir.attach(optimizer, model, Sobolev())
    ghost = weakref.ref(optimizer)
    del optimizer, scheduler
    gc.collect()
    assert ghost() is None
    handle.remove()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_have_no_metric(clone: Callable[[Any], Any]) -> None:
    """As documented: torch drops the hooks of an optimizer that is copied or pickled."""
    model = nn.Conv2d(3, 8, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, Sobolev())
    model, optimizer = clone((model, optimizer))
    model(torch.ones(1, 3, 4, 4)).square().sum().backward()
    grad = model.weight.grad.clone()
    optimizer.step()
    assert torch.equal(model.weight.grad, grad)
    chandir.attach(optimizer, model, Sobolev())
    optimizer.step()
    assert torch.equal(model.weight.grad, Sobolev().gradient(grad))


# Misuse


def test_optimizer_and_model_must_belong_together(model: nn.Module) -> None:
    stranger = SGD(network().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"holds none of the 3 tensors.*the first: 0.weight"):
        chandir.attach(stranger, model, Sobolev())
    head = SGD(model[6].parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"holds none of the 3 tensors.*another scope"):
        chandir.attach(head, model, Sobolev())


def test_arguments_are_checked(model: nn.Module, optimizer: Optimizer) -> None:
    with pytest.raises(ValueError, match=r"metric is <class .*such as chandir.Sobolev"):
        chandir.attach(optimizer, model, Sobolev)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metric is 'sobolev'"):
        chandir.apply_(model, "sobolev")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="optimizer is Sequential: expected a torch Optimizer"):
        chandir.attach(model, optimizer, Sobolev())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'input'"):
        chandir.attach(optimizer, model, Sobolev(), "inputs")


def test_sparse_gradients_are_named() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True))
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"0.weight: the gradient is .*sparse"):
        chandir.apply_(model, H0(), "rasterized", "all")


# On a GPU


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("metric", [H0Lambda(), Sobolev(), LaplacianSmoothing(0.5)], ids=repr)
@pytest.mark.parametrize("tf32", [False, True])
def test_cuda_equals_cpu(cuda: torch.device, metric: Metric, direction: str, tf32: bool) -> None:
    one, two = network(), network()
    loss(one, 0).backward()
    two.to(cuda)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        q.grad = p.grad.to(cuda)
    chandir.apply_(one, metric, direction, "all")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    chandir.apply_(two, metric, direction, "all")
    torch.set_float32_matmul_precision(before)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(q.grad.cpu(), p.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("metric", [H0Lambda(), Sobolev(), LaplacianSmoothing(0.5)], ids=repr)
@pytest.mark.parametrize("n", [16, 512, 509, 36864])
def test_cuda_repeats_to_the_bit(cuda: torch.device, metric: Metric, n: int) -> None:
    f = torch.randn(n, 90, device=cuda)
    first = metric.gradient(f)
    assert all(torch.equal(metric.gradient(f), first) for _ in range(5))


@pytest.mark.gpu
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_cuda_graph_replays_the_metric(cuda: torch.device, direction: str) -> None:
    model = network().to(cuda)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    grads = [p.grad.clone() for p in model.parameters()]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # the first use builds the operators, which a capture cannot
        chandir.apply_(model, Sobolev(), direction, "all")
    torch.cuda.current_stream().wait_stream(side)
    expected = [p.grad.clone() for p in model.parameters()]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chandir.apply_(model, Sobolev(), direction, "all")
    for p, grad in zip(model.parameters(), grads, strict=True):
        p.grad.copy_(grad)
    graph.replay()
    for p, grad in zip(model.parameters(), expected, strict=True):
        assert torch.equal(p.grad, grad)
