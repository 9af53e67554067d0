"""The paper's Table 1, and what its file says of a choice: what a setting is if nobody sets it."""

from __future__ import annotations

from typing import Any

from chandir.harness.command.options import default, stated
from chandir.harness.config.schema import Config, Row, Task
from chandir.harness.parts import classes


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


def usual_schedule(task: Task) -> str:
    """The schedule that goes with a task."""
    return default("task", task.name, "schedule")


def filled_in(config: Config, row: Row, epochs: int) -> dict[str, Any]:
    """The schedule's settings, with what is null in its file filled in.

    First from the task, then ``every`` of a step from Table 1; else it is the number of epochs, but
    where the class has a default that is a fraction. What its file gives a value stays null if a
    user says so, which the class may take.
    """
    settings = config.schedule.settings
    known = dict(config.task.schedules.get(config.schedule.name, {}))
    if config.schedule.name == "step" and row.every is not None:
        known["every"] = every(row, epochs)
    own = {p.name: p.default for p in classes.signature("schedule", config.schedule)}
    file = in_file(config, "schedule")
    for key in [key for key in settings if settings[key] is None and file.get(key) is None]:
        usual = own.get(key)
        settings[key] = known.get(key, usual if isinstance(usual, float) else epochs)
    return settings


def schedule_set(config: Config, row: Row) -> list[tuple[str, Any, Any]]:
    """Settings of the schedule that a user changed: name, value, and what it would be."""
    assert config.task.epochs is not None
    file = in_file(config, "schedule")
    usual = config.schedule.model_validate(
        config.schedule.with_settings({key: file.get(key) for key in config.schedule.settings})
    )
    usual_settings = filled_in(
        config.model_copy(update={"schedule": usual}), row, config.task.epochs
    )
    settings = config.schedule.settings
    return [
        (key, settings[key], usual_settings[key])
        for key in settings
        if settings[key] != usual_settings[key]
    ]
