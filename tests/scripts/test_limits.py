"""What the limits count is what a person counts with a pencil."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scripts.benchmarks import limits, rates

WORD = 4  # bytes of a float32
# A convolution 3 -> 4, 3x3, padded, and a linear layer 256 -> 10, on 2 images of 8x8 pixels.
IMAGES, CONV, MAPS, BIAS = 2 * 3 * 64, 4 * 3 * 9, 2 * 4 * 64, 4
FEATURES, LINEAR, LOGITS = 2 * 256, 256 * 10, 2 * 10


def network(device: str = "cpu") -> nn.Sequential:
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    return nn.Sequential(*layers).to(device)


def images(device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return torch.zeros(2, 3, 8, 8, device=device, requires_grad=requires_grad)


def test_floating_point_operations_by_hand() -> None:
    model = network()
    forward = 2 * MAPS * 3 * 9 + 2 * LOGITS * 256
    found = limits.count(lambda: model(images()), {})
    assert found.flops == forward
    # Backward: the gradients of both weights and of the features; none of the images.
    backward = 2 * MAPS * 3 * 9 + 2 * 2 * LOGITS * 256
    found = limits.count(lambda: model(images()).sum().backward(), {})
    assert found.flops == forward + backward


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_traffic_of_products_by_hand(device: str) -> None:
    model, x = network(device), images(device)
    conv = IMAGES + CONV + BIAS + MAPS
    linear = FEATURES + LINEAR + 10 + LOGITS
    found = limits.count(lambda: model(x), {})
    assert found.products == WORD * (conv + linear)
    assert found.held == WORD * (MAPS + LOGITS)

    def step() -> None:
        logits = model(x)
        logits.backward(torch.zeros_like(logits))

    # The images need no gradient: the convolution's weight is not read in backward.
    conv_back = MAPS + IMAGES + CONV + BIAS
    linear_back = (LOGITS + LINEAR + FEATURES) + (LOGITS + FEATURES + LINEAR)
    found = limits.count(step, {})
    assert found.products == WORD * (conv + linear + conv_back + linear_back)
    x.requires_grad_()
    with_images = limits.count(step, {})
    assert with_images.products - found.products == WORD * (CONV + IMAGES)
    assert with_images.unfused > with_images.products


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda p: torch.optim.SGD(p, lr=1), 3),
        (lambda p: torch.optim.SGD(p, lr=1, momentum=0.9), 5),
        (lambda p: torch.optim.Adam(p), 7),
    ],
)
def test_traffic_of_the_update(optimizer: type, words: int) -> None:
    model = network()
    parameters = CONV + BIAS + LINEAR + 10
    found = limits.count(lambda: None, {"model": optimizer(model.parameters())})  # type: ignore[call-arg]
    assert found.optimizer == found.bytes == WORD * words * parameters
    assert found.held == WORD * (words + 1) // 2 * parameters
    assert found.flops == found.products == found.unfused == 0


def test_unfused_counts_what_operators_touch_and_no_views() -> None:
    x = torch.zeros(10, 20)
    found = limits.count(lambda: torch.relu(x.t().flatten(0)), {})  # t() is a view, flatten copies
    assert found.unfused == WORD * (2 + 2) * 200
    assert limits.count(lambda: x.t().detach()[2:], {}).unfused == 0
    assert limits.count(lambda: x.add_(1), {}).unfused == WORD * 2 * 200
    row = torch.zeros(1, 20).expand(10, 20)  # 20 numbers in memory
    assert limits.count(lambda: row + x, {}).unfused == WORD * (20 + 2 * 200)


def test_the_least_time_is_the_slower_of_traffic_and_arithmetic() -> None:
    step = limits.Count(flops=60, products=10, optimizer=10)
    measured = rates.Rates(copy=10, memory=5, product=20)
    assert measured.least(step) == 3
    assert measured.least(step, packed=True) == 4
    assert rates.Rates(copy=1, memory=5, product=1e9).least(step) == 4


def test_rates_are_measured() -> None:
    found = rates.measured(torch.device("cpu"), held=rates.MEBI)
    assert min(found.record().values()) > 0


def test_vgg16_moves_its_weights_eight_times() -> None:
    """Read twice, gradient written, then the update's five words: what Table 2's limit rests on."""
    from models.vgg16 import VGG16

    model = VGG16().to("meta")
    x, y = torch.empty(8, 3, 32, 32, device="meta"), torch.zeros(8, device="meta").long()

    def step(batch: slice) -> None:
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()

    optimizer = {"model": torch.optim.SGD(model.parameters(), lr=1, momentum=0.9)}
    one = limits.count(lambda: step(slice(0, 4)), optimizer)
    two = limits.count(lambda: step(slice(0, 8)), optimizer)
    fixed = 2 * one.bytes - two.bytes  # what does not grow with the batch
    parameters = sum(p.numel() for p in model.parameters())
    assert fixed / (WORD * parameters) == pytest.approx(8, abs=0.01)
