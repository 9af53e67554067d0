"""The package: light to import, complete, and needing torch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import chandir

HEAVY = ("hydra", "omegaconf", "torchvision", "wandb", "pydantic", "matplotlib", "scipy", "pandas")


def loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    root = Path(chandir.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_library_needs_torch_alone() -> None:
    names = ", ".join(f"chandir.{name}" for name in chandir.__all__)
    modules = loaded(f"import chandir; {names}")
    assert "torch" in modules
    assert modules.isdisjoint(HEAVY)


def test_package_alone_loads_nothing() -> None:
    assert loaded("import chandir; dir(chandir)").isdisjoint({"torch", *HEAVY})


def test_public_names() -> None:
    assert dir(chandir) == sorted([*chandir.__all__, "__version__"])
    assert all(callable(getattr(chandir, name)) for name in chandir.__all__)
    with pytest.raises(AttributeError, match="chandir has no 'Sobolov'"):
        chandir.Sobolov  # noqa: B018


def test_is_typed() -> None:
    assert (Path(chandir.__file__).parent / "py.typed").exists()
