"""How a run deviates from the paper's protocol, in words."""

from __future__ import annotations

from functools import cache

from chandir.harness.cells.table import in_file, schedule_set, usual_schedule
from chandir.harness.command.options import groups, stated
from chandir.harness.config.schema import Config, Optimizer, Row
from chandir.harness.config.wording import as_typed


def labels(config: Config, row: Row) -> list[str]:
    """Each deviation; none of a run that is as the paper says."""
    task, found = config.task, []
    if not task.in_paper:
        found.append(f"{task.name} is not in the paper")
    elif config.model.name not in {known.model for known in task.table1}:
        found.append(f"{config.model.name} on {task.name} is not in the paper")
    if task.in_paper and config.optimizer.name not in _optimizers():
        found.append(f"{config.optimizer.name} is not in the paper")
    if config.scale.name != "paper":
        found.append(f"scale {config.scale.name}")
    # Table 1 is the paper's; the protocol also holds what we chose where the paper is silent.
    paper, protocol = ("paper", "protocol") if task.in_paper else ("default", "default")
    if task.epochs != row.epochs:
        found.append(f"{task.epochs} epochs ({paper}: {row.epochs})")
    if task.batch_size not in row.batch_size:
        found.append(f"batch size {task.batch_size} ({paper}: {row.batch_size[0]})")
    for key in ("lr", "lr_g", "lr_d"):
        rate, usual = getattr(config.optimizer, key), getattr(row, key)
        if rate != usual:
            found.append(f"optimizer.{key}={rate:g} ({paper}: {usual:g})")
    decay = _usual_decay(config.optimizer, row)
    if decay is not None and config.optimizer.weight_decay != decay:
        found.append(
            f"optimizer.weight_decay={config.optimizer.weight_decay:g} ({protocol}: {decay:g})"
        )
    for key, what in (("train_size", "training"), ("test_size", "test")):
        size = (task.model_extra or {}).get(key)
        if size is not None:
            found.append(f"{size} {what} images")
    if config.model.label is not None:
        found.append(config.model.label)
    found += _deviations(config, row, protocol)
    if config.precision != "fp32":
        found.append(f"precision {config.precision}")
    if config.data.source == "synthetic":
        found.append("synthetic data")
    return found


def _deviations(config: Config, row: Row, protocol: str) -> list[str]:
    """Settings of task, schedule, network and optimizer that are not those of their files."""
    labels = []
    usual = usual_schedule(config.task)
    if config.schedule.name != usual:
        labels.append(f"schedule {config.schedule.name} ({protocol}: {usual})")
    for key, value, expected in schedule_set(config, row):
        labels.append(f"schedule.{key}={as_typed(value)} ({protocol}: {as_typed(expected)})")
    scaled = config.task.scales.get("paper", {})
    in_paper = config.model.name in {known.model for known in config.task.table1}
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
            named = protocol if group != "model" or in_paper else "default"
            labels.append(f"{group}.{key}={as_typed(value)} ({named}: {as_typed(expected)})")
    return labels


@cache
def _optimizers() -> set[str]:
    """Those of the paper's Table 1, on any task."""
    tasks = (stated("task", name) for name in groups()["task"])
    return {row["optimizer"] for task in tasks if task["in_paper"] for row in task["table1"]}


def _usual_decay(optimizer: Optimizer, row: Row) -> float | None:
    """The file's weight decay; where that is null, Table 1's; None without one."""
    if "weight_decay" not in optimizer.settings:
        return None
    decay = stated("optimizer", optimizer.name).get("weight_decay")
    return row.weight_decay if decay is None else float(decay)
