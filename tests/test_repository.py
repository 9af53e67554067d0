"""What holds for the repository as a whole: imports, configuration, packaging, words."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
import yaml

from chandir.harness.durable import provenance

ROOT = Path(__file__).resolve().parents[1]
CORE = (
    *("precision", "operators", "fibers", "axes", "metrics", "sharded", "gradients", "steps"),
    *("handle", "correlation"),
)
# What each part may import of ours.
ALLOWED = {
    "chandir/precision.py": set(),
    "chandir/operators.py": {"chandir.precision"},
    "chandir/fibers.py": set(),
    "chandir/axes.py": set(),
    "chandir/correlation.py": set(),
    "chandir/metrics.py": {"chandir.operators", "chandir.precision", "chandir.fibers"},
    "chandir/sharded.py": {"chandir.metrics", "chandir.operators", "chandir.axes"},
    "chandir/gradients.py": {
        "chandir.sharded",
        "chandir.metrics",
        "chandir.fibers",
        "chandir.axes",
    },
    "chandir/steps.py": set(),
    "chandir/handle.py": {"chandir.steps", "chandir.gradients", "chandir.metrics", "chandir.axes"},
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; type-checking blocks left out."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        node
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.dump(guard.test)
        for node in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def under(names: set[str], *packages: str) -> set[str]:
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


@pytest.mark.parametrize("path", sorted(ALLOWED))
def test_the_library_imports_one_way(path: str) -> None:
    ours = under(imports(ROOT / path), "chandir", "models", "tasks", "scripts", "run")
    extra = {n for n in ours if n != "chandir" and not any(n.startswith(a) for a in ALLOWED[path])}
    assert not extra


def files(pattern: str) -> list[Path]:
    found = sorted(ROOT.glob(pattern))
    assert found, pattern
    return found


# Rooms, each of which may import those before it.
ROOMS = {
    "harness": (
        *("base", "command", "config", "parts", "cells", "durable", "tracking", "trial", "gpu"),
        "sweep",
    ),
    "report": ("read", "statistics", "judge", "show", "publish"),
}


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_one_way_and_say_what_they_hold(package: str) -> None:
    rooms = ROOMS[package]
    place = ROOT / "chandir" / package
    found = {path.name for path in place.iterdir() if (path / "__init__.py").is_file()}
    assert found == set(rooms)
    assert [path.name for path in place.glob("*.py")] == ["__init__.py"]
    for room in rooms:
        later = [f"chandir.{package}.{other}" for other in rooms[rooms.index(room) + 1 :]]
        for path in files(f"chandir/{package}/{room}/**/*.py"):
            assert not under(imports(path), *later), path
        assert ast.get_docstring(ast.parse((place / room / "__init__.py").read_text()))


def test_every_source_that_a_trial_runs_is_one_that_moves_numbers() -> None:
    """But for those in rooms on which no number depends."""
    code = (
        "import sys, chandir.harness.trial.trial, chandir.harness.gpu.lanes\n"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('chandir')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ran = {Path(name).relative_to(ROOT).as_posix() for name in done.stdout.split()}
    counted = set(provenance.sources())
    harmless = tuple(f"chandir/harness/{room}/" for room in provenance.HARMLESS)
    assert {
        n for n in ran - counted if not n.startswith((*harmless, "chandir/runfolder/"))
    } == set()
    assert not [name for name in counted if name.startswith(harmless)]


def test_parts_keep_to_themselves() -> None:
    for path in files("chandir/harness/**/*.py"):
        assert not under(imports(path), "models", "tasks", "chandir.report", "run", "scripts"), path
    for path in files("chandir/report/**/*.py"):
        assert not under(imports(path), "torch", "torchvision", "models", "tasks", "run"), path
        assert not under(imports(path), "chandir.harness", "scripts"), path
    for path in files("models/*.py"):
        assert not under(imports(path), "chandir", "tasks", "run", "scripts", "hydra"), path
    for path in files("tasks/*.py"):
        assert not under(imports(path), "chandir.harness", "chandir.report", "models", "run"), path


def test_light_modules_import_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, chandir.report, run\n"
        "import chandir.harness.config.schema, chandir.harness.sweep.plan\n"
        "print(sorted({'torch', 'torchvision', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_wheel_is_the_library_alone(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "-o",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    code = {name for name in names if not name.startswith("chandir-")}
    assert code == {f"chandir/{name}.py" for name in ("__init__", *CORE)} | {"chandir/py.typed"}
    (metadata,) = [name for name in names if name.endswith("METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    required = [
        line
        for line in text.splitlines()
        if line.startswith("Requires-Dist") and "extra" not in line
    ]
    assert required == ["Requires-Dist: torch>=2.4"]


def test_every_configuration_choice_builds_its_task_and_network() -> None:
    from chandir.harness.sweep.plan import jobs
    from chandir.harness.trial import data

    needs = {
        "unet-r50": ("task=pascalvoc",),
        "spade": ("task=spade-cityscapes",),
        "folder": ("data.source=synthetic",),  # counts the images that it is given
    }
    for group in ("task", "model", "optimizer", "metric", "scale", "tracker"):
        for path in files(f"conf/{group}/*.yaml"):
            (job,) = jobs((f"{group}={path.stem}", *needs.get(path.stem, ())))
            task = data.build(job.resolved.config)
            assert task.score["name"].startswith("test_")


def test_every_experiment_says_the_command_that_runs_it() -> None:
    for path in files("conf/experiment/*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["name"] == path.stem
        assert f"python run.py experiment={path.stem}" in path.read_text(encoding="utf-8")


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for pattern in ("chandir/**/*.py", "models/*.py", "tasks/*.py", "scripts/**/*.py")
        for path in files(pattern)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert not long


def test_temporary_files_of_tests_and_their_children_are_cleared_with_the_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    code = "import tempfile; print(tempfile.gettempdir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for folder in (tempfile.gettempdir(), done.stdout.strip()):
        assert Path(folder).is_relative_to(tmp_path_factory.getbasetemp())
