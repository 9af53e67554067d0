"""The optimizer of a trial with its gradient metric attached, and its learning rate over epochs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, get_args

from torch import nn
from torch.optim import SGD, Optimizer

import chandir
from chandir import handle
from chandir.harness.base.errors import UserError, one_of
from chandir.harness.config.schema import Config, Direction, Metric, Scope
from chandir.harness.config.schema import Optimizer as Settings
from chandir.harness.parts import classes, schedules


class LS(SGD):
    """SGD on gradients that Laplacian smoothing (Osher et al., arXiv 1806.06317) has rewritten.

    With a metric, the metric acts first. The followed code smooths every tensor as a whole, before
    weight decay and momentum: direction "rasterized", scope "all".
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        sigma: float = 0.5,
        direction: Direction = "rasterized",
        scope: Scope = "all",
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )
        self.smoothing = chandir.LaplacianSmoothing(sigma)
        self.direction, self.scope = direction, scope

    def install(self, network: nn.Module, after: chandir.Handle | None) -> None:
        """Smooth the gradients of the network, after those of the metric."""
        chandir.attach(self, network, self.smoothing, self.direction, self.scope, after=after)


def build(config: Config, network: nn.Module, player: str) -> Optimizer:
    """The optimizer of one network; the metric rewrites its gradients before each step.

    Order in a step: metric, what the optimizer itself installs (LS), weight decay, momentum,
    update.

    Args:
        config: the trial's.
        network: its parameters are trained.
        player: "generator" and "discriminator" have rates of their own.

    Raises:
        ValueError: if the metric's scope matches none of the network's parameters.
        UserError: for an optimizer or a metric that refuses its settings, and for one that is
            neither attached nor installs anything: never plain gradients under another name.
    """
    lr = _rate(config.optimizer, player)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = _made(config.optimizer, [{"params": parameters, "lr": lr, "base": lr}])
    attached = install(config.metric, optimizer, network)
    if hasattr(optimizer, "install"):
        optimizer.install(network, attached)
    return optimizer


def metric_of(settings: Metric) -> Any:
    """A `chandir.Metric`, or a control: an object with ``install(optimizer, network)``.

    Raises:
        UserError: for settings that it refuses, and for anything else.
    """
    made = classes.make("metric", settings)
    if isinstance(made, chandir.Metric):
        for key in ("direction", "scope"):
            if getattr(settings, key) is None and type(made) is not chandir.H0:
                is_null = key in settings.settings
                expected = one_of(get_args({"direction": Direction, "scope": Scope}[key]))
                raise UserError(
                    f"metric.{key}{'=null' if is_null else ': missing'}: expected {expected}"
                    f"{'' if is_null else f' in the file of metric={settings.name}'}"
                )
    elif not callable(getattr(made, "install", None)):
        raise UserError(
            f"metric={settings.name}: {settings.target} is no chandir.Metric, and has no "
            "install(optimizer, network): expected one of them, for nothing would be attached"
        )
    else:
        taken = {parameter.name for parameter in classes.signature("metric", settings)}
        for key in classes.OWN["metric"] & settings.settings.keys() - taken:
            raise UserError(
                f"metric.{key} has no effect: {settings.target} does not take it, and installs "
                f"itself; remove it from the file of metric={settings.name}"
            )
    return made


def install(settings: Metric, optimizer: Optimizer, network: nn.Module) -> chandir.Handle | None:
    """Attach the metric, or let the control install itself; the plain gradient needs neither."""
    made = metric_of(settings)
    if type(made) is chandir.H0:
        return None
    if isinstance(made, chandir.Metric):
        assert settings.direction is not None
        assert settings.scope is not None
        return chandir.attach(optimizer, network, made, settings.direction, settings.scope)
    before = _marks(optimizer)
    attached: chandir.Handle | None = made.install(optimizer, network)
    if attached is None and _marks(optimizer) == before:
        raise UserError(
            f"metric={settings.name}: {settings.target}.install changed neither the optimizer's "
            "groups nor its hooks: expected one of them, for the gradients would be the plain ones"
        )
    return attached


def _marks(optimizer: Optimizer) -> tuple[Any, ...]:
    """What an installation may change of an optimizer."""
    groups = [
        (len(group["params"]), *(value for key, value in group.items() if key != "params"))
        for group in optimizer.param_groups
    ]
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    return groups, [list(each) for each in hooks], "step" in vars(optimizer)


def _rate(settings: Settings, player: str) -> float:
    """The player's learning rate before the schedule."""
    rates = {"generator": settings.lr_g, "discriminator": settings.lr_d}
    lr = rates.get(player, settings.lr)
    assert lr is not None
    return lr


def _made(settings: Settings, groups: list[dict[str, Any]]) -> Optimizer:
    plain = {
        key: value
        for key, value in settings.settings.items()
        if key not in ("lr", "lr_g", "lr_d", "reset_momentum") and value is not None
    }
    bare = Settings.model_validate(settings.with_settings(plain))
    signature = classes.signature("optimizer", settings)
    names = {parameter.name for parameter in signature}
    if "lr" not in names and not any(p.kind == p.VAR_KEYWORD for p in signature):
        raise UserError(
            f"optimizer={settings.name}: {settings.target} takes no lr: expected one, which the "
            "schedule sets in each epoch"
        )
    more: dict[str, Any] = {"lr": groups[0]["lr"]} if "lr" in names else {}
    if "capturable" in names and "capturable" not in plain:
        # On CUDA the count of steps lives on the device, so that a graph can replay it.
        more["capturable"] = groups[0]["params"][0].is_cuda
        # capturable suits plain steps as well, but torch warns of it there.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    optimizer = classes.make("optimizer", bare, groups, **more)
    if not isinstance(optimizer, Optimizer):
        raise UserError(f"optimizer={settings.name}: {settings.target} makes no torch optimizer")
    return optimizer


def check(config: Config) -> None:
    """Build metric, optimizer and schedule once, for a network of one convolution.

    A metric is not attached, for which torch would load its compiler.

    Raises:
        UserError: for what their classes refuse, and for an optimizer whose step the library does
            not support.
    """
    network = nn.Conv2d(2, 2, 1)
    bases = set()
    try:
        for player in ("generator", "discriminator") if config.optimizer.lr_g else ("model",):
            lr = _rate(config.optimizer, player)
            groups = [{"params": list(network.parameters()), "lr": lr, "base": lr}]
            optimizer = _made(config.optimizer, groups)
            handle.check_optimizer(optimizer)  # whichever metric this trial has
            made = metric_of(config.metric)
            if isinstance(made, chandir.Metric):
                handle.check_metric(made)
            else:
                install(config.metric, optimizer, network)
            bases |= {lr, *(group["base"] for group in optimizer.param_groups)}
        if schedules.sets_rate(config, max(bases)) and len(bases) > 1:
            raise UserError(
                f"schedule={config.schedule.name} sets the learning rate itself, and would undo "
                f"the {len(bases)} rates of task={config.task.name} metric={config.metric.name}: "
                "expected a schedule that multiplies them, such as schedule=cosine"
            )
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"metric={config.metric.name} optimizer={config.optimizer.name}: {error}"
        ) from None


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state, which may come from another kind of device."""
    groups = [
        saved | ({"capturable": own["capturable"]} if "capturable" in own else {})
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict(state | {"param_groups": groups})


def begin_epoch(
    optimizers: Mapping[str, Optimizer], config: Config, epoch: int
) -> dict[str, float]:
    """Set what the schedule says of the epoch; forget momentum at a drop, if the setting says so.

    Returns:
        What the log says: ``lr``, or ``lr_<player>`` where there are several. A control's raised
        rates are not among them.
    """
    logged = {}
    for player, optimizer in optimizers.items():
        base = _rate(config.optimizer, player)
        for group in optimizer.param_groups:
            group.update(schedules.rates(config, group["base"])[epoch - 1])
        rates = schedules.rates(config, base)
        now, before = (rates[at]["lr"] for at in (epoch - 1, max(epoch - 2, 0)))
        if config.optimizer.reset_momentum and now != before:
            optimizer.state.clear()
        logged["lr" if len(optimizers) == 1 else f"lr_{player}"] = now
    return logged
