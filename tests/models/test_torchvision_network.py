"""torchvision's networks: each builds and gives classes, is torchvision's own, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import data
from models.torchvision_network import Depth, build

ALL = models.list_models(module=models)
# Auxiliary heads, sizes in the weights, a first convolution with and without bias.
TRICKY = ("googlenet", "inception_v3", "vit_b_32", "maxvit_t", "vgg11", "regnet_x_400mf")


@contextmanager
def weightless(monkeypatch: pytest.MonkeyPatch, arch: str) -> Iterator[None]:
    """Networks built in here take no time for their weights, which have shapes and no values."""
    if not arch.startswith("regnet"):
        with torch.device("meta"):
            yield
        return
    with monkeypatch.context() as patch:  # RegNet computes its widths with tensors
        for name in ("normal_", "uniform_", "kaiming_uniform_", "ones_", "zeros_"):
            patch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
        yield


@pytest.mark.parametrize(
    "arch", [pytest.param(a, marks=[] if a in TRICKY else pytest.mark.slow) for a in ALL]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_gives_classes_in_training(
    arch: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with weightless(monkeypatch, arch):
        network = build(arch, num_classes=7, in_channels=channels, image_size=224)
    images = torch.empty(2, channels, 224, 224, device="meta")
    logits = network.to("meta").train()(images)
    assert isinstance(logits, torch.Tensor)  # no tuple of an auxiliary head's
    assert logits.shape == (2, 7)


def test_it_is_torchvisions_own_network() -> None:
    torch.manual_seed(0)
    network = build("resnet18", num_classes=5)
    torch.manual_seed(0)
    own = models.resnet18(num_classes=5).state_dict()
    assert network.state_dict().keys() == own.keys()
    assert all(torch.equal(network.state_dict()[name], own[name]) for name in own)


def test_stochastic_depth_leaves_out_rows_as_torchvisions_does() -> None:
    torch.manual_seed(0)
    x = torch.ones(20_000, 2, 3, 1)
    for module in (Depth(0.3), StochasticDepth(0.3, "row")):
        kept = module(x)
        whole = kept[:, 0, 0, 0]
        assert torch.equal(kept, whole[:, None, None, None].expand_as(kept).contiguous())
        assert whole.unique().tolist() == pytest.approx([0, 1 / 0.7])
        assert (whole > 0).float().mean().item() == pytest.approx(0.7, abs=0.02)  # 6 sd
        assert torch.equal(module.eval()(x), x)
    network = build("efficientnet_b0", num_classes=2)
    depths = [m.p for m in network.modules() if isinstance(m, Depth)]
    own = [m.p for m in models.efficientnet_b0().modules() if isinstance(m, StochasticDepth)]
    assert depths == own
    assert not any(isinstance(m, StochasticDepth) for m in network.modules())


def test_stacked_trials_draw_their_depths_apart() -> None:
    torch.manual_seed(0)
    x = torch.ones(2, 500, 1)
    first, second = torch.func.vmap(Depth(0.5), randomness="different")(x)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1"])
def test_grey_images_keep_the_variance_behind_the_first_convolution(arch: str) -> None:
    torch.manual_seed(0)
    deviations = []
    for channels in (3, 1):
        network = build(arch, num_classes=2, in_channels=channels, image_size=64)
        first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
        assert first.in_channels == channels
        deviations.append(first(torch.randn(8, channels, 64, 64)).std().item())
    assert deviations[1] == pytest.approx(deviations[0], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.arch=resnet81",), "model.arch=resnet81: .*did you mean resnet18"),
        (("model.arch=ResNet18",), "did you mean resnet18"),
        (("model.arch=../x",), "model.arch=../x: torchvision has no such network.* of 80, from"),
        (("model.arch=null",), "model.arch=None: torchvision has no such network"),
        (("model.arch=fcn_resnet50",), "no such network for classification"),
        (("model.arch=vit_b_16", "task.size=40"), "cannot take images of 40x40.*task.size"),
        (("model.arch=maxvit_t", "task.size=200"), "cannot take images of 200x200"),
        (("model.arch=alexnet", "task.size=32"), "model=torchvision on task=folder: .*too small"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    arguments: tuple[str, ...], words: str
) -> None:
    (job,) = jobs(("task=folder", "data.source=synthetic", *arguments))
    with pytest.raises(UserError, match=words):
        data.check_network(job.resolved.config)


def test_a_batch_of_one_image_is_refused_where_batch_norm_sees_one_value() -> None:
    """257 digits in batches of 8 leave one; ResNet-18 makes one pixel of its 8x8."""
    (job,) = jobs(("task=digits", "model=torchvision"))
    with pytest.raises(UserError, match=r"task.batch_size=8: an epoch has a batch of one image"):
        data.check_network(job.resolved.config)
    (job,) = jobs(("task=digits", "model=torchvision", "task.train_size=256"))
    data.check_network(job.resolved.config)


@pytest.mark.parametrize("task", ["cifar10", "digits", "mnist-swap"])
def test_it_fits_the_other_tasks(task: str) -> None:
    name = ("data.name=mnist",) if task == "mnist-swap" else ()
    (job,) = jobs((f"task={task}", "model=torchvision", "task.batch_size=10", *name))
    data.check_network(job.resolved.config)


def test_names_of_cells_say_which_network_also_the_default() -> None:
    names = {
        arch: jobs(("task=cifar10", "model=torchvision", *arguments))[0].folder.parent.name
        for arch, arguments in (
            ("resnet18", ()),
            ("resnet34", ("model.arch=resnet34",)),
            (".._.._x", ("model.arch=../../x",)),
        )
    }
    for arch, name in names.items():
        assert name.startswith(f"torchvision-{arch}-sgd-b128-")
        assert name.count("arch") == 0
    (named,) = jobs(("task=cifar10", "model=torchvision", "model.arch=resnet18"))
    assert named.folder.parent.name == names["resnet18"]
