"""Figures 11, 13 and 14: correlation between the channels of trained weights, from run folders.

Each draws the paper's network or, with `whose` set, the same of another artefact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chandir.report.show.figures.curves import mean_and_half
from chandir.report.show.figures.style import (
    COLOURS,
    INK,
    Drawing,
    figure,
    legend,
    looks,
    save,
    twice,
)

# Each arm's summaries, as chandir.correlation writes them.
Arms = Mapping[str, Sequence[Mapping[str, Any]]]
DIRECTIONS = ("output", "input")


@twice
def distance(arms: Arms, folder: Path, foot: str, whose: str = "") -> Drawing:
    """Figure 11: the correlation of two filters over their distance, mean of the trials."""
    fig, axes = figure(6.4, 2.8, columns=2, sharey=True)
    palette = looks(list(arms))
    for axis, direction in zip(axes[0], DIRECTIONS, strict=True):
        axis.axhline(0, color=INK, lw=0.7)
        for name, found in arms.items():
            lines = np.array([[_float(x) for x in s[direction]["curve"]] for s in found])
            lines, look = lines[:, : lines.shape[1] * 3 // 4], palette[name]  # last: few pairs
            d = np.arange(1, lines.shape[1] + 1)
            mean, half = mean_and_half(lines)
            axis.fill_between(d, mean - half, mean + half, color=look.colour, alpha=0.18, lw=0)
            axis.plot(
                d, mean, color=look.colour, marker=look.marker,
                markevery=max(1, len(d) // 6), label=name,
            )  # fmt: skip
        axis.set_title(f"{direction} direction")
        axis.set_xlabel("distance |i - j| of two channels")
    axes[0][0].set_ylabel("correlation")
    legend(fig)
    caption = (
        "Mean correlation of two filters at a distance, over all convolutions: mean over trials, "
        "band: 95 % t-interval. The paper does not define its correlation; ours is the uncentred "
        "cosine, every pair counting the same, so that beyond a layer's width only wider count "
        "and a step there is one between layers."
    )
    return _save(fig, folder, 11, "correlation over distance", caption, foot, whose)


@twice
def histogram(arms: Arms, folder: Path, foot: str, whose: str = "") -> Drawing:
    """Figure 13: the distribution of the correlation over all pairs of filters."""
    fig, axes = figure(6.4, 2.8, columns=2, sharey=True)
    palette = looks(list(arms))
    reach = 0.0
    for axis, direction in zip(axes[0], DIRECTIONS, strict=True):
        axis.axvline(0, color=INK, lw=0.7)
        for name, found in arms.items():
            counts = np.sum([s[direction]["histogram"] for s in found], axis=0, dtype=float)
            edges = np.linspace(-1, 1, len(counts) + 1)
            density = counts / counts.sum() / (edges[1] - edges[0])
            axis.stairs(density, edges, color=palette[name].colour, lw=1.2, label=name)
            inside = np.flatnonzero(counts.cumsum() / counts.sum() > 0.001)[0]
            top = np.flatnonzero(counts.cumsum() / counts.sum() < 0.999)[-1]
            reach = max(reach, -edges[inside], edges[top + 1])
        axis.set_title(f"{direction} direction")
        axis.set_xlabel("correlation of two filters")
    for axis in axes[0]:
        axis.set_xlim(-reach * 1.1, reach * 1.1)
    axes[0][0].set_ylabel("density")
    legend(fig)
    caption = (
        "All pairs of filters of all convolutions, all trials together. The paper shows one layer "
        "of an ImageNet network; scripts/correlation.py draws that."
    )
    return _save(fig, folder, 13, "histogram of the correlation", caption, foot, whose)


@twice
def scatter(arms: Arms, folder: Path, foot: str, whose: str = "") -> Drawing:
    """Figure 14: mean and deviation of fibers along the output channels, a colour per layer.

    `foot` is of one trial of each arm, whose fibers are drawn.
    """
    fig, axes = figure(6.4, 2.6, columns=len(arms), sharex=True, sharey=True)
    for axis, (name, found) in zip(axes[0], arms.items(), strict=True):
        layers = [layer["output"] for layer in found[0]["layers"] if layer["output"]]
        for i, layer in enumerate(layers):
            axis.plot(
                layer["fiber_means"], layer["fiber_deviations"], "o", ms=4, mew=0, alpha=0.45,
                color=COLOURS[i % len(COLOURS)], rasterized=True,
            )  # fmt: skip
        scaling = [_float(layer["scaling"]) for layer in layers]
        axis.set_title(f"{name}:\n{np.nanmean(scaling):+.2f}")
        axis.set_xlabel("mean of a fiber")
    axes[0][0].set_ylabel("its standard deviation")
    caption = (
        "A point is a fiber, the weights of one filter position over the output channels: its mean "
        "and its standard deviation. The convolutions of one trial of each arm, a colour per "
        "layer. Above each panel: the correlation of |mean| and standard deviation, averaged over "
        "layers; if scalings made the means large, it would be clearly positive."
    )
    return _save(fig, folder, 14, "mean and spread of output channels", caption, foot, whose)


def _save(
    fig: Any, folder: Path, number: int, what: str, caption: str, foot: str, whose: str
) -> Drawing:
    name, title = f"figure{number}", f"Figure {number}: {what}"
    if whose:
        name, title = f"{whose}-{name}", f"{whose.capitalize()}, as Figure {number}: {what}"
    return save(fig, folder, name, title, caption, foot)


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)
