"""Figure 5, left: how the scores of two arms are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chandir.report.judge.samples import Sample
from chandir.report.show.figures.style import Drawing, figure, legend, looks, save, twice


@twice
def draw(
    samples: Sequence[Sample], xlabel: str, folder: Path, name: str, title: str, foot: str
) -> Drawing:
    """Draw one histogram per arm over shared bins, and below it a tick for every trial."""
    fig, axes = figure(6.4, 2.7)
    axis = axes[0][0]
    palette = looks([sample.arm.name for sample in samples])
    values = [list(sample.values.values()) for sample in samples]
    every = np.concatenate([np.array(own) for own in values])
    bins = np.histogram_bin_edges(every, bins=min(24, max(6, len(every) // 3)))
    for i, (sample, own) in enumerate(zip(samples, values, strict=True)):
        look = palette[sample.arm.name]
        axis.hist(own, bins, color=look.colour, alpha=0.3)
        axis.hist(own, bins, color=look.colour, histtype="step", lw=1.2, label=sample.arm.name)
        axis.plot(own, [-0.35 - 0.45 * i] * len(own), "|", color=look.colour, ms=6)
    axis.set_xlabel(xlabel)
    axis.set_ylabel("trials")
    axis.yaxis.get_major_locator().set_params(integer=True)
    legend(fig)
    caption = "How many trials reach which score; below, a tick for every trial."
    return save(fig, folder, name, title, caption, foot)
