"""Make tables, figures and one HTML page from run folders, or from what a publication carries.

    python scripts/report.py results/runs --out results/page

prints the tables, as wide as the terminal, and says where the page is. Exit status: 0, or 1 if
there was nothing to report.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir import report
from chandir.harness.base import environment
from chandir.harness.base.output import columns, outlast, spelt
from chandir.report.publish import archive
from chandir.report.show import terminal


def main(arguments: list[str] | None = None) -> int:
    """Build the report; return the exit status."""
    parser = argparse.ArgumentParser(description="tables, figures and a page from run folders")
    parser.add_argument(
        "runs",
        type=Path,
        metavar="RUNS",
        help="results folder, e.g. results/runs; or a publication, e.g. results/fig6",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go")
    options = parser.parse_args(arguments)
    try:
        with archive.opened(options.runs) as runs:
            own = runs == options.runs
            trials = report.gather(runs)
            # as typed, for results/runs may be a link to where there is room
            beside = Path(os.path.abspath(options.runs)).parent
            index = report.build(runs, options.out, own, beside, trials)
            table = terminal.tables(terminal.rows_of(trials), columns(), spelt)
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(f"{table}\n\nThe page: {index}" if table else f"The page: {index}")
    if not table:
        print(
            f"report: {options.runs} holds no trial with a readable config; "
            "`python run.py` makes the first one, `make demo` a comparison",
            file=sys.stderr,
        )
    return 0 if table else 1


if __name__ == "__main__":
    environment.settle()
    outlast()
    sys.exit(main())
