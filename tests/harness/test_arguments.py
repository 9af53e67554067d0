"""What the command line refuses, and what it expands to."""

from __future__ import annotations

import pytest

from chandir.harness.base.errors import UserError
from chandir.harness.command.arguments import expand, parse
from chandir.harness.command.options import groups, settings
from chandir.harness.sweep.plan import jobs
from chandir.harness.sweep.sweep import prepare


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("trail=3", "trail.*did you mean 'trial'"),
        ("+trail=3", "trail.*did you mean 'trial'"),
        ("metric.lambda=2", "did you mean 'metric.lam'"),
        ("lam=2", "did you mean 'metric.lam'"),
        ("metric.floor=2", "metric.floor: there is no such setting$"),  # like another in its group
        ("task.lr=0.1", "did you mean 'optimizer.lr'"),
        ("optimizer.momentun=0.9", "did you mean 'optimizer.momentum'"),
        ("task=cifar11", "task=cifar11: expected .*did you mean 'cifar10'"),
        ("optimizer=ls", "optimizer=ls: expected LS, adam, adamw, muon, rmsprop or sgd"),
        ("metric=h0,sobolef", "metric=sobolef.*did you mean 'sobolev'"),
        ("experiment=fig66", "did you mean 'fig6'"),
        ("+metric.lam=3", "write it without the \\+"),
        ("~metric", "would remove"),
        ("trial=0-24", "trial=range\\(25\\)"),
        ("trial=0.5", "trial=0.5: expected a whole number"),
        ("trial=null", "expected a whole number"),
        ("trial=-1", "expected a whole number from 0"),
        ("task=null", "task=null: expected"),
        ("hydra/launcher=loacl", "did you mean 'local'"),
        ("task.table1=3", "not a setting"),
        ("task.name=x", "not a setting"),
        ("metric._target_=os.remove", "not a setting"),
        ("metric.lam", "expected key=value"),
        ("model.in_channels=3", "it follows from the choice of task"),
        ("trial=range(0)", "an empty sweep"),
        (
            "trial=range(3,1)",
            r"^trial=range\(3,1\) is an empty sweep: expected at least one value$",
        ),
        ("trial=range(0,1,0)", r"trial=range\(0,1,0\): .*: expected values that can be listed$"),
        ("hydra.launcher._target_=x", "hydra.launcher._target_=x: there is no such setting$"),
        ("metric=glob(x*)", "an empty sweep"),
        ("metric.lam=interval(0,1)", "expected values that can be listed"),
        ("hydra/sweeper=basic", "remove it"),
        ("hydra.launcher.worker=2", "did you mean 'hydra.launcher.workers'"),
    ],
)
def test_a_misspelt_argument_is_refused_with_the_nearest_name(argument: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse([argument])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["metric.lam=-1"], "metric.lam=-1: expected a finite number > 0"),
        (["metric.lam=0"], "metric.lam=0: expected a finite number > 0"),
        (["metric=h0_lambda", "metric.lam=-0.5"], "metric.lam=-0.5: expected a finite number >= 0"),
        (["metric.lam=abc"], "metric.lam=abc: expected a valid number"),
        (["metric.lam=nan"], "metric.lam=nan: expected a finite"),
        (["metric.weight=0", "metric.h0_scale=0"], "makes every gradient 0"),
        (["metric.direction=outptu"], "did you mean 'output'"),
        (["metric.scope=convs"], "did you mean 'conv'"),
        (["task.epochs=0"], "task.epochs=0: expected a number from 1 up"),
        (["task.epochs=1.5"], "task.epochs=1.5: expected a valid integer"),
        (["task.batch_size=-8"], "task.batch_size=-8"),
        (["metric=h0_norm", "metric.weight=0", "metric.h0_scale=0"], "makes every gradient 0"),
        (
            ["optimizer.nesterov=true", "optimizer.momentum=0"],
            "no effect with optimizer.momentum=0",
        ),
        (
            ["optimizer.reset_momentum=true", "optimizer.momentum=0"],
            "no effect with optimizer.momentum=0",
        ),
        (["schedule.every=0"], "schedule.every=0"),
        (["task.schedule.every=4"], "task.schedule.every is schedule.every now"),
        (["task.schedule.name=cosine"], "task.schedule.name is schedule now"),
        (["metric.direction=null"], "metric.direction=null: expected output, input or rasterized"),
        (["optimizer=adam", "optimizer.betas=[0.9]"], "expected 2 of them"),
        (["paths.results="], "paths.results=: expected some text"),
        (["data.root="], "data.root=: expected some text"),
        (["task=mnist-swap", "data.name=minst"], "did you mean 'mnist'"),
        (["optimizer.lr=0"], "optimizer.lr=0"),
        (["optimizer.momentum=1"], "optimizer.momentum=1"),
        (["device=gpu"], "device=gpu: expected auto, cpu, cuda or cuda:N"),
        (["precision=fp16"], "precision=fp16"),
        (["threads=0"], "threads=0"),
        (["data.source=fake"], "data.source=fake"),
        # Settings that would be ignored.
        (["optimizer.sigma=2"], "optimizer.sigma=2 has no effect with optimizer=sgd"),
        (["metric=h0", "metric.lam=2"], "metric.lam=2 has no effect with metric=h0"),
        (["metric=h0,sobolev", "metric.lam=2"], "no effect with metric=h0"),
        (["metric=h0_lambda", "metric.weight=2"], "no effect with metric=h0_lambda"),
        (["optimizer=adam", "optimizer.momentum=0.5"], "no effect with optimizer=adam"),
        (["model.shortcut=A"], "no effect with model=convnet"),
        (["data.name=mnist"], "data.name=mnist has no effect on task=digits"),
        (["device=cpu", "precision=tf32"], "precision=tf32 has no effect"),
        (["experiment=fig6", "artefact=x"], "artefact has no effect with experiment"),
        (["data.verify=false"], "data.verify=false has no effect with task=digits"),
        (
            ["task=cifar10", "data.verify=false", "data.source=synthetic"],
            "data.verify=false has no effect with data.source=synthetic",
        ),
        # A network that makes something else than the task asks for.
        (
            ["model=spade"],
            "task=digits expects classes; choose model=convnet, resnet56, torchvision or vgg16",
        ),
        (["task=pascalvoc", "model=resnet56"], "choose model=unet-r50"),
        (["task=spade-cityscapes", "model=convnet"], "choose model=spade"),
    ],
)
def test_a_bad_value_is_refused_before_anything_runs(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        jobs(tuple(arguments))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("metric.lam='3'", r"metric\.lam=3: expected a valid number, and '3' is a text"),
        ("metric.lam=${oc.env:NOPE_X,3}", r"or let the shell fill it in: metric\.lam=\$NAME$"),
        ("task.epochs='2'", r"task\.epochs=2: expected .*, and '2' is a text"),
        ("plan='true'", r"plan=true: expected .*, and 'true' is a text"),
        ("metric.lam=abc", r"metric\.lam=abc: expected a valid number$"),
    ],
)
def test_a_text_that_reads_like_what_was_expected_is_said_to_be_one(
    setting: str, words: str
) -> None:
    """The environment's variables are texts, too."""
    with pytest.raises(UserError, match=words):
        jobs((setting,))


def test_a_setting_is_given_once() -> None:
    with pytest.raises(UserError, match=r"metric.lam=1 has no effect before metric.lam=2"):
        prepare(["metric.lam=1", "metric.lam=2"])
    with pytest.raises(UserError, match="trial=0 has no effect before trial=1"):
        prepare(["trial=0", "trial=1"])
    assert len(prepare(["metric=h0", "metric=h0"])) == 1
    (job,) = prepare(["paths.results=a", "paths.results=b"])
    assert job.resolved.config.paths.results == "b"


def test_a_launchers_settings_are_its_own() -> None:
    assert len(parse(["hydra/launcher=slurm", "hydra.launcher.partition=gpu"])) == 2
    with pytest.raises(UserError, match=r"partitoin=gpu.*did you mean 'hydra.launcher.partition'"):
        parse(["hydra/launcher=slurm", "hydra.launcher.partitoin=gpu"])
    with pytest.raises(UserError, match=r"hydra.launcher.timeout_min=soon: .*Integer"):
        parse(["hydra/launcher=slurm", "hydra.launcher.timeout_min=soon"])
    with pytest.raises(UserError, match=r"hydra.launcher.workers=2: there is no such setting"):
        parse(["hydra.launcher.workers=2", "hydra/launcher=basic"])


def test_an_unknown_flag_and_a_plan_that_would_not_run_are_refused() -> None:
    with pytest.raises(UserError, match="--bogus"):
        prepare(["--bogus"])
    with pytest.raises(UserError, match="normalisation"):
        prepare(["task=cifar10", "task.normalisation=imagenet", "plan=true"])


def test_a_sweep_without_multirun_is_refused() -> None:
    with pytest.raises(UserError, match="add -m"):
        prepare(["metric=h0,sobolev"])


def test_sweeps_expand_to_their_product_with_trials_innermost() -> None:
    line = expand(parse(["trial=range(2)", "metric=h0,sobolev"]))
    assert line == [
        ["metric=h0", "trial=0"],
        ["metric=h0", "trial=1"],
        ["metric=sobolev", "trial=0"],
        ["metric=sobolev", "trial=1"],
    ]


def test_a_glob_takes_every_choice() -> None:
    assert [line[0] for line in expand(parse(["metric=glob(*)"]))] == [
        f"metric={name}" for name in groups()["metric"]
    ]


def test_every_key_of_every_configuration_file_is_a_known_setting() -> None:
    assert {"metric.lam", "optimizer.sigma", "task.epochs", "trial", "data.name"} <= settings()


def test_experiments_take_the_command_lines_overrides_in_each_cell() -> None:
    planned = jobs(("experiment=demo", "task.epochs=2", "trial=range(1,3)"))
    assert {job.resolved.config.task.epochs for job in planned} == {2}
    assert {job.trial for job in planned} == {1, 2}
    assert len({job.folder.parent for job in planned}) == 3
    assert {job.resolved.config.artefact for job in planned} == {"demo"}


def test_smoke_runs_at_most_two_trials_of_a_cell() -> None:
    assert {job.trial for job in jobs(("experiment=demo", "scale=smoke"))} == {0, 1}
    assert {job.trial for job in jobs(("experiment=demo",))} == set(range(5))


def test_trials_that_smoke_leaves_out_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    planned = prepare(["-m", "scale=smoke", "trial=3,5,7,8"])
    assert [job.trial for job in planned] == [3, 5]
    assert (
        capsys.readouterr().out == "scale=smoke: at most 2 trials of a cell run, of the 4 asked\n"
    )
    prepare(["-m", "scale=smoke", "trial=3,5"])
    prepare(["experiment=demo", "scale=smoke"])
    assert not capsys.readouterr().out


def test_a_fact_is_a_key_and_what_is_below_it_but_not_what_starts_alike() -> None:
    """``model.label`` is one; a network's own ``model.label_smoothing`` would be none."""
    for key in ("model.label", "task.shape.classes", "task.scales.smoke.epochs"):
        with pytest.raises(UserError, match=f"{key} is not a setting: it follows from"):
            parse([f"{key}=1"])
    for key in ("model.label_smoothing", "task.shapes", "task.in_papers"):
        with pytest.raises(UserError, match=f"{key}: there is no such setting"):
            parse([f"{key}=1"])
