"""Dashboards as code, without a server: what would be sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chandir.harness.sweep.plan import jobs
from scripts import wandb_dashboard

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of pydantic


def sent(capsys: pytest.CaptureFixture[str], artefact: str) -> dict[str, Any]:
    assert wandb_dashboard.main([artefact, "--json"]) == 0
    view: dict[str, Any] = json.loads(capsys.readouterr().out)
    return view


@pytest.mark.parametrize(
    ("artefact", "scores"),
    [("demo", {"test_accuracy"}), ("fig7", {"test_iou"}), ("table3", {"test_fid"})],
)
def test_a_workspace_shows_the_cells_and_scores_of_its_artefact(
    capsys: pytest.CaptureFixture[str], artefact: str, scores: set[str]
) -> None:
    section = sent(capsys, artefact)["spec"]["section"]
    (runs,) = section["runSets"]
    (groups,) = [f["value"] for f in runs["filters"]["filters"] if f["key"]["name"] == "group"]
    planned = jobs((f"experiment={artefact}",))
    assert set(groups) == {job.folder.parent.name for job in planned}
    assert runs["grouping"] == [{"section": "run", "name": "group"}]
    panels = [
        panel["config"]
        for part in section["panelBankConfig"]["sections"]
        for panel in part["panels"]
    ]
    lines = [panel for panel in panels if "xAxis" in panel]
    assert {panel["xAxis"] for panel in lines} == {"epoch"}
    shown = {metric for panel in panels for metric in panel.get("metrics", [])}
    assert scores <= shown
    assert {f"summary_metrics.last/{score}" for score in scores} <= shown


def test_an_unknown_artefact_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert wandb_dashboard.main(["fig66", "--json"]) == 2
    assert "did you mean 'fig6'" in capsys.readouterr().err
