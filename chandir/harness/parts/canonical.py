"""A metric in its canonical form: settings that give the same numbers are the same cell.

What a metric does to a gradient is its response r_k. Where that is 1 at every frequency the metric
is ``h0``, whatever its name; a setting that does not change it has its default; where it does not
depend on k, neither has the direction an effect. It is looked at for fibers of several lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import chandir
import chandir.metrics
from chandir.harness.base.errors import UserError
from chandir.harness.config.schema import Metric
from chandir.harness.parts.optimizers import metric_of

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 16, 50, 64, 100, 512)
PLAIN = {"_target_": "chandir.H0", "name": "h0", "direction": None, "scope": None}


def canonical(metric: Metric, file: Mapping[str, Any]) -> dict[str, Any]:
    """The metric's canonical form as a plain dictionary.

    Args:
        metric: checked.
        file: what its file says.

    Raises:
        UserError: for a metric that no gradient can be taken by.
    """
    made = metric_of(metric)
    kernel = made if isinstance(made, chandir.Metric) else getattr(made, "metric", None)
    if kernel is None:
        plain = getattr(made, "plain", False)
        return dict(PLAIN) if plain else metric.with_settings(metric.settings)
    responses = _responses(metric, kernel)
    flat = all(torch.equal(each, each[:1].expand_as(each)) for each in responses)
    if made is kernel and flat and all(float(each[0]) == 1 for each in responses):
        return dict(PLAIN)
    settings = metric.settings
    for key in [key for key in settings if key in file and key not in ("direction", "scope")]:
        other = Metric.model_validate(metric.with_settings(settings | {key: file[key]}))
        if settings[key] != file[key] and _same(other, responses):
            settings[key] = file[key]
    if flat and "direction" in file:
        settings["direction"] = file["direction"]
    return metric.with_settings(settings)


def _same(metric: Metric, responses: list[torch.Tensor]) -> bool:
    try:
        made = metric_of(metric)
        others = _responses(metric, getattr(made, "metric", made))
    except UserError:
        return False
    return all(torch.equal(one, other) for one, other in zip(responses, others, strict=True))


def _responses(metric: Metric, kernel: Any) -> list[torch.Tensor]:
    try:
        return [chandir.metrics.check_response(kernel, n) for n in LENGTHS]
    except ValueError as error:
        raise UserError(f"metric={metric.name}: {error}") from None
