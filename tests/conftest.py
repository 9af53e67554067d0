"""Shared by all tests: no network, nothing left behind, and CI's slow tests may not skip."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest

# A shell's background jobs ignore Ctrl-C, and their children with them: the tests that press it
# need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # likewise under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test leaves in the temporary directory goes with the run, killed children's too."""
    folder = tmp_path_factory.mktemp("t")  # short: sockets lie in it, whose paths may not be long
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads fail at once, here and in child processes, also where there is a network."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("WANDB_MODE", "offline")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With STRICT=1 a skipped test that is not the GPU's fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    worker = hasattr(session.config, "workerinput")
    if os.environ.get("STRICT") != "1" or reporter is None or worker:
        return
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    missed = [reason for reason in reasons if "needs a CUDA device" not in reason]
    if missed:
        print("\nSTRICT: skipped tests:\n" + "\n".join(missed))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
