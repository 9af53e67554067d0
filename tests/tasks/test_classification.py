"""The base of the classification tasks, on a few small random images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import functional as vision

from tasks.classification import Classification

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


class Toy(Classification):
    name = "toy"
    num_classes = 4

    def load(self, data, device):
        self.hold(images(data.train), images(data.test, seed=1), device)


def images(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, 3, 6, 5), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(4, (n,), generator=generator)


def toy(n=30, device="cpu", **settings):
    task = Toy(mean=MEAN, std=STD, **settings)
    task.load(SimpleNamespace(train=n, test=20), device)
    return task


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(90, 4))


def test_batch_is_what_torchvision_makes_of_each_image():
    task = toy()
    indices = torch.tensor([7, 0, 7, 29])
    batch, labels = task.batch(indices, torch.empty(4, 0))
    pixels, all_labels = images(30)
    for k, index in enumerate(indices):
        picture = vision.to_pil_image(pixels[index])
        expected = vision.normalize(vision.to_tensor(picture), MEAN, STD)
        assert torch.equal(batch[k], expected)
    assert torch.equal(labels, all_labels[indices])


def test_channels_last_changes_the_layout_and_no_value():
    indices, uniforms = torch.arange(5), torch.empty(5, 0)
    plain, _ = toy().batch(indices, uniforms)
    last, _ = toy(channels_last=True).batch(indices, uniforms)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_loss_and_its_scores(model):
    task = toy()
    inputs, labels = task.batch(torch.arange(30), torch.empty(30, 0))
    loss, sums = task.loss("model", model, (inputs, labels))
    logits = model(inputs)
    assert torch.equal(loss, F.cross_entropy(logits, labels))
    right = sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
    assert sums["accuracy"].item() == 100 * right
    assert not sums["accuracy"].requires_grad
    assert loss.requires_grad


@pytest.mark.parametrize("test_batch", [1, 7, 20, 1000])
@torch.no_grad()
def test_evaluation_is_the_mean_over_the_test_set(model, test_batch):
    task = toy(test_batch=test_batch)
    logits = model(task.normalise(task.test_images))
    scores = task.evaluate(model, last=False)
    assert scores["test_loss"] == pytest.approx(F.cross_entropy(logits, task.test_labels).item())
    right = (logits.argmax(1) == task.test_labels).double().mean().item()
    assert scores["test_accuracy"] == pytest.approx(100 * right)
    assert list(scores) == ["test_loss", "test_accuracy"]


def test_a_training_step_needs_no_value_from_the_device(model):
    # Tensors on the meta device hold no values: anything that asked for one would raise.
    task = toy(device="meta")
    batch = task.batch(torch.arange(5, device="meta"), torch.empty(5, 0, device="meta"))
    loss, sums = task.loss("model", model.to("meta"), batch)
    assert loss.shape == sums["accuracy"].shape == ()


def test_reductions_are_fixed_and_nested():
    large, small = toy(train_size=20, test_size=8), toy(train_size=6)
    assert (large.train_size, large.test_size, small.test_size) == (20, 8, 20)
    assert torch.equal(large.images[:6], small.images)
    assert torch.equal(large.labels[:6], small.labels)
    assert not torch.equal(toy().images[:6], small.images)  # drawn from all over the set


def test_checksum_is_of_the_data_used():
    whole, again, part = toy(), toy(), toy(train_size=6)
    assert whole.checksum == again.checksum != part.checksum
    (pixels, labels), test = images(30), images(20, seed=1)
    for changed in ("pixel", "label", "test"):
        task = Toy(mean=MEAN, std=STD)
        x, y, z = pixels.clone(), labels.clone(), test[0].clone()
        if changed == "pixel":
            x[3, 1, 2, 2] ^= 1
        elif changed == "label":
            y[3] = (y[3] + 1) % 4
        else:
            z[0, 0, 0, 0] ^= 1
        task.hold((x, y), (z, test[1]), "cpu")
        assert task.checksum != whole.checksum


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"std": (0.2, 0.2)}, "as many positive stds"),
        ({"std": (0.2, 0.0, 0.2)}, "as many positive stds"),
        ({"train_size": 0}, "train_size=0"),
        ({"test_size": -1}, "test_size=-1"),
        ({"test_batch": 0}, "test_batch=0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Toy(**({"mean": MEAN, "std": STD} | settings))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x, y: (x.float(), y), "expected uint8"),
        (lambda x, y: (x[0], y), "expected uint8"),
        (lambda x, y: (x, y.int()), "int64"),
        (lambda x, y: (x[:, :1], y), "3 means"),
        (lambda x, y: (x[:-1], y), "29 images and 30 labels"),
        (lambda x, y: (x[:0], y[:0]), "0 images"),
        (lambda x, y: (x, y + 1), "labels from 1 to 4: expected 0 to 3"),
        (lambda x, y: (x, y - 1), "labels from -1"),
    ],
)
def test_damaged_data_is_refused(damage, message):
    with pytest.raises(ValueError, match=message):
        Toy(mean=MEAN, std=STD).hold(damage(*images(30)), images(20), "cpu")


def test_more_than_there_is_cannot_be_asked_for():
    with pytest.raises(ValueError, match="train_size=31, but there are 30"):
        toy(train_size=31)


def test_the_player_is_the_model(model):
    assert toy().players(model) == {"model": model}
