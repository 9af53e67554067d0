"""Reading run folders: every state has its name, and nothing damaged is fatal."""

from __future__ import annotations

import json
import re

import pytest

from chandir.report.read.runs import read
from tests import fake_runs


def test_every_state_has_its_name(tmp_path):
    for k, status in enumerate(("done", "diverged", "failed", "incomplete")):
        fake_runs.trial(tmp_path, k, fake_runs.H0, 90.0, status=status, epochs=4)
    trials = read(tmp_path)
    assert [t.status for t in trials] == ["done", "diverged", "failed", "incomplete"]
    assert [t.complete for t in trials] == [True, True, False, False]
    assert [t.reason for t in trials] == ["", "", "OSError: disk full", "2 of 4 epochs"]
    assert trials[0].final["last"]["test_accuracy"] == 90.0
    assert [epoch["epoch"] for epoch in trials[0].log] == [1, 2, 3, 4]


def edit(name, **changes):
    def damage(folder):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | changes))

    return damage


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def remove(name):
    return lambda folder: (folder / name).unlink()


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("config.yaml"), "config.yaml is missing"),
        (remove("provenance.json"), "provenance.json is missing"),
        (remove("log.jsonl"), "log.jsonl is missing"),
        (cut("final.json"), "final.json|Expecting|Unterminated|delimiter"),
        (cut("log.jsonl"), "log.jsonl"),
        (write("config.yaml", "a: [1"), "config.yaml is not YAML"),
        (write("config.yaml", "just words"), "config.yaml is not a mapping"),
        (
            write("config.yaml", "task: {name: digits}"),
            "config.yaml has no task.batch_size, expected a whole",
        ),
        (
            lambda folder: (folder / "config.yaml").write_bytes(b"\xff\xfe\x00"),
            "config.yaml is not UTF-8",
        ),
        (edit("final.json", trial=3), "final.json is that of trial 3"),
        (edit("final.json", status="happy"), "status='happy', expected done or diverged"),
        (edit("final.json", last={}), "no last.epoch"),
        (edit("final.json", best={"epoch": 1, "test_accuracy": None}), "at the best epoch: None"),
        (edit("final.json", best={"epoch": 1, "test_accuracy": float("nan")}), "NaN is no number"),
        (write("log.jsonl", '{"loss": 1}'), "log.jsonl, line 1, has epoch=None"),
        (
            edit("provenance.json", device="cpu"),
            "provenance.json has device='cpu', expected a mapping",
        ),
        (
            edit("provenance.json", sources=None),
            "provenance.json has sources=None, expected a mapping",
        ),
    ],
)
def test_damage_is_named_and_spares_the_others(tmp_path, damage, reason):
    folder = fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0)
    fake_runs.trial(tmp_path, 1, fake_runs.H0, 91.0)
    damage(folder)
    damaged, whole = read(tmp_path)
    assert (damaged.status, whole.status) == ("damaged", "done")
    assert re.search(reason, damaged.reason), damaged.reason
    assert "\n" not in damaged.reason


def test_a_copied_folder_is_not_taken_for_another_seed(tmp_path):
    folder = fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0)
    folder.rename(folder.with_name("trial-4"))
    assert read(tmp_path)[0].reason == "config.yaml is that of trial 0"


def test_any_folder_above_a_trial_will_do_and_seeds_are_in_order(tmp_path):
    cell = fake_runs.cell(tmp_path, fake_runs.H0, [90.0] * 12)
    (cell / "trial-x").mkdir()
    (cell / "trial-99").touch()
    for folder in (tmp_path, cell.parent, cell):
        assert [trial.index for trial in read(folder)] == list(range(12))


def test_an_absent_folder_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is not a folder.*python run\.py"):
        read(tmp_path / "nowhere")
    assert read(tmp_path) == []


def test_the_code_digest_sees_the_sources_alone(tmp_path):
    fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0, dirty=False)
    fake_runs.trial(tmp_path, 1, fake_runs.H0, 91.0, dirty=True)
    fake_runs.trial(tmp_path, 2, fake_runs.H0, 92.0, code="b" * 64)
    a, b, c = read(tmp_path)
    assert a.code == b.code != c.code
