"""Complete trials and the data that are here now: compared, vouched for, or said not to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.complete import compared
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import data, origins
from tests.harness.changed import called, old, other_data, trained
from tests.harness.runs import whole


def test_data_that_cannot_be_loaded_are_not_compared_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path, other_data)

    def missing(*_: object) -> None:
        raise UserError("data.root=data: no images")

    monkeypatch.setattr(data, "load", missing)
    for choice in ("refuse", "restart"):
        assert called(tmp_path, f"on_change={choice}") == 0
        assert old(folder)
        told = "not compared: whether 1 complete trial ran on the data that are here now (data."
        assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "now", "looks"),
    [
        (("task=cifar10",), ("task=cifar10",), False),  # held to md5 sums, then and now
        (("task=cifar10", "data.verify=false"), ("task=cifar10",), True),
        (("task=cifar10",), ("task=cifar10", "data.verify=false"), True),
        (
            ("task=cifar10", "data.source=synthetic"),
            ("task=cifar10", "data.source=synthetic"),
            True,
        ),
        (("task=mnist-swap", "data.name=mnist"), ("task=mnist-swap", "data.name=mnist"), False),
        (("task=pascalvoc",), ("task=pascalvoc",), True),  # held to a number of pictures
        (("task=spade-cityscapes",), ("task=spade-cityscapes",), True),
        (("task=digits",), ("task=digits",), True),
    ],
)
def test_data_are_loaded_only_where_checksums_do_not_vouch_for_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...],
    now: tuple[str, ...],
    looks: bool,
) -> None:
    where = f"paths.results={tmp_path}"
    for made in jobs((*before, "trial=0,1", where)):
        whole(made)
    asked = []
    monkeypatch.setattr(origins, "loaded", lambda *of: asked.append(of) or "d" * 64)
    again = jobs((*now, "trial=0,1", where))
    found = compared(again, origins.Here(), elsewhere=False)
    assert len(found.trials) == 2
    assert len(asked) == looks, "once for all trials"
    assert not found.others
    assert not found.unknown
    monkeypatch.setattr(origins, "loaded", lambda *of: "e" * 64)
    assert len(compared(again, origins.Here(), elsewhere=False).others) == 2 * looks
