"""Hundreds of odd command lines: each is planned, or refused in words. None raises otherwise."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from chandir.harness.base.errors import UserError
from chandir.harness.command import launchers
from chandir.harness.command.launchers import choices
from chandir.harness.command.options import groups, settings
from chandir.harness.sweep import launch, questions, summary
from chandir.harness.sweep.plan import jobs
from chandir.harness.sweep.sweep import _check_machine, prepare
from tests.harness.runs import complete

VALUES = (
    *("", " ", "''", "null", "???", "true", "-1", "0", "1e308", "-1e308", "5e-324", "nan", "inf"),
    *("10000000000000000000000", "0x10", "1_000", "cuda:00", "[1,2]", "{a:1}", "{}", "[]", "~/x"),
    *("${trial}", "${now:%H}", "${nope}", "${oc.env:NOPE_X}", "${oc.env:HOME}", "${task.name}"),
    *("${${trial}}", "${", "x" * 300, "a/" * 2000, "ä", "\x00", "\n", "\udcff", "'a=b'", "a=b"),
    *("1,2", "range(3)", "range(0)", "glob(*)", "interval(0,1)", "choice(1,2)", "sort(1,2)"),
    *("[[[[[[1]]]]]]", "{a:{b:{c:1}}}", "\\", '"', "(", ")", "@", "%", "!!python/object:os.system"),
)
FORMS = ("{}={}", "+{}={}", "++{}={}", "~{}", "~{}={}", "{}@x={}", "{}", "{}.x={}", "{}=x={}")
HYDRA = (
    *("hydra/output", "hydra/env", "hydra/hydra_logging", "hydra/job_logging", "hydra/launcher"),
    *("hydra/sweeper", "hydra/help", "hydra/callbacks", "hydra", "hydra.launcher", "hydra.mode"),
    *("hydra.job.name", "hydra.job.chdir", "hydra.sweep.dir", "hydra.output_subdir"),
    *("hydra.sweeper._target_", "hydra.launcher._target_", "hydra.launcher.workers", "hydra.nope"),
    *("hydra.launcher.stack", "hydra.verbose", "hydra.searchpath", "hydra.run.dir", "defaults"),
)


def lines() -> list[list[str]]:
    """A fixed draw: every key with some values, every value with some keys, in every form."""
    draw = random.Random(17)
    keys = [*sorted(settings()), *groups(), *HYDRA]
    found = [[f"{key}={value}"] for key in keys for value in draw.sample(VALUES, 3)]
    found += [[f"{key}={value}"] for value in VALUES for key in draw.sample(keys, 2)]
    found += [
        [form.format(key, draw.choice(VALUES))]
        for form, key in itertools.product(FORMS, draw.sample(keys, 8))
    ]
    found += [["-m", f"{draw.choice(keys)}={draw.choice(VALUES)}", "trial=0,1"] for _ in range(40)]
    found += [
        ["-m", "trial=0,1", f"hydra/launcher={launcher}", f"hydra.launcher.{key}={value}"]
        for launcher in sorted(choices())
        for key in ("timeout_min", "name", "setup", "additional_parameters", "nope")
        for value in draw.sample(VALUES, 1)
    ]
    return found


def outcome(arguments: list[str]) -> str:
    """ "planned", or why not."""
    try:
        summary.plan_text(complete(prepare([*arguments, "plan=true"])))
    except UserError as error:
        return str(error) or "no reason"
    return "planned"


@pytest.mark.slow
def test_an_odd_override_is_planned_or_refused_in_words() -> None:
    every = lines()
    assert len(every) > 500
    failures = []
    for arguments in every:
        try:
            outcome(arguments)
        except Exception as error:
            failures.append(f"{arguments!r:.200}: {type(error).__name__}: {error!s:.200}")
    assert not failures, "\n".join([f"{len(failures)}", *failures[:40]])
    assert {"planned", "no reason"} & {outcome(each) for each in every[:50]} == {"planned"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("paths.results=/x/${now:%H-%M-%S}", "would split a cell"),
        ("paths.results=/x/T${trial}", "would split a cell"),
        ("metric.weight=${trial}", "would split a cell"),
        ("optimizer.momentum=${.trial}", "would split a cell"),
        (
            "task.epochs=99999999999999999999999",
            "epochs=9.*: expected a number up to 1,000,000",
        ),
        ("task.batch_size=99999999999999999999999", "task.batch_size=9.*: expected a number up to"),
        ("task.train_size=99999999999999999999999", "task.train_size=9.*: expected a whole number"),
        ("trial=99999999999999999999999", "trial=9.*: expected at most"),
        ("optimizer.lr=1e308", r"optimizer.lr=1e\+308: expected a number from 1e-30 to 1e\+30"),
        ("metric.lam=1e308", "expected a finite number up to 1e"),
        ("metric.lam=1e20", "expected a number from 1e-15 to"),
        ("metric.lam=5e-324", "expected a number from 1e-15 to"),
        ("metric.weight=5e-324", "expected a number from 1e-15 to"),
        ("optimizer.momentum=0.9999999999999", "a number less than 1, as float32"),
        ("threads=10000", "threads=10000: expected a number up to 1,024"),
        ("device=cuda:00", "device=cuda:00: expected auto, cpu, cuda or cuda:N"),
        ("paths.results=???", r"paths.results=\?\?\?: expected some text"),
        ("paths.results='~nobody-here/x'", "a path; ~ is a user's home"),
        ("data.root=x", "data.root=x has no effect on task=digits"),
        ("-m data.root=x metric=h0,sobolev", "data.root=x has no effect on task=digits"),
        ("data.verify=false", "data.verify=false has no effect with task=digits"),
        ("task.embedded=false", "task.embedded is not a setting"),
        ("data.root=", "data.root=: expected some text"),
        ("data.root=' '", "expected some text"),
        (f"paths.results=/x/{'n' * 300}", "none of its names longer than 255"),
        ("+hydra.nope=1", r"only hydra/launcher and those of hydra.launcher.\* can be set"),
        ("hydra.mode=RUN", "can be set"),
        ("hydra.job.name=z", "did you mean 'hydra.launcher.name'|can be set"),
        ("hydra.sweep.dir=x", "can be set"),
        ("hydra.output_subdir=zz", "can be set"),
        ("hydra.sweeper._target_=x", "can be set"),
        ("hydra.launcher={}", "can be set"),
        ("hydra.launcher._target_=x", "there is no such setting"),
        ("hydra/output=x", "can be set"),
        ("hydra/env=x", "can be set"),
        ("hydra/hydra_logging=colorlog", "can be set"),
        ("hydra/launcher=slurn", "did you mean 'slurm'"),
        (
            "-m hydra/launcher=slurm trial=0,1 hydra.launcher.timeout_min=2",
            "timeout_min=2: the signal to save comes .*signal_delay_s=120 seconds before",
        ),
        ("-m hydra/launcher=slurm trial=0,1 hydra.launcher.nodes=2", "nodes=2: expected 1"),
        ("-m trial=0,1 ++hydra.launcher.workers=3", "the setting exists; write it without the +"),
        ("-m trial=0,1 +hydra.launcher.additional_parameters.qos=x", "there is no such setting"),
        (
            "-m hydra/launcher=slurm trial=0,1 hydra.launcher.additional_parameters.qos=x",
            r"expected \+hydra.launcher.additional_parameters.qos=x",
        ),
        (
            "-m hydra/launcher=slurm trial=0,1 hydra.launcher.additional_parameters={qos:x}",
            "expected its parameters one by one",
        ),
        ("tracker=wandb tracker.project=a/b", "tracker.project=a/b: expected at most 128"),
        (f"tracker=wandb tracker.project={'n' * 129}", "expected at most 128 characters"),
        ("tracker=wandb tracker.entity=", "tracker.entity=: expected some text"),
        ("-m hydra/launcher=slurm trial=0,1 hydra.launcher.max_num_timeout=-1", "expected 0 to"),
        ("-m trial=range(0,100000) metric.lam=range(1,1000)", "more than"),
    ],
)
def test_what_would_not_run_as_planned_is_refused(arguments: str, words: str) -> None:
    whole = arguments.startswith(("data.root", "paths"))  # a value with a space
    with pytest.raises(UserError, match=words):
        prepare([arguments] if whole else arguments.split(" "))


@pytest.mark.parametrize(
    "arguments",
    [
        ["data.root=data"],
        ["data.root=./data/"],
        ["data.verify=true"],
        ["task=mnist-swap", "data.root=x"],
        ["-m", "task=digits,mnist-swap", "data.root=x"],  # right for one of them
        ["experiment=demo", "data.root=x"],  # a script may give every experiment the same
    ],
)
def test_a_folder_of_data_that_is_read_or_changes_nothing_is_not_refused(
    arguments: list[str],
) -> None:
    assert prepare(arguments)


def test_a_parameter_of_sbatchs_can_be_added() -> None:
    added = "+hydra.launcher.additional_parameters.qos=long"
    assert len(prepare(["-m", "hydra/launcher=slurm", "trial=0,1", added])) == 2
    assert launchers.own(added)
    settings_of = launch.settings(["hydra/launcher=slurm", added], "/x")
    assert settings_of["additional_parameters"] == {"requeue": True, "qos": "long"}


def test_interpolations_that_are_the_same_for_all_trials_are_resolved_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRATCH_X", "/scratch/me")
    first, second = prepare(["-m", "paths.results=${oc.env:SCRATCH_X}/${task.name}", "trial=0,1"])
    assert first.folder.parent == second.folder.parent
    assert first.folder.is_relative_to("/scratch/me/digits")
    assert first.resolved.config.paths.results == "/scratch/me/digits"


def test_a_home_folder_is_expanded() -> None:
    (job,) = jobs(("paths.results='~/x'",))
    assert job.resolved.config.paths.results == os.path.expanduser("~/x")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["threads=1000"], "threads=1000: 1000 threads on .* cores"),
        (["-m", "trial=range(500)", "hydra.launcher.workers=400"], "workers=400 threads=1: 400"),
        (["device=cuda:99"], "device=cuda:99: torch sees"),
        (
            ["-m", "trial=0,1", "hydra/launcher=slurm"],
            "there is no SLURM here.*hydra/launcher=local",
        ),
    ],
)
def test_what_this_machine_does_not_have_is_refused(
    arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not anything is left to run; a plan asks nothing of this machine."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    planned = prepare(arguments)
    with pytest.raises(UserError, match=why):
        _check_machine(planned, arguments)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-h", "x=1"], "x: there is no such setting"),
        (["--help", "metric=nope"], "metric=nope: expected"),
        (["--shell-completion", "x"], "expected one of install=bash"),
        (["-sc"], "expected one of"),
        (["--cfg", "nope"], "--cfg=nope: expected --cfg job, hydra or all"),
        (["--cfg"], "--cfg: expected"),
        (["--help", "--config-dir=/x"], "there is no such flag"),
        (["--info", "nope"], "--info=nope: expected"),
        (["--help", "metric=h0,sobolev"], "is a sweep"),
        (["--cfg", "job", "--package", "metrik"], "did you mean 'metric'"),
        (["-m", "--cfg", "job"], "--multirun has no effect with --cfg: expected it only with --h"),
        (["-sc", "query=bash", "-m"], "--multirun has no effect with --shell-completion"),
        (["--cfg", "job", "--info", "config"], "--cfg --info: expected one of them; ask one"),
        (["-sc", "install=bash", "-c", "job"], "--cfg --shell-completion: expected one of them"),
        (["--help", "--cfg", "job"], "--cfg --help: expected one of them"),
        (["--info", "defaults", "--resolve"], "--resolve has no effect with --info: expected"),
        (["--hydra-help", "--resolve"], "--resolve has no effect with --hydra-help"),
        (["--help", "--package", "metric"], "--package has no effect with --help: expected it o"),
        (["--cfg", "job", "-c=hydra"], "-c=hydra: --cfg is given already; expected it once"),
    ],
)
def test_an_odd_question_is_refused(arguments: list[str], why: str) -> None:
    assert questions.asked(arguments)
    with pytest.raises(UserError, match=why):
        questions.check(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-h"],
        ["task=cifar10", "--help", "metric.lam=2"],
        ["task=cifar10", "--info", "metric.lam=2"],
        ["--cfg", "job", "-p", "metric"],
        ["-c=all", "--resolve"],
        ["--info"],
        ["-i", "plugins"],
        ["-sc", "install=bash"],
        ["--version"],
        ["--help", "--resolve"],
        ["-m", "--help"],
    ],
)
def test_a_plain_question_is_not(arguments: list[str]) -> None:
    assert questions.asked(arguments)
    assert sorted(questions.check(arguments)) == sorted(arguments)
    assert not questions.asked(["-m", "trial=0,1"])
