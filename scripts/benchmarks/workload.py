"""A trial's training and evaluation as the harness runs them, on stand-in data, without a folder.

Classification gets random images of the task's own shape; the other tasks their synthetic stand-in,
cut to the sizes that the paper trains on. Pretrained weights are replaced by random ones. Neither
changes what a step computes, and so not its time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chandir.harness.config.schema import Config
from chandir.harness.parts import optimizers
from chandir.harness.sweep import tally
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.trial import data, devices
from chandir.harness.trial.loop import train_epoch
from chandir.harness.trial.seeding import Streams
from scripts.benchmarks import limits

# Random weights, or none, where the paper's protocol has pretrained ones.
SUBSTITUTES = {
    "pascalvoc": ("model.encoder_weights=none",),
    "spade-cityscapes": ("task.fid_weights=random", "task.perceptual={folder}/vgg19.pth"),
}


def configuration(overrides: Sequence[str]) -> Config:
    """The checked configuration of one trial."""
    (job,) = jobs(tuple(overrides))
    return job.resolved.config


def identity(config: Config) -> dict[str, Any]:
    """What a measured step is of: `project` finds it by this."""
    return {
        "task": config.task.name,
        "model": config.model.name,
        "batch_size": config.task.batch_size,
        "optimizer": config.optimizer.name,
        "precision": config.precision,
        "determinism": config.determinism,
    }


def steps(job: Job) -> int:
    """Optimizer steps of a trial."""
    return tally.steps(job.resolved.config)


def random_images(config: Config, count: int) -> tuple[Tensor, Tensor]:
    """Noise of the task's shape, (n, c, h, w) uint8 and (n,) int64: a step's time does not care."""
    shape = config.task.shape
    generator = torch.Generator().manual_seed(0)
    extent = (count, shape["channels"], shape["size"], shape["size"])
    images = torch.randint(256, extent, generator=generator, dtype=torch.uint8)
    return images, torch.randint(shape["classes"], (count,), generator=generator)


@dataclass
class Workload:
    """One trial, ready to train.

    Attributes:
        config: the trial's, with the stand-in's sizes.
        device: where it runs.
        task: holds some batches, and test images.
        model: the network.
        steppers: the optimizer of each player, its metric attached.
        test_images: how many the evaluation has; 0 where stand-ins are not as large as the real.
    """

    config: Config
    device: torch.device
    task: Any
    model: nn.Module
    steppers: dict[str, torch.optim.Optimizer]
    test_images: int

    def train(self) -> Callable[[], object]:
        """One epoch of the harness; ``task.train_size`` samples."""
        streams = Streams(0)

        def run() -> None:
            devices.set_up(self.config, self.device)
            train_epoch(
                self.task,
                self.model,
                self.steppers,
                streams,
                self.config,
                self.device,
                lambda: None,
            )

        return run

    def evaluate(self) -> None:
        """The test scores, as after an epoch."""
        devices.set_up(self.config, self.device)
        self.model.eval()
        with torch.no_grad(), devices.autocast(self.config, self.device):
            self.task.evaluate(self.model, False)

    def count(self) -> limits.Count:
        """What one step needs: forward and backward run once, with its batch; then the updates."""
        assert self.config.task.batch_size is not None
        indices = torch.arange(self.config.task.batch_size, device=self.device)
        draws = torch.rand(len(indices), self.task.randoms, device=self.device)
        self.model.train()
        batch = self.task.batch(indices, draws)

        def work() -> None:
            for player, optimizer in self.steppers.items():
                optimizer.zero_grad(set_to_none=True)
                with devices.autocast(self.config, self.device):
                    loss, _ = self.task.loss(player, self.model, batch)
                loss.backward()

        return limits.count(work, self.steppers)


def build(
    overrides: Sequence[str], device: torch.device, length: int, test_images: int = 0
) -> Workload:
    """A workload whose epoch is so many steps long.

    Args:
        overrides: the trial's, as on the command line.
        device: where it runs.
        length: steps of one epoch.
        test_images: of an evaluation, for classification; else the stand-in's few.
    """
    config = configuration(overrides)
    assert config.task.batch_size is not None
    count = length * config.task.batch_size
    devices.set_up(config, device)
    if "size" in config.task.shape and config.model.name in ("resnet56", "vgg16", "convnet"):
        task = data.build(config)
        test = random_images(config, max(1, test_images))
        task.hold(random_images(config, count), test, device)
    else:
        test_images = 0
        with tempfile.TemporaryDirectory() as folder:
            own = [part.format(folder=folder) for part in SUBSTITUTES.get(config.task.name, ())]
            if config.task.name == "spade-cityscapes":
                _random_vgg19(Path(folder) / "vgg19.pth")
            stand_in = ("data.source=synthetic", f"data.root={folder}", f"task.train_size={count}")
            config = configuration([*overrides, *own, *stand_in])
            task = data.load(config, device)
    torch.manual_seed(0)
    model = data.build_model(config).to(device).train()
    steppers = {
        player: optimizers.build(config, network, player)
        for player, network in task.players(model).items()
    }
    return Workload(config, device, task, model, steppers, test_images)


def _random_vgg19(path: Path) -> None:
    """The perceptual loss's network, in torchvision's names."""
    from torchvision.models import vgg19

    torch.save(vgg19(weights=None).state_dict(), path)
