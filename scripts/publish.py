"""Keep measured results under version control, with where they come from.

    python scripts/publish.py results/runs --name digits

writes ``results/digits/`` (the report, scores of every trial, findings, provenance), puts the
headline of all that is published into README.md and results/README.md, and the targets for speed,
from the records in results/bench/, into its README.md. Without RUNS it does the last two alone.
Refuses trials that ran with uncommitted changes.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from chandir.harness.base import environment  # noqa: E402
from chandir.harness.base.output import outlast  # noqa: E402
from chandir.report.publish import brief, headline, publication  # noqa: E402
from scripts.benchmarks import targets  # noqa: E402

SPEED = """# Speed

<!-- made by scripts/publish.py from the records here, not by hand -->

`make bench` measures this machine anew; `python scripts/bench.py WHAT --help` says how. Each record
holds ratios of times that were taken in turn in one run.
"""
RESERVED = ("runs", "page", "bench", "correlation", "gpu-check")


def headlines(results: Path) -> dict[Path, str]:
    """The headline for the project's README, short, and for that of the results, in full."""
    full = headline.full(results).replace(f"]({results.name}/", "](")
    return {results.parent / "README.md": brief.brief(results), results / "README.md": full}


def speed(folder: Path) -> str:
    """The README of benchmarks' records: every target, met, missed or not measured."""
    return f"{SPEED}\n{targets.page(targets.read(folder))}"


def main(arguments: list[str] | None = None) -> int:
    """Publish, then write the headline; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="?", metavar="RUNS", help="run folders")
    parser.add_argument("--name", help="of the folder under results/, with RUNS")
    options = parser.parse_args(arguments)
    if (options.runs is None) != (options.name is None):
        parser.error("RUNS and --name belong together: expected both, or neither")
    if options.name is not None and (
        options.name in RESERVED or not re.fullmatch(r"[^\W_][\w.-]*", options.name)
    ):
        parser.error(
            f"--name {options.name!r}: expected a folder's name below results/, of letters, "
            f"digits, '-', '_' and '.', and none of {', '.join(RESERVED)}"
        )
    try:
        if options.runs is not None and options.name is not None:
            page = publication.publish(options.runs, ROOT / "results" / options.name)
            print(f"published: {page.relative_to(ROOT).parent}")
            told = (page.parent / "provenance.json").read_text(encoding="utf-8")
            if any(mask in told for mask in ("=***", "~/")):
                print("masked in it: what looks like a secret (***), and home folders (~)")
        for path, text in headlines(ROOT / "results").items():
            path.write_text(headline.into(path.read_text(encoding="utf-8"), text), "utf-8")
        (ROOT / "results/bench/README.md").write_text(speed(ROOT / "results/bench"), "utf-8")
    except (ValueError, OSError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    environment.settle()
    outlast()
    sys.exit(main())
