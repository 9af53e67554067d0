"""Each example trains as the same loop does that rewrites the gradients by hand, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from chandir import H0Lambda, Metric, Sobolev
from examples import plain_loop
from tests.mesh import together

Batch = tuple[torch.Tensor, torch.Tensor]


def by_hand(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[list[Batch]],
    metric: Metric,
    *,
    clip: float | None = None,
    after: Callable[[], object] = int,
) -> nn.Module:
    """Step once on the mean loss of each list; convolutions' gradients become the metric's."""
    for parts in batches:
        optimizer.zero_grad()
        for images, labels in parts:
            (nn.functional.cross_entropy(model(images), labels) / len(parts)).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.grad = metric.gradient(module.weight.grad, 0)
        optimizer.step()
        after()
    return model


def assert_equal(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    assert len(list(one.parameters())) == len(list(other.parameters()))
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, **({"rtol": 0, "atol": 0} | tolerance))


def sgd(model: nn.Module, **more: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, **more)


def test_plain_loop() -> None:
    model = plain_loop.network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    batches = ([plain_loop.batch(step)] for step in range(4))
    by_hand(model, optimizer, batches, Sobolev(), clip=1.0, after=schedule.step)
    assert_equal(plain_loop.train(steps=4), model)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning(accumulate: int) -> None:
    pytest.importorskip("lightning", reason="needs the extra: examples")
    from examples import lightning_trainer

    model = lightning_trainer.Classifier().network
    data = torch.utils.data.DataLoader(lightning_trainer.Images(32), batch_size=8)
    batches = [tuple(batch) for batch in data]
    lists = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    by_hand(model, sgd(model, weight_decay=5e-4), lists, Sobolev(), clip=1.0)  # type: ignore[arg-type]
    assert_equal(lightning_trainer.train(32, accumulate).network, model)


@pytest.mark.slow
def test_lightning_by_manual_optimisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its optimizers' step() passes a closure that does nothing."""
    pytest.importorskip("lightning", reason="needs the extra: examples")
    import lightning

    from examples import lightning_trainer

    class Manual(lightning_trainer.Classifier):
        automatic_optimization = False

        def training_step(self, batch: Any) -> None:  # type: ignore[override]
            self.optimizers().zero_grad()
            self.manual_backward(super().training_step(batch))
            self.optimizers().step()

    monkeypatch.setattr(lightning_trainer, "Classifier", Manual)
    trainer = lightning.Trainer
    monkeypatch.setattr(
        lightning, "Trainer", lambda **k: trainer(**{**k, "gradient_clip_val": None})
    )
    model = Manual().network
    data = torch.utils.data.DataLoader(lightning_trainer.Images(32), batch_size=8)
    lists = [[tuple(batch)] for batch in data]
    by_hand(model, sgd(model, weight_decay=5e-4), lists, Sobolev())  # type: ignore[arg-type]
    assert_equal(lightning_trainer.train(32, 1).network, model)


@pytest.mark.slow
def test_accelerate() -> None:
    pytest.importorskip("accelerate", reason="needs the extra: examples")
    from examples import accelerate_loop

    model = accelerate_loop.network()
    lists = [[accelerate_loop.batch(i), accelerate_loop.batch(i + 1)] for i in (0, 2, 4)]
    by_hand(model, sgd(model), lists, Sobolev(), clip=1.0)
    assert_equal(accelerate_loop.train(batches=6, accumulate=2), model)


def trained_together(name: str) -> list[torch.Tensor]:
    from importlib import import_module

    model = import_module(f"examples.{name}").train(steps=3)
    whole = [getattr(p, "full_tensor", lambda p=p: p)() for p in model.parameters()]
    return [p.detach().clone() for p in whole]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fully_sharded"])
def test_torchrun(name: str, tmp_path: Path) -> None:
    model = plain_loop.network()
    optimizer, metric = sgd(model), Sobolev()
    if name == "fully_sharded":
        optimizer, metric = torch.optim.AdamW(model.parameters(), lr=1e-3), H0Lambda()
    by_hand(model, optimizer, ([plain_loop.batch(step)] for step in range(3)), metric)
    for weights in together(trained_together, 2, tmp_path, name):
        for p, q in zip(weights, model.parameters(), strict=True):
            torch.testing.assert_close(p, q.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_image_folder(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="needs the extra: examples")
    from PIL import Image
    from torchvision import datasets, models, transforms

    from examples import image_folder

    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for shade in range(0, 256, 64):
            Image.new("RGB", (40, 32), (shade, 255 * (name == "dogs"), 0)).save(
                tmp_path / name / f"{shade}.png"
            )
    trained = image_folder.train(str(tmp_path), epochs=2, size=32)
    look = transforms.Compose(
        [transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor()]
    )
    data = datasets.ImageFolder(str(tmp_path), look)
    torch.manual_seed(0)
    model = models.resnet18(weights=None, num_classes=2)
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    lists = ([tuple(batch)] for _ in range(2) for batch in loader)
    by_hand(model, sgd(model, weight_decay=5e-4), lists, Sobolev())  # type: ignore[arg-type]
    assert_equal(trained, model)


def test_own_metric() -> None:
    from examples import own_metric

    metric = own_metric.LowPass()
    torch.manual_seed(0)
    model = nn.Conv2d(3, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 3, 8, 8)).square().mean().backward()
        weight, matrix = model.weight.grad, metric.matrix(16).float()
        model.weight.grad = (matrix @ weight.flatten(1)).view_as(weight)
        optimizer.step()
    assert_equal(own_metric.train(steps=3), model, rtol=1e-5, atol=1e-6)


def test_sam() -> None:
    from examples import sam

    torch.manual_seed(0)
    model = nn.Conv2d(3, 16, 3)
    for _ in range(3):
        at = [p.detach().clone() for p in model.parameters()]
        model(torch.ones(1, 3, 8, 8)).square().mean().backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.05 * p.grad / norm)
        model.zero_grad()
        model(torch.ones(1, 3, 8, 8)).square().mean().backward()
        model.weight.grad = Sobolev().gradient(model.weight.grad)
        with torch.no_grad():
            for p, start in zip(model.parameters(), at, strict=True):
                p.copy_(start - 0.1 * p.grad)
        model.zero_grad()
    assert_equal(sam.train(steps=3), model, rtol=1e-5, atol=1e-6)
