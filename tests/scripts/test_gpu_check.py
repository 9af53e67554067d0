"""The check of a GPU: what cannot run is named, the rest runs, and targets are told as they are."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scripts import gpu_check, gpu_oracles
from scripts.benchmarks import parts, targets
from scripts.gpu_check import Part


def metric_record(share: float, times: float, device: str = "cpu") -> dict:
    rows = ("h0_lambda, output", "sobolev, output")
    return {
        "benchmark": "metric",
        "environment": {"device": device},
        "batch": 8 if device == "cpu" else 128,
        "models": {
            "resnet56": {"ratio_to_step": {row: {"median": share} for row in rows}},
            "vgg16, 512 channels": {
                "seconds": dict.fromkeys(rows, times),
                "counted_seconds": 1.0,
            },
        },
    }


def test_the_library_equals_the_formulas() -> None:
    assert not gpu_oracles.gradients(torch.device("cpu"))


def test_oracles_see_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dict.fromkeys(gpu_oracles.RESPONSES, lambda mu, n: torch.ones_like(mu))
    monkeypatch.setattr(gpu_oracles, "RESPONSES", plain)
    monkeypatch.setattr(gpu_oracles, "SIZES", (16,))
    wrong = "\n".join(gpu_oracles.gradients(torch.device("cpu")))
    assert "H0Lambda(lam=2.0), n = 16, torch.float32: off by" in wrong
    assert "H0()" not in wrong


def test_targets_are_met_missed_or_not_measured() -> None:
    rows = targets.judge({"metric.json": metric_record(0.02, 1.2)}, "cpu")
    verdicts = {row["target"]: (row["verdict"], row["measured"]) for row in rows}
    assert verdicts["h0_lambda, % of a ResNet-56 step at batch 8"] == ("missed", 2.0)
    assert verdicts["sobolev, % of a ResNet-56 step at batch 8"] == ("met", 2.0)
    assert verdicts["sobolev on VGG-16's 512 channels, x counted traffic"] == ("met", 1.2)
    assert verdicts["harness over a bare loop"] == ("not measured", None)
    assert not any("24 hours" in row["target"] for row in rows)  # a GPU's
    text = targets.table(rows)
    assert "| at most 1 | 2 | **missed** | metric.json, batch 8 |" in text
    assert "|  | **not measured** |  |" in text


def test_gpu_targets_by_hand() -> None:
    each = {"packed": 1.0, "one by one, 1 thread": 9.0, "conventional DataLoader loop": 4.0}
    pack = {"benchmark": "pack", "environment": {"device": "cuda"}, "seconds_per_step": each}
    sizes = {8: {"model": "resnet56", "batch_size": 8}, 128: {"model": "resnet56"}}
    sizes[128]["batch_size"] = 128
    hours = {"packed": None, "one by one": 30.0, "limit": 18.0}
    project = {"benchmark": "project", "environment": {"device": "cuda"}, "artefacts": {}}
    project["artefacts"] = {"Table 2": {"hours": hours}}
    records = {f"{batch}": pack | {"workload": size} for batch, size in sizes.items()}
    rows = targets.judge({**records, "project": project}, "cuda")
    found = {row["target"]: (row["verdict"], row["measured"]) for row in rows}
    assert found[targets.SPEEDUP.format(8, "one by one")] == ("missed", 9.0)
    assert found[targets.SPEEDUP.format(128, "a conventional loop")] == ("met", 4.0)
    table2 = "Table 2, x the larger of 24 hours and 1.5 times the counted limit"
    assert found[table2] == ("missed", pytest.approx(30 / 27))
    hours["packed"] = 20.0
    rows = targets.judge({"project": project}, "cuda")
    assert [row["verdict"] for row in rows if row["target"] == table2] == ["met"]
    hours["one by one"] = hours["packed"] = None
    rows = targets.judge({"project": project}, "cuda")
    assert [row["verdict"] for row in rows if row["target"] == table2] == ["not measured"]


def test_a_part_that_cannot_run_names_what_it_misses(tmp_path: Path) -> None:
    part = Part("trial", ("run.py",), ("hydra_of_another_world", "torch"))
    outcome = gpu_check.run(part, tmp_path, 60)
    assert outcome.status == "cannot run"
    assert outcome.why == "needs hydra_of_another_world"
    assert gpu_check.run(Part("late", ("-c", "")), tmp_path, 1).status == "no time left"


def test_a_part_is_stopped_with_the_processes_that_it_started(tmp_path: Path) -> None:
    """The lock that its child inherits is free only once both are gone."""
    lock = tmp_path / "lock"
    child = "import time; time.sleep(600)"
    code = f"""
import fcntl, subprocess, sys
file = open({str(lock)!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
subprocess.run([sys.executable, "-c", {child!r}], pass_fds=[file.fileno()])"""
    assert gpu_check.run(Part("slow", ("-c", code), seconds=5), tmp_path, 60).status == "too long"
    with lock.open("a") as file:
        for _ in range(300):  # the child is ended, but nobody waits for its end
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.1)
    pytest.fail("the part's child runs on after half a minute")


def test_a_part_that_all_parts_together_cut_off_is_left_for_the_rest(tmp_path: Path) -> None:
    part = Part("slow", ("-c", "import time; time.sleep(30)"), seconds=7)
    outcome = gpu_check.run(part, tmp_path, 5.5)
    assert (outcome.status, outcome.why) == ("no time left", "stopped after 6 s; --rest runs it")
    assert gpu_check.run(part, tmp_path, 3).seconds == 0


@pytest.mark.parametrize(
    ("code", "status"), [("print('hello')", "passed"), ("raise SystemExit(3)", "failed")]
)
def test_outcomes_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: str
) -> None:
    def two(*_: object) -> list[Part]:
        return [Part("first", ("-c", code)), Part("second", ("-c", ""), ("no_such_module",))]

    monkeypatch.setattr(gpu_check, "parts", two)
    (tmp_path / "old.json").write_text(json.dumps(metric_record(0.02, 1.2)))
    assert gpu_check.main(["--device", "cpu", "--out", str(tmp_path)]) == (status == "failed")
    content = json.loads((tmp_path / "report.json").read_text())
    assert [part["status"] for part in content["parts"]] == [status, "cannot run"]
    assert {row["verdict"] for row in content["targets"]} == {"not measured"}
    text = (tmp_path / "report.md").read_text()
    assert "needs no_such_module" in text
    assert ("hello" in text) == (status == "passed")


def test_the_rest_is_what_had_no_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"
    count = f"open({str(mark)!r}, 'a').write('x')"
    both = [Part("first", ("-c", count)), Part("second", ("-c", count))]
    monkeypatch.setattr(gpu_check, "parts", lambda *_: both)
    once, arguments = gpu_check.run, ["--device", "cpu", "--out", str(tmp_path / "out")]

    def late(part: Part, out: Path, left: float) -> gpu_check.Outcome:
        return once(part, out, left if part.name == "first" else 1)

    monkeypatch.setattr(gpu_check, "run", late)
    assert gpu_check.main(arguments) == 0
    assert "1 passed, 1 no time left" in capsys.readouterr().out
    monkeypatch.setattr(gpu_check, "run", once)
    (tmp_path / "out" / "first.json").write_text("{}")  # a record
    assert gpu_check.main([*arguments, "--rest"]) == 0
    assert mark.read_text() == "xx", "each once"
    assert (tmp_path / "out" / "first.json").exists()
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [part["status"] for part in content["parts"]] == ["passed", "passed"]
    assert gpu_check.main(arguments) == 0
    assert mark.read_text() == "xxxx", "without --rest all of it, anew"
    assert not (tmp_path / "out" / "first.json").exists()


def test_the_gpu_tests_are_where_it_looks_for_them() -> None:
    """Elsewhere the marker stands for what needs a GPU in name alone, or cannot be collected."""
    marked = {
        path.relative_to(gpu_check.ROOT).as_posix()
        for path in (gpu_check.ROOT / "tests").rglob("test_*.py")
        if "@pytest.mark.gpu" in path.read_text(encoding="utf-8") and path != Path(__file__)
    }
    assert marked == set(parts.GPU_TESTS)


def test_every_part_is_a_command_that_exists(tmp_path: Path) -> None:
    for device in ("cuda", "cpu"):
        for quick in (False, True):
            found = parts.parts(tmp_path, device, "tf32", quick)
            assert len({part.name for part in found}) == len(found)
            for part in found:
                first = part.command[0]
                assert first in ("-m", "-c") or (gpu_check.ROOT / first).is_file()
    seconds = sum(part.seconds for part in parts.parts(tmp_path, "cuda", "fp32", False))
    assert seconds < 2500  # what all limits come to; the --minutes of all together are fewer


def test_without_a_gpu_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 1
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.slow
def test_metric_and_oracles_need_torch_alone(tmp_path: Path) -> None:
    """As on a machine with torch and nothing else of what experiments need."""
    blocked = (*parts.EXPERIMENTS, *parts.DIGITS, *parts.PYTEST)
    code = (
        "import sys, runpy, torch\n"
        f"sys.modules.update(dict.fromkeys({[m for m in blocked if m != 'numpy']!r}))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    small = ("--models", "resnet56", "--device", "cpu", "--batch", "2", "--rounds", "1")
    for command in (
        ("scripts/bench.py", "metric", *small),
        ("scripts/gpu_oracles.py", "--device", "cpu"),
    ):
        arguments = [sys.executable, "-c", code, *command]
        done = subprocess.run(
            arguments, cwd=gpu_check.ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
