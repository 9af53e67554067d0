"""Benchmark a part of the project against what it has to beat, in one run.

    python scripts/bench.py metric
    python scripts/bench.py WHAT --help

WHAT is metric, step, pack, start, plan, report or project (a file of scripts/benchmarks). They
print ratios of times that were taken in turn in one run, and the limits that they should be held
against; ``--json FILE`` writes them beside the hardware, the versions and the commit.
``targets FOLDER`` holds such files against the project's targets.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ("metric", "step", "pack", "start", "project", "plan", "report", "targets")


def main(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names, with the others; return the exit status."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if not arguments or arguments[0] not in BENCHMARKS:
        wrong = f"unknown benchmark {arguments[0]!r}; " if arguments else ""
        print(f"{wrong}usage: bench.py {{{','.join(BENCHMARKS)}}} [options]", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    return import_module(f"scripts.benchmarks.{arguments[0]}").main(arguments[1:])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from chandir.harness.base.output import outlast

    outlast()
    sys.exit(main(sys.argv[1:]))
