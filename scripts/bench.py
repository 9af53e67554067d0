"""Benchmark a part of the project against what it has to beat, in one run.

    python scripts/bench.py metric
    python scripts/bench.py WHAT --help

WHAT is a file of scripts/benchmarks. Each prints ratios of times that were taken alternately in one
process, and writes them with ``--json FILE``, beside the hardware and the versions.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ("__init__", "measure")  # not benchmarks, but what they use


def main(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names, with the others; return the exit status."""
    known = sorted(p.stem for p in (ROOT / "scripts/benchmarks").glob("*.py"))
    known = [name for name in known if name not in SHARED]
    if not arguments or arguments[0] not in known:
        wrong = f"unknown benchmark {arguments[0]!r}; " if arguments else ""
        print(f"{wrong}usage: bench.py {{{','.join(known)}}} [options]", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    return import_module(f"scripts.benchmarks.{arguments[0]}").main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
