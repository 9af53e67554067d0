"""What last digits depend on: told where a trial goes on elsewhere, or a cell mixes kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chandir import runfolder
from chandir.harness.durable import provenance
from chandir.harness.durable.numerics import kind, numerics
from chandir.harness.parts import optimizers
from chandir.harness.sweep import summary
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial.trial import run
from scripts import status
from tests.harness.runs import SMALL, complete

CPU = {"kind": "cpu", "name": "AMD EPYC"}


def machines_of(folder: Path) -> list[str]:
    return provenance.machines(runfolder.read(folder).provenance)


def trained(tmp_path: Path, *overrides: str) -> Path:
    (job,) = jobs((*SMALL, "device=cpu", *overrides, f"paths.results={tmp_path}"))
    run(job.resolved, job.folder)
    return job.folder


def changed(facts: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(facts))
    *parents, last = path.split(".")
    node = copy
    for name in parents:
        node = node[name]
    node[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("processor.vendor", "GenuineIntel"),
        ("processor.model", "999"),
        ("processor.caches", {"L1d": "48K", "L2": "2048K"}),
        ("capability", "AVX512"),
        ("limits", {"MKL_CBWR": "AUTO"}),
    ],
)
def test_a_kind_of_machine_is_told_from_others(path: str, value: Any) -> None:
    assert kind(CPU, numerics()) != kind(CPU, changed(numerics(), path, value))


def test_a_kind_is_told_where_the_system_says_little_and_of_a_gpu() -> None:
    little = changed(numerics(), "processor", {}) | {"limits": {}}
    assert kind(CPU, little) == f"AMD EPYC, {numerics()['capability']}"
    assert kind({"kind": "cuda", "name": "NVIDIA H100"}, numerics()) == "NVIDIA H100"


def test_a_resume_on_another_kind_is_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, often = optimizers.begin_epoch, "checkpoint.seconds=0"

    def until(last: int) -> None:
        def begin_epoch(steppers: Any, config: Any, epoch: int) -> dict[str, float]:
            if epoch > last:
                raise RuntimeError("cut off")
            return begin(steppers, config, epoch)

        monkeypatch.setattr(optimizers, "begin_epoch", begin_epoch)

    for last in (1, 2):
        until(last)
        with pytest.raises(RuntimeError, match="cut off"):
            trained(tmp_path, often)
    assert "goes on" not in capsys.readouterr().out, "on the same kind there is nothing to tell"
    until(3)
    monkeypatch.setattr(provenance, "kind", lambda device, numerics: "another machine")
    folder = trained(tmp_path, often)
    here = kind(CPU | {"name": ""}, numerics())
    told = capsys.readouterr().out
    assert "goes on after epoch 2 on another machine, torch" in told
    assert f"begun on {here}, torch" in told
    assert [text.rpartition(", torch")[0] for text in machines_of(folder)] == [
        here,
        "another machine",
    ]


def test_summary_and_status_say_where_a_cell_mixes_kinds(tmp_path: Path) -> None:
    folders = [trained(tmp_path, f"trial={trial}") for trial in range(2)]
    planned = jobs((*SMALL, "device=cpu", "trial=range(2)", f"paths.results={tmp_path}"))
    assert "kinds of machines" not in summary.text(complete(planned))
    assert "kinds of machines" not in status.text(status.found(tmp_path))
    path = folders[1] / "provenance.json"
    origin = json.loads(path.read_text())
    origin["segments"][0]["machine"] = "another machine"
    path.write_text(json.dumps(origin))
    for text in (summary.text(complete(planned)), status.text(status.found(tmp_path))):
        assert f"{folders[0].parent.name}: its trials ran on 2 kinds of machines" in text
        assert "another machine, torch" in text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"segments": [{"machine": "x"}]}', "{"])
def test_a_record_that_does_not_tell_tells_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "provenance.json").write_text(content)
    assert machines_of(tmp_path) == []
    assert machines_of(tmp_path / "none") == []
