"""The typed configuration of one trial: types, ranges, choices; unknown keys are refused.

YAML under ``conf/`` gives the values, this module says which are possible. Times are in seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from chandir.harness.base.errors import UserError
from chandir.harness.base.files import to_json
from chandir.harness.config import limits
from chandir.harness.config.wording import sentence

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(limits.single)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(limits.single)]
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


class Part(Built):
    """A choice that an option's file makes: a class, anywhere importable, and its settings.

    Which settings there are, of which type and range, follows from the class; see `parts`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    facts: ClassVar[tuple[str, ...]] = ("_target_", "name")

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting that the file or a user states, null or not; no facts."""
        plain: dict[str, Any] = self.model_dump(by_alias=True, exclude_unset=True)
        return {key: value for key, value in plain.items() if key not in self.facts}

    def with_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The same choice as a plain dictionary, with other settings."""
        return {"_target_": self.target, "name": self.name, **settings}


class Metric(Part):
    """A `chandir.Metric` on the fibers of a direction, or a control, which installs itself."""

    direction: Direction | None = None
    scope: Scope | None = None


class Optimizer(Part):
    """A torch optimizer. ``lr_g`` and ``lr_d`` are a GAN's, in place of ``lr``.

    ``weight_decay`` null is Table 1's. ``reset_momentum``: forget its state at each drop of the
    rate. ``usual_lr``: a fact of its file, the rate where Table 1 has no row for it.
    """

    facts: ClassVar[tuple[str, ...]] = ("_target_", "name", "usual_lr")
    usual_lr: Positive | None = None

    lr: Positive | None = None
    lr_g: Positive | None = None
    lr_d: Positive | None = None
    weight_decay: NotNegative | None = None
    reset_momentum: bool = False


class Schedule(Part):
    """A torch scheduler, stepped after each epoch.

    What is null in its file follows from the task or from Table 1, or is the number of epochs.
    """


class Row(Node):
    """One row of the paper's Table 1 (or what we chose where the task is not in it)."""

    optimizer: str
    model: str
    batch_size: Annotated[list[Count], Field(min_length=1)]
    epochs: Count
    lr: Positive | None = None
    lr_g: Positive | None = None
    lr_d: Positive | None = None
    every: Count | None = None
    weight_decay: NotNegative = 0.0


class Task(Built):
    """What the harness reads of a task; further keys go to the task's constructor.

    ``evaluate_every``: test scores are taken after so many epochs each, and after the last one.
    What is trained does not depend on it; the best epoch is the best of those.
    ``schedules``: a fact of its file, what is null in a schedule's, by the schedule's name.
    ``checksums``: another one, whether the publisher's checksums, or at least counts, are at hand.
    Files that were held to checksums are the same files.
    ``embedded``: likewise, whether its data are part of a package, so that ``data.root`` is idle.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    shape: dict[str, int]
    batch_size: Count | None
    epochs: Count | None
    evaluate_every: Count | None
    schedules: dict[str, dict[str, Any]] = {}
    table1: list[Row]
    in_paper: bool
    checksums: bool | Literal["counts"]
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


class TensorBoard(Node):
    """TensorBoard, in the run folder; ``tensorboard --logdir`` reads it. Needs no account."""

    name: Literal["tensorboard"]


Tracking: TypeAlias = NoTracker | Wandb | TensorBoard


class Experiment(Node):
    """One artefact of the paper: cells as lines of overrides, and the trials of each."""

    name: str
    trials: Count
    cells: Annotated[list[str], Field(min_length=1)]


class Config(Node):
    """Everything that one trial needs."""

    task: Task
    model: Model
    optimizer: Optimizer
    metric: Metric
    schedule: Schedule
    scale: Scale
    tracker: Annotated[Tracking, Field(discriminator="name")]
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


def of_data(task: Task, data: Data) -> str:
    """The settings that decide which data are loaded: trials of equal texts share them."""
    return to_json([task.target, task.model_extra, data.model_dump()])


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
