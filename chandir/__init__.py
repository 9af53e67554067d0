"""Channel-directed gradients for any torch optimizer (arXiv 2008.10766).

A metric is an inner product on gradients; the gradient that belongs to it takes the place of the
usual one just before the optimizer steps::

    handle = chandir.attach(optimizer, model, chandir.Sobolev(), direction="output")

Names are resolved on first use (PEP 562), so that a submodule without torch imports without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chandir.handle import Handle, apply_, attach
    from chandir.metrics import H0, H0Lambda, LaplacianSmoothing, Metric, Sobolev

__version__ = "0.2.0"

__all__ = [
    "H0",
    "H0Lambda",
    "Handle",
    "LaplacianSmoothing",
    "Metric",
    "Sobolev",
    "apply_",
    "attach",
]


if not TYPE_CHECKING:  # a type checker that saw it would believe in every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"chandir has no {name!r}; it has {', '.join(__all__)}")
        home = "handle" if name in ("Handle", "apply_", "attach") else "metrics"
        return getattr(import_module(f"chandir.{home}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
