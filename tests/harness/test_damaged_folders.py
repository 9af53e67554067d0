"""Whatever lies in an interrupted trial's folder: it ends with its numbers, or says why not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.base.errors import UserError
from tests.harness.faults import ALWAYS, SHORT, finished, interrupted
from tests.odd_files import ODD

FILES = (
    *("config.yaml", "provenance.json", "log.jsonl", "final.json", "correlation.json"),
    *("error.txt", "claim.json", "checkpoint.pt", "checkpoint.previous.pt", ".log.jsonl.1.tmp"),
)
# Some of each; all of them take minutes.
SAMPLE = [(name, odd) for i, name in enumerate(FILES) for odd in list(ODD)[i % 6 :: 6]]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that hold a trial with two checkpoints of four epochs; to copy."""
    results = tmp_path_factory.mktemp("half") / "runs"
    interrupted(results)
    return results


@pytest.mark.parametrize(("name", "odd"), SAMPLE)
def test_an_interrupted_trial_ends_with_its_numbers_or_says_why_not(
    half: Path, tmp_path: Path, undisturbed: dict[str, Any], name: str, odd: str
) -> None:
    results = Path(shutil.copytree(half, tmp_path / "runs"))
    (folder,) = results.glob("*/*/trial-0")
    path = folder / name
    path.unlink(missing_ok=True)
    ODD[odd](path)
    if odd == "folder" and not name.endswith(".tmp"):  # a user's: what is in it is not ours
        with pytest.raises(UserError, match=f"{name} is a folder: expected a file there; remove"):
            finished(results, SHORT, ALWAYS)
        path.rmdir()
    assert finished(results, SHORT, ALWAYS) == undisturbed
    left = {"config.yaml", "provenance.json", "log.jsonl", "correlation.json"}
    left |= {"final.json", "weights.pt"}
    assert {each.name for each in folder.iterdir() if each.is_file()} == left
