"""From a composed configuration to the one that runs: Table 1 filled in, deviations labelled.

What is null in ``conf/`` follows from the paper's Table 1 for the task, network and optimizer, and
from the scale; what a user sets wins. The result holds no null that a number depends on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from chandir.harness import parts
from chandir.harness.arguments import default, groups, owners, stated
from chandir.harness.errors import UserError, one_of
from chandir.harness.schema import Config, Optimizer, Part, Row, Task, check
from chandir.harness.wording import as_typed

# Settings that the harness reads itself; a part's class is given them only if it takes them.
OWN = {
    "metric": frozenset(("direction", "scope")),
    "optimizer": frozenset(("lr", "lr_g", "lr_d", "weight_decay", "reset_momentum")),
    "schedule": frozenset[str](),
}


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
        for group in OWN:
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
    plain["schedule"] = config.schedule.with_settings(_filled(config, row, task["epochs"]))
    plain["metric"] = config.metric.with_settings(config.metric.settings)
    final = _parts(check(plain))
    if not config.data.verify:
        notes.append("data.verify=false: files not held to their publisher's checksums")
    apart = ("_target_", "name")
    file = {key: value for key, value in in_file(final, "metric").items() if key not in apart}
    return Resolved(final, _labels(final, row), notes, {"metric": file})


def _filled(config: Config, row: Row, epochs: int) -> dict[str, Any]:
    """The schedule's settings, with what is null in its file filled in.

    First from the task, then ``every`` of a step from Table 1; else it is the number of epochs, but
    where the class has a default that is a fraction.
    """
    settings = config.schedule.settings
    known = dict(config.task.schedules.get(config.schedule.name, {}))
    if config.schedule.name == "step" and row.every is not None:
        known["every"] = every(row, epochs)
    own = {p.name: p.default for p in parts.signature("schedule", config.schedule)}
    for key in [key for key, value in settings.items() if value is None]:
        usual = own.get(key)
        settings[key] = known.get(key, usual if isinstance(usual, float) else epochs)
    return settings


def _parts(config: Config) -> Config:
    """Metric, optimizer and schedule held to their classes, the metric in its canonical form."""
    # torch loads here, and not with a command line that is refused before.
    from chandir.harness import canonical, optimizers

    held: dict[str, Part] = {
        group: parts.checked(
            group, getattr(config, group), own, group != "metric", in_file(config, group)
        )
        for group, own in OWN.items()
    }
    config = config.model_copy(update=held)
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
        from chandir.harness import schedules

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


def _refuse_unfit(config: Config) -> None:
    """Refuse a network that makes something else than the task's own, the first of its table."""
    task, model = config.task, config.model
    wanted = stated("model", task.table1[0].model)["makes"]
    if model.makes != wanted:
        fit = [name for name in groups()["model"] if stated("model", name)["makes"] == wanted]
        raise UserError(
            f"model={model.name} makes {model.makes}: task={task.name} expects {wanted}; choose "
            f"model={one_of(fit)}"
        )


def in_file(config: Config, group: str) -> dict[str, Any]:
    """What the file of the group's choice says, with the task's shape filled in."""
    shape = {f"${{task.shape.{key}}}": value for key, value in config.task.shape.items()}
    text = stated(group, getattr(config, group).name)
    return {key: shape.get(str(value), value) for key, value in text.items()}


def every(row: Row, epochs: int) -> int:
    """Epochs between two drops of the rate: the row's, in proportion to the epochs that are run."""
    assert row.every is not None
    return max(1, round(row.every * epochs / row.epochs))


def table_row(config: Config) -> tuple[Row, list[str]]:
    """Table 1's row, or the nearest one with a note on what was chosen instead."""
    task, name, model = config.task, config.optimizer.name, config.model.name
    rows = {(row.optimizer, row.model): row for row in task.table1}
    if (name, model) in rows:
        return rows[name, model], []
    base = rows.get(("sgd", model)) or task.table1[0]
    where = "Table 1" if task.in_paper else "conf/task"
    notes = []
    if base.model != model:
        notes.append(
            f"{where} has no row for {model} on {task.name}: batch size, epochs and learning rate "
            f"are those of {base.model}"
        )
    if name != base.optimizer:
        # A GAN's two rates stay: SPADE's own Adam has the paper's.
        usual = stated("optimizer", name).get("usual_lr")
        lr = usual if usual is not None and base.lr is not None else base.lr
        base = base.model_copy(update={"optimizer": name, "lr": lr})
        rate = f"{lr:g}" if lr is not None else f"{base.lr_g:g} and {base.lr_d:g}"
        notes.append(f"{where} has no row for {name} on {task.name}: learning rate {rate}")
    return base, notes


def _labels(config: Config, row: Row) -> list[str]:
    task, labels = config.task, []
    if not task.in_paper:
        labels.append(f"{task.name} is not in the paper")
    elif config.model.name not in {known.model for known in task.table1}:
        labels.append(f"{config.model.name} on {task.name} is not in the paper")
    if config.scale.name != "paper":
        labels.append(f"scale {config.scale.name}")
    # Table 1 is the paper's; the protocol also holds what we chose where the paper is silent.
    paper, protocol = ("paper", "protocol") if task.in_paper else ("default", "default")
    if task.epochs != row.epochs:
        labels.append(f"{task.epochs} epochs ({paper}: {row.epochs})")
    if task.batch_size not in row.batch_size:
        labels.append(f"batch size {task.batch_size} ({paper}: {row.batch_size[0]})")
    for key in ("lr", "lr_g", "lr_d"):
        rate, usual = getattr(config.optimizer, key), getattr(row, key)
        if rate != usual:
            labels.append(f"optimizer.{key}={rate:g} ({paper}: {usual:g})")
    decay = _usual_decay(config.optimizer, row)
    if decay is not None and config.optimizer.weight_decay != decay:
        labels.append(
            f"optimizer.weight_decay={config.optimizer.weight_decay:g} ({protocol}: {decay:g})"
        )
    for key, what in (("train_size", "training"), ("test_size", "test")):
        size = (task.model_extra or {}).get(key)
        if size is not None:
            labels.append(f"{size} {what} images")
    if config.model.label is not None:
        labels.append(config.model.label)
    labels += _deviations(config, row, protocol)
    if config.precision != "fp32":
        labels.append(f"precision {config.precision}")
    if config.data.source == "synthetic":
        labels.append("synthetic data")
    return labels


def _deviations(config: Config, row: Row, protocol: str) -> list[str]:
    """Settings of task, schedule, network and optimizer that are not those of their files."""
    labels = []
    usual = usual_schedule(config.task)
    if config.schedule.name != usual:
        labels.append(f"schedule {config.schedule.name} ({protocol}: {usual})")
    for key, value, expected in schedule_set(config, row):
        labels.append(f"schedule.{key}={as_typed(value)} ({protocol}: {as_typed(expected)})")
    scaled = config.task.scales.get("paper", {})
    # Rates and decay are Table 1's and labelled with it; LS's direction is what the paper varies.
    apart = {"name", "lr", "lr_g", "lr_d", "weight_decay", "direction", "scope"}
    settings = {k: v for k, v in config.optimizer.settings.items() if k not in apart}
    for group, extra, at_scale in (
        ("task", config.task.model_extra, scaled),
        ("model", config.model.model_extra, scaled.get("model", {})),
        ("optimizer", settings, {}),
    ):
        in_files = in_file(config, group) | at_scale
        for key, value in (extra or {}).items():
            expected = in_files.get(key)
            if expected is None or str(expected).startswith("${") or value == expected:
                continue
            labels.append(f"{group}.{key}={as_typed(value)} ({protocol}: {as_typed(expected)})")
    return labels


def _usual_decay(optimizer: Optimizer, row: Row) -> float | None:
    """The file's weight decay; where that is null, Table 1's; None without one."""
    if "weight_decay" not in optimizer.settings:
        return None
    decay = stated("optimizer", optimizer.name).get("weight_decay")
    return row.weight_decay if decay is None else float(decay)


def usual_schedule(task: Task) -> str:
    """The schedule that goes with a task."""
    return default("task", task.name, "schedule")


def schedule_set(config: Config, row: Row) -> list[tuple[str, Any, Any]]:
    """Settings of the schedule that a user changed: name, value, and what it would be."""
    assert config.task.epochs is not None
    file = in_file(config, "schedule")
    usual = config.schedule.model_validate(
        config.schedule.with_settings({key: file.get(key) for key in config.schedule.settings})
    )
    filled = _filled(config.model_copy(update={"schedule": usual}), row, config.task.epochs)
    settings = config.schedule.settings
    return [(key, settings[key], filled[key]) for key in settings if settings[key] != filled[key]]
