"""``determinism=portable``: the instruction set held, so that unlike processors add in one order.

torch, oneDNN and MKL choose their kernels by the instructions that they find, and kernels of other
widths add in another order: first the last bits of a step differ, in the end a score.
AVX2 is what an x86-64 processor of the last ten years has. MKL takes paths of its own on processors
of other makers too, and has one for all of them. Each library reads its limit once, as it is loaded
or first used, from the environment, which child processes inherit.

What was shown, with torch 2.14.1: six steps of the digits' network give the same bits on a Zen 3
and on what QEMU 7.2 makes of Haswell, Icelake (without AVX-512) and Zen 3, a step of ResNet-56 on
Zen 3 and Haswell. Unlimited, Haswell and Zen 3 differ, and limited to SSE4.1 in place of AVX2 they
do likewise: some kernels choose by caches or maker. A processor with AVX-512 was not at hand.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from functools import cache
from pathlib import Path

from chandir.harness.base.errors import UserError

LIMITS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
}
MACHINES = ("x86_64", "amd64")

_held_before_torch = False


def hold() -> None:
    """Set the limits for this process and its children; before torch is loaded.

    Raises:
        UserError: on a processor without these instructions, and where torch is loaded already.
    """
    machine = platform.machine()
    if machine.lower() not in MACHINES:
        raise UserError(
            f"determinism=portable: this is {machine}: expected x86-64, whose instruction set it "
            "holds; use determinism=reproducible"
        )
    if "avx2" not in _flags():
        raise UserError(
            "determinism=portable: this processor has no AVX2: expected it, which the numbers are "
            "made with; use determinism=reproducible"
        )
    limit()
    check()


def limit() -> None:
    """Set the limits if torch is not loaded yet; whether they can be held is for `hold` to say."""
    global _held_before_torch
    if "torch" not in sys.modules:
        os.environ.update(LIMITS)
        _held_before_torch = True


def held() -> bool:
    """Whether torch was, or will be, loaded under the limits in this process."""
    return _held_before_torch or _at_start().items() >= LIMITS.items()


def check() -> None:
    """Refuse to go on under other limits.

    Raises:
        UserError: where torch was loaded without them.
    """
    if not held():
        wanted = " ".join(f"{name}={value}" for name, value in LIMITS.items())
        raise UserError(
            "determinism=portable: torch was loaded in this process with all the instructions of "
            f"its processor: expected {wanted} in the environment before that; start it so, or "
            "with run.py, which sets them"
        )


def exports() -> list[str]:
    """Lines of a shell that hold a job elsewhere to the limits of this process, if it has them."""
    if not held():
        return []
    return [f"export {name}={shlex.quote(value)}" for name, value in LIMITS.items()]


@cache
def _at_start() -> dict[str, str]:
    """The environment that this process was started with, whatever became of it since."""
    try:
        text = Path("/proc/self/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return {name: value for name, _, value in (part.partition("=") for part in text.split("\0"))}


def _flags() -> set[str]:
    """What the first processor can do; AVX2 where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {"avx2"}
    told = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return set(told[0]) if told else {"avx2"}
