"""What is published of run folders, and that README says what the publications say."""

from __future__ import annotations

import csv
import json
import re
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from chandir.report.publish import publication
from scripts import publish as publish_script
from scripts.publish import speed
from tests import fake_runs

ROOT = Path(__file__).parents[2]
PUBLISHED = publication.published(ROOT / "results")


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_a_publication_holds_every_score_and_where_it_is_from(tmp_path: Path) -> None:
    fake_runs.demo(tmp_path / "runs")
    fake_runs.trial(tmp_path / "runs", 7, fake_runs.H0, 1.0, status="incomplete")
    page = publication.publish(tmp_path / "runs", tmp_path / "results" / "demo")
    assert page.exists()
    for link in re.findall(r'href="([^"#:]+)"', page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
        assert ".." not in link, "it travels without the run folders"
    scores = table(page.parent / "scores.csv")
    assert len(scores) == 15
    assert {row["commit"] for row in scores} == {"0123456789abcdef0123456789abcdef01234567"}
    means = defaultdict(list)
    for row in scores:
        means[row["cell"]].append(float(row["last"]))
    assert sorted(statistics.fmean(values) for values in means.values()) == pytest.approx(
        [90, 92, 93]
    )
    origin = json.loads((page.parent / "provenance.json").read_text(encoding="utf-8"))
    assert sum(entry["trials"] for entry in origin["origins"]) == 15
    assert sum(origin["commands"].values()) == 15
    assert "host" not in origin["origins"][0]["device"]


def test_numbers_that_nobody_could_repeat_are_refused(tmp_path: Path) -> None:
    fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0, dirty=True)
    with pytest.raises(ValueError, match="1 trials ran with uncommitted changes"):
        publication.publish(tmp_path / "runs", tmp_path / "out")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no complete trial"):
        publication.publish(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "../elsewhere", "a/b", "-x", "runs", "page", "a b", "a\nb"]
)
def test_a_name_that_is_no_new_folder_of_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit) as left:
        publish_script.main([str(tmp_path), f"--name={name}"])
    assert left.value.code == 2
    assert f"--name {name!r}: expected a folder's name below results/" in capsys.readouterr().err


def test_the_targets_for_speed_are_what_the_records_say() -> None:
    folder = ROOT / "results" / "bench"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text == speed(folder), "python scripts/publish.py"
    for path in folder.glob("*.json"):
        assert f"- {path.name}: " in text


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_publications_tables_follow_from_its_scores(folder: Path) -> None:
    """Every mean on the page is that of the per-trial scores, and every trial has an origin."""
    values = defaultdict(list)
    scores = table(folder / "scores.csv")
    for row in scores:
        values[row["cell"]].append(float(row["last"]))
    means = sorted(statistics.fmean(some) for some in values.values())
    told = sorted(float(row["last_mean"]) for row in table(folder / "tables" / "results.csv"))
    assert told == pytest.approx(means, rel=1e-9)
    origin = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert {row["commit"] for row in scores} == {o["commit"] for o in origin["origins"]}
    assert sum(origin["commands"].values()) == len(scores)
    assert "unknown" not in origin["commands"]


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_publications_commits_are_in_the_history(folder: Path) -> None:
    shallow = subprocess.run(
        ["git", "rev-parse", "--is-shallow-repository"], cwd=ROOT, capture_output=True, text=True
    )
    if shallow.stdout.strip() != "false":
        pytest.skip("needs the whole history")
    for commit in {row["commit"] for row in table(folder / "scores.csv")}:
        found = subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT)
        assert found.returncode == 0, commit


@pytest.mark.parametrize("setting", [{"source": "synthetic"}, {"scale": "smoke"}])
def test_what_measured_nothing_is_not_published(tmp_path: Path, setting: dict[str, str]) -> None:
    fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)
    fake_runs.trial(tmp_path / "runs", 1, fake_runs.H0, 90.0, **setting)
    with pytest.raises(ValueError, match="1 trials ran on synthetic data or at scale smoke"):
        publication.publish(tmp_path / "runs", tmp_path / "out")


def test_a_trial_continued_with_changes_is_told_once(tmp_path: Path) -> None:
    folder = fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0, dirty=True)
    origin = json.loads((folder / "provenance.json").read_text())
    origin["segments"] = [{"commit": origin["commit"], "dirty": dirty} for dirty in (True, True)]
    (folder / "provenance.json").write_text(json.dumps(origin))
    with pytest.raises(ValueError, match=r"^1 trials ran with uncommitted changes"):
        publication.publish(tmp_path / "runs", tmp_path / "out")
