"""A metric in its canonical form: settings that give the same numbers are the same cell.

What a metric does to a gradient is its response r_k. Where that is 1 at every frequency the metric
is ``h0``, whatever its name; a setting that does not change it has its default; where it does not
depend on k or on the length, neither has the direction an effect. It is looked at for fibers of
several lengths.
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
LONG = (4096, 2**22)  # of rasterized tensors; where the others tell no difference
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
    if type(made) is chandir.H0:
        return dict(PLAIN)
    kernel = made if isinstance(made, chandir.Metric) else getattr(made, "metric", None)
    if kernel is None:
        plain = getattr(made, "plain", False)
        return dict(PLAIN) if plain else metric.with_settings(metric.settings)
    responses = _responses(metric, kernel, LENGTHS)
    first = float(responses[0])
    flat = _is(first, responses) and _is(first, _responses(metric, kernel, LONG))
    if made is kernel and flat and first == 1:
        return dict(PLAIN)
    settings = metric.settings
    for key in [key for key in settings if key in file and key not in ("direction", "scope")]:
        other = Metric.model_validate(metric.with_settings(settings | {key: file[key]}))
        if settings[key] != file[key] and _same(metric, kernel, other):
            settings[key] = file[key]
    if flat and "direction" in file:
        settings["direction"] = file["direction"]
    return metric.with_settings(settings)


def _is(number: float, responses: list[torch.Tensor]) -> bool:
    return all(bool((each == number).all()) for each in responses)


def _same(metric: Metric, kernel: Any, other: Metric) -> bool:
    """Whether another metric has the same responses."""
    try:
        made = metric_of(other)
        second = getattr(made, "metric", made)
        return all(
            all(map(torch.equal, _responses(metric, kernel, at), _responses(other, second, at)))
            for at in (LENGTHS, LONG)
        )
    except UserError:
        return False


def _responses(metric: Metric, kernel: Any, lengths: tuple[int, ...]) -> list[torch.Tensor]:
    try:
        return [chandir.metrics.check_response(kernel, n) for n in lengths]
    except ValueError as error:
        raise UserError(f"metric={metric.name}: {error}") from None
