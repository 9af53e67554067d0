"""Generate what follows from the code: the reference of settings, and the method's figure."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("task", "model", "optimizer", "metric", "schedule", "scale", "tracker")
# What a file says of itself.
FACTS = (
    *("name", "_target_", "table1", "scales", "schedules", "embedded", "usual_lr", "defaults"),
    *("in_paper", "checksums", "makes", "label", "shape"),
)
RANGES = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
}


def write(folder: Path) -> None:
    """Write ``settings.rst`` and ``method.svg`` into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.rst").write_text("\n".join(settings()) + "\n", encoding="utf-8")
    figure(folder / "method.svg")


def settings() -> Iterator[str]:
    """Yield the lines of the reference: each setting, what it may be, its default."""
    from chandir.harness.config.schema import Config

    schema = Config.model_json_schema()
    top = _read(ROOT / "conf" / "config.yaml")
    yield from _table("Of every trial", [
        row
        for key, node in schema["properties"].items()
        if key not in (*GROUPS, "experiment")
        for row in _rows(key, node, top.get(key), schema)
    ])  # fmt: skip
    for group in GROUPS:
        if group not in schema["properties"]:
            continue
        for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
            content = _read(path)
            values = content.get(group, content)
            node = _choose(schema["properties"][group], path.stem, schema)
            own = _annotations(values.get("_target_"))  # what a class takes beyond the schema
            rows = [
                row
                for key, value in values.items()
                if key not in FACTS
                for row in _rows(
                    f"{group}.{key}", _property(node, key) or own.get(key, {}), value, schema
                )
            ]
            yield from _table(f"{group}={path.stem}", rows, _about(path))


def _annotations(target: str | None) -> dict[str, Any]:
    """Return, as the schema would have it, what the constructor of a class takes."""
    if target is None:
        return {}
    module, _, name = target.rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    return {
        key: {"type": str(parameter.annotation).replace("Literal", "one of ")}
        for key, parameter in parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return content


def _about(path: Path) -> str:
    """Return the comment that a file begins with, after Hydra's own."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        found: dict[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
        return found
    return node


def _alternatives(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    node = _resolve(node, schema)
    parts = node.get("oneOf") or node.get("anyOf") or [node]
    return [_resolve(part, schema) for part in parts]


def _choose(node: dict[str, Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the alternative of this name, or the only one."""
    parts = _alternatives(node, schema)
    named = [p for p in parts if p.get("properties", {}).get("name", {}).get("const") == name]
    return (named or parts)[0]


def _property(node: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = node.get("properties", {}).get(key, {})
    return found


def _rows(
    key: str, node: dict[str, Any], value: Any, schema: dict[str, Any]
) -> Iterator[list[str]]:
    """Yield (setting, what it may be, default): one row for each leaf."""
    inner = _choose(node, value.get("name", ""), schema) if isinstance(value, dict) else {}
    if inner.get("properties"):
        for name, below in value.items():
            yield from _rows(f"{key}.{name}", _property(inner, name), below, schema)
        return
    shown = (
        ""
        if value is None and not node
        else yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    )
    shown = shown.replace("\n...", "").strip()
    kinds = " or ".join(dict.fromkeys(_kind(part) for part in _alternatives(node, schema)))
    yield [f"``{key}``", kinds, f"``{shown}``" if shown else ""]


def _kind(node: dict[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"``{choice}``" for choice in node["enum"])
    if "const" in node:
        return f"``{node['const']}``"
    ranges = [text.format(node[key]) for key, text in RANGES.items() if key in node]
    names = {
        **{"number": "number", "float": "number", "integer": "whole number", "int": "whole number"},
        **{"string": "text", "str": "text", "boolean": "true or false", "bool": "true or false"},
        **{"int | None": "whole number or null", "str | None": "text or null"},
    }
    return " ".join([names.get(node.get("type", ""), node.get("type", "")), *ranges]).strip()


def _table(title: str, rows: list[list[str]], about: str = "") -> Iterator[str]:
    yield from (title, "-" * len(title), "")
    if about:
        yield from (about.replace("*", r"\*").replace("|", r"\|"), "")
    if not rows:
        return
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 30 50 20", "")
    for row in (["setting", "may be", "default"], *rows):
        for i, cell in enumerate(row):
            yield f"   {'*' if i == 0 else ' '} - {cell}"
    yield ""


def figure(path: Path) -> None:
    """Draw a gradient along 64 output channels, and what each metric makes of it."""
    import matplotlib
    import torch

    import chandir

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "chandir"
    generator = torch.Generator().manual_seed(3)
    f = torch.randn(64, generator=generator) + 0.7
    metrics = (
        chandir.H0(),
        chandir.H0Lambda(),
        chandir.Sobolev(),
        chandir.Sobolev(lam=0.01),
        chandir.LaplacianSmoothing(2.0),
    )
    names = ("H0", "H0Lambda(1)", "Sobolev(lam=1)", "Sobolev(lam=0.01)", "LaplacianSmoothing(2)")
    shown, axes = plt.subplots(2, len(metrics), figsize=(13, 4.6), sharey="row")
    for metric, name, (above, below) in zip(metrics, names, axes.T, strict=True):
        above.axhline(0, color="0.8", lw=0.8)
        above.plot(f, color="0.75", lw=1)
        above.plot(metric.gradient(f), color="C0", lw=1.4)
        above.set_title(name, fontsize=10)
        below.semilogy(range(33), metric.response(64)[:33], ".-", color="C1", ms=4, lw=1)
        above.set_xlabel("channel")
        below.set_xlabel("frequency k")
    axes[0, 0].set_ylabel("gradient")
    axes[1, 0].set_ylabel("response")
    shown.tight_layout()
    shown.savefig(path, metadata={"Date": None})
    plt.close(shown)
