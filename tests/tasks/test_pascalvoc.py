"""pascalvoc as a trial: its scores, its gap, its labels, its pictures, its resumption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import jobs
from chandir.harness.sweep.sweep import _check_needs
from chandir.harness.trial import checkpoint
from chandir.harness.trial.loop import _score
from chandir.harness.trial.trial import run
from tasks.segmentation_pictures import GAP, grid, palette
from tasks.segmentation_scenes import Windows
from tests.harness.runs import numbers

SCORES = ("loss", "iou", "miou", "pixel_accuracy")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _no_correlation(monkeypatch):
    """Seconds for 24 million weights, and no part of what is tested here."""
    monkeypatch.setattr("chandir.correlation.summary", lambda model: {})


def job(root: Path, results: Path, *overrides: str, source="synthetic", train=3, test=2):
    (only,) = jobs(
        (
            "task=pascalvoc",
            "scale=smoke",
            f"data.source={source}",
            f"data.root={root}",
            f"paths.results={results}",
            f"task.train_size={train}",
            f"task.test_size={test}",
            "device=cpu",
            *overrides,
        )
    )
    return only


@pytest.mark.slow
def test_a_stopped_trial_continues_to_the_bit(root, tmp_path, monkeypatch):
    overrides = ("task.epochs=2", "checkpoint.seconds=0", "metric=sobolev")
    planned = job(root, tmp_path / "whole", *overrides)
    run(planned.resolved, planned.folder)
    whole = numbers(planned.folder)

    planned = job(root, tmp_path / "cut", *overrides)
    save = checkpoint.save

    def save_and_stop(folder, state):
        save(folder, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(planned.resolved, planned.folder)
    monkeypatch.setattr(checkpoint, "save", save)
    run(planned.resolved, planned.folder)
    assert numbers(planned.folder) == whole

    assert [row["epoch"] for row in whole["log"]] == [1, 2]
    for row in whole["log"]:
        assert {f"{part}_{score}" for part in ("train", "test") for score in SCORES} < set(row)
        assert row["generalisation_gap"] == row["train_iou"] - row["test_iou"]
    assert whole["final"]["score"]["name"] == "test_iou"

    with Image.open(planned.folder / "samples.png") as picture:
        width, height = (picture.width + GAP) // 3 - GAP, (picture.height + GAP) // 2 - GAP
    assert (width, height) == (128, 96)  # two whole test pictures
    config = yaml.safe_load((planned.folder / "config.yaml").read_text())
    for label in (
        "segmentation-models-pytorch's Unet, not the followed code's network",
        "model.encoder_weights=none (protocol: imagenet)",
        "task.crop=64 (protocol: 512)",
        "3 training images",
        "synthetic data",
    ):
        assert label in config["labels"]
    assert "label" not in config["model"]


def test_the_picture_shows_image_truth_and_prediction():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 3, 5, 7), generator=generator)
    truths, predictions = torch.randint(21, (2, 2, 5, 7), generator=generator)
    inside = torch.ones(2, 5, 7, dtype=torch.bool)
    inside[1, :, 4:] = False
    page = grid(Windows(images.float(), truths, inside), predictions)
    assert page.shape == (2 * 5 + GAP, 3 * 7 + 2 * GAP, 3)
    for k, (top, within) in enumerate(zip((0, 5 + GAP), inside, strict=True)):
        colours = (images[k].permute(1, 2, 0), palette()[truths[k]], palette()[predictions[k]])
        for column, expected in enumerate(colours):
            left = column * (7 + GAP)
            part = page[top : top + 5, left : left + 7]
            assert torch.equal(part[within], expected[within].to(torch.uint8))
            assert (part[~within] == 255).all()


def test_as_in_the_paper_it_is_only_the_network_that_differs():
    (planned,) = jobs(("task=pascalvoc",))
    config = planned.resolved.config
    assert (config.task.batch_size, config.task.epochs) == (2, 70)
    assert (config.optimizer.lr, config.optimizer.momentum) == (7e-3, 0.9)
    assert config.optimizer.weight_decay == 4e-5
    assert (config.schedule.name, config.schedule.settings["every"]) == ("cosine", 10)
    assert (config.task.model_extra["crop"], config.model.model_extra["num_classes"]) == (512, 21)
    assert planned.resolved.labels == [
        "segmentation-models-pytorch's Unet, not the followed code's network"
    ]


@pytest.mark.parametrize(
    ("setting", "label"),
    [
        ("task.void=ignore", "task.void=ignore (protocol: background)"),
        ("task.loss=cross_entropy", "task.loss=cross_entropy (protocol: lovasz)"),
        ("task.data_set=CamVid", "task.data_set=CamVid (protocol: VOC2012)"),
        ("task.train_set=train", "task.train_set=train (protocol: aug)"),
        ("model.encoder_weights=none", "model.encoder_weights=none (protocol: imagenet)"),
        ("model.num_classes=19", "model.num_classes=19 (protocol: 21)"),
        ("optimizer.lr=0.01", "optimizer.lr=0.01 (paper: 0.007)"),
    ],
)
def test_every_departure_is_labelled(setting, label):
    (planned,) = jobs(("task=pascalvoc", setting))
    assert label in planned.resolved.labels


def test_figure_7_is_three_trials_of_three_metrics():
    planned = jobs(("experiment=fig7",))
    assert len(planned) == 9
    assert {one.resolved.config.metric.name for one in planned} == {"h0", "h0_lambda", "sobolev"}
    smoke = jobs(("experiment=fig7", "scale=smoke"))
    assert len(smoke) == 6
    assert {one.resolved.config.model.model_extra["encoder_weights"] for one in smoke} == {"none"}


def test_weights_out_of_reach_are_told_before_any_trial(root, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    planned = job(root, tmp_path, "model.encoder_weights=imagenet")
    with pytest.raises(UserError, match=r"encoder_weights=imagenet: .*cannot be downloaded"):
        _check_needs([planned], [])
    assert not planned.folder.exists()


def test_a_damaged_tree_is_told_before_any_trial(tmp_path):
    planned = job(tmp_path, tmp_path, source="real")
    with pytest.raises(UserError, match=r"SegmentationClassAug: not there.*task.train_set=train"):
        _check_needs([planned], [])


def test_training_scores_are_means_or_quotients_of_sums():
    assert _score(torch.tensor(30.0), 4) == 7.5
    rows = torch.tensor([[3.0, 4.0], [1.0, 2.0], [0.0, 0.0]])  # the last class never occurred
    assert _score(rows, 9) == (0.75 + 0.5) / 2


@pytest.mark.slow
def test_it_learns_the_stand_ins_shapes(root, tmp_path):
    overrides = ("task.num_classes=3", "task.epochs=12", "task.batch_size=4", "optimizer.lr=0.02")
    planned = job(root, tmp_path, *overrides, train=32, test=6)
    run(planned.resolved, planned.folder)
    first, *_, last = map(json.loads, (planned.folder / "log.jsonl").read_text().splitlines())
    assert last["train_loss"] < first["train_loss"]
    assert last["test_iou"] > 50
