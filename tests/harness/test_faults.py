"""Every fault that a sweep must survive, and the tests that inject it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.faults import TWELVE, epochs
from tests.harness.runs import ROOT, command, numbers, page, trials

HERE = "tests/harness/test_faults"
FAULTS = {
    1: ("kill -9 during a checkpoint's write", f"{HERE}_saves.py", "kill_inside_each_step"),
    2: ("kill -9 between checkpoint and log", f"{HERE}_saves.py", "rows_after_the_checkpoint"),
    3: ("stale temporary files", f"{HERE}_saves.py", "stale_temporary_files"),
    4: ("truncated, empty, flipped checkpoint", f"{HERE}_saves.py", "damaged_checkpoint"),
    5: ("disk full, quota", f"{HERE}_saves.py", "disk_that_fills_up"),
    6: ("read-only folder, no permission", f"{HERE}_saves.py", "read_only_folder"),
    7: ("temporary folder elsewhere", f"{HERE}_saves.py", "nothing_is_staged"),
    8: ("two processes take one trial", f"{HERE}_processes.py", "never_run_one_trial"),
    9: ("two sweeps at the same time", f"{HERE}_processes.py", "sweeps_at_the_same_time"),
    10: ("TERM, USR1, USR2", f"{HERE}_signals.py", "each_signal_in_turn"),
    11: ("a signal twice, or in a save", f"{HERE}_signals.py", "signals_in_a_loop"),
    12: ("requeued elsewhere", f"{HERE}_processes.py", "requeued_job_goes_on_elsewhere"),
    13: ("code or data changed", f"{HERE}_world.py", "what_changed_since"),
    14: ("a loss that is not finite", f"{HERE}_world.py", "diverging_trial_leaves"),
    15: ("out of memory", f"{HERE}_processes.py", "out_of_memory"),
    16: ("damaged or missing data", "tests/tasks/test_cifar10.py", "damaged_files_are_named"),
    17: ("interrupted download, no network", "tests/tasks/test_download.py", "something_else"),
    18: ("tracker down, slow, limited, absent", "tests/harness/test_tracker.py", "does_not_work"),
    19: ("clock jumps, odd names", f"{HERE}_world.py", "clock_that_jumps"),
    20: ("partial sweeps given to the report", "tests/report/test_report_runs.py", "every_state"),
    21: ("results of another schema", "tests/report/test_report_runs.py", "damage_is_named"),
    22: ("no terminal, git, home; other locale", f"{HERE}_world.py", "bare_environment"),
    23: ("a dead worker", f"{HERE}_processes.py", "killed_worker"),
    24: ("a GPU that vanishes", f"{HERE}_processes.py", "lost_gpu"),
    25: ("Ctrl-C once, twice", f"{HERE}_signals.py", "ctrl_c_"),
}


def test_each_fault_has_its_tests() -> None:
    assert list(FAULTS) == list(range(1, 26))
    for fault, (_, file, words) in FAULTS.items():
        assert re.search(rf"def test_\w*{words}", (ROOT / file).read_text()), fault


@pytest.mark.slow
@pytest.mark.timeout(2400)  # on a machine that does much else
def test_a_sweep_killed_ten_times_reports_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    """Faults 1, 2, 8 and 23, in a whole sweep of 12 trials, at instants drawn at random."""
    sweep = ("-m", *TWELVE, "task.epochs=40", "checkpoint.seconds=0", "hydra.launcher.workers=2")
    whole, cut = tmp_path / "whole" / "runs", tmp_path / "cut" / "runs"
    subprocess.run(command(*sweep, f"paths.results={whole}"), check=True)
    finals = [json.loads((folder / "final.json").read_text()) for folder in trials(whole)]
    work = sum(final["totals"]["seconds"] for final in finals) / 2  # two at a time

    chance = random.Random(5)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(command(*sweep, f"paths.results={cut}"))
        # From the first instant of work on; most of a process's life is importing.
        began = sum(epochs(cut))
        while sum(epochs(cut)) == began and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, work / 13))
        assert process.poll() is None, "it ended before it could be killed ten times"
        # The parent alone, whose workers then leave by themselves, or everyone.
        for victim in [process.pid, *chance.choice([[], _children(process.pid)])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        kills += 1
    subprocess.run(command(*sweep, f"paths.results={cut}"), check=True)

    assert len(trials(cut)) == 12
    names = [path.relative_to(cut) for path in trials(cut)]
    assert names == [path.relative_to(whole) for path in trials(whole)]
    assert [numbers(cut / name) for name in names] == [numbers(whole / name) for name in names]
    assert page(cut) == page(whole)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
