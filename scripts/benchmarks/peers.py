"""What the harness is timed against: the shortest loops, and the conventional DataLoader loop."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chandir.harness.trial import devices
from scripts.benchmarks import workload


def bare(peer: workload.Workload) -> Callable[[], object]:
    """The same data path and step, and nothing else."""
    task, device, config = peer.task, peer.device, peer.config
    optimizer = peer.steppers["model"]
    size = config.task.batch_size or 1

    def steps() -> None:
        devices.set_up(config, device)
        count = task.train_size
        order = torch.randperm(count, device=device)
        uniforms = torch.rand(count, task.randoms, device=device)
        for indices, draws in zip(order.split(size), uniforms.split(size), strict=True):
            inputs, targets = task.batch(indices, draws)
            with devices.autocast(config, device):
                loss = F.cross_entropy(peer.model(inputs), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return steps


def conventional(
    peer: workload.Workload, loader: Iterator[tuple[Tensor, Tensor]], steps: int
) -> Callable[[], object]:
    """The step over a DataLoader, as most code has it."""
    model, device, optimizer = peer.model, peer.device, peer.steppers["model"]

    def run() -> None:
        devices.set_up(peer.config, device)
        for inputs, targets in itertools.islice(loader, steps):
            with devices.autocast(peer.config, device):
                logits = model(inputs.to(device, non_blocking=True))
                loss = F.cross_entropy(logits, targets.to(device, non_blocking=True))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def batches(ours: workload.Workload, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of a DataLoader with torchvision's transforms on PIL images."""
    from torchvision import transforms

    task = ours.task
    transform = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(task.mean, task.std),
        ]
    )
    images, labels = task.images.cpu(), task.labels.cpu()
    pairs: Any = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    loader: Any = torch.utils.data.DataLoader(
        pairs,
        batch_size=ours.config.task.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=ours.device.type == "cuda",
        collate_fn=lambda batch: (
            torch.stack([transform(image) for image, _ in batch]),
            torch.tensor([label for _, label in batch]),
        ),
    )
    while True:
        yield from loader


def evaluations(ours: workload.Workload) -> dict[str, Callable[[], object]]:
    """The test scores of the harness, and the shortest loop that gives them."""
    task, config, device = ours.task, ours.config, ours.device

    def plain() -> None:
        devices.set_up(config, device)
        ours.model.eval()
        correct = torch.zeros((), dtype=torch.int64, device=device)
        parts = zip(
            task.test_images.split(task.test_batch),
            task.test_labels.split(task.test_batch),
            strict=True,
        )
        with torch.no_grad(), devices.autocast(config, device):
            for images, labels in parts:
                correct += (ours.model(task.normalise(images)).argmax(1) == labels).sum()
        correct.item()

    return {"bare": plain, "harness": ours.evaluate}


def data_paths(
    ours: workload.Workload, options: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    """The data paths alone: an epoch of augmented batches on the device; a DataLoader's."""
    task, device = ours.task, ours.device
    size = ours.config.task.batch_size or 1

    def resident() -> None:
        order = torch.randperm(task.train_size, device=device)
        uniforms = torch.rand(task.train_size, task.randoms, device=device)
        for indices, draws in zip(order.split(size), uniforms.split(size), strict=True):
            task.batch(indices, draws)

    def loaded(loader: Iterator[tuple[Tensor, Tensor]]) -> Callable[[], object]:
        return lambda: [None for _ in itertools.islice(loader, options.steps)]

    paths: dict[str, Callable[[], object]] = {"resident": resident}
    for workers in dict.fromkeys((0, options.workers)):
        paths[f"DataLoader, {workers} workers"] = loaded(batches(ours, workers))
    return paths
