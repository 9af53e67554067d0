"""summary.json: every number for other programs, the same as on the page."""

from __future__ import annotations

import json

import pytest

from chandir import report
from chandir.report.judge.claims_file import digest
from tests import fake_runs, planted


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("summary")
    planted.digits(root / "runs", epochs=2)
    fake_runs.trial(root / "runs", 0, fake_runs.SOBOLEV, 0.0, task="cifar10", status="failed")
    report.build(root / "runs", root / "out")
    return root


@pytest.fixture(scope="module")
def found(built):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (built / "out" / "summary.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse)


def test_every_cell_is_there_with_its_trials_and_where_it_came_from(found, built):
    assert found["trials"] == {"done": 225, "failed": 1}
    cells = {cell["name"]: cell for cell in found["cells"] if cell["task"] == "digits"}
    assert len(cells) == 9
    one = cells["sobolev, output"]
    assert (one["n"], len(one["values"])) == (25, 25)
    assert (one["mean"], one["sd"]) == pytest.approx((96.7, 0.25))
    low, high = one["interval"]
    assert low < 96.7 < high
    assert one["difference_to_h0"] == pytest.approx(1.2)
    assert one["labels"] == ["digits is not in the paper"]
    assert one["commit"] == ["0123456789abcdef0123456789abcdef01234567"]
    assert (built / "runs" / one["folder"] / "trial-24" / "final.json").exists()
    failed = next(cell for cell in found["cells"] if cell["task"] == "cifar10")
    assert (failed["n"], failed["mean"], failed["values"]) == (0, None, {})


def test_every_comparison_is_there_with_its_verdict(found):
    assert found["claims_sha256"] == digest()
    one = next(
        c for c in found["comparisons"]
        if (c["artefact"], c["claim"]) == ("digits", "sobolev better than h0_mean")
    )  # fmt: skip
    assert one["question"] == "Better than a larger step along the mean alone?"
    assert one["difference"] == pytest.approx(0.6)
    assert one["n"] == [25, 25]
    assert one["interval"][0] < 0.6 < one["interval"][1]
    assert one["p"] <= one["p_holm"] < 0.05
    assert (one["verdict"], one["outside_protocol"]) == ("Yes", [])
    folders = {cell["folder"] for cell in found["cells"]}
    assert set(one["cells"]) <= folders
    absent = next(c for c in found["comparisons"] if c["artefact"] == "table3")
    assert (absent["verdict"], absent["difference"], absent["cells"][0]) == ("Not run", None, None)


def test_an_empty_folder_has_a_summary_too(tmp_path):
    (tmp_path / "runs").mkdir()
    report.build(tmp_path / "runs", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert found["cells"] == []
    assert {c["verdict"] for c in found["comparisons"]} == {"Not run", "Paper reports no gain"}
