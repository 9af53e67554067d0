"""The pool's side of what befalls workers, which are made up: they end as a script says."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.sweep import pool, worker
from chandir.harness.sweep.attempt import DONE, FAILED, MEMORY
from chandir.harness.sweep.pool import Packing, run_all
from chandir.harness.sweep.worker import Outcome, Unit, serve
from tests.harness.faults import ended, forked

DIES = "dies"


class Script:
    """How each trial ends, by how often it was tried."""

    def __init__(self, **ends: list[str]) -> None:
        self.ends = ends
        self.tried: dict[str, int] = defaultdict(int)
        self.seen: list[tuple[str | None, int]] = []

    def end(self, job: str) -> str:
        ends = self.ends.get(job, [DONE])
        self.tried[job] += 1
        return ends[min(self.tried[job], len(ends)) - 1]


class Puppet(worker.Worker):
    """A worker without a process."""

    script: Script

    def __init__(self, visible: str | None, stop_on_error: bool, voice: Any) -> None:
        self.visible, self.stop = visible, stop_on_error
        self.link, self.other = multiprocessing.Pipe()
        self.unit, self.left, self.spent = Unit([]), [], False
        self.process: Any = self
        threading.Thread(target=self.live, daemon=True).start()

    def terminate(self) -> None:
        self.other.close()

    def join(self, timeout: float | None = None) -> None:
        pass

    def is_alive(self) -> bool:
        return False

    def end(self) -> str:
        return "SIGKILL"

    def live(self) -> None:
        try:
            while True:
                unit = self.other.recv()
                self.script.seen.append((self.visible, unit.lanes))
                for index, (job,) in enumerate(unit.jobs):
                    how = self.script.end(job)
                    if how == DIES:
                        self.other.close()
                        return
                    self.other.send(Outcome(index, how))
                    if how != DONE and self.stop:
                        break
                self.other.send(None)
        except (EOFError, OSError):
            return


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(pool, "tell", lambda job, how: names.append(job[0]))
    monkeypatch.setattr(pool, "Worker", Puppet)
    return names


def run(script: Script, packing: Packing, stop: bool = False) -> bool:
    Puppet.script = script
    return run_all(packing, stop)


def singles(names: str, places: dict[str | None, int]) -> Packing:
    return Packing([Unit([[name]]) for name in names], places, "made up")


def test_every_trial_runs_once_on_all_places(told: list[str]) -> None:
    script = Script()
    assert run(script, singles("abcdefgh", {"0": 1, "1": 1}))
    assert script.tried == dict.fromkeys("abcdefgh", 1)
    assert {visible for visible, _ in script.seen} == {"0", "1"}


class Together(Script):
    """The first four trials run at the same time, until the pool has said what befell "b"."""

    def __init__(self, **ends: list[str]) -> None:
        super().__init__(**ends)
        self.started, self.said = threading.Barrier(4), threading.Event()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
        if "out of memory" in line:
            self.said.set()

    def end(self, job: str) -> str:
        how = super().end(job)
        if job in "abcd" and self.tried[job] == 1:
            self.started.wait(timeout=60)
            if job != "b":
                self.said.wait(timeout=60)
        return how


def test_out_of_memory_halves_the_workers_and_the_trial_runs_again(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Together(b=[MEMORY, DONE])
    monkeypatch.setattr(pool.news, "say", script.say)
    assert run(script, singles("abcdefgh", {None: 4}), stop=True)
    assert script.tried == dict.fromkeys("abcdefgh", 1) | {"b": 2}
    (line,) = (line for line in script.lines if "out of memory" in line)
    assert line == "out of memory: 2 workers at a time from here on"


def test_out_of_memory_alone_is_a_failure(
    told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(b=[MEMORY])
    assert run(script, singles("abc", {"3": 2, "4": 1}))
    assert script.tried["a"] == script.tried["c"] == 1
    assert 1 <= script.tried["b"] <= 2
    assert not run(Script(a=[MEMORY]), singles("abc", {"3": 1}), stop=True)
    assert "on GPU 3" not in capsys.readouterr().out.split("made up")[-1]


def test_a_stack_that_dies_runs_again_in_half(told: list[str]) -> None:
    script = Script(b=[DIES, DONE])
    packing = Packing([Unit([["a"], ["b"], ["c"], ["d"]], 4), Unit([["e"]])], {None: 2}, "made up")
    assert run(script, packing)
    assert script.tried == {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1}
    assert sorted(lanes for _, lanes in script.seen) == [1, 2, 4]
    assert told == []


def test_what_dies_twice_has_failed_and_the_rest_goes_on(told: list[str]) -> None:
    script = Script(b=[DIES])
    assert run(script, singles("abc", {None: 2}))
    assert (told, script.tried["b"], script.tried["c"]) == (["b"], 2, 1)


def test_a_failure_stops_what_has_not_started(told: list[str]) -> None:
    script = Script(a=[FAILED])
    packing = Packing([Unit([["a"], ["b"]], 2), *(Unit([[x]]) for x in "cdefg")], {"0": 1}, "")
    assert not run(script, packing, stop=True)
    assert dict(script.tried) == {"a": 1}
    script = Script(a=[FAILED])
    assert run(script, packing)
    assert dict(script.tried) == dict.fromkeys("abcdefg", 1)


def test_a_worker_sees_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, other = multiprocessing.Pipe()
    seen = tmp_path / "seen"

    def look(unit: Unit, told: Any) -> bool:
        seen.write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        return told(0, DONE)

    def child() -> None:
        monkeypatch.setattr(worker, "work", look)
        monkeypatch.setattr(worker, "_follow_parent", lambda: None)
        link.close()
        serve(other, "GPU-ab", False)

    process = forked(child)
    other.close()
    link.send(Unit([["trial=0"]]))
    assert link.recv() == Outcome(0, DONE)
    assert link.recv() is None
    link.close()
    assert ended(process) == 0
    assert seen.read_text() == "GPU-ab"
