"""Whatever bytes a run folder holds: its trial is damaged, named, and alone in that."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chandir import report, runfolder
from chandir.harness.durable import claim
from chandir.harness.sweep import summary
from chandir.harness.sweep.plan import Job, jobs
from chandir.report.publish import publication
from chandir.runfolder import find, log
from scripts import status, wandb_sync
from tests import fake_runs
from tests.harness.runs import complete, whole
from tests.odd_files import ODD

CORRELATION = {
    direction: {"mean": 0.1, "invariant": 0.1, "curve": [0.1, None], "histogram": [1, 2]}
    for direction in ("output", "input")
} | {
    "layers": [{"name": "conv", "shape": [2, 2, 9], "input": None, "output": {
        "scaling": 0.5, "fiber_means": [0.1], "fiber_deviations": [0.2]}}]
}  # fmt: skip
FILES = ("config.yaml", "provenance.json", "log.jsonl", "final.json", "correlation.json")
OTHERS = ("claim.json", "error.txt", "checkpoint.pt", "weights.pt", "picture.png", "wandb")


def trial(runs: Path, k: int = 0, **options: Any) -> Path:
    return fake_runs.trial(runs, k, fake_runs.H0, 90.0 + k, correlation=CORRELATION, **options)


def edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what a file says: `change` works in place on what it holds."""

    def damage(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        if name.endswith(".jsonl"):
            rows = [json.loads(line) for line in text.splitlines()]
            change(rows)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif name.endswith(".yaml"):
            content = yaml.safe_load(text)
            change(content)
            path.write_text(yaml.safe_dump(content))
        else:
            content = json.loads(text)
            change(content)
            path.write_text(json.dumps(content))

    return damage


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something that is no file in a file's place."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def longer(rows: list[dict[str, Any]]) -> None:
    rows += [row | {"epoch": len(rows) + i} for i, row in enumerate(list(rows), 1)]


WRONG: dict[str, Callable[[Path], None]] = {
    # The inputs that broke a report, a status or a sweep.
    "final.json is not JSON": put("final.json", b" "),
    "final.json is not a mapping": put("final.json", b"[]"),
    "final.json has score='test_accuracy', expected a mapping": edit(
        "final.json", lambda f: f.update(score="test_accuracy")
    ),
    "final.json is nested too deep": put("final.json", b"[" * 100_000),
    "final.json is nested too deep, or": put("final.json", b'{"a":' * 900 + b"1" + b"}" * 900),
    "config.yaml is nested too deep": put("config.yaml", b"[" * 100_000),
    "config.yaml is nested too deep, or": put("config.yaml", b"a: &a [*a]"),
    "config.yaml holds a date": put("config.yaml", b"a: 2001-01-01"),
    "config.yaml has a key that is no text": put("config.yaml", b"1: 2"),
    "config.yaml has score.worst='x', expected": edit(
        "config.yaml", lambda c: c["score"].update(worst="x")
    ),
    "config.yaml has labels=3, expected a list of a text or null": edit(
        "config.yaml", lambda c: c.update(labels=3)
    ),
    "config.yaml has task.shape.classes=0": edit(
        "config.yaml", lambda c: c["task"]["shape"].update(classes=0)
    ),
    "half a character": edit("final.json", lambda f: f.update(x="\ud800")),
    "a number that is not finite": put("provenance.json", b'{"a": 1e999}'),
    "has a number of 400 digits": put("provenance.json", b'{"a": ' + b"9" * 400 + b"}"),
    "no finite test_accuracy at the last epoch: None": edit(
        "final.json", lambda f: f["last"].update(test_accuracy=None)
    ),
    "no finite test_accuracy at the last epoch: 1e\\+200": edit(
        "final.json", lambda f: f["last"].update(test_accuracy=1e200)
    ),
    "totals.seconds=None": edit("final.json", lambda f: f["totals"].update(seconds=None)),
    "totals.epochs=True": edit("final.json", lambda f: f["totals"].update(epochs=True)),
    "final.json has no totals": edit("final.json", lambda f: f.pop("totals") and None),
    "final.json is not a regular file": instead("final.json", os.mkfifo),
    "log.jsonl is not a regular file": instead("log.jsonl", os.mkdir),
    "config.yaml is a link": instead("config.yaml", lambda p: p.symlink_to("/etc/hostname")),
    "provenance.json is a link": instead("provenance.json", lambda p: p.symlink_to("nowhere")),
    "config.yaml has 5,000,000 bytes": put("config.yaml", b"#" * 5_000_000),
    "log.jsonl has 4 epochs, final.json 5": edit("log.jsonl", lambda rows: rows.pop() and None),
    "log.jsonl has 10 epochs, final.json 5": edit("log.jsonl", longer),
    "log.jsonl, line 2, has epoch=3": edit("log.jsonl", lambda rows: rows.pop(1) and None),
    "line 3, has seconds=None": edit("log.jsonl", lambda rows: rows[2].update(seconds=None)),
    "line 3, has seconds='1'": edit("log.jsonl", lambda rows: rows[2].update(seconds="1") and None),
    "line 4, holds what is neither": edit("log.jsonl", lambda rows: rows[3].update(lr=[1])),
    "log.jsonl has test_accuracy=1 at epoch 5, final.json 90.0": edit(
        "log.jsonl", lambda rows: rows[4].update(test_accuracy=1)
    ),
    "scores of an epoch that was not its last": edit(
        "final.json", lambda f: f.update(last=f["last"] | {"epoch": 4})
    ),
    "correlation.json has no layers": put("correlation.json", b"{}"),
    "correlation.json has no output.curve": edit(
        "correlation.json", lambda c: c["output"].pop("curve") and None
    ),
    "layer 0 has fibers without a deviation": edit(
        "correlation.json", lambda c: c["layers"][0]["output"]["fiber_means"].append(1)
    ),
    "provenance.json: a segment has sources=3": edit(
        "provenance.json", lambda p: p.update(segments=[{"sources": 3}])
    ),
}
RENAMED = {  # the words of a case, where its name only tells it from another one
    "has a number of 400 digits": "a number that is not finite",
    "line 3, has seconds='1'": "holds what is neither a number nor null",
}


@pytest.mark.parametrize("words", WRONG)
def test_damage_is_named_in_one_line(tmp_path: Path, words: str) -> None:
    folder = trial(tmp_path)
    WRONG[words](folder)
    found = runfolder.read(folder)
    assert found.status == "damaged"
    assert RENAMED.get(words, words).replace("\\", "") in found.reason
    assert "\n" not in found.reason
    assert len(found.reason) < 400
    assert not runfolder.state(folder).complete


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_what_an_editor_adds_is_no_damage(tmp_path: Path, name: str, mark: bytes) -> None:
    """A byte order mark, and the line ends of Windows."""
    folder = trial(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(mark + content.replace(b"\n", b"\r\n"))
    assert runfolder.read(folder).status == "done"


def test_a_log_without_scores_where_none_were_taken_is_whole(tmp_path: Path) -> None:
    folder = trial(tmp_path)
    best = json.loads((folder / "final.json").read_text())["best"]["epoch"]

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows[:-1]:
            if row["epoch"] != best:
                del row["test_accuracy"], row["test_loss"]

    edit("log.jsonl", change)(folder)
    assert runfolder.read(folder).status == "done"


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"pid": []}'])
def test_a_claim_that_names_nobody_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "claim.json").write_bytes(content)
    assert not claim.running(tmp_path)
    with claim.claim(tmp_path, patience=0):
        assert claim.running(tmp_path)


def test_the_state_is_read_again_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trial(tmp_path)
    old = os.stat(folder / "final.json").st_mtime
    for _ in range(2):
        assert runfolder.state(folder).complete
    monkeypatch.setattr("chandir.runfolder.known._SETTLED", -1.0)
    assert runfolder.state(folder).complete
    final = folder / "final.json"
    final.write_bytes(final.read_bytes().replace(b"90.0", b'"no"'))
    os.utime(final, (old, old))
    assert not runfolder.state(folder).complete


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Three complete trials of one cell, as run.py plans them."""
    results = tmp_path_factory.mktemp("whole") / "runs"
    made = jobs((f"paths.results={results}", "task.epochs=3", "metric=h0", "trial=0,1,2"))
    for job in made:
        (whole(job) / "correlation.json").write_text(json.dumps(CORRELATION))
    return made


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    for name in ("of_part", "of_task", "general"):  # seconds each; drawn in another test
        patch.setattr(f"chandir.report.show.figures.{name}", lambda *_: [])
    patch.setattr(publication, "_loose", lambda provenance: False)
    patch.setattr("chandir.harness.tracking.sync.subprocess.run", lambda *_, **__: None)
    yield
    patch.undo()


def everyone(results: Path, planned: list[Job], out: Path) -> None:
    """Every reader of run folders, as its program calls it; none may raise."""
    summary.text(complete(planned))
    summary.plan_text(complete(planned))
    status.text(status.found(results), planned=False)
    report.build(results, out / "page")
    publication.publish(results, out / "published")
    wandb_sync.main([str(results), "--mode", "offline"])
    for job in planned:
        log.rows(job.folder / "log.jsonl")
        claim.running(job.folder)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["done", "1", "nan", "../x", "$a$", "<b>", "|"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@st.composite
def bytes_of(draw: st.DrawFn, original: bytes, name: str) -> bytes:
    """A file's bytes after some damage: cut, flipped, replaced, or other values in its places."""
    how = draw(st.sampled_from(["any", "cut", "flip", "insert", "value", "value", "double"]))
    if how == "any":
        return draw(st.binary(max_size=60))
    if how == "cut":
        return original[: draw(st.integers(0, len(original)))]
    if how == "double":
        return original * 2
    place = draw(st.integers(0, max(0, len(original) - 1)))
    if how == "flip":
        flipped = bytes([original[place] ^ (1 << draw(st.integers(0, 7)))]) if original else b""
        return original[:place] + flipped + original[place + 1 :]
    if how == "insert":
        return original[:place] + draw(st.binary(min_size=1, max_size=4)) + original[place:]
    return _replaced(draw, original, name)


def _replaced(draw: st.DrawFn, original: bytes, name: str) -> bytes:
    text = original.decode()
    if name.endswith(".jsonl"):
        lines = text.splitlines()
        i = draw(st.integers(0, len(lines) - 1))
        lines[i] = json.dumps(_changed(draw, json.loads(lines[i])))
        return "\n".join(lines).encode()
    if name.endswith(".yaml"):
        return yaml.safe_dump(_changed(draw, yaml.safe_load(text))).encode()
    return json.dumps(_changed(draw, json.loads(text))).encode()


def _changed(draw: st.DrawFn, content: Any) -> Any:
    """With another value somewhere, or without the one there."""
    node = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return content
        key = draw(st.sampled_from(keys))
        inner = node[key]
        if not isinstance(inner, (dict, list)) or draw(st.booleans()):
            break
        node = inner
    if draw(st.booleans()):
        node[key] = draw(JSON)
    else:
        del node[key]
    return content


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("CHANDIR_DAMAGES", "40")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes, and the words say enough
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_any_damage_to_any_file_raises_nowhere_and_leaves_siblings_whole(
    planned: list[Job], quick: None, data: st.DataObject
) -> None:
    results = Path(planned[0].resolved.config.paths.results)
    folder = planned[1].folder
    siblings = [runfolder.read(planned[k].folder) for k in (0, 2)]
    with tempfile.TemporaryDirectory() as kept:
        shutil.copytree(folder, Path(kept) / "trial")
        try:
            some = st.lists(st.sampled_from(FILES + OTHERS), min_size=1, max_size=2, unique=True)
            for name in data.draw(some):
                path = folder / name
                if (odd := data.draw(st.sampled_from([None, None, None, *ODD]))) is not None:
                    path.unlink(missing_ok=True)
                    ODD[odd](path)
                    continue
                whole_file = path.is_file() and name in FILES
                original = path.read_bytes() if whole_file else b""
                content = data.draw(
                    bytes_of(original, name) if whole_file else st.binary(max_size=60)
                )
                path.write_bytes(content)
            if data.draw(st.booleans()):  # an interrupted trial
                final = folder / "final.json"  # a folder, where the damage is one
                final.rmdir() if final.is_dir() and not final.is_symlink() else final.unlink()
            everyone(results, planned, Path(kept) / "out")
            found = runfolder.read(folder)
            assert found.complete or found.reason
            assert [runfolder.read(planned[k].folder) for k in (0, 2)] == siblings
            assert find.folders(results) == [job.folder for job in planned]
        finally:
            shutil.rmtree(folder)
            shutil.copytree(Path(kept) / "trial", folder)
