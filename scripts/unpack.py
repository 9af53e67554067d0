"""Lay out the run folders that a publication carries, to build its page again or to go on with it.

    python scripts/unpack.py results/fig6 --into results/runs

Then the command that ran them skips what is complete and runs what is missing. Of a trial that is
in RUNS already nothing is changed; one that differs, or that a process runs, is refused.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir.harness.base.output import outlast
from chandir.harness.durable.claim import claim
from chandir.report.publish import archive


def main(arguments: list[str] | None = None) -> int:
    """Unpack; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("publication", type=Path, metavar="PUBLICATION", help="e.g. results/fig6")
    parser.add_argument(
        "--into", type=Path, required=True, metavar="RUNS", help="results folder, e.g. results/runs"
    )
    options = parser.parse_args(arguments)
    if not (options.publication / archive.NAME).is_file():
        print(
            f"unpack: {options.publication} has no {archive.NAME}: expected a folder that "
            "scripts/publish.py wrote",
            file=sys.stderr,
        )
        return 1
    try:
        free = partial(claim, patience=0)  # a process that runs one of these trials is named
        folders = archive.unpack(options.publication, options.into, free)
    except (ValueError, OSError) as error:
        print(f"unpack: {error}", file=sys.stderr)
        return 1
    print(f"{len(folders)} trials below {options.into}")
    return 0


if __name__ == "__main__":
    outlast()
    sys.exit(main())
