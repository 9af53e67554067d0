"""Time the harness's training step against bare loops that do the same work.

    python scripts/bench.py step
    python scripts/bench.py step --batch 128 --threads 2

Every row trains ResNet-56 (or another network) on CIFAR-10-shaped random images, augmented, with
SGD, from the same weights; rows take turns, some steps each. ``bare`` is the shortest PyTorch loop
over the same device-resident data; the harness adds the order of the epoch, the record of losses
and scores, and the check that they are finite. ``DataLoader`` is the conventional data path: PIL
images through torchvision's transforms.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chandir.harness import data, devices, optimizers
from chandir.harness.loop import train_epoch
from chandir.harness.plan import jobs
from chandir.harness.schema import Config
from chandir.harness.seeding import Streams
from scripts.benchmarks import measure


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.py step", description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=("resnet56", "vgg16"), default="resnet56")
    parser.add_argument("--metric", choices=("h0", "h0_lambda", "sobolev"), default="h0")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: 8 on a CPU, 128 on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8, help="of a row in a round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1, help="of the DataLoader")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    batch = options.batch or (8 if device.type == "cpu" else 128)
    (job,) = jobs(
        (
            "task=cifar10",
            f"model={options.model}",
            f"metric={options.metric}",
            f"task.batch_size={batch}",
            f"threads={options.threads}",
            f"device={options.device}",
        )
    )
    config = job.resolved.config
    devices.set_up(config, device)
    images, labels = random_images(batch * options.steps)
    actions = {
        "bare": bare(config, images, labels, device),
        "harness": harness(config, images, labels, device),
    }
    paths: dict[str, Callable[[], object]] = {"resident": resident(config, images, labels, device)}
    for workers in dict.fromkeys((0, options.workers)):
        loader = batches(config, images, labels, workers)
        name = f"DataLoader, {workers} workers"
        actions[name] = conventional(config, loader, options.steps, device)
        paths[name] = loaded(loader, options.steps)
    seconds = measure.alternate(actions, options.rounds, device)
    data_seconds = measure.alternate(paths, options.rounds, device)
    print(f"{options.model}, {options.metric}, batch {batch}, {device}, {options.threads} threads")
    print(f"{'':26}{'ms / step':>10}{'/ bare':>8}")
    for name, taken in seconds.items():
        print(f"{name:26}{1e3 * taken / options.steps:10.2f}{taken / seconds['bare']:8.3f}")
    print(f"{'data path alone':26}{'ms / step':>10}{'/ ours':>8}")
    for name, taken in data_seconds.items():
        ratio = taken / data_seconds["resident"]
        print(f"{name:26}{1e3 * taken / options.steps:10.3f}{ratio:8.1f}")
    if options.json:
        record = {
            "environment": measure.environment(device),
            "model": options.model,
            "metric": options.metric,
            "batch": batch,
            "seconds_per_step": {name: taken / options.steps for name, taken in seconds.items()},
            "data_seconds_per_step": {
                name: taken / options.steps for name, taken in data_seconds.items()
            },
            "ratio_to_bare": {name: taken / seconds["bare"] for name, taken in seconds.items()},
        }
        measure.write(options.json, record)
    return 0


def random_images(count: int) -> tuple[Tensor, Tensor]:
    """CIFAR-10-shaped noise: (n, 3, 32, 32) uint8 and (n,) int64. Steps do not take its content."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return images, torch.randint(10, (count,), generator=generator)


def network(config: Config, device: torch.device) -> nn.Module:
    """The same weights for every row."""
    torch.manual_seed(0)
    return data.build_model(config).to(device).train()


def harness(
    config: Config, images: Tensor, labels: Tensor, device: torch.device
) -> Callable[[], object]:
    """One epoch of the harness."""
    task = data.build(config)
    task.hold((images, labels), (images[:1], labels[:1]), device)
    model = network(config, device)
    steppers = {"model": optimizers.build(config, model, "model")}
    streams = Streams(0)
    return lambda: train_epoch(task, model, steppers, streams, config, device, lambda: None)


def bare(
    config: Config, images: Tensor, labels: Tensor, device: torch.device
) -> Callable[[], object]:
    """The same data path and step, and nothing else."""
    task = data.build(config)
    task.hold((images, labels), (images[:1], labels[:1]), device)
    model = network(config, device)
    optimizer = optimizers.build(config, model, "model")
    assert config.task.batch_size is not None

    def steps() -> None:
        order = torch.randperm(len(images), device=device)
        uniforms = torch.rand(len(images), task.randoms, device=device)
        size = config.task.batch_size or 1
        for indices, draws in zip(order.split(size), uniforms.split(size), strict=True):
            inputs, targets = task.batch(indices, draws)
            loss = F.cross_entropy(model(inputs), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return steps


def conventional(
    config: Config, loader: Iterator[tuple[Tensor, Tensor]], steps: int, device: torch.device
) -> Callable[[], object]:
    """The step over a DataLoader, as most code has it."""
    model = network(config, device)
    optimizer = optimizers.build(config, model, "model")

    def run() -> None:
        for inputs, targets in itertools.islice(loader, steps):
            logits = model(inputs.to(device, non_blocking=True))
            loss = F.cross_entropy(logits, targets.to(device, non_blocking=True))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def batches(
    config: Config, images: Tensor, labels: Tensor, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of a DataLoader with torchvision's transforms on PIL images."""
    from torchvision import transforms

    task = data.build(config)
    transform = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(task.mean, task.std),
        ]
    )
    pairs: Any = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    loader: Any = torch.utils.data.DataLoader(
        pairs,
        batch_size=config.task.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=lambda batch: (
            torch.stack([transform(image) for image, _ in batch]),
            torch.tensor([label for _, label in batch]),
        ),
    )
    while True:
        yield from loader


def resident(
    config: Config, images: Tensor, labels: Tensor, device: torch.device
) -> Callable[[], object]:
    """The harness's data path alone: an epoch of augmented batches, on the device."""
    task = data.build(config)
    task.hold((images, labels), (images[:1], labels[:1]), device)
    size = config.task.batch_size or 1

    def run() -> None:
        order = torch.randperm(len(images), device=device)
        uniforms = torch.rand(len(images), task.randoms, device=device)
        for indices, draws in zip(order.split(size), uniforms.split(size), strict=True):
            task.batch(indices, draws)

    return run


def loaded(loader: Iterator[tuple[Tensor, Tensor]], steps: int) -> Callable[[], object]:
    """The conventional data path alone."""
    return lambda: [None for _ in itertools.islice(loader, steps)]
