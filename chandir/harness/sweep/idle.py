"""What of a command line would have no effect on anything that it asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from chandir.harness.base.errors import UserError
from chandir.harness.cells import cell
from chandir.harness.command.options import main
from chandir.harness.sweep.plan import Job


def refuse_sweeps(parsed: Sequence[Override]) -> None:
    """Refuse a sweep over what tells no cells apart: its values would be one and the same cell.

    Raises:
        UserError: for the first.
    """
    for item in parsed:
        key = item.key_or_group
        idle = key.split(".")[0] in {*cell.NOT_SCIENTIFIC, "plan"} - {"trial"}
        if item.is_sweep_override() and (idle or key in ("data.root", "data.verify")):
            raise UserError(
                f"{item.input_line} is a sweep over a setting that tells no cells apart, so that "
                "only its first value would run: expected one value"
            )


def refuse_root(parsed: Sequence[Override], planned: Sequence[Job]) -> None:
    """Refuse a folder of data that no trial reads.

    One that some read is right for all, and an experiment's own cells say which: a script may give
    each of them the same folder.

    Raises:
        UserError: naming the tasks.
    """
    roots = [item for item in parsed if item.key_or_group == "data.root"]
    tasks = {job.resolved.config.task.name: job.resolved.config.task for job in planned}
    if not roots or not all(task.embedded for task in tasks.values()):
        return
    if any(item.key_or_group == "experiment" for item in parsed):
        return
    root = planned[0].resolved.config.data.root
    if os.path.normpath(root) != os.path.normpath(main()["data"]["root"]):
        raise UserError(
            f"{roots[-1].input_line} has no effect on task={', '.join(sorted(tasks))}, whose data "
            "are part of an installed package: expected none; remove it, or choose another task"
        )
