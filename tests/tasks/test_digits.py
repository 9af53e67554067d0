"""The embedded digits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits

from tasks import digits
from tasks.digits import Digits


def loaded(source: str = "real") -> Digits:
    task = Digits()
    task.load(SimpleNamespace(root="", source=source, verify=True, name=None), "cpu")
    return task


def test_every_seventh_image_trains_and_the_others_test() -> None:
    task = loaded()
    assert (task.train_size, task.test_size) == (257, 1540)
    images, labels = load_digits(return_X_y=True)
    assert task.labels.tolist() == labels[::7].tolist()
    pixels = torch.from_numpy(images[::7]).view(-1, 1, 8, 8) * 255 / 16
    assert (task.images - pixels).abs().max() <= 0.5


def test_another_layout_of_the_package_is_read_through_its_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = SimpleNamespace(submodule_search_locations=["/nowhere"])
    with monkeypatch.context() as patch:
        patch.setattr(digits, "find_spec", lambda name: moved)
        through = loaded().checksum
    assert through == loaded().checksum


def test_training_images_are_normalised_by_their_own_mean_and_deviation() -> None:
    task = loaded()
    inputs, _ = task.batch(torch.arange(257), torch.empty(257, 0))
    assert inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


def test_synthetic_digits_are_others_and_always_the_same() -> None:
    assert loaded("synthetic").checksum == loaded("synthetic").checksum != loaded().checksum
