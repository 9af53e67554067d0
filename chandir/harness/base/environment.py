"""What the environment can change, decided in one place: set, scrubbed or honoured.

- MPLBACKEND: set to Agg. Pictures are files, and a notebook's backend is not at hand in a script.
- NVIDIA_TF32_OVERRIDE, TORCH_ALLOW_TF32_CUBLAS_OVERRIDE: scrubbed; `precision` decides.
- OMP_DYNAMIC, OMP_THREAD_LIMIT, MKL_DYNAMIC: scrubbed; `threads` decides, and last bits hang on it.
- SLURM_*, SRUN_* of the job that a sweep is started from: scrubbed from the jobs that it submits,
  which have their own; but for what finds the cluster.
- OMP_NUM_THREADS, MKL_NUM_THREADS: without effect; torch is told the trial's `threads`.
- ATEN_CPU_CAPABILITY, MKL's and oneDNN's choice of instructions: see `portable` and `numerics`.
- CUDA_VISIBLE_DEVICES, TORCH_HOME, TMPDIR, HOME, SBATCH_*, WANDB_*, proxies, locale: honoured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SET = {"MPLBACKEND": "Agg"}
SCRUBBED = (
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    *("OMP_DYNAMIC", "OMP_THREAD_LIMIT", "MKL_DYNAMIC"),
)
OF_A_JOB = ("SLURM_", "SRUN_")
CLUSTER = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"}  # which one, and who asks


def settle() -> None:
    """Set and scrub, at the start of a program and before torch loads; children inherit it."""
    os.environ.update(SET)
    for name in SCRUBBED:
        os.environ.pop(name, None)


@contextmanager
def for_jobs() -> Iterator[None]:
    """While jobs are submitted: without what an interactive job says of itself.

    ``sbatch`` hands its environment on, where ``srun`` would take SLURM_CPU_BIND and the like for
    options of the new job.
    """
    taken = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(OF_A_JOB) and name not in CLUSTER
    }
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)
