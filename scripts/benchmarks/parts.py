"""The parts of a GPU's check: commands of this checkout, what they need, how long they may take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

# Modules, and the package that brings each.
EXPERIMENTS = {
    "hydra": "hydra-core",
    "omegaconf": "omegaconf",
    "antlr4": "antlr4-python3-runtime",  # of the last two
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "torchvision": "torchvision",
    "numpy": "numpy",
}
DIGITS = {"sklearn": "scikit-learn"}
PYTEST = {"pytest": "pytest"}
# Where its GPU tests are: what else is in tests/ needs packages that these do not.
GPU_TESTS = (
    "tests/test_handle.py",
    *(f"tests/harness/test_{what}.py" for what in ("graph", "stack", "precision", "packing")),
)


@dataclass(frozen=True)
class Part:
    """One process of Python: its arguments, what it needs, how many seconds it may take."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    seconds: float = 120


def parts(out: Path, device: str, precision: str, quick: bool) -> list[Part]:
    """Every part, the most telling first; ``quick`` takes tiny sizes, to try the command itself."""
    runs, data = str(out / "runs"), str(out / "data")
    tests = (
        "-m",
        "pytest",
        "-v",
        "--tb=short",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-m",
        "gpu",
    )
    training_tests = (*PYTEST, *EXPERIMENTS, *DIGITS)
    found = [
        Part("oracles", ("scripts/gpu_oracles.py", "--device", device), (), 120),
        Part("GPU tests of the library", (*tests, GPU_TESTS[0]), (*PYTEST,), 90),
        Part("GPU tests of training", (*tests, *GPU_TESTS[1:]), training_tests, 300),
    ]

    def bench(what: str, name: str, *options: str, needs: tuple[str, ...], seconds: float) -> None:
        common = ("scripts/bench.py", what, "--device", device, "--json", str(out / f"{name}.json"))
        found.append(Part(name, (*common, *options), needs, seconds))

    small = ("--rounds", "1", "--batch", "2", "--models", "resnet56")
    bench("metric", "metric-128", *(small if quick else ()), needs=(), seconds=60)
    if not quick:
        bench("metric", "metric-8", "--batch", "8", "--models", "resnet56", needs=(), seconds=45)
    training = tuple(EXPERIMENTS)
    kind = f"precision={precision}"
    for batch in (2,) if quick else (8, 128):
        few = ("--rounds", "1", "--steps", "1") if quick else ("--rounds", "5", "--steps", "20")
        step = ("--batch", str(batch), "--workers", "2", kind, *few)
        bench("step", f"step-{batch}", *step, needs=training, seconds=75)
    write = (
        "from pathlib import Path; from tasks.cifar10 import write_synthetic; "
        f"write_synthetic(Path({data!r}) / 'cifar-10-batches-py', 10000, 2000)"
    )
    if not quick:
        found.append(Part("stand-in for CIFAR-10", ("-c", write), training, 60))
    # Reproducible trials are packed as processes, and those of determinism=fast in stacks.
    levels = ("reproducible", "fast")
    for level, (batch, images) in () if quick else product(levels, ((8, 1000), (128, 8000))):
        pack = (
            *("task=cifar10", f"data.root={data}", "data.verify=false", "metric=sobolev", kind),
            # As many test images to a training image as in the paper.
            *(f"task.train_size={images}", f"task.test_size={images // 5}", f"determinism={level}"),
            *(f"task.batch_size={batch}", "task.epochs=1", "trial=range(25)"),
            *("--rounds", "1", "--few", "2", "--processes", "8", "--longer", "task.epochs=2"),
        )
        bench("pack", f"pack-{level}-{batch}", *pack, needs=training, seconds=270)
    if quick:
        tiny = ("task.train_size=8", "task.test_size=8", "task.epochs=1", "trial=0,1", "--rounds")
        bench("pack", "pack", *tiny, "1", "--skip", "one", needs=training, seconds=150)
    sizes = ("--only", "digits", "--steps", "1", "--rounds", "1", "--test-images", "2")
    for level in levels[:1] if quick else levels:
        packs = [str(out / f"pack-{level}-{batch}.json") for batch in (8, 128)]
        rest = sizes if quick else ("--only", "cifar10", "mnist-swap", "digits", "--pack", *packs)
        project = (kind, f"determinism={level}", "--minutes", "1.5", *rest)
        bench("project", f"project-{level}", *project, needs=training, seconds=150)
    needs = (*training, *DIGITS)
    for precise in ("fp32", "bf16") if device == "cpu" else ("fp32", "tf32", "bf16"):
        trial = ("run.py", f"device={device}", f"precision={precise}", "task.epochs=2")
        found.append(Part(f"trial at {precise}", (*trial, f"paths.results={runs}"), needs, 60))
    bench("start", "start", "--rounds", "1" if quick else "2", needs=needs, seconds=60)
    return found
