"""SPADE on Cityscapes: batches, losses and scores of the task, and whole trials of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.trial import checkpoint
from chandir.harness.trial.trial import run
from models.convnet import ConvNet
from models.spade import Spade
from tasks import cityscapes, fid
from tasks.spade_cityscapes import SpadeCityscapes
from tests.harness.runs import call, numbers, trials

TINY = ("model.width=2", "model.hidden=4", "model.discriminator_width=4")


def data(root: Path, source: str = "synthetic") -> SimpleNamespace:
    return SimpleNamespace(root=str(root), source=source, verify=True, name=None)


def loaded(root: Path, device: str = "cpu", **settings: Any) -> SpadeCityscapes:
    usual = {"height": 64, "width": 128, "perceptual": "none", "fid_weights": "random"}
    task = SpadeCityscapes(**(usual | settings))
    task.load(data(root), device)
    return task


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def task(root: Path) -> SpadeCityscapes:
    return loaded(root)


@pytest.fixture
def model() -> Spade:
    torch.manual_seed(0)
    return Spade(width=2, hidden=4, discriminator_width=4)


def test_a_batch_is_mirrored_sample_by_sample(task: SpadeCityscapes) -> None:
    indices = torch.tensor([3, 3, 0])
    semantics, images = task.batch(indices, torch.tensor([[0.2], [0.5], [0.8]]))
    assert (semantics.shape, images.shape) == ((3, 36, 64, 128), (3, 3, 64, 128))
    assert torch.equal(semantics[1], cityscapes.semantics(task.samples[3:4])[0])
    assert torch.equal(images[2], cityscapes.photographs(task.samples[0:1])[0])
    assert torch.equal(images[0], images[1].flip(2))
    assert torch.equal(semantics[0, :35], semantics[1, :35].flip(2))
    assert torch.equal(semantics[0, 35], semantics[1, 35].flip(1))  # edges belong to both sides


def test_a_batch_needs_no_value_from_the_device(root: Path) -> None:
    # Tensors on the meta device hold no values: anything that asked for one would raise.
    task = loaded(root)
    task.samples = task.samples.to("meta")
    semantics, images = task.batch(
        torch.arange(2, device="meta"), torch.rand(2, task.randoms, device="meta")
    )
    assert (semantics.shape, images.shape) == ((2, 36, 64, 128), (2, 3, 64, 128))


def taps(model: Spade, semantics: torch.Tensor, images: torch.Tensor) -> list[list[torch.Tensor]]:
    return model.discriminator(torch.cat([semantics, images], 1))


def test_losses_of_both_players_by_hand(task: SpadeCityscapes, model: Spade) -> None:
    model.eval()  # power iterations and batch statistics stand still
    semantics, real = task.batch(torch.arange(2), torch.rand(2, 1))
    generated = model.generator(semantics).detach()
    fake, known = taps(model, semantics, generated), taps(model, semantics, real)
    hinges = [
        sum((1 + s * scale[-1]).clamp(min=0).mean() for scale in maps) / 2
        for s, maps in ((1, fake), (-1, known))
    ]
    loss, sums = task.loss("discriminator", model, (semantics, real))
    assert loss.item() == pytest.approx(sum(hinges).item(), rel=1e-5)
    assert sums["hinge_generated"].item() == pytest.approx(2 * hinges[0].item(), rel=1e-5)
    features = sum(
        (ours - theirs).abs().mean()
        for scales in zip(fake, known, strict=True)
        for ours, theirs in list(zip(*scales, strict=True))[:-1]
    )
    adversarial = -sum(scale[-1].mean() for scale in fake) / 2
    loss, sums = task.loss("generator", model, (semantics, real))
    assert loss.item() == pytest.approx((adversarial + 10 * features / 2).item(), rel=1e-5)
    assert set(sums) == {"adversarial", "matching"}
    assert not any(value.requires_grad for value in sums.values())


def test_the_perceptual_loss_counts_tenfold(task: SpadeCityscapes, model: Spade) -> None:
    model.eval()
    batch = task.batch(torch.arange(2), torch.rand(2, 1))
    plain, _ = task.loss("generator", model, batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "criterion", nn.MSELoss())
        loss, sums = task.loss("generator", model, batch)
    expected = nn.functional.mse_loss(model.generator(batch[0]), batch[1])
    assert (loss - plain).item() == pytest.approx(10 * expected.item(), rel=1e-4)
    assert sums["perceptual"].item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_gradients_reach_their_player(task: SpadeCityscapes, model: Spade) -> None:
    batch = task.batch(torch.arange(2), torch.rand(2, 1))
    task.loss("discriminator", model, batch)[0].backward()
    assert all(p.grad is not None for p in model.discriminator.parameters())
    assert all(p.grad is None for p in model.generator.parameters())
    task.loss("generator", model, batch)[0].backward()
    assert all(p.grad is not None for p in model.generator.parameters())


def test_scores_are_those_of_the_images_in_eight_bits(task: SpadeCityscapes, model: Spade) -> None:
    model.eval()
    with torch.no_grad():
        images = model.generator(cityscapes.semantics(task.test_samples))
        pixels = ((images + 1) / 2 * 255).round().to(torch.uint8)
        found = task.evaluate(model, True)
    network = fid.RandomFeatures()
    ours, theirs = (fid.features(network, x) for x in (pixels, task.test_samples[:, :3]))
    assert found["test_fid"] == pytest.approx(fid.frechet(ours, theirs), rel=1e-6)
    assert found["test_kid"] == pytest.approx(fid.kernel_distance(ours, theirs), rel=1e-6)


def test_scores_come_with_the_last_epoch(root: Path, model: Spade) -> None:
    model.eval()
    with torch.no_grad():
        assert loaded(root).evaluate(model, False) == {}
        assert set(loaded(root, fid_epochs="all").evaluate(model, False)) == {
            "test_fid",
            "test_kid",
        }


def test_a_generator_that_is_not_finite_is_scored_as_grey(
    task: SpadeCityscapes, model: Spade
) -> None:
    nn.init.constant_(model.generator.last.weight, float("nan"))
    model.eval()
    with torch.no_grad():
        found = task.evaluate(model, True)
    grey = torch.full_like(task.test_samples[:, :3], 128)
    expected = fid.frechet(fid.features(task.network, grey), task.real)
    assert found["test_fid"] == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(expected)


def test_the_picture_shows_labels_photographs_and_images(
    task: SpadeCityscapes, model: Spade, tmp_path: Path
) -> None:
    task.finish(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]
    picture = torch.from_numpy(np.array(Image.open(tmp_path / "samples.png")))
    assert picture.shape == (4 * 64, 3 * 128, 3)
    labels, photograph, generated = picture[-64:].permute(2, 0, 1).split(128, dim=2)
    last = task.test_samples[-1]
    assert torch.equal(photograph, last[:3])
    assert {tuple(c) for c in labels.flatten(1).T.tolist()} == {
        cityscapes.PALETTE[k] for k in last[3].unique()
    }
    with torch.no_grad():
        assert torch.equal(generated, task.generate(model, last[None])[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 100}, r"task.height=100: expected a multiple of 64.* 128 is near"),
        ({"width": 0}, r"task.width=0: .* 64 is near"),
        ({"test_size": 1}, r"task.test_size=1: expected at least 2"),
        ({"train_size": 0}, r"task.train_size=0: expected at least 1"),
        ({"data_set": ""}, r"task.data_set='': expected the name of what data.root holds"),
        ({"fid_epochs": "first"}, r"task.fid_epochs=first: expected last or all"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpadeCityscapes(**settings)


def test_more_images_than_there_are(root: Path) -> None:
    with pytest.raises(ValueError, match=r"task.train_size=99, but there are 16 images"):
        loaded(root, train_size=99)


def test_another_data_set_is_not_taken_for_cityscapes(
    task: SpadeCityscapes, root: Path, tmp_path: Path
) -> None:
    real = data(root / "synthetic" / "cityscapes", "real")
    usual = {"height": 64, "width": 128, "perceptual": "none", "fid_weights": "random"}
    with pytest.raises(ValueError, match=r"train: 16 photographs, Cityscapes has 2975.*data_set"):
        SpadeCityscapes(**usual).load(real, "cpu")
    other = SpadeCityscapes(**usual, data_set="drawn streets")
    other.load(real, "cpu")
    assert other.checksum == task.checksum
    real.verify = False
    SpadeCityscapes(**usual).load(real, "cpu")
    planned = job(tmp_path, "task.data_set=CamVid")
    assert "task.data_set=CamVid (protocol: Cityscapes)" in planned.resolved.labels
    (unverified,) = jobs(("task=spade-cityscapes", "data.verify=false"))  # has an effect
    assert any("data.verify=false" in note for note in unverified.resolved.notes)


def test_a_reduction_is_part_of_a_larger_one(task: SpadeCityscapes, root: Path) -> None:
    small, large = loaded(root, train_size=3), loaded(root, train_size=9)
    assert torch.equal(small.samples, large.samples[:3])
    assert small.checksum != large.checksum
    assert task.train_size == 16


def test_other_networks_are_refused(task: SpadeCityscapes) -> None:
    with pytest.raises(ValueError, match=r"which ConvNet has not; choose model=spade"):
        task.players(ConvNet(3, 35, 64))


def test_missing_weights_are_found_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for settings, name in (({}, "vgg19"), ({"perceptual": "none"}, "inception")):
        with pytest.raises(FileNotFoundError, match=name):
            SpadeCityscapes(**settings).load(data(tmp_path / "empty", "real"), "cpu")


def job(tmp_path: Path, *overrides: str, runs: str = "runs") -> Job:
    (found,) = jobs(
        (
            "task=spade-cityscapes",
            "scale=smoke",
            "data.source=synthetic",
            f"data.root={tmp_path / 'data'}",
            f"paths.results={tmp_path / runs}",
            *TINY,
            *overrides,
        )
    )
    return found


def ran(tmp_path: Path, *overrides: str, runs: str = "runs") -> Path:
    planned = job(tmp_path, *overrides, runs=runs)
    run(planned.resolved, planned.folder)
    return planned.folder


def test_table_3_is_the_papers() -> None:
    found = [planned.resolved for planned in jobs(("experiment=table3",))]
    assert len(found) == 3 * 24
    assert {resolved.config.metric.name for resolved in found} == {"h0", "sobolev", "h0_lambda"}
    for resolved in found:
        config = resolved.config
        optimizer = config.optimizer
        assert (optimizer.lr_g, optimizer.lr_d, optimizer.lr) == (1e-4, 4e-4, None)
        assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
        assert (config.task.batch_size, config.task.epochs) == (2, 100)
        assert resolved.labels == []
    (control,) = jobs(("experiment=variant-spade-adam", "trial=0", "metric=h0"))
    assert control.resolved.config.optimizer.betas == [0.0, 0.9]
    assert control.resolved.config.optimizer.lr_g == 1e-4


def test_a_reduction_is_labelled() -> None:
    (smoke,) = jobs(("task=spade-cityscapes", "scale=smoke", "data.source=synthetic"))
    labels = " ".join(smoke.resolved.labels)
    for part in ("perceptual=none", "fid_weights=random", "height=64", "model.width=4"):
        assert part in labels
    assert "synthetic data" in labels


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_a_stopped_trial_continues_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    overrides = (
        *("task.epochs=3", "task.fid_epochs=all"),
        *(f"optimizer={optimizer}", "checkpoint.seconds=0"),
    )
    whole = ran(tmp_path, *overrides, runs="whole")

    planned = job(tmp_path, *overrides)
    save = checkpoint.save

    def save_and_stop(folder: Path, state: dict[str, Any]) -> None:
        save(folder, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(planned.resolved, planned.folder)
    monkeypatch.setattr(checkpoint, "save", save)
    run(planned.resolved, planned.folder)
    assert numbers(planned.folder) == numbers(whole)
    assert (planned.folder / "samples.png").read_bytes() == (whole / "samples.png").read_bytes()


def test_a_trial_that_diverges_early_has_a_finite_score(tmp_path: Path) -> None:
    folder = ran(tmp_path, "optimizer.lr_g=1e30", "task.epochs=3")
    final = json.loads((folder / "final.json").read_text())
    assert final["status"] == "diverged"
    assert final["diverged"]["epoch"] < 3
    assert np.isfinite(final["last"]["test_fid"])
    assert np.isfinite(final["last"]["test_kid"])


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task.batch_size=5: expected at most the 4"):
        ran(tmp_path, "task.batch_size=5")


@pytest.mark.slow
def test_the_whole_of_table_3_at_smoke_scale(tmp_path: Path) -> None:
    done = call(
        "experiment=table3",
        "scale=smoke",
        "data.source=synthetic",
        f"data.root={tmp_path / 'data'}",
        f"paths.results={tmp_path / 'runs'}",
    )
    assert done.returncode == 0, done.stderr
    folders = trials(tmp_path / "runs")
    assert len(folders) == 3 * 2
    for folder in folders:
        assert json.loads((folder / "final.json").read_text())["last"]["test_fid"] > 0
        assert (folder / "samples.png").is_file()


@pytest.mark.parametrize(
    ("width", "batch", "fits"), [(64, 1, False), (64, 2, True), (128, 1, True)]
)
def test_batches_too_small_for_batch_norm_are_refused_before_the_start(width, batch, fits):
    from chandir.harness.base.errors import UserError
    from chandir.harness.sweep.plan import jobs
    from chandir.harness.trial.data import check_batch

    sizes = (f"task.width={width}", "task.height=64", f"task.batch_size={batch}")
    (job,) = jobs(("task=spade-cityscapes", "scale=smoke", *sizes))
    task = SpadeCityscapes(height=64, width=width)
    if fits:
        check_batch(job.resolved.config, task)
    else:
        with pytest.raises(UserError, match=r"task.batch_size=1: expected at least 2"):
            check_batch(job.resolved.config, task)
