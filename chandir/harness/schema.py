"""The typed configuration of one trial: types, ranges, choices; unknown keys are refused.

YAML under ``conf/`` gives the values, this module says which are possible. Times are in seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from chandir.harness import limits
from chandir.harness.errors import UserError
from chandir.harness.wording import sentence

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(limits.single)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(limits.single)]
Strength = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(limits.strength)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(limits.strength)]
BelowOne = Annotated[float, Field(ge=0, lt=1), AfterValidator(limits.below_one)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Text = Annotated[str, Field(min_length=1), AfterValidator(limits.text)]
Place = Annotated[Text, AfterValidator(limits.place)]
Folder = Annotated[Place, AfterValidator(limits.expanded)]
Direction = Literal["output", "input", "rasterized"]
Scope = Literal["conv", "all"]


class Node(BaseModel):
    """A part of the configuration; immutable once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Built(Node):
    """A part that `hydra.utils.instantiate` builds from ``_target_`` and the other keys."""

    target: str = Field(alias="_target_")
    name: str


class H0(Built):
    """The plain gradient: direction and scope are accepted and ignored."""

    name: Literal["h0"]
    direction: Direction | None = None
    scope: Scope | None = None


class H0Lambda(Built):
    """f + lam * mean(f)."""

    name: Literal["h0_lambda"]
    direction: Direction
    scope: Scope
    lam: Weight


class Sobolev(Built):
    """h0_scale * f + weight * S_lam f."""

    name: Literal["sobolev"]
    direction: Direction
    scope: Scope
    lam: Strength
    weight: Weight
    h0_scale: Weight


class H0Mean(Built):
    """A control: the plain gradient, with 1 + lam times the learning rate on the scope's tensors.

    Its step along the mean is that of the metrics at the same lam, its other steps are as large.
    """

    name: Literal["h0_mean"]
    scope: Scope
    lam: Weight


class H0Norm(Built):
    """A control: the plain gradient, scaled per tensor and step to the norm of the Sobolev one."""

    name: Literal["h0_norm"]
    direction: Direction
    scope: Scope
    lam: Strength
    weight: Weight
    h0_scale: Weight


Metric = H0 | H0Lambda | Sobolev | H0Mean | H0Norm


class Sgd(Node):
    """torch.optim.SGD. ``lr_g`` and ``lr_d`` are a GAN's, in place of ``lr``."""

    name: Literal["sgd"]
    lr: Positive | None
    lr_g: Positive | None
    lr_d: Positive | None
    momentum: BelowOne
    weight_decay: NotNegative | None
    nesterov: bool
    reset_momentum: bool


class LS(Sgd):
    """SGD on Laplacian-smoothed gradients."""

    name: Literal["LS"]  # type: ignore[assignment]
    sigma: Weight
    direction: Direction
    scope: Scope


class Adam(Node):
    """torch.optim.Adam."""

    name: Literal["adam"]
    lr: Positive | None
    lr_g: Positive | None
    lr_d: Positive | None
    betas: Annotated[list[BelowOne], Field(min_length=2, max_length=2)]
    weight_decay: NotNegative


class Step(Node):
    """The learning rate is multiplied by ``factor`` after each ``every`` epochs.

    ``every`` null: Table 1's, in proportion to the epochs that are run.
    """

    name: Literal["step"]
    every: Count | None
    factor: Positive


class Cosine(Node):
    """The learning rate falls as a half cosine to 0 over ``every`` epochs, then starts again."""

    name: Literal["cosine"]
    every: Count


class Constant(Node):
    """The learning rate stays."""

    name: Literal["constant"]


Schedule = Step | Cosine | Constant


class Row(Node):
    """One row of the paper's Table 1 (or what we chose where the task is not in it)."""

    optimizer: Literal["sgd", "adam", "LS"]
    model: str
    batch_size: Annotated[list[Count], Field(min_length=1)]
    epochs: Count
    lr: Positive | None = None
    lr_g: Positive | None = None
    lr_d: Positive | None = None
    every: Count = 1
    weight_decay: NotNegative = 0.0


class Task(Built):
    """What the harness reads of a task; further keys go to the task's constructor.

    ``evaluate_every``: test scores are taken after so many epochs each, and after the last one.
    What is trained does not depend on it; the best epoch is the best of those.
    ``checksums``: a fact of its file, whether the publisher's checksums or counts are at hand.
    ``embedded``: likewise, whether its data are part of a package, so that ``data.root`` is idle.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    shape: dict[str, int]
    batch_size: Count | None
    epochs: Count | None
    evaluate_every: Count | None
    schedule: Annotated[Schedule, Field(discriminator="name")]
    table1: list[Row]
    in_paper: bool
    checksums: bool
    embedded: bool = False
    scales: dict[Literal["paper", "short", "smoke"], dict[str, Any]]


class Model(Built):
    """A network; further keys go to its constructor.

    Facts of its file: ``makes`` is what it gives for an image, which has to be what the task asks
    for, and ``label`` how it differs from the network that the paper trains.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    makes: Literal["classes", "pixel classes", "images"]
    label: str | None = None


class Scale(Node):
    """How much of the paper's work is done."""

    name: Literal["paper", "short", "smoke"]
    trials: Count | None


class Data(Node):
    """Where the data is and how far it is trusted."""

    root: Place
    source: Literal["real", "synthetic"]
    verify: bool
    name: Literal["mnist", "fashion-mnist"] | None


class Checkpoint(Node):
    """At epoch ends, at most every so many seconds."""

    seconds: NotNegative
    keep: bool


class Paths(Node):
    """Where run folders go, and the page at the end of a sweep."""

    results: Folder
    page: Folder | None


class NoTracker(Node):
    """No dashboard."""

    name: Literal["none"]


class Wandb(Node):
    """Weights & Biases; the run folder is the truth in any case."""

    name: Literal["wandb"]
    mode: Literal["offline", "online"]
    project: Annotated[Text, AfterValidator(limits.project)]
    entity: Text | None


class Experiment(Node):
    """One artefact of the paper: cells as lines of overrides, and the trials of each."""

    name: str
    trials: Count
    cells: Annotated[list[str], Field(min_length=1)]


class Config(Node):
    """Everything that one trial needs."""

    task: Task
    model: Model
    optimizer: Annotated[Sgd | Adam | LS, Field(discriminator="name")]
    metric: Annotated[Metric, Field(discriminator="name")]
    scale: Scale
    tracker: Annotated[NoTracker | Wandb, Field(discriminator="name")]
    trial: Annotated[int, Field(ge=0)]
    data: Data
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:(0|[1-9]\d?))?)$")]
    precision: Literal["fp32", "tf32", "bf16"]
    determinism: Literal["fast", "reproducible", "exact", "portable"]
    graphs: Literal["auto", True, False]
    threads: Threads
    on_error: Literal["continue", "stop"]
    on_change: Literal["refuse", "restart", "continue"]
    plan: bool
    artefact: str | None
    checkpoint: Checkpoint
    paths: Paths
    experiment: Experiment | None = None


def check(composed: dict[str, Any]) -> Config:
    """The configuration as typed objects.

    Raises:
        UserError: naming each bad setting, its value, what was expected and the nearest valid name.
    """
    try:
        config = Config.model_validate(composed)
    except ValidationError as error:
        raise UserError("\n".join(sentence(problem) for problem in error.errors())) from None
    if absurd := next(limits.absurd(composed), None):
        raise UserError(absurd)
    return config
