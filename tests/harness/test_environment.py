"""What the environment of whoever starts a sweep may not change."""

from __future__ import annotations

import os

import pytest

from chandir.harness.base import environment


def test_a_notebooks_backend_and_overrides_of_precision_and_threads_end_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for name in environment.SCRUBBED:
        monkeypatch.setenv(name, "1")
    environment.settle()
    assert os.environ["MPLBACKEND"] == "Agg"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert not set(environment.SCRUBBED) & set(os.environ)


def test_an_interactive_job_does_not_leak_into_those_it_submits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = {"SLURM_CPU_BIND": "none", "SLURM_CPUS_PER_TASK": "7", "SRUN_CPUS_PER_TASK": "7"}
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "mine", "HOME_X": "1"}
    for name, value in {**own, **kept}.items():
        monkeypatch.setenv(name, value)
    with environment.for_jobs():
        assert not set(own) & set(os.environ)
        assert {name: os.environ[name] for name in kept} == kept
    assert {name: os.environ[name] for name in own} == own
