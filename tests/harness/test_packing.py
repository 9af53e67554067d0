"""What runs at the same time, and where: chosen from devices that are made up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.base.errors import UserError
from chandir.harness.sweep import packing
from chandir.harness.sweep.packing import Gpu, choose, find
from chandir.harness.sweep.plan import jobs
from chandir.harness.sweep.pool import Packing
from chandir.harness.sweep.sweep import prepare
from chandir.harness.trial import data
from tests.harness.runs import SMALL, call, trials

GIB = 2**30
FAST = "determinism=fast"


def packed(*arguments: str, workers: int = 0, lanes: int = 0) -> list[Packing]:
    return choose(jobs((*SMALL, *arguments)), workers, lanes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine of 16 cores and such GPUs; the trials' tensors stay on the CPU."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))

    def with_gpus(*gpus: Gpu) -> None:
        monkeypatch.setattr(packing, "find", lambda config: list(gpus))

    return with_gpus


def test_a_cpu_gets_processes_of_few_threads(machine: Any) -> None:
    machine()
    (one,) = packed("trial=range(40)", FAST, "threads=2")
    assert (len(one.units), one.places, one.at_a_time) == (40, {None: 8}, 8)
    assert one.why == "processes of threads=2 on 16 cores"
    (few,) = packed("trial=range(3)", "metric=h0,sobolev", workers=9)
    assert (len(few.units), few.places) == (6, {None: 6})


def test_a_cpu_stacks_if_it_must(machine: Any) -> None:
    machine()
    (one,) = packed("trial=range(10)", FAST, lanes=4)
    assert [len(unit.jobs) for unit in one.units] == [4, 3, 3]
    assert {unit.lanes for unit in one.units} == {4}
    assert (one.places, one.at_a_time) == ({None: 3}, 10)
    (alone,) = packed("trial=range(10)", FAST, lanes=4, workers=1)
    assert ([len(unit.jobs) for unit in alone.units], alone.at_a_time) == ([10], 4)


def test_a_gpu_stacks_what_fits_and_every_trial_once(machine: Any) -> None:
    machine(Gpu(None, 80 * GIB))
    (one,) = packed("trial=range(25)", "metric=h0,sobolev", FAST)
    assert (len(one.units), one.units[0].lanes, one.places) == (1, 50, {None: 1})
    assert "stacks of up to" in one.why
    machine(Gpu("4", 80 * GIB), Gpu("7", 80 * GIB))
    (two,) = packed("trial=range(25)", FAST)
    assert [len(unit.jobs) for unit in two.units] == [13, 12]
    assert (two.places, two.at_a_time) == ({"4": 1, "7": 1}, 25)
    assert sorted(job.trial for unit in two.units for job in unit.jobs) == list(range(25))


def test_a_stack_is_bounded_by_memory_and_by_images(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "lane_bytes", lambda config, task: GIB)
    machine(Gpu(None, 10 * GIB))
    assert packed("trial=range(25)", FAST)[0].units[0].lanes == 7  # 0.8 of it, less the context
    machine(Gpu(None, GIB // 2))
    assert packed("trial=range(25)", FAST)[0].units[0].lanes == 1
    machine(Gpu(None, 800 * GIB))
    lanes = packed("trial=range(99)", FAST, "task.batch_size=32")[0].units[0].lanes
    assert lanes == packing.IMAGES // 32


def test_other_shapes_are_other_stacks(machine: Any) -> None:
    machine(Gpu(None, 80 * GIB))
    both = packed("trial=range(3)", "task.batch_size=4,8", FAST)
    assert [(len(it.units), it.units[0].lanes) for it in both] == [(1, 3), (1, 3)]


def test_fixed_bits_get_processes_bounded_by_cores_and_memory(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "lane_bytes", lambda config, task: GIB)
    machine(Gpu(None, 80 * GIB))
    (one,) = packed("trial=range(25)")
    assert (len(one.units), one.places, one.at_a_time) == (25, {None: 16}, 16)
    assert "not stacked: determinism=reproducible" in one.why
    machine(Gpu("0", 10 * GIB), Gpu("1", 80 * GIB))
    (two,) = packed("trial=range(25)")
    assert two.places == {"0": 4, "1": 4}
    (odd,) = packed("trial=range(25)", workers=3)
    assert odd.places == {"0": 2, "1": 1}
    (chosen,) = packed("trial=range(25)", FAST, lanes=1)
    assert chosen.places == {"0": 4, "1": 4}


class Heavy:
    static = False


def test_a_task_that_fills_a_device_runs_one_on_each(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "load", lambda config, device: Heavy())
    machine(Gpu("0", 80 * GIB), Gpu("1", 80 * GIB))
    (one,) = packed("trial=range(5)", FAST)
    assert (len(one.units), one.places) == (5, {"0": 1, "1": 1})
    assert "one on each of 2 GPUs" in one.why
    with pytest.raises(UserError, match=r"stack=2 has no effect: task=digits has no step"):
        packed("trial=range(5)", FAST, lanes=2)


def test_the_estimate_grows_with_the_batch_and_the_network(tmp_path: Path) -> None:
    def needed(*overrides: str) -> int:
        (job,) = jobs((*SMALL, *overrides))
        config = job.resolved.config
        return packing.lane_bytes(config, data.load(config, torch.device("cpu")))

    small, large = needed("task.batch_size=8"), needed("task.batch_size=16")
    weights = 12 * 4 * _parameters()
    assert weights < small < large < weights + 2 * (small - weights) + 1
    assert needed("model=resnet56") > small


def _parameters() -> int:
    from models.convnet import ConvNet

    (job,) = jobs(SMALL)
    model = data.build_model(job.resolved.config)
    assert isinstance(model, ConvNet)
    return sum(parameter.numel() for parameter in model.parameters())


def test_gpus_are_all_that_are_visible_or_the_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(str(device)[-1]), 9))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab")

    def found(device: str) -> list[Gpu]:
        (job,) = jobs((f"device={device}",))
        return find(job.resolved.config)

    assert found("auto") == found("cuda") == [Gpu("5", 0), Gpu("GPU-ab", 1)]
    assert found("cuda:1") == [Gpu(None, 1)]
    assert found("cpu") == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert found("auto") == [Gpu("0", 0), Gpu("1", 1)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-m", "hydra.launcher.stack=2", "trial=0,1"), "expected determinism=fast"),
        (("-m", "hydra.launcher.stack=two", "trial=0,1"), "expected a whole number"),
        (("-m", "hydra.launcher.workers=-1", "trial=0,1"), "expected a whole number"),
        (("hydra.launcher.workers=2",), "has no effect on one trial"),
        (("hydra.launcher.stack=2", FAST), "has no effect on one trial"),
    ],
)
def test_what_the_launcher_would_ignore_is_refused(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(UserError, match=why):
        prepare(list(arguments))


def test_a_stack_from_the_command_line(tmp_path: Path) -> None:
    sweep = ("-m", *SMALL, FAST, "device=cpu", "metric=h0,sobolev", "trial=range(2)")
    done = call(*sweep, f"paths.results={tmp_path}", "hydra.launcher.stack=4")
    assert done.returncode == 0, done.stderr
    assert "4 trials, 4 at a time: stacks of up to 4, as asked for" in done.stdout
    assert len(trials(tmp_path)) == 4


def test_a_stack_that_loses_its_precision_is_refused(tmp_path: Path) -> None:
    sweep = ("-m", *SMALL, FAST, "device=cpu", "precision=bf16", "trial=range(2)")
    done = call(*sweep, f"paths.results={tmp_path}", "hydra.launcher.stack=2")
    assert done.returncode == 2
    assert "hydra.launcher.stack=2 has no effect: precision=bf16 is lost" in done.stderr
    assert not trials(tmp_path)


@pytest.mark.gpu
@pytest.mark.parametrize(("level", "choice"), [("fast", "stacks of up to"), ("exact", "processes")])
def test_on_a_gpu_a_sweep_is_packed_by_itself(tmp_path: Path, level: str, choice: str) -> None:
    sweep = ("-m", *SMALL, f"determinism={level}", "device=cuda", "metric=h0,sobolev")
    done = call(*sweep, "trial=range(3)", f"paths.results={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert choice in done.stdout
    assert len(trials(tmp_path)) == 6
