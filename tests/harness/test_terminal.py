"""run.py on a real terminal: what someone who watches sees."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.faults import ENDLESS, epochs
from tests.harness.runs import ROOT, SMALL, call
from tests.harness.terminals import Terminal

SWEEP = ("task.epochs=1", "-m", "metric=h0,sobolev", "hydra.launcher.workers=2", "trial=range(2)")


def whole(terminal: Terminal) -> None:
    """Every line that was written ends where a line of the screen does, the cursor shown."""
    assert b"\x1b[?25l" not in terminal.written
    assert b"\x1b[?1049h" not in terminal.written  # no other screen, which would hide what was
    for line in re.split(r"[\r\n]+", terminal.text):
        own = line.replace(str(terminal.env.get("paths", "")), "")
        assert len(own) <= terminal.columns or "/" in line, line
    assert not terminal.screen().cursor.hidden


@pytest.mark.parametrize("columns", [80, pytest.param(120, marks=pytest.mark.slow)])
def test_a_sweep_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    widest: list[str] = []

    def look(terminal: Terminal, process: subprocess.Popen[bytes]) -> None:
        screen = [line for line in terminal.lines() if line]
        if screen and "of 4 trials" in screen[-1]:
            widest.extend(screen[-3:])

    seen = Terminal(columns).run(*SWEEP, f"paths.results={tmp_path}", look=look)
    assert seen.status == 0
    whole(seen)
    lines = [line for line in seen.lines() if line]
    assert lines[0] == "4 trials of 2 cells: digits, convnet, sgd, batch 8"
    assert sum(line.startswith("done ") for line in lines) == 4
    assert any(re.match(r"sobolev +2/2 +\d+\.\d\d ± .* [+−]\d+\.\d\d +\[", line) for line in lines)
    assert not any("of 4 trials" in line or "━" in line for line in lines[2:]), "it is gone"
    assert any("━" in line or "─" in line for line in widest), "it was there"
    assert max(map(len, widest)) > 60


@pytest.mark.slow
def test_ascii_and_no_colour_where_asked_for(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"LANG": "C", "NO_COLOR": "1"}
    seen = Terminal(80, env).run(*SWEEP, f"paths.results={tmp_path}")
    assert seen.status == 0
    assert seen.written.isascii()
    assert not re.search(rb"\x1b\[[0-9;]*m", seen.written)
    whole(seen)
    assert any("+-" in line for line in seen.lines())


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"CI": "true"}, {"TERM": "dumb"}])
def test_lines_where_nobody_watches(tmp_path: Path, env: dict[str, str | None]) -> None:
    seen = Terminal(80, env).run(*SWEEP, f"paths.results={tmp_path}")
    assert seen.status == 0
    assert b"\x1b" not in seen.written


def test_a_trial_by_itself_has_a_bar_and_says_where_it_is(tmp_path: Path) -> None:
    bars: list[str] = []

    def look(terminal: Terminal, process: subprocess.Popen[bytes]) -> None:
        bars.extend(line for line in terminal.lines() if line.startswith("epoch "))

    seen = Terminal(100).run(
        "task.train_size=80", "task.epochs=40", f"paths.results={tmp_path}", look=look
    )
    assert seen.status == 0
    whole(seen)
    assert any(re.match(r"epoch \d+/40 .*%.* loss .*% .*left", bar) for bar in bars), bars[-3:]
    text = "".join(seen.lines())
    (folder,) = tmp_path.glob("*/*/trial-0")
    assert str(folder) in text
    assert "weights.pt in it" in text
    assert "experiment=compare" in text


def test_a_failure_is_told_at_once_and_its_traceback_once(tmp_path: Path) -> None:
    code = (
        "import sys, run\n"
        "from chandir.harness.trial import trial\n"
        "def broken(*_): raise RuntimeError('broken on purpose')\n"
        "trial.train_epoch = broken\n"
        "sys.exit(run.command_line(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SMALL, f"paths.results={tmp_path}", "metric=h0"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    both = done.stdout + done.stderr
    assert both.count("Traceback (most recent call last)") == 1
    assert done.stderr.startswith("failed: h0, trial 0: RuntimeError: broken on purpose")


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path, signum: signal.Signals) -> None:
    sent: list[int] = []

    def look(terminal: Terminal, process: subprocess.Popen[bytes]) -> None:
        if not sent and len(epochs(tmp_path)) == 2 and min(epochs(tmp_path)) > 1:
            sent.append(1)
            process.send_signal(signum)

    sweep = ("-m", "trial=range(2)", "hydra.launcher.workers=2", ENDLESS, *SMALL[:2])
    seen = Terminal(80).run(*sweep, f"paths.results={tmp_path}", look=look)
    assert seen.status == 128 + signum
    whole(seen)
    lines = [line for line in seen.lines() if line]
    assert any("running trials save and leave" in line for line in lines)
    assert "2 of 2 trials are not finished: the same command continues" in lines
    assert not any("━" in line or "─" in line for line in lines)


@pytest.mark.slow
def test_kill_leaves_the_cursor(tmp_path: Path) -> None:
    def look(terminal: Terminal, process: subprocess.Popen[bytes]) -> None:
        if epochs(tmp_path):
            process.kill()

    seen = Terminal(80).run(ENDLESS, *SMALL[:2], f"paths.results={tmp_path}", look=look)
    assert seen.status == -signal.SIGKILL
    assert not seen.screen().cursor.hidden


@pytest.mark.slow
def test_what_a_worker_prints_is_lines_above_the_display(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    (own / "metric").mkdir(parents=True)
    (own / "metric" / "loud.yaml").write_text("_target_: loud.Loud\nname: loud\ndirection: output\n"
                                              "scope: conv\n")  # fmt: skip
    (own / "loud.py").write_text(
        "import os, sys, multiprocessing\n"
        "from dataclasses import dataclass\n"
        "import torch, chandir\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    print('said by Python')\n"
        "    os.write(2, b'said by C\\n')\n"
        "@dataclass(frozen=True)\n"
        "class Loud(chandir.Metric):\n"
        "    def response(self, n):\n"
        "        return 1 + (torch.arange(n) == 0).double()\n"
    )
    seen = Terminal(80).run(
        "--config-dir", str(own), *SMALL, "-m", "metric=loud", "trial=range(2)",
        "hydra.launcher.workers=2", f"paths.results={tmp_path / 'runs'}",
    )  # fmt: skip
    assert seen.status == 0
    lines = seen.lines()
    assert {"said by Python", "said by C"} <= set(lines)
    assert not any("said by" in line and "trial" in line for line in lines)


@pytest.mark.slow
def test_from_another_folder_it_says_where_all_goes(tmp_path: Path) -> None:
    done = call(*SMALL, "trial=25", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "trial 25 alone; 'trial=range(25)' for 25 trials (with -m)"
    assert lines[2].startswith(f"folder: {tmp_path}{os.sep}results")


@pytest.mark.slow
def test_the_version_is_ours_and_help_lists_what_a_setting_may_be() -> None:
    from typing import get_args

    import chandir
    from chandir.harness.command import launchers
    from chandir.harness.config.schema import Config

    assert call("--version").stdout.startswith(f"chandir {chandir.__version__}, torch ")
    help_text = call("--help").stdout
    for key in ("precision", "determinism", "graphs", "on_error", "on_change"):
        choices = {str(choice).lower() for choice in get_args(Config.model_fields[key].annotation)}
        (line,) = re.findall(rf"^{key}: (.*,.*)$", help_text, re.M)
        assert set(line.split(", ")) == choices
    (line,) = re.findall(r"^hydra/launcher: (.*)$", help_text, re.M)
    assert set(line.split(", ")) == launchers.choices()
