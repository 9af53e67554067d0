"""The instruction set held: the same bits whatever the processor offers, or a refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.base.errors import UserError
from chandir.harness.cells import cell
from chandir.harness.config import portable
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import devices
from tests.harness.runs import ROOT, SMALL, call, numbers, trials

PLAIN = (*SMALL, "metric=sobolev", "device=cpu")
PORTABLE = (*PLAIN, "determinism=portable")
# What another processor would make torch and oneDNN do.
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def measured(folder: Path, *overrides: str, env: dict[str, str] | None = None) -> list[Any]:
    done = call(*overrides, f"paths.results={folder}", env=env)
    assert done.returncode == 0, done.stderr
    return [numbers(trial) for trial in trials(folder)]


@pytest.mark.slow
def test_an_older_processor_a_pool_and_a_command_alone_give_the_same_bits(tmp_path: Path) -> None:
    alone = measured(tmp_path / "alone", *PORTABLE, "trial=1")
    packed = measured(
        *(tmp_path / "packed", "-m", *PORTABLE, "trial=range(2)", "hydra.launcher.workers=2"),
        env=OLD,
    )
    assert packed[1:] == alone
    (old,) = measured(tmp_path / "old", *PLAIN, "trial=1", env=OLD | {"MKL_CBWR": "COMPATIBLE"})
    assert [old] != alone, "without it they differ; else the above would prove nothing"


def test_a_process_that_loaded_torch_otherwise_refuses_in_words(tmp_path: Path) -> None:
    (job,) = jobs((*PORTABLE, f"paths.results={tmp_path}"))
    with pytest.raises(UserError, match=r"(?s)torch was loaded.*ATEN_CPU_CAPABILITY=avx2.*run\.py"):
        devices.set_up(job.resolved.config, devices.select(job.resolved.config))


@pytest.mark.parametrize(("before", "refused"), [({}, True), (OLD, True), (portable.LIMITS, False)])
def test_what_counts_is_the_environment_that_torch_was_loaded_in(
    before: dict[str, str], refused: bool
) -> None:
    code = (
        "import os, torch; from chandir.harness.config import portable\n"
        "os.environ.update(portable.LIMITS)\n"  # too late
        "portable.hold()"
    )
    kept = {name: value for name, value in os.environ.items() if name not in portable.LIMITS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | before, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ("UserError" in done.stderr) is refused, done.stderr


def test_both_kinds_in_one_command_are_refused(tmp_path: Path) -> None:
    sweep = ("-m", *SMALL, "determinism=portable,reproducible", f"paths.results={tmp_path}")
    done = call(*sweep)
    assert done.returncode == 2
    assert "one instruction set" in done.stderr
    assert not list(tmp_path.rglob("trial-*"))


@pytest.mark.parametrize(
    ("machine", "flags", "said"),
    [("aarch64", {"avx2"}, "this is aarch64"), ("x86_64", {"sse4_1"}, "has no AVX2")],
)
def test_a_processor_that_cannot_is_refused(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: set[str], said: str
) -> None:
    monkeypatch.setattr(portable.platform, "machine", lambda: machine)
    monkeypatch.setattr(portable, "_flags", lambda: flags)
    with pytest.raises(UserError, match=said):
        portable.hold()


def test_jobs_elsewhere_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert portable.exports() == [], "this process is not held"
    monkeypatch.setattr(portable, "_held_before_torch", True)
    assert portable.exports() == [
        "export ATEN_CPU_CAPABILITY=avx2",
        "export ONEDNN_MAX_CPU_ISA=AVX2",
        "export MKL_CBWR=COMPATIBLE",
    ]
    from hydra_plugins.chandir_slurm_launcher import ChandirSlurmLauncher

    launcher = ChandirSlurmLauncher.__new__(ChandirSlurmLauncher)
    launcher.params = {"setup": ["module load x"]}
    setup = launcher._parameters()["slurm_setup"]
    assert setup[1:] == [*portable.exports(), "module load x"]


def test_it_is_a_cell_of_its_own() -> None:
    keys = {
        level: cell.key(jobs((f"determinism={level}",))[0].resolved)
        for level in ("fast", "reproducible", "exact", "portable")
    }
    assert len(set(keys.values())) == 4
    assert keys["reproducible"] == cell.key(jobs(())[0].resolved)
