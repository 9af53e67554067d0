"""The open house: one class and one file each, in a folder outside the project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError
from chandir.harness.command.options import groups
from chandir.harness.durable import provenance
from chandir.harness.parts import optimizers, schedules
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import data
from tests.harness.own_parts import CLASSES, FILES, HELPERS, PACKED
from tests.harness.runs import ROOT, call


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, as ``run.py --config-dir`` takes it."""
    folder = tmp_path / "mine"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    digits = (ROOT / "conf/task/digits.yaml").read_text(encoding="utf-8")
    digits = digits.replace("tasks.digits.Digits", "own.Inverted")
    inverted = digits.replace("name: digits", "name: inverted")
    (folder / "task").mkdir()
    (folder / "task" / "inverted.yaml").write_text(inverted, encoding="utf-8")
    (folder / "own.py").write_text(CLASSES)
    (folder / "own_helpers.py").write_text(HELPERS)
    for name, text in PACKED.items():
        (folder / "packed" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "packed" / f"{name}.py").write_text(text)
    (folder / "notes").mkdir()
    (folder / "notes" / "list.yaml").write_text("- no option\n")
    monkeypatch.setenv(folders.VARIABLE, str(folder))
    return folder


def planned(*arguments: str) -> Any:
    (job,) = jobs(arguments)
    return job


# In a process of its own, since modules stay imported.
def ran(mine: Path, *arguments: str) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """The log, the provenance and the cell's name of a trial by ``run.py``."""
    runs = mine.parent / "runs"
    environment = {k: v for k, v in os.environ.items() if k != folders.VARIABLE}
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "--config-dir", mine, "task.epochs=2",
         "task.train_size=32", "task.test_size=32", f"paths.results={runs}", *arguments],
        cwd=mine.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = [path.parent for path in runs.glob("*/*/trial-0/final.json")]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    origin = json.loads((folder / "provenance.json").read_text())
    name = folder.parent.name
    os.rename(runs, mine.parent / f"done-{name}")
    return log, origin, name


def losses(log: list[dict[str, Any]]) -> list[float]:
    return [row["train_loss"] for row in log]


@pytest.mark.slow
def test_a_metric_of_ones_own_trains_is_named_and_differs_from_h0(mine: Path) -> None:
    plain, _, _ = ran(mine, "metric=h0")
    heat, origin, name = ran(mine, "metric=heat", "metric.sigma=3")
    assert "heat-output-conv-sigma3" in name
    assert losses(heat) != losses(plain)
    assert {"own.py", "own_helpers.py"} <= origin["sources"].keys()
    assert not [key for key in origin["sources"] if str(mine) in key]


def test_one_of_each_trains(mine: Path) -> None:
    log, origin, name = ran(
        mine, "task=inverted", "model=small", "model.width=4", "optimizer=signs", "metric=sobolev",
        "schedule=halving",
    )  # fmt: skip
    assert name.startswith("small-signs-b8-sobolev-output-conv-halving-")
    assert "-width4-" in name
    assert [row["lr"] for row in log] == [1e-3, 5e-4]
    assert "own.py" in origin["sources"]


@pytest.mark.slow
def test_an_optimizer_of_another_package_trains(mine: Path) -> None:
    pytest.importorskip("timm")
    log, origin, name = ran(mine, "optimizer=lion", "metric=sobolev")
    assert "lion" in name
    assert log[0]["lr"] == 1e-4
    assert "timm" in origin["versions"]


def test_what_gives_the_plain_gradient_is_h0s_cell(mine: Path) -> None:
    assert planned("metric=heat", "metric.sigma=0").folder == planned("metric=h0").folder
    assert planned("metric=heat").folder != planned("metric=h0").folder


def test_a_metric_that_is_plain_on_short_fibers_alone_is_not_h0s_cell(mine: Path) -> None:
    assert planned("metric=cut").resolved.config.metric.name == "cut"
    asked = planned("metric=cut", "metric.above=1000").resolved.config.metric
    assert asked.settings["above"] == 1000


def test_the_direction_stays_where_the_response_depends_on_the_length(mine: Path) -> None:
    metric = planned("metric=shorter", "metric.direction=input").resolved.config.metric
    assert metric.direction == "input"


def test_a_metric_that_inherits_from_h0_is_attached(mine: Path) -> None:
    config = planned("metric=plainer").resolved.config
    network = torch.nn.Conv2d(2, 2, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    assert optimizers.install(config.metric, optimizer, network) is not None


def test_a_number_without_a_type_is_of_the_files_kind(mine: Path) -> None:
    assert planned("metric=bare", "metric.a=1.0").folder == planned("metric=bare").folder
    assert planned("metric=bare", "metric.a=0.5").folder != planned("metric=bare").folder


def test_sources_hold_what_a_package_imports_of_itself(mine: Path) -> None:
    sources = provenance.code(planned("metric=packed").resolved.config)
    assert {f"packed/{name}.py" for name in PACKED} <= sources.keys()


def test_what_a_class_takes_by_any_name_it_is_given(mine: Path) -> None:
    network = torch.nn.Conv2d(2, 2, 1)
    optimizer = optimizers.build(planned("optimizer=handed").resolved.config, network, "model")
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_momentum_comes_back_as_the_cycle_does(mine: Path) -> None:
    config = planned("schedule=cyclic", "task.epochs=4").resolved.config
    assert [each["momentum"] for each in schedules.rates(config, 1.0)] == [0.9, 0.8, 0.9, 0.8]


def test_what_a_schedule_changes_beside_the_rate_is_set(mine: Path) -> None:
    config = planned("schedule=decaying", "task.epochs=3").resolved.config
    assert [each["weight_decay"] for each in schedules.rates(config, 1.0)] == [0, 0.25, 0.5]


def test_a_network_that_cannot_be_imported_is_told(mine: Path) -> None:
    with pytest.raises(UserError, match=r"model=nowhere: cannot import _target_: nowhere\.Net"):
        data.build_model(planned("model=nowhere").resolved.config)


def test_betas_that_a_class_has_by_itself_are_cycled(mine: Path) -> None:
    config = planned("optimizer=usual", "schedule=onecycle").resolved.config
    assert schedules.rates(config, 1.0)[0]["betas"] == (0.95, 0.999)


@pytest.mark.parametrize("stated", ["name: warm\n", ""])
def test_a_name_that_is_not_the_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "heat.yaml").write_text(f"_target_: own.Heat\n{stated}")
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"heat.yaml: expected name: heat, as the file"):
        groups()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("metric=positional", "own.Positional has no such setting: expected none"),
        ("metric=directed", "metric.direction has no effect: own.Raised does not take it"),
        ("optimizer=slower", "optimizer=slower: own.Slower takes no lr"),
        ("optimizer=sure", "optimizer=sure: least has to be more"),
        ("optimizer=decayed", "optimizer.weight_decay: own.Signs has no such setting"),
        ("optimizer=signs schedule=onecycle", "schedule=onecycle: optimizer must support momentum"),
        ("optimizer.lr=0.3 schedule=onecycle", "optimizer.lr=0.3 has no effect with schedule=one"),
        ("optimizer.lr=0.3 schedule=cyclic", "optimizer.lr=0.3 has no effect with schedule=cyc"),
        ("metric=h0_mean schedule=onecycle", "would undo the 2 rates of task=digits metric=h0_m"),
        ("metric=raised schedule=onecycle", "would undo the 2 rates of task=digits metric=raised"),
        ("task=spade-cityscapes schedule=onecycle", "would undo the 2 rates of task=spade"),
        ("schedule=exponential schedule.gamma=null", "schedule.gamma=null: expected a valid num"),
        ("schedule=onecycle schedule.pct_start=0.5 task.epochs=2", "schedule=onecycle: "),
        ("metric=nothing", "metric=nothing: own.Nothing.install changed neither"),
        ("metric=neither", "own.Neither is no chandir.Metric"),
        ("metric=missing", "cannot import _target_: own.Missing"),
        ("metric=number", "pi is no class"),
        ("metric=haet", "metric=haet: expected LS, h0.*did you mean 'heat'"),
        ("metric=heat metric.sigma=-1", "metric.sigma=-1: expected a number >= 0"),
        ("metric=heat metric.sigma=x", "metric.sigma=x: expected a valid number"),
        ("metric=heat metric.sigam=1", "did you mean 'metric.sigma'"),
        (
            "metric=heat metric.sigma=1e300",
            "metric.sigma=1e.300: expected a finite number up to 1e.30",
        ),
        ("metric=h0 metric.sigma=1", "metric.sigma=1 has no effect with metric=h0"),
        ("optimizer=signs optimizer.decay=true", "optimizer.decay=true: expected"),
        ("optimizer=lbfgs", "LBFGS searches along a line"),
        ("schedule=plateau", "schedule=plateau: ReduceLROnPlateau wants more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    mine: Path, arguments: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        jobs(tuple(arguments.split()))


def test_an_own_network_that_says_not_what_it_makes_leaves_others_refusals_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "unsaid.yaml").write_text("_target_: own.Net\nname: unsaid\n")
    with pytest.raises(UserError, match=r"model=spade makes images: .* choose model=convnet, res"):
        jobs(("task=digits", "model=spade"))


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (("--help",), r"metric: LS, bare,.* heat,.* third"),
        (("metric=third", "--cfg", "job"), "name: third"),
        (("metric=heat", "--info", "defaults"), "metric/heat"),
    ],
)
def test_a_question_knows_the_choices_that_a_run_has(
    mine: Path, tmp_path: Path, question: tuple[str, ...], told: str
) -> None:
    """Those of the environment's folders, and of two more."""
    given = []
    for name in ("second", "third"):
        (tmp_path / name / "metric").mkdir(parents=True)
        (tmp_path / name / "metric" / f"{name}.yaml").write_text(
            f"_target_: own.Heat\nname: {name}\ndirection: output\nscope: conv\n"
        )
        given += ["--config-dir", str(tmp_path / name)]
    done = call(*given, *question, env={folders.VARIABLE: str(mine)})
    assert done.returncode == 0, done.stderr
    assert re.search(told, done.stdout)


def test_two_files_of_one_option_are_refused(mine: Path) -> None:
    (mine / "metric" / "h0.yaml").write_text("_target_: own.Heat\nname: h0\n")
    try:
        with pytest.raises(UserError, match=r"metric=h0 is .*already; rename one of them"):
            folders._options.__wrapped__((mine,))
    finally:
        (mine / "metric" / "h0.yaml").unlink()


@pytest.mark.parametrize(
    ("given", "words"), [([], "expected a folder"), (["nope"], "--config-dir nope: expected a fol")]
)
def test_a_folder_that_is_none_is_refused(given: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        folders.take(["metric=h0", "--config-dir", *given])


def test_a_folder_without_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no option of any group"):
        folders.take([f"--config-dir={tmp_path}"])


def test_a_folder_that_the_environment_names_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"CHANDIR_CONF: .*gone: expected a folder"):
        folders.take([])


def test_a_folder_whose_path_would_end_early_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / f"a{os.pathsep}b"
    (folder / "metric").mkdir(parents=True)
    with pytest.raises(UserError, match="expected a path without"):
        folders.take([f"--config-dir={folder}"])


def test_a_plan_does_not_wait_for_torchs_compiler(tmp_path: Path) -> None:
    code = (
        "import sys; from chandir.harness.sweep.plan import jobs\n"
        "jobs(('metric=h0,sobolev,h0_mean', 'optimizer=sgd,adamw,LS', 'schedule=step,cosine'))\n"
        "print('torch._dynamo' in sys.modules)\n"
        "import torch; torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == "False"


def test_a_rate_that_nothing_tells_is_asked_for(mine: Path) -> None:
    told = r"optimizer=rateless: neither its file nor task=digits .* in .*rateless.yaml; add it"
    with pytest.raises(UserError, match=told):
        planned("optimizer=rateless")
    assert planned("optimizer=rateless", "optimizer.lr=0.1").resolved.config.optimizer.lr == 0.1


def test_a_choice_of_ones_own_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"one of your own, FOLDER/metric/fog.yaml, takes --config"):
        planned("metric=fog")
    (tmp_path / "here" / "metric").mkdir(parents=True)
    (tmp_path / "here" / "metric" / "fog.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"here/metric/fog.yaml is there: add --config-dir here"):
        planned("metric=fog")


def test_what_a_file_lacks_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scale").mkdir()
    (tmp_path / "scale" / "tiny.yaml").write_text("name: tiny\n")
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    with pytest.raises(
        UserError, match=rf"scale.trials: missing: expected in {tmp_path}/scale/tiny"
    ):
        planned("scale=tiny")
