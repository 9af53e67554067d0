"""Wording: settings of a configuration as people say them."""

from __future__ import annotations

from typing import Any

# How a value is said; {} is the value.
_WORDS = {
    "optimizer.lr": "learning rate {}",
    "optimizer.lr_g": "generator's rate {}",
    "optimizer.lr_d": "discriminator's rate {}",
    "optimizer.momentum": "momentum {}",
    "optimizer.weight_decay": "weight decay {}",
    "optimizer.sigma": "σ {}",
    "optimizer.direction": "smoothed along {}",
    "optimizer.scope": "scope {}",
    "schedule.every": "rate lowered every {} epochs",
    "task.schedule.every": "rate lowered every {} epochs",
    "schedule.period": "restarts every {} epochs",
    "task.epochs": "{} epochs",
    "task.train_size": "{} training images",
    "task.test_size": "{} test images",
    "task.size": "{} pixels",
    "task.crop": "crop {}",
    "task.data_set": "data set {}",
    "scale.name": "{} scale",
    "data.source": "{} data",
    "precision": "{}",
    "determinism": "determinism {}",
    "threads": "{} threads",
    "code": "code {}",
    "checksum": "data {}",
}
_ONE = {
    "threads": "1 thread",
    "task.epochs": "1 epoch",
    "schedule.every": "rate lowered each epoch",
}
_ONE["task.schedule.every"] = _ONE["schedule.every"]
# What is not set, where that says something.
_NOTHING = {"task.train_size": "all training images", "task.test_size": "all test images"}
# What follows from another setting as a rule, or changes no number that a reader would look for.
_IMPLIED = ("scale.", "schedule.", "task.schedule.", "threads", "task.evaluate_every")


def phrase(key: str, value: Any) -> str:
    """Say one setting: ``("schedule.every", 8)`` is "rate lowered every 8 epochs"."""
    if value is None:
        return _NOTHING.get(key, f"no {_plain(key)}")
    if isinstance(value, bool):
        return _plain(key) if value else f"no {_plain(key)}"
    if value == 1 and key in _ONE:
        return _ONE[key]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _WORDS.get(key, f"{_plain(key)} {{}}").format(text)


def implied(key: str) -> bool:
    """Whether a setting can be left unsaid where others already tell two apart."""
    return key != "scale.name" and key.startswith(_IMPLIED)


def _plain(key: str) -> str:
    """``task.num_classes`` is "num classes"; with its group where the last word says too little."""
    group, _, last = key.rpartition(".")
    words = last.replace("_", " ").strip()
    return words if len(words) > 3 or not group else f"{group.split('.')[-1]}'s {words}"
