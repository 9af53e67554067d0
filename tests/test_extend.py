"""The worked examples of docs/extend.rst, run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.harness.runs import ROOT

TEXT = (ROOT / "docs" / "extend.rst").read_text(encoding="utf-8")
FILES = re.findall(
    r"^\.\. code-block:: \w+\n   :caption: (\S+)\n\n((?:   .*\n|\n)+)", TEXT, flags=re.M
)
COMMANDS = re.findall(r"^   python run\.py (.*)$", TEXT, flags=re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the project with what the page says in it."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def test_the_page_has_all_five() -> None:
    groups = {Path(name).parent.name for name, _ in FILES if name.endswith(".yaml")}
    assert groups == {"metric", "optimizer", "schedule", "task", "model"}
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("line", COMMANDS)
def test_an_example_trains(folder: Path, line: str) -> None:
    runs = folder / re.sub(r"\W+", "_", line)
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", *shlex.split(line), "task.epochs=1",
         f"paths.results={runs}"], cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (final,) = runs.glob("*/*/trial-0/final.json")
    assert json.loads(final.read_text())["status"] == "done"
    _, _, choice, setting = shlex.split(line)
    name = final.parents[1]
    assert choice.partition("=")[2] in f"{name.parent.name}-{name.name}"
    if not setting.startswith("metric=sobolev"):
        assert setting.partition(".")[2].replace("=", "") in name.name
