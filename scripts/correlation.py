"""Measure how the channels of a trained network correlate, and draw it.

    python scripts/correlation.py results/runs/cifar10/CELL/trial-0/weights.pt
    python scripts/correlation.py resnet50 --weights FOLDER
    python scripts/correlation.py figure1

A MODEL is a file of weights, a torchvision network (with its ImageNet weights, from a file or by
download), or ``figure1``: the four networks of the paper's Figure 1. Prints a table, and writes
MODEL.json (`chandir.correlation.summary`) and, with matplotlib, a figure in the manner of the
paper's Figures 1, 11, 13 and 14. Exit status: 0, or 1 with a message.
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import pickle
import socket
import sys
from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from chandir import correlation
from chandir.harness.base import environment
from chandir.harness.base.output import outlast

# The paper's Figure 1: output and input correlation. It does not say which DenseNet.
PAPER = {
    "alexnet": (0.0267, 0.0057),
    "vgg16": (0.0178, 0.0082),
    "densenet121": (0.0116, 0.0029),
    "resnet50": (0.0077, 0.0047),
}
TIMEOUT = 10.0  # seconds without an answer after which a server counts as out of reach


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = argparse.ArgumentParser(description="channel correlation of trained networks")
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="file, torchvision network, or figure1"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path(torch.hub.get_dir()) / "checkpoints",
        metavar="FOLDER",
        help="where torchvision's weights are, or are downloaded to (default: %(default)s)",
    )
    parser.add_argument("--layer", metavar="NAME", help="the layer to draw (default: the largest)")
    parser.add_argument(
        "--out", type=Path, default=Path("results/correlation"), metavar="DIR", help="%(default)s"
    )
    options = parser.parse_args(arguments)
    models = [m for model in options.models for m in (PAPER if model == "figure1" else [model])]
    width = max(len(stem(model)) for model in models)
    print(f"{'':{width}}      output direction       input direction")
    print(f"{'model':{width}}{2 * '       mean  invariant'}   paper's (output, input)")
    failed = 0
    for model in models:
        try:
            weights = load(model, options.weights)
            summary = correlation.summary(weights)
            print(row(model, summary, width))
            write(model, weights, summary, options.layer, options.out)
        except (ValueError, OSError) as error:  # the other models can be measured all the same
            print(f"correlation: {error}", file=sys.stderr)
            failed += 1
    if failed < len(models):
        print(f"Written to {options.out}")
    return 1 if failed else 0


def load(model: str, folder: Path) -> Mapping[str, Any]:
    """The state dict of a file of weights or of a torchvision network.

    Raises:
        ValueError: for what is neither, or a file that holds no weights.
        FileNotFoundError: for weights that are not there and cannot be downloaded.
    """
    if Path(model).is_file():
        return read(Path(model))
    from torchvision.models import get_model_weights, list_models  # here, for it takes seconds

    if model not in list_models():
        near = difflib.get_close_matches(model, [*list_models(), "figure1"], n=3)
        raise ValueError(
            f"{model}: neither a file nor a network of torchvision"
            f"{'; near: ' + ', '.join(near) if near else ''}; give the path of a checkpoint, a "
            "name such as resnet50, or figure1"
        )
    # The first weights, of before 2020: resnet50's later ones were trained in another way.
    weights = next(iter(get_model_weights(model)))
    path = folder / weights.url.rpartition("/")[2]
    if path.is_file():
        return read(path)
    socket.setdefaulttimeout(TIMEOUT)
    try:
        return weights.get_state_dict(model_dir=str(folder), check_hash=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise FileNotFoundError(
            f"{path} is not there, and the download of {weights.url} failed ({error}); put the "
            "file there, name the folder that has it with --weights, or connect to a network"
        ) from error


def read(path: Path) -> Mapping[str, Any]:
    """The state dict in a file that torch saved, run.py's checkpoints included.

    Raises:
        ValueError: for a file that is damaged or holds no weights.
    """
    content = path.read_bytes()
    digest, _, payload = content.partition(b"\n")
    if len(digest) == 64:  # the SHA-256 in front of run.py's checkpoints
        content = payload
    try:
        found = state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path}: not a whole file of weights ({type(error).__name__}); give one that "
            "torch.save wrote, with tensors and plain containers alone"
        ) from error
    if found is None:
        raise ValueError(
            f"{path}: no weights found; expected a state dict, plain or under a key such as "
            "'model' or 'state_dict'"
        )
    return found


def state_dict(content: Any) -> Mapping[str, Any] | None:
    """The first mapping in nested ones that has weights of convolutions by name, or None."""
    if not isinstance(content, Mapping):
        return None
    if any(isinstance(key, str) and key.endswith(".weight") for key in content):
        return content
    inner = (state_dict(value) for value in content.values())
    return next((found for found in inner if found is not None), None)


def row(model: str, summary: dict[str, Any], width: int) -> str:
    """A line of the table."""
    cells = [
        f"{part['mean']:11.4f}{part['invariant']:11.4f}" if part else f"{'none':>11}{'none':>11}"
        for part in (summary["output"], summary["input"])
    ]
    paper = "   {:.4f}, {:.4f}".format(*PAPER[model]) if model in PAPER else ""
    return f"{stem(model):{width}}{''.join(cells)}{paper}"


def stem(model: str) -> str:
    """A name for the model's files: of a path, the last folders as well."""
    path = Path(model)
    return "-".join(path.resolve().with_suffix("").parts[1:][-3:]) if path.is_file() else model


def write(
    model: str, weights: Mapping[str, Any], summary: dict[str, Any], layer: str | None, out: Path
) -> None:
    """Write the summary and, with matplotlib, the figure.

    Raises:
        ValueError: for a layer that the model does not have.
    """
    kernels = dict(correlation.kernels(weights))
    layer = layer or max(kernels, key=lambda name: kernels[name].numel())
    if layer not in kernels:
        near = difflib.get_close_matches(layer, kernels, n=3, cutoff=0)
        raise ValueError(f"--layer {layer}: no convolution of {model}; near: {', '.join(near)}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{stem(model)}.json").write_text(json.dumps(summary, allow_nan=False) + "\n")
    if find_spec("matplotlib"):
        draw(stem(model), summary, layer, kernels[layer], out)


def draw(name: str, summary: dict[str, Any], layer: str, weight: torch.Tensor, out: Path) -> None:
    """The weight of a layer and its histogram; of all layers, the curves and the scatter."""
    from chandir.report.show.figures import style

    with style.house():
        figure, axes = style.figure(10, 2.9, columns=4)
        picture, curves, histogram, scatter = axes[0]
        middle = weight[:, :, weight.shape[2] // 2]
        limit = 3 * middle.std().item()
        picture.imshow(middle.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        picture.set(title=layer, xlabel="input channel", ylabel="output channel")
        picture.grid(visible=False)
        for direction, colour in zip(correlation.DIRECTIONS, style.COLOURS, strict=False):
            if summary[direction] is None:
                continue
            values = summary[direction]["curve"]
            curves.plot(range(1, len(values) + 1), values, color=colour, label=direction)
            n = weight.shape[correlation.DIRECTIONS.index(direction)]
            a, b = torch.triu_indices(n, n, 1)
            pairs = correlation.pairwise(weight, direction)[a, b]
            histogram.hist(pairs.numpy(), 80, density=True, histtype="step", color=colour)
        curves.set(title="all layers", xlabel="distance |i - j|", ylabel="correlation")
        histogram.set(title=layer, xlabel="correlation of two filters", ylabel="density")
        for entry in (entry["output"] for entry in summary["layers"]):
            if entry is not None:
                scatter.scatter(entry["fiber_means"], entry["fiber_deviations"], s=2)
        scatter.set(title="all layers", xlabel="mean of a fiber", ylabel="its deviation")
        style.legend(figure)
        caption = f"Channel correlation of {name}. Right: fibers along output, a colour per layer."
        style.save(figure, out, name, name, caption, caption)


if __name__ == "__main__":
    environment.settle()
    outlast()
    sys.exit(main())
