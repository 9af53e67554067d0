"""scripts/picture.py: README's picture is of a real gradient, and its parts add up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import chandir
from scripts import picture
from tests.test_repository import ROOT


def test_the_picture_is_written_and_readme_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert picture.main(["--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "gradient.png")
    assert (tmp_path / "gradient.png").read_bytes().startswith(b"\x89PNG")
    shown = Path("docs/images/gradient.png")
    assert str(shown) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / shown).is_file()


def test_what_is_drawn_is_a_gradient_whose_smooth_part_is_nearly_its_mean() -> None:
    f = picture.gradient()
    assert f.shape == (50, 25)
    assert torch.equal(f, picture.gradient()), "the same picture each time"
    smooth = chandir.Sobolev().gradient(f, dim=0) - f
    torch.testing.assert_close(smooth.mean(0), f.mean(0), atol=1e-6, rtol=1e-4)
    assert smooth.std(0).max() < 0.05 * f.std(0).max()
