"""Where trials come from unlike machines, the report says so."""

from __future__ import annotations

import csv
import json

from chandir.report.publish import publication
from chandir.report.read import origin
from chandir.report.read.cells import cells
from chandir.report.read.comparisons import settings
from chandir.report.read.runs import read
from tests import fake_runs

ZEN3, ZEN4 = "AuthenticAMD family 25 model 1, AVX2", "AuthenticAMD family 25 model 17, AVX512"


def record(folder, *machines):
    """Let a trial have run on these, one after the other."""
    path = folder / "provenance.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    segments = [{key: found[key] for key in ("commit", "dirty", "sources", "versions", "device")}
                | {"machine": machine, "after_epoch": epoch}
                for epoch, machine in enumerate(machines)]  # fmt: skip
    path.write_text(json.dumps(found | {"machine": machines[-1], "segments": segments}))


def told(runs):
    return [text for text in origin.warnings(settings(cells(read(runs)))) if "kinds of" in text]


def test_one_kind_is_no_warning_and_two_are(tmp_path):
    folders = [fake_runs.trial(tmp_path, k, fake_runs.H0, 90.0 + k) for k in range(3)]
    assert told(tmp_path) == [], "older runs, of equal devices"
    for folder in folders:
        record(folder, ZEN3)
    assert told(tmp_path) == []
    record(folders[2], ZEN4)
    (text,) = told(tmp_path)
    assert text.endswith(f"ran on 2 kinds of hardware, between which last digits differ: {ZEN3}; "
                         f"{ZEN4}.")  # fmt: skip
    facts = dict(origin.facts(settings(cells(read(tmp_path)))[0]))
    assert facts["Last digits depend on"] == f"{ZEN3}; {ZEN4}"


def test_a_trial_that_went_on_elsewhere_is_of_both(tmp_path):
    record(fake_runs.trial(tmp_path, 0, fake_runs.H0, 90.0), ZEN3, ZEN4)
    assert len(told(tmp_path)) == 1


def test_a_publication_keeps_what_each_score_depends_on(tmp_path):
    runs = tmp_path / "runs"
    record(fake_runs.trial(runs, 0, fake_runs.H0, 90.0), ZEN3, ZEN4)
    record(fake_runs.trial(runs, 1, fake_runs.H0, 90.5), ZEN3)
    out = publication.publish(runs, tmp_path / "out").parent
    with open(out / "scores.csv", encoding="utf-8") as file:
        assert [line["machine"] for line in csv.DictReader(file)] == [f"{ZEN3}; {ZEN4}", ZEN3]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["cells"][0]["machines"] == [ZEN3, ZEN4]
    origins = json.loads((out / "provenance.json").read_text(encoding="utf-8"))["origins"]
    assert {each["machine"] for each in origins} == {ZEN3, ZEN4}
