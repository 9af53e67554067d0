"""W&B dashboards as code: a workspace per artefact, with the panels that one would look at.

    python scripts/wandb_dashboard.py --entity ME              # one for each artefact
    python scripts/wandb_dashboard.py --entity ME fig6 table3  # only these
    python scripts/wandb_dashboard.py fig6 --json              # what would be sent; no network

An artefact's cells are W&B groups, found by their names, for artefacts share runs. A line is a
cell: mean and standard deviation over its trials, against the epoch. Tables and verdicts are the
report's (scripts/report.py). Needs `pip install wandb-workspaces`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir.harness.base.errors import UserError
from chandir.harness.base.output import outlast
from chandir.harness.durable.provenance import ROOT
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import data


def workspace(artefact: str, entity: str, project: str) -> Any:
    """The workspace of one artefact, not sent yet.

    Args:
        artefact: a file of ``conf/experiment``.
        entity: W&B's.
        project: W&B's.

    Raises:
        UserError: for an artefact that there is none of.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And

    planned = jobs((f"experiment={artefact}",))
    cells = list(dict.fromkeys(job.folder.parent.name for job in planned))
    tasks = {job.resolved.config.task.name: job.resolved.config for job in planned}
    grouped: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def line(key: str, title: str, **more: Any) -> Any:
        return panels.LinePlot(title=title, x="epoch", y=[key], **grouped, **more)

    def lines(prefix: str, title: str, **more: Any) -> Any:  # a GAN has two of each
        pattern = f"^{prefix}(_|$)"
        return panels.LinePlot(title=title, x="epoch", metric_regex=pattern, **grouped, **more)

    sections = []
    for task, config in tasks.items():
        score = data.build(config).score
        key, kind = score["name"], score["name"].removeprefix("test_")
        axis = {"title_y": score["unit"] or None}
        shown = [
            line(key, f"{kind} on the test set", **axis),
            lines("train_loss", "training loss"),
            lines("test_loss", "test loss"),
            line(f"train_{kind}", f"{kind} on the training set", **axis),
            panels.BarPlot(
                title=f"{kind}, last epoch",
                metrics=[panels.SummaryMetric(f"last/{key}")],
                **grouped,
            ),
            lines("lr", "learning rate"),
        ]
        sections.append(ws.Section(name=task, panels=shown, is_open=True))
    speed = [line("images_per_second", "images per second"), line("seconds", "seconds per epoch")]
    sections.append(ws.Section(name="speed", panels=speed))
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"chandir {artefact}",
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=len(cells)),
        runset_settings=ws.RunsetSettings(
            filters=And(ws.Metric("Group").isin(cells)),
            groupby=[ws.Metric("Group")],
            pinned_columns=["summary:status", "summary:last/" + score["name"]],
        ),
    )


def main(arguments: list[str] | None = None) -> int:
    """Make and send, or print, the workspaces; one that fails keeps no other back."""
    known = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
    parser = argparse.ArgumentParser(description="W&B workspaces, one per artefact")
    parser.add_argument("artefacts", nargs="*", metavar="ARTEFACT", help=f"of {', '.join(known)}")
    parser.add_argument("--entity", default="", help="W&B account or team")
    parser.add_argument("--project", default="chandir")
    parser.add_argument("--json", action="store_true", help="print instead of sending")
    options = parser.parse_args(arguments)
    if not (options.entity or options.json):
        parser.error("--entity: expected the W&B account or team to send to, or --json")
    status = 0
    for artefact in options.artefacts or known:
        try:
            made = workspace(artefact, options.entity, options.project)
            if options.json:
                model = made._to_model()  # the library has no public way to look before sending
                print(model.model_dump_json(by_alias=True, exclude_none=True))
            else:
                made.save()
                print(f"{artefact}: {made.url}")
        except UserError as error:
            print(f"refused: {error}", file=sys.stderr)
            status = 2
        except Exception as error:  # a server's: the other artefacts are sent all the same
            print(f"{artefact}: {type(error).__name__}: {error}", file=sys.stderr)
            status = status or 1
    return status


if __name__ == "__main__":
    outlast()
    sys.exit(main())
