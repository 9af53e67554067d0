"""The project's targets for speed, beside what benchmarks measured: met, missed or not measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks import measure

Record = Mapping[str, Any]
DAY = 24.0  # hours
# Of a record's environment, what its line says.
WHERE = {"cores", "commit", "device", "dirty", "load", "name", "taken", "torch"}


@dataclass(frozen=True)
class Target:
    """One number that a record of a benchmark holds, and how large it may be.

    Attributes:
        what: in words, with the unit.
        benchmark: whose record.
        device: "cuda", "cpu" or "" for either.
        batch: of the record, or None for any.
        value: takes it out of the record; KeyError or None where it is not there.
        limit: the largest that meets the target; the smallest, with ``at_least``.
        at_least: see ``limit``.
    """

    what: str
    benchmark: str
    device: str
    batch: int | None
    value: Callable[[Record], float | None]
    limit: float
    at_least: bool = False

    def fits(self, record: Record) -> bool:
        """Whether a record is of this benchmark, device and batch size."""
        batch = record.get("batch") or record.get("workload", {}).get("batch_size")
        return (
            record.get("benchmark") == self.benchmark
            and self.device in ("", record["environment"]["device"])
            and self.batch in (None, batch)
        )


def _share(row: str) -> Callable[[Record], float]:
    """Per cent of a ResNet-56 step."""
    return lambda r: 100 * r["models"]["resnet56"]["ratio_to_step"][row]["median"]


def _traffic(row: str) -> Callable[[Record], float]:
    """Times the counted traffic of VGG-16's 512-channel layers."""

    def value(r: Record) -> float:
        found = r["models"]["vgg16, 512 channels"]
        return float(found["seconds"][row] / found["counted_seconds"])

    return value


def _packed(row: str) -> Callable[[Record], float]:
    """How many times the throughput of another row, without the start of processes."""
    return lambda r: r["seconds_per_step"][row] / r["seconds_per_step"]["packed"]


def _table2(r: Record) -> float | None:
    """Hours of Table 2, packed where that was measured, over what they may be."""
    hours = r["artefacts"]["Table 2"]["hours"]
    best = hours["packed"] or hours["one by one"]
    if best is None or hours["limit"] is None:
        return None
    return float(best / max(DAY, 1.5 * hours["limit"]))


def _demo(r: Record) -> float | None:
    """The demo one after the other, with two threads, over packed."""
    if "experiment=demo" not in r["overrides"]:
        return None
    return float(r["ratio_to_packed"]["one by one, 2 threads"]["median"])


def _network(name: str, value: Callable[[Record], float]) -> Callable[[Record], float | None]:
    return lambda r: value(r) if r["workload"]["model"] == name else None


def _harness(r: Record) -> float:
    return float(r["ratio_to_bare"]["harness"]["median"])


SPEEDUP = "ResNet-56, batch {}: packed over {}, times the throughput"
TARGETS = (
    *(
        target
        for device, batch in (("cuda", 128), ("cpu", 8))
        for target in (
            Target(
                f"h0_lambda, % of a ResNet-56 step at batch {batch}",
                *("metric", device, batch, _share("h0_lambda, output"), 1.0),
            ),
            Target(
                f"sobolev, % of a ResNet-56 step at batch {batch}",
                *("metric", device, batch, _share("sobolev, output"), 3.0),
            ),
        )
    ),
    Target(
        "h0_lambda on VGG-16's 512 channels, x counted traffic",
        *("metric", "", None, _traffic("h0_lambda, output"), 1.5),
    ),
    Target(
        "sobolev on VGG-16's 512 channels, x counted traffic",
        *("metric", "", None, _traffic("sobolev, output"), 1.5),
    ),
    Target("harness over a bare loop", "step", "", None, _harness, 1.03),
    Target(
        SPEEDUP.format(8, "one by one"),
        *("pack", "cuda", 8, _network("resnet56", _packed("one by one, 1 thread")), 10.0, True),
    ),
    Target(
        SPEEDUP.format(128, "a conventional loop"),
        *("pack", "cuda", 128, _network("resnet56", _packed("conventional DataLoader loop"))),
        *(3.0, True),
    ),
    Target(
        "Table 2, x the larger of 24 hours and 1.5 times the counted limit",
        *("project", "cuda", None, _table2, 1.0),
    ),
    Target("demo: packed over one by one with 2 threads", "pack", "cpu", 8, _demo, 1.35, True),
    Target("--help, seconds", "start", "cpu", None, lambda r: r["seconds"]["run.py --help"], 1.0),
)


def judge(records: Mapping[str, Record], device: str) -> list[dict[str, Any]]:
    """Every target of this kind of device, once for each record that measures it.

    Args:
        records: benchmarks' records by file name.
        device: "cuda" or "cpu".
    """
    rows = []
    for target in TARGETS:
        if target.device not in ("", device):
            continue
        found = []
        for file, record in records.items():
            if target.fits(record):
                try:
                    value = target.value(record)
                except KeyError:  # that row was left out, or too noisy
                    value = None
                if value is not None:
                    found.append(_row(target, value, file, record))
        rows += found or [_row(target, None, None, {})]
    return rows


def _row(target: Target, value: float | None, file: str | None, record: Record) -> dict[str, Any]:
    met = value is not None and (
        value >= target.limit if target.at_least else value <= target.limit
    )
    batch = record.get("workload", {}).get("batch_size") or record.get("batch")
    return {
        "target": target.what,
        "limit": f"{'at least' if target.at_least else 'at most'} {target.limit:g}",
        "measured": value,
        "verdict": "not measured" if value is None else "met" if met else "missed",
        "file": file,
        "batch": batch,
        "clock": record.get("clock"),
    }


def read(folder: Path) -> dict[str, Record]:
    """Every record of a benchmark in a folder.

    Raises:
        ValueError: for a file that is cut or was edited, by its name.
    """
    found: dict[str, Record] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path} is not JSON ({error}): expected what bench.py --json wrote; measure anew, "
                "or remove it"
            ) from None
        if not isinstance(content, dict) or "benchmark" not in content:
            continue
        where = content.get("environment")
        if not isinstance(where, dict) or not where.keys() >= WHERE:
            raise ValueError(
                f"{path} does not say where it was measured: expected an environment with "
                f"{', '.join(sorted(WHERE))}; measure anew, or remove it"
            )
        found[path.name] = content
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of targets."""
    lines = ["| target | at most or least | measured | | from |", "|---|---|---|---|---|"]
    for row in rows:
        value = "" if row["measured"] is None else f"{row['measured']:.3g}"
        verdict = f"**{row['verdict']}**" if row["verdict"] != "met" else "met"
        source = row["file"] or ""
        source += f", batch {row['batch']}" if row["batch"] else ""
        source += ", processor time" if row["clock"] == "cpu" else ""
        lines.append(f"| {row['target']} | {row['limit']} | {value} | {verdict} | {source} |")
    return "\n".join(lines)


def page(records: Mapping[str, Record]) -> str:
    """Markdown: the targets of each device, and where each record was taken."""
    lines: list[str] = []
    for device in sorted({record["environment"]["device"] for record in records.values()}):
        own = {k: r for k, r in records.items() if r["environment"]["device"] == device}
        names = sorted({str(record["environment"]["name"]) for record in own.values()})
        lines += [f"**{device}: {', '.join(names)}**", "", table(judge(own, device)), ""]
        for file, record in own.items():
            where = record["environment"]
            lines.append(
                f"- {file}: {where['taken'][:10]}, commit {str(where['commit'])[:12]}"
                f"{', with uncommitted changes' * bool(where['dirty'])}, torch {where['torch']}, "
                f"{where['cores']} cores, load {where['load']:.1f} at the start"
            )
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table of a folder of records: ``bench.py targets FOLDER``."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(prog="bench.py targets", description=__doc__)
    parser.add_argument("folder", type=Path, help="of JSON files that benchmarks wrote")
    folder = parser.parse_args(arguments).folder
    try:
        records = read(folder)
    except (ValueError, OSError) as error:
        print(f"targets: {error}", file=sys.stderr)
        return 1
    if not records:
        print(f"targets: {folder} has no records of benchmarks: expected files that --json wrote",
              file=sys.stderr)  # fmt: skip
        return 1
    print(page(records))
    print(f"sources now: {measure.sources()}")
    return 0
