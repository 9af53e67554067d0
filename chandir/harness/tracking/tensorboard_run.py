"""A trial as a run of TensorBoard, in ``<run folder>/tensorboard``: needs no account and no server.

    tensorboard --logdir results/runs

Scores are scalars over the epoch, under the names that the log has; the configuration is a text;
what one compares (metric, optimizer, rate, batch size, trial) are its hyper-parameters. Events are
written by TensorBoard's own writer, for that of torch imports torch: seconds for each trial.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from chandir.harness.tracking.dashboard import number
from chandir.runfolder import Contents

FOLDER = "tensorboard"
STARTED = "%Y-%m-%dT%H:%M:%S%z"  # as provenance.json has it


def opened(
    folder: Path, config: Mapping[str, Any], provenance: Mapping[str, Any]
) -> TensorBoardRun:
    """Open the run, written anew from the log, so that there is one record of each epoch.

    Args:
        folder: the trial's.
        config: its configuration.
        provenance: where its numbers come from.
    """
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    for old in place.glob("events.out.tfevents.*"):
        old.unlink()
    run = TensorBoardRun(EventFileWriter(str(place)), _started(folder, provenance))
    run.describe(config, provenance)
    return run


class TensorBoardRun:
    """An open run.

    Args:
        writer: of its event file.
        clock: when the trial started; an epoch's time is that many seconds of training later, so
            that a record made afterwards is the one that would have been made beside the trial.
    """

    def __init__(self, writer: EventFileWriter, clock: float) -> None:
        self.writer = writer
        self.clock = clock

    def describe(self, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Write what the trial is."""
        told = yaml.safe_dump({**config, "provenance": dict(provenance)}, sort_keys=False)
        text = "    " + told.replace("\n", "\n    ")  # Markdown's form of code
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        tensor = make_tensor_proto([text])
        self._add(
            Summary.Value(tag="config", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
        )
        started = plugin_data_pb2.SessionStartInfo(start_time_secs=self.clock)
        given = hyper_parameters(config)
        for key, value in given.items():
            field = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
            setattr(started.hparams[key], field, value)
        score = api_pb2.MetricName(tag=config["score"]["name"])
        experiment = api_pb2.Experiment(
            hparam_infos=[api_pb2.HParamInfo(name=key) for key in given],
            metric_infos=[api_pb2.MetricInfo(name=score)],
        )
        self._hyper(metadata.EXPERIMENT_TAG, experiment=experiment)
        self._hyper(metadata.SESSION_START_INFO_TAG, session_start_info=started)
        self.writer.flush()

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """Write epochs."""
        for row in rows:
            self.clock += row["seconds"]
            values = [
                Summary.Value(tag=key, simple_value=number(value))
                for key, value in row.items()
                if key != "epoch"
            ]
            self._add(*values, step=row["epoch"])
        self.writer.flush()

    def end(self, found: Contents, complete: bool) -> None:
        """Write how the trial ended, if it did, and close."""
        if complete:
            ended = plugin_data_pb2.SessionEndInfo(
                status=api_pb2.STATUS_SUCCESS if found.status == "done" else api_pb2.STATUS_FAILURE,
                end_time_secs=self.clock,
            )
            self._hyper(metadata.SESSION_END_INFO_TAG, session_end_info=ended)
        self.writer.close()

    def _add(self, *values: Any, step: int = 0) -> None:
        self.writer.add_event(Event(wall_time=self.clock, step=step, summary=Summary(value=values)))

    def _hyper(self, tag: str, **content: Any) -> None:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        held = metadata.create_summary_metadata(data)
        self._add(Summary.Value(tag=tag, metadata=held, tensor=metadata.NULL_TENSOR))


def hyper_parameters(config: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """What one compares trials by: names, batch size, trial, settings of optimizer and metric."""
    found: dict[str, Any] = {
        group: config[group]["name"] for group in ("task", "model", "optimizer", "metric", "scale")
    }
    found |= {key: config["task"][key] for key in ("batch_size", "epochs")}
    for group in ("optimizer", "metric"):
        found |= {f"{group}.{key}": value for key, value in config[group].items()
                  if key not in ("name", "_target_")}  # fmt: skip
    found["trial"] = config["trial"]
    return {
        key: value if isinstance(value, bool | str) else float(value)
        for key, value in found.items()
        if isinstance(value, bool | str | int | float)
    }


def _started(folder: Path, provenance: Mapping[str, Any]) -> float:
    """When the trial began; where its record does not say it, when that was written."""
    try:  # Python 3.10 reads no +0000 as a part of ISO's form
        began = datetime.datetime.strptime(provenance["started"], STARTED)
    except (KeyError, ValueError):
        return (folder / "provenance.json").stat().st_mtime
    return began.timestamp()
