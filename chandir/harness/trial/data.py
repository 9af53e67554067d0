"""A task with its data loaded: once per process, however many trials use it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import Tensor, nn

from chandir.harness.base.errors import UserError
from chandir.harness.base.keyed import Keyed
from chandir.harness.config.schema import Config, Data, Task, of_data
from chandir.harness.parts import classes


class LoadedTask(Protocol):
    """What the harness asks of a task; ``tasks/`` has them, one per file.

    Attributes:
        score: the primary score: name, better, unit, smallest difference that counts; ``worst``,
            what a diverged trial counts as (chance); with ``against``, a training score, the log
            has their difference as ``generalisation_gap``.
        drop_last: leave out an epoch's last batch if it is smaller than the others.
        randoms: how many uniform numbers the augmentation of one training sample takes.
        train_size: samples per epoch.
        checksum: SHA-256 of the data as used.
        static: a training step is the same operations whatever its data, waits for no value from
            the device, and has one player, whose loss is a function of ``model(x)``; a batch is a
            tuple of tensors (b, ...). Such steps go into CUDA graphs and stacks.
    """

    score: dict[str, Any]
    static: bool
    drop_last: bool
    randoms: int
    train_size: int
    checksum: str

    def players(self, model: nn.Module) -> dict[str, nn.Module]:
        """The networks that have an optimizer each, in the order of their steps."""

    def batch(self, indices: Tensor, uniforms: Tensor) -> Any:
        """One augmented training batch, from (b,) int64 and (b, randoms) float32."""

    def loss(self, player: str, model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one player, and sums over the batch of the training scores.

        A sum is a scalar, which is divided by the number of samples, or (k, 2) numerators and
        denominators, whose k quotients over the epoch are averaged.
        """

    def evaluate(self, model: nn.Module, last: bool) -> dict[str, float]:
        """Test scores after an epoch."""

    def finish(self, model: nn.Module, folder: Any) -> None:
        """Pictures and samples, after the last epoch."""


def build(config: Config) -> Any:
    """The task, not loaded yet.

    Raises:
        UserError: for a setting that its constructor refuses.
    """
    return _instantiate(config.task)


def build_model(config: Config) -> nn.Module:
    """The network, initialised from torch's global generator, in the task's memory format.

    Raises:
        UserError: for a setting that its constructor refuses.
    """
    model: nn.Module = _instantiate(config.model)
    if (config.task.model_extra or {}).get("channels_last"):
        model.to(memory_format=torch.channels_last)
    return model


def check_network(config: Config) -> None:
    """Build the network and, if it is to tell classes, show it one black image of the task's shape.

    Raises:
        UserError: for a setting that its constructor refuses, images that it cannot take, fewer
            outputs than classes, or a batch of one image that it cannot be trained on.
    """
    model, shape = build_model(config).eval(), config.task.shape
    if config.model.makes != "classes":
        return
    where = f"model={config.model.name} on task={config.task.name}"
    image = torch.zeros(1, shape["channels"], shape["size"], shape["size"])
    try:
        with torch.no_grad():
            outputs = model(image).shape[1]
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{where}: {error}") from None
    if outputs < shape["classes"]:
        raise UserError(
            f"{where} has {outputs} outputs: expected at least the {shape['classes']} classes; "
            "leave model.num_classes out"
        )
    if _leaves_one(config):
        try:
            with torch.no_grad():
                model.train()(image)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{where}, task.batch_size={config.task.batch_size}: an epoch has a batch of one "
                f"image, on which it cannot be trained ({error}): expected two or more; take "
                "another task.batch_size, or larger images"
            ) from None


def _leaves_one(config: Config) -> bool:
    """Whether some batch of an epoch has one image: batch norm may then see one value a channel."""
    samples = (config.task.model_extra or {}).get("train_size") or config.task.shape["samples"]
    size = config.task.batch_size
    assert size is not None
    rest = 0 if config.task.shape.get("drop_last") else samples % size
    return 1 in (size, rest)


def check_batch(config: Config, task: LoadedTask) -> None:
    """Refuse batches that the task's network cannot be trained on, by the task's own word.

    Raises:
        UserError: for a batch size below the task's ``smallest_batch``, if it states one.
    """
    least = getattr(task, "smallest_batch", 1)
    if config.task.batch_size is not None and config.task.batch_size < least:
        raise UserError(
            f"task.batch_size={config.task.batch_size}: expected at least {least} on "
            f"task={config.task.name} at this size of images, on whose smallest map batch norm has "
            "one value a channel otherwise; make batches or images larger"
        )


def _instantiate(part: Any) -> Any:
    classes.load(type(part).__name__.lower(), part)
    try:
        return hydra.utils.instantiate({"_target_": part.target, **(part.model_extra or {})})
    except (InstantiationException, ValueError, TypeError, RuntimeError) as error:
        # Hydra 1.3 wraps what a constructor raises, 1.4 does not.
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, ValueError | TypeError | RuntimeError):
            raise UserError(str(cause)) from None
        raise


def load(config: Config, device: torch.device) -> LoadedTask:
    """The task with its data on the device, verified; cached, for data does not change.

    Raises:
        UserError: for data that is missing, damaged or not what the task expects.
    """
    wanted = (config.task, config.data)
    return _load(Keyed(of_data(*wanted), wanted), device)


@lru_cache(maxsize=2)
def _load(keyed: Keyed[tuple[Task, Data]], device: torch.device) -> LoadedTask:
    settings, wanted = keyed.value
    task = _instantiate(settings)
    try:
        task.load(wanted, device)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    loaded: LoadedTask = task
    return loaded
