"""A user's own classes and files, one of each part and some that cannot be: text to lay out."""

from __future__ import annotations

from typing import Any

CLASSES = '''
from dataclasses import dataclass
import math
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
import chandir
import own_helpers
from tasks.digits import Digits

@dataclass(frozen=True)
class Heat(chandir.Metric):
    """exp(-sigma mu_k), the heat kernel."""

    sigma: float = 1.0

    def __post_init__(self):
        if not self.sigma >= 0:
            raise ValueError(f"Heat(sigma={self.sigma}): expected a number >= 0")

    def response(self, n):
        k = torch.arange(n, dtype=torch.float64)
        return torch.exp(-self.sigma * own_helpers.mu(k, n))


class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr: float, decay: float = 0.0):
        super().__init__(params, {"lr": lr})
        self.decay = decay

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(1 - self.decay).add_(p.grad.sign(), alpha=-group["lr"])


class Halving(LRScheduler):
    def __init__(self, optimizer, at: int):
        self.at = at
        super().__init__(optimizer)

    def get_lr(self):
        return [lr / 2 if self.last_epoch >= self.at else lr for lr in self.base_lrs]


class Inverted(Digits):
    def normalise(self, images):
        return super().normalise(255 - images)


class Small(nn.Sequential):
    def __init__(self, in_channels: int, num_classes: int, width: int = 6):
        super().__init__(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.Flatten(),
                         nn.Linear(36 * width, num_classes))


@dataclass(frozen=True)
class Cut(chandir.Metric):
    """Damp the frequencies above one that short fibers do not have."""

    above: int = 300

    def response(self, n):
        k = torch.arange(n)
        return torch.where(torch.minimum(k, n - k) > self.above, 0.5, 1.0).double()


@dataclass(frozen=True)
class Shorter(chandir.Metric):
    """The same at every frequency, less for long fibers."""

    def response(self, n):
        return torch.full((n,), 1 / n, dtype=torch.float64)


class Plainer(chandir.H0):
    """No plain gradient, for all that it inherits."""

    def response(self, n):
        return torch.full((n,), 0.5, dtype=torch.float64)


class Bare(chandir.Metric):
    def __init__(self, a):
        self.a = a

    def response(self, n):
        return 1 + self.a * torch.cos(torch.pi * torch.arange(n, dtype=torch.float64) / n) ** 2


class Positional(chandir.Metric):
    def __init__(self, a, /):
        self.a = a


class Raised:
    def install(self, optimizer, network):
        for group in optimizer.param_groups:
            group["base"] *= 2


class Handed(torch.optim.SGD):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)


class Slower(torch.optim.Optimizer):
    """No rate that a schedule could set."""

    def __init__(self, params, step_size: float = 0.1):
        super().__init__(params, {"step_size": step_size})


class Sure(torch.optim.SGD):
    def __init__(self, params, lr: float, least: float = 0.0):
        assert least > 0, "least has to be more"
        super().__init__(params, lr=lr)


class Decaying(LRScheduler):
    """Weight decay that grows with the epochs."""

    def get_lr(self):
        for group in self.optimizer.param_groups:
            group["weight_decay"] = 0.25 * self.last_epoch
        return self.base_lrs


class Nothing:
    def install(self, optimizer, network):
        pass


class Neither:
    pass
'''
PACKED = {
    "__init__": "from .metric import Packed",
    "metric": """
from dataclasses import dataclass
import torch
import chandir
from . import helper
from .deep.numbers import HALF

@dataclass(frozen=True)
class Packed(chandir.Metric):
    def response(self, n):
        return helper.twice(torch.full((n,), HALF, dtype=torch.float64)) + 1
""",
    "helper": "def twice(x):\n    return 2 * x",
    "deep/__init__": "",
    "deep/numbers": "HALF = 0.5",
}
HELPERS = "import torch\n\ndef mu(k, n):\n    return 4 * torch.sin(torch.pi * k / n) ** 2\n"
FILES: dict[str, Any] = {
    "metric/heat": {
        "_target_": "own.Heat", "name": "heat", "direction": "output", "scope": "conv", "sigma": 1.0
    },
    "metric/cut": {
        "_target_": "own.Cut", "name": "cut", "direction": "output", "scope": "conv", "above": 300
    },
    "metric/shorter": {
        "_target_": "own.Shorter", "name": "shorter", "direction": "output", "scope": "conv"
    },
    "metric/plainer": {
        "_target_": "own.Plainer", "name": "plainer", "direction": "output", "scope": "conv"
    },
    "metric/bare": {
        "_target_": "own.Bare", "name": "bare", "direction": "output", "scope": "conv", "a": 1
    },
    "metric/positional": {"_target_": "own.Positional", "name": "positional", "a": 1},
    "metric/raised": {"_target_": "own.Raised", "name": "raised"},
    "metric/directed": {"_target_": "own.Raised", "name": "directed", "direction": "input"},
    "metric/packed": {
        "_target_": "packed.Packed", "name": "packed", "direction": "output", "scope": "conv"
    },
    "metric/nothing": {"_target_": "own.Nothing", "name": "nothing"},
    "metric/neither": {"_target_": "own.Neither", "name": "neither"},
    "metric/missing": {"_target_": "own.Missing", "name": "missing"},
    "metric/number": {"_target_": "math.pi", "name": "number"},
    "optimizer/signs": {"_target_": "own.Signs", "name": "signs", "usual_lr": 1e-3, "decay": 0.0},
    "optimizer/lion": {"_target_": "timm.optim.Lion", "name": "lion", "usual_lr": 1e-4,
                       "betas": [0.9, 0.99], "weight_decay": 0.0},
    "optimizer/decayed": {"_target_": "own.Signs", "name": "decayed", "weight_decay": 0.1},
    "optimizer/handed": {
        "_target_": "own.Handed", "name": "handed", "usual_lr": 1e-3,
        "weight_decay": 0.5, "momentum": 0.9,
    },
    "optimizer/usual": {"_target_": "torch.optim.Adam", "name": "usual", "usual_lr": 1e-3},
    "optimizer/rateless": {"_target_": "own.Signs", "name": "rateless"},
    "optimizer/slower": {"_target_": "own.Slower", "name": "slower"},
    "optimizer/sure": {"_target_": "own.Sure", "name": "sure", "least": 0.0},
    "optimizer/lbfgs": {"_target_": "torch.optim.LBFGS", "name": "lbfgs"},
    "schedule/halving": {"_target_": "own.Halving", "name": "halving", "at": 1},
    "schedule/cyclic": {
        "_target_": "torch.optim.lr_scheduler.CyclicLR", "name": "cyclic", "base_lr": 0.01,
        "max_lr": 0.1, "step_size_up": 1, "step_size_down": 1,
    },
    "schedule/decaying": {"_target_": "own.Decaying", "name": "decaying"},
    "schedule/plateau": {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "name": "plateau"
    },
    "model/nowhere": {"_target_": "nowhere.Net", "name": "nowhere", "makes": "classes"},
    "model/small": {
        "_target_": "own.Small", "name": "small", "makes": "classes", "width": 6,
        "in_channels": "${task.shape.channels}", "num_classes": "${task.shape.classes}",
    },
}  # fmt: skip
