"""From a composed configuration to the one that runs: Table 1 filled in, deviations labelled.

What is null in ``conf/`` follows from the paper's Table 1 for the task, network and optimizer, and
from the scale; what a user sets wins. The result holds no null that a number depends on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError, one_of
from chandir.harness.cells.labels import labels
from chandir.harness.cells.table import filled_in, in_file, table_row
from chandir.harness.command.options import groups, owners, stated
from chandir.harness.config import portable
from chandir.harness.config.schema import Config, Part, check
from chandir.harness.parts import classes


@dataclass(frozen=True)
class Resolved:
    """A configuration ready to run.

    Attributes:
        config: the typed configuration.
        labels: how the run deviates from the paper's protocol; empty if it does not.
        notes: where the paper is silent, and what was chosen.
        stated: the metric's settings as its file has them, from which a reader tells what was set.
        weights: that they be kept was asked for, and is not only the default.
    """

    config: Config
    labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stated: dict[str, Any] = field(default_factory=dict)
    weights: bool = False

    def of_trial(self, trial: int) -> Resolved:
        """The same cell's configuration of another trial."""
        return replace(self, config=self.config.model_copy(update={"trial": trial}))

    def plain(self) -> dict[str, Any]:
        """What ``config.yaml`` holds."""
        plain = self.config.model_dump(by_alias=True, exclude={"experiment", "plan"})
        for fact in ("table1", "scales", "schedules", "in_paper", "checksums", "embedded"):
            del plain["task"][fact]
        del plain["model"]["label"], plain["model"]["makes"]
        for group in classes.OWN:
            part = getattr(self.config, group)
            plain[group] = part.with_settings(part.settings)
        return plain | {"stated": self.stated, "labels": self.labels, "notes": self.notes}


def resolve(composed: dict[str, Any]) -> Resolved:
    """Check, fill in what follows from Table 1 and the scale, and label what deviates.

    Args:
        composed: the plain dictionary that Hydra composed, interpolations resolved.

    Raises:
        UserError: for a setting of the wrong type or range, and for one that would be ignored.
    """
    config = check(composed)
    if config.determinism == "portable":
        portable.limit()  # classes are imported below, and torch with them
    _refuse_ignored(config)
    _refuse_unfit(config)
    row, notes = table_row(config)
    reduced = dict(config.task.scales.get(config.scale.name, {}))
    model = config.model.model_dump(by_alias=True)
    for key, value in reduced.pop("model", {}).items():
        if key in model:  # the task's own network; another one has other settings
            model[key] = value if model[key] is None else model[key]
    task = config.task.model_dump(by_alias=True)
    defaults = {"batch_size": row.batch_size[0], "epochs": row.epochs, "evaluate_every": 1}
    defaults |= reduced
    for key, value in defaults.items():
        if key not in task:
            raise UserError(f"task.scales: {key} is no setting of task={config.task.name}")
        task[key] = value if task[key] is None else task[key]
    optimizer = config.optimizer.settings
    for key in ("lr", "lr_g", "lr_d", "weight_decay"):
        if key not in optimizer:
            continue
        optimizer[key] = getattr(row, key) if optimizer[key] is None else optimizer[key]
        if key != "weight_decay" and optimizer[key] is not None and getattr(row, key) is None:
            rates = "optimizer.lr_g and optimizer.lr_d" if key == "lr" else "optimizer.lr"
            raise UserError(
                f"optimizer.{key}={optimizer[key]:g} has no effect on task={config.task.name}: "
                f"expected none; set {rates}"
            )
    plain = config.model_dump(by_alias=True)
    plain |= {"task": task, "model": model}
    plain["optimizer"] = config.optimizer.with_settings(optimizer)
    plain["schedule"] = config.schedule.with_settings(filled_in(config, row, task["epochs"]))
    plain["metric"] = config.metric.with_settings(config.metric.settings)
    final = _parts(check(plain))
    _refuse_guessed_rate(config)
    _refuse_idle_rate(config, final)
    if not config.data.verify:
        notes.append("data.verify=false: files not held to their publisher's checksums")
    facts = final.metric.facts
    file = {key: value for key, value in in_file(final, "metric").items() if key not in facts}
    return Resolved(final, labels(final, row), notes, {"metric": file})


def _parts(config: Config) -> Config:
    """Metric, optimizer and schedule held to their classes, the metric in its canonical form."""
    # torch, which takes its time
    from chandir.harness.parts import canonical, optimizers
    from chandir.harness.parts.light import light

    held: dict[str, Part] = {
        group: classes.checked(
            group, getattr(config, group), group != "metric", in_file(config, group)
        )
        for group in classes.OWN
    }
    config = config.model_copy(update=held)
    with light():
        optimizers.check(config)
    metric = canonical.canonical(config.metric, in_file(config, "metric"))
    return config.model_copy(update={"metric": type(config.metric).model_validate(metric)})


def _refuse_ignored(config: Config) -> None:
    data, optimizer = config.data, config.optimizer
    if (optimizer.model_extra or {}).get("momentum") == 0:
        for name in ("nesterov", "reset_momentum"):
            if optimizer.settings.get(name):
                raise UserError(
                    f"optimizer.{name}=true has no effect with optimizer.momentum=0; set one of "
                    "them"
                )
    if optimizer.reset_momentum:
        from chandir.harness.parts import schedules

        if not schedules.drops(config.schedule):
            raise UserError(
                f"optimizer.reset_momentum=true is for drops of the learning rate, of which "
                f"schedule={config.schedule.name} has none; remove it, or choose schedule=step"
            )
    named = owners("data.name").get("task", [])
    if data.name is not None and config.task.name not in named:
        raise UserError(
            f"data.name={data.name} has no effect on task={config.task.name}: expected none; "
            f"remove it, or choose task={one_of(named)}"
        )
    if not data.verify and (data.source == "synthetic" or not config.task.checksums):
        what = "data.source=synthetic" if config.task.checksums else f"task={config.task.name}"
        raise UserError(
            f"data.verify=false has no effect with {what}, for which there are no checksums; "
            "remove it"
        )
    if config.graphs is True and config.device == "cpu":
        raise UserError("graphs=true has no effect on device=cpu; use auto, or a CUDA device")
    if config.precision == "tf32" and config.device == "cpu":
        raise UserError("precision=tf32 has no effect on device=cpu; use fp32, or a CUDA device")


def _refuse_guessed_rate(config: Config) -> None:
    """Refuse SGD's rate for an optimizer of a user's own, to which nothing says that it fits."""
    name, rows = config.optimizer.name, config.task.table1
    file = folders.options()["optimizer", name]
    known = stated("optimizer", name)
    told = config.optimizer.lr or known.get("usual_lr") or "lr" not in config.optimizer.settings
    if told or file.is_relative_to(folders.CONF) or any(row.optimizer == name for row in rows):
        return
    if rows[0].lr is not None:  # a GAN's two rates are its own optimizer's
        raise UserError(
            f"optimizer={name}: neither its file nor task={config.task.name} gives its learning "
            f"rate: expected usual_lr in {file}; add it there, or set optimizer.lr"
        )


def _refuse_idle_rate(config: Config, final: Config) -> None:
    """Refuse a rate that was asked for, where the schedule sets it."""
    from chandir.harness.parts import schedules

    file = in_file(config, "optimizer")
    for key in ("lr", "lr_g", "lr_d"):
        rate = getattr(config.optimizer, key)
        if rate not in (None, file.get(key)) and schedules.sets_rate(final, rate):
            raise UserError(
                f"optimizer.{key}={rate:g} has no effect with schedule={final.schedule.name}, "
                "which sets the rate itself; remove it, or choose a schedule that multiplies it"
            )


def _refuse_unfit(config: Config) -> None:
    """Refuse a network that makes something else than the task's own, the first of its table."""
    task, model = config.task, config.model
    wanted = stated("model", task.table1[0].model)["makes"]
    if model.makes != wanted:
        fit = [name for name in groups()["model"] if stated("model", name).get("makes") == wanted]
        raise UserError(
            f"model={model.name} makes {model.makes}: task={task.name} expects {wanted}; choose "
            f"model={one_of(fit)}"
        )
