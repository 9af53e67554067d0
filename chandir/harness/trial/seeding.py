"""Named random streams: trial k has the same ones in every cell, whatever ran before it."""

from __future__ import annotations

import hashlib
from typing import Any

import torch


def seed(trial: int, stream: str) -> int:
    """The seed of one stream of one trial, in [0, 2^63): SHA-256 of both names.

    Streams are independent of each other and 0 is a trial like any other.
    """
    digest = hashlib.sha256(f"chandir trial {trial} {stream}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Streams:
    """A trial's sources of randomness.

    ``order`` and ``augment`` draw on the CPU, once an epoch, so that they do not depend on the
    device. What layers draw while training (dropout) comes from torch's global generators.
    """

    def __init__(self, trial: int) -> None:
        """Seed every stream; the global generators too."""
        self.trial = trial
        self.order = torch.Generator().manual_seed(seed(trial, "order"))
        self.augment = torch.Generator().manual_seed(seed(trial, "augment"))
        torch.manual_seed(seed(trial, "layers"))  # every device's

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""
        state: dict[str, Any] = {
            "order": self.order.get_state(),
            "augment": self.augment.get_state(),
            "cpu": torch.get_rng_state(),
        }
        if torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        self.order.set_state(state["order"])
        self.augment.set_state(state["augment"])
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
