"""What the last bits of a number depend on beside the code: processor, libraries, limits.

Machines that differ in these may choose other instructions or block sizes and so sum in another
order: their numbers part in the last digits, which training then grows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

# What ATen, oneDNN and MKL read of the environment before they choose instructions.
LIMITS = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
)
# Of a processor's flags, those by which these libraries choose.
INSTRUCTIONS = re.compile(r"sse4_[12]|avx|avx2|fma|f16c|avx_vnni|avx512\w*|amx_\w+")


@cache
def numerics() -> dict[str, Any]:
    """The processor, what the libraries make of it, and what holds them back; imports torch."""
    import torch

    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "libraries": _libraries(torch.__config__.show()),
        "limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "processor": processor(),
    }


def kind(device: Mapping[str, Any], numerics: Mapping[str, Any]) -> str:
    """The machine in a line: where it differs, last bits may, and where it does not they are alike.

    Args:
        device: as provenance.json has it.
        numerics: of that process.
    """
    if device["kind"] != "cpu":
        return str(device["name"])
    processor = numerics["processor"]
    named = [f"{word} {processor[word]}" for word in ("family", "model") if word in processor]
    maker = [processor["vendor"]] if "vendor" in processor else [str(device["name"])]
    caches = ", ".join(f"{name} {size}" for name, size in processor.get("caches", {}).items())
    limits = [f"{name}={value}" for name, value in numerics["limits"].items()]
    parts = [" ".join([*maker, *named]), caches, numerics["capability"], *limits]
    return ", ".join(part for part in parts if part)


def _libraries(build: str) -> dict[str, str]:
    """Versions of the libraries that multiply and convolve, from what torch says of its build."""
    patterns = {
        "mkl": r"Math Kernel Library Version (\S+?)-",
        "onednn": r"Intel\(R\) MKL-DNN v(\S+)",
        "openmp": r"OpenMP (\d+)",
    }
    found = {name: re.search(pattern, build) for name, pattern in patterns.items()}
    return {name: match[1] for name, match in found.items() if match}


@cache
def processor() -> dict[str, Any]:
    """Vendor, family, model, instruction sets, and caches, by which libraries choose block sizes.

    What the system does not tell is left out.
    """
    found: dict[str, Any] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return found
    lines = (line.partition(":") for line in text.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    for key, name in (("vendor", "vendor_id"), ("family", "cpu family"), ("model", "model")):
        if name in facts:
            found[key] = facts[name]
    if "flags" in facts:
        flags = facts["flags"].split()
        found["instructions"] = sorted({flag for flag in flags if INSTRUCTIONS.fullmatch(flag)})
    found["caches"] = _caches(Path("/sys/devices/system/cpu/cpu0/cache"))
    return found


def _caches(folder: Path) -> dict[str, str]:
    """Sizes as the kernel gives them, such as ``{"L1d": "32K", "L2": "512K", "L3": "32768K"}``."""
    sizes = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="utf-8").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            sizes[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return sizes
