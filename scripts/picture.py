"""Draw what a metric does to a gradient: the picture of README.

    python scripts/picture.py --out docs/images

The gradient is a real one: that of the first convolution (50 output channels, 25 weights each) of
the digits' network, at one batch of 8, after an epoch of plain SGD. Takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chandir
from chandir.harness.base.output import outlast
from chandir.report.show.figures.style import COLOURS, INK, Drawing, figure, house, save
from models.convnet import ConvNet

BATCH, SEED = 8, 0


def gradient() -> Tensor:
    """The gradient (50, 25) of the first convolution's weight, of the loss on a batch of digits."""
    from sklearn.datasets import load_digits

    torch.manual_seed(SEED)
    pixels, classes = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8).split(BATCH)
    labels = torch.tensor(classes).split(BATCH)
    network = ConvNet(in_channels=1, num_classes=10, image_size=8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for some, truth in zip(images, labels, strict=True):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(some), truth).backward()
        optimizer.step()
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(images[0]), labels[0]).backward()
    grad = network.conv1.weight.grad
    assert grad is not None
    return grad.flatten(1)


@house()
def draw(folder: Path) -> Drawing:
    """Draw f, S f and f + S f in one colour scale; right, the column with the largest mean."""
    f = gradient()
    after = chandir.Sobolev().gradient(f, dim=0)
    fig, axes = figure(8.2, 3.1, columns=4, width_ratios=(1, 1, 1, 1.25), sharey=True)
    span = float(f.abs().quantile(0.99))
    parts = {"gradient f": f, "+  S f ≈ the mean": after - f, "=  Sobolev gradient": after}
    for axis, (title, values) in zip(axes[0], parts.items(), strict=False):
        axis.imshow(
            values.numpy(),
            cmap="RdBu_r",
            vmin=-span,
            vmax=span,
            aspect="auto",
            interpolation="nearest",
        )
        axis.set_title(title, pad=11)
        axis.grid(False)
        axis.set_xticks([])
        axis.set_xlabel("5×5 kernel positions")
    axes[0][0].set_ylabel("50 output channels")
    column = int((f.mean(0).abs() / f.std(0)).argmax())
    for axis in axes[0][:3]:
        axis.plot(column, -1.8, marker="v", color=INK, ms=4, clip_on=False)
        axis.set_ylim(len(f) - 0.5, -0.5)
    _fiber(axes[0][3], f[:, column].numpy(), after[:, column].numpy())
    caption = "Along its output channels, what the filters agree on is counted twice."
    footer = (
        "First convolution of a small network on scikit-learn's digits, one batch of 8, after an "
        "epoch of SGD; λ = 1. Red positive, blue negative, one scale. Right: the position (▾) "
        "whose channels agree most."
    )
    return save(fig, folder, "gradient", "A gradient before and after", caption, footer)


def _fiber(axis: Any, before: Any, after: Any) -> None:
    """One position of the kernel over the output channels, before and after."""
    channels = range(len(before))
    axis.axvline(0, color=INK, lw=0.7)
    axis.plot(before, channels, color=INK, lw=0.9, label="f")
    axis.plot(after - before, channels, color=COLOURS[0], lw=1.4, ls="--", label="S f")
    axis.plot(after, channels, color=COLOURS[1], label="f + S f")
    axis.set_title("one position, all channels", pad=11)
    axis.set_xlabel("gradient")
    axis.tick_params(axis="x", labelsize=7)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.6)


def main(arguments: list[str] | None = None) -> int:
    """Write gradient.png and gradient.svg."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go")
    options = parser.parse_args(arguments)
    draw(options.out)
    print(options.out / "gradient.png")
    return 0


if __name__ == "__main__":
    outlast()
    sys.exit(main())
