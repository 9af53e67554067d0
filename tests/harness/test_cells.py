"""Which settings are the same cell, and how deviations from the paper are labelled."""

from __future__ import annotations

import pytest

from chandir.harness.sweep.plan import jobs


def cell_of(*arguments: str) -> str:
    (job,) = jobs(arguments)
    return job.folder.parent.name


@pytest.mark.parametrize(
    "arguments",
    [
        ("metric=h0", "metric.direction=input"),
        ("metric=h0", "metric.scope=all"),
        ("metric=h0_lambda", "metric.lam=0"),
        ("metric=sobolev", "metric.weight=0"),
        ("metric=h0_mean", "metric.lam=0"),
        ("metric=h0", "trial=7"),
        ("metric=h0", "paths.results=elsewhere"),
        ("metric=h0", "data.root=elsewhere"),
        ("metric=h0", "device=cpu"),
        ("metric=h0", "on_error=stop"),
        ("metric=h0", "checkpoint.seconds=0"),
        ("metric=h0", "task.evaluate_every=1"),
        ("metric=h0", "task.channels_last=false"),
        ("metric=h0", "task.epochs=20"),  # what Table 1's stand-in says anyway
        ("metric=h0", "optimizer.lr=0.01"),
    ],
)
def test_the_same_numbers_are_the_same_cell(arguments: tuple[str, ...]) -> None:
    assert cell_of(*arguments) == cell_of("metric=h0")


@pytest.mark.parametrize(
    "arguments",
    [
        ("metric=sobolev",),
        ("metric=sobolev", "metric.weight=0", "metric.h0_scale=2"),
        ("metric=h0", "optimizer=adam"),
        ("metric=h0", "threads=2"),
        ("metric=h0", "determinism=exact"),
        ("metric=h0", "precision=bf16"),
        ("metric=h0", "task.epochs=21"),
        ("metric=h0", "task.train_size=100"),
    ],
)
def test_other_numbers_are_another_cell(arguments: tuple[str, ...]) -> None:
    assert cell_of(*arguments) != cell_of("metric=h0")


def test_a_scaled_gradient_has_neither_kernel_nor_direction() -> None:
    scaled = ("metric.weight=0", "metric.h0_scale=2")
    assert cell_of(*scaled, "metric.lam=5", "metric.direction=input") == cell_of(*scaled)


@pytest.mark.parametrize(
    ("arguments", "tail"),
    [
        ((), "sobolev-output-conv"),
        (("task.epochs=20", "optimizer.lr=0.01"), "sobolev-output-conv"),
        (("scale=smoke",), "conv-smoke"),
        (("optimizer.lr=0.2",), "conv-lr0.2"),
        (("task.epochs=3", "data.source=synthetic"), "conv-epochs3-synthetic"),
        (
            ("optimizer.nesterov=true", "optimizer.weight_decay=0"),
            "conv-weight_decay0-nesterovtrue",
        ),
        (("schedule.every=2", "precision=bf16"), "conv-every2-bf16"),
        (("task=pascalvoc", "model.num_classes=19"), "conv-num_classes19"),
        (("task=spade-cityscapes", "scale=smoke"), "conv-smoke"),
        (("task=spade-cityscapes", "task.perceptual=/a/folder/vgg.pth"), "conv-perceptualvgg.pth"),
    ],
)
def test_a_name_says_what_a_user_set(arguments: tuple[str, ...], tail: str) -> None:
    assert cell_of(*arguments).rpartition("-")[0].endswith(tail)


def test_h0_in_any_direction_is_planned_once() -> None:
    planned = jobs(
        ("metric=h0,sobolev", "metric.direction=output,input,rasterized", "trial=range(2)")
    )
    assert len(planned) == (1 + 3) * 2


def test_table_1_follows_from_task_model_and_optimizer() -> None:
    (job,) = jobs(("task=mnist-swap",))
    config = job.resolved.config
    assert config.model.name == "convnet"
    assert (config.task.batch_size, config.task.epochs, config.optimizer.lr) == (100, 100, 0.01)
    assert job.resolved.labels == []
    assert job.resolved.notes == []


def test_where_table_1_is_silent_the_choice_is_noted() -> None:
    (adam,) = jobs(("task=mnist-swap", "optimizer=adam"))
    assert adam.resolved.config.optimizer.lr == 1e-3
    assert adam.resolved.notes == ["Table 1 has no row for adam on mnist-swap: learning rate 0.001"]
    (smoothed,) = jobs(("task=mnist-swap", "optimizer=LS"))
    assert smoothed.resolved.config.optimizer.lr == 0.01
    assert smoothed.resolved.config.metric.name == "h0"
    assert len(smoothed.resolved.notes) == 1


def test_what_is_reduced_or_substituted_is_labelled() -> None:
    (job,) = jobs(
        ("task=mnist-swap", "task.epochs=5", "task.test_size=100", "data.source=synthetic")
    )
    assert job.resolved.labels == ["5 epochs (paper: 100)", "100 test images", "synthetic data"]
    (digits,) = jobs(())
    assert digits.resolved.labels == ["digits is not in the paper"]
    (smoke,) = jobs(("task=mnist-swap", "scale=smoke"))
    assert "scale smoke" in smoke.resolved.labels
    assert smoke.resolved.config.task.epochs == 1
    (changed,) = jobs(("task=mnist-swap", "optimizer.momentum=0.5", "optimizer.weight_decay=0"))
    assert changed.resolved.labels == [
        "optimizer.weight_decay=0 (protocol: 0.0005)",
        "optimizer.momentum=0.5 (protocol: 0.9)",
    ]
    (slower,) = jobs(("task=mnist-swap", "schedule.every=50", "schedule.factor=0.5"))
    assert slower.resolved.labels == [
        "schedule.every=50 (protocol: 40)",
        "schedule.factor=0.5 (protocol: 0.2)",
    ]
    (directed,) = jobs(("task=cifar10", "optimizer=LS", "optimizer.direction=output"))
    assert directed.resolved.labels == []
    (bf16,) = jobs(("task=mnist-swap", "precision=bf16", "data.verify=false"))
    assert bf16.resolved.labels == ["precision bf16"]
    assert len(bf16.resolved.notes) == 1
    (wins,) = jobs(("task=mnist-swap", "scale=smoke", "task.epochs=3"))
    assert wins.resolved.config.task.epochs == 3
