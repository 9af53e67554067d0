"""Figure 2: the kernels with which the metrics smooth a gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chandir.report.show.figures.style import COLOURS, INK, Drawing, figure, save, twice


def responses(n: int, lam: float = 1.0) -> dict[str, np.ndarray]:
    """Return what each metric multiplies the k-th frequency of a fiber with, k = 0 .. n - 1.

    h0_lambda: 1 + lam at k = 0, else 1. sobolev: 1 + S(k), where S is 1 at k = 0, else
    1 / (lam n² (2 - 2 cos(2 pi k / n))). A test
    holds them to the library's metrics, which need torch.
    """
    k = np.arange(n)
    smooth = np.ones(n)
    smooth[1:] = 1 / (lam * n**2 * (2 - 2 * np.cos(2 * np.pi * k[1:] / n)))
    return {"h0_lambda": 1 + lam * (k == 0), "sobolev": 1 + smooth}


def kernels(n: int, lam: float = 1.0) -> dict[str, np.ndarray]:
    """Return each metric's kernel: the (n,) weights that make channel 0 of the new gradient."""
    return {name: np.fft.ifft(gain).real for name, gain in responses(n, lam).items()}


@twice
def draw(folder: Path, n: int = 64) -> Drawing:
    """Draw both kernels at lambda = 1, centred, over the output channel.

    The identity in each (weight 1 on the channel itself) is an arrow; the rest is times n, which
    makes it independent of the number of channels.
    """
    fig, axes = figure(6.4, 2.6, columns=2, sharey=True)
    channels = np.arange(n + 1) - n // 2  # periodic: both ends are the same channel
    formulas = {"h0_lambda": "f + mean(f)", "sobolev": "f + S f"}
    for axis, colour, (name, kernel) in zip(axes[0], COLOURS, kernels(n).items(), strict=False):
        rest = kernel.copy()
        rest[0] -= 1
        axis.axhline(0, color=INK, lw=0.7)
        weights = n * rest[channels % n]
        axis.fill_between(channels, weights, color=colour, alpha=0.15, lw=0)
        axis.plot(channels, weights, color=colour)
        axis.annotate(
            "", (0, 1.52), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.1}
        )
        axis.annotate(
            "f itself: weight 1", (0, 1.45), (5, 0), textcoords="offset points", va="center"
        )
        axis.set_title(f"{name}: {formulas[name]}")
        axis.set_xlabel("distance in output channels")
        axis.set_ylim(0, 1.6)
        axis.set_xlim(channels[0], channels[-1])
        axis.set_xticks([-n // 2, -n // 4, 0, n // 4, n // 2])
    axes[0][0].set_ylabel(f"weight times n (n = {n})")
    caption = (
        "Weights with which the channels of a gradient f enter channel 0 of the new gradient, at "
        "λ = 1. The arrow is the channel itself, the curve all channels, itself included. At this "
        "λ the Sobolev kernel is nearly flat: within a twelfth of the plain mean."
    )
    footer = f"λ = 1, n = {n} output channels; computed, not measured."
    return save(fig, folder, "figure2", "Figure 2: the kernels", caption, footer)
