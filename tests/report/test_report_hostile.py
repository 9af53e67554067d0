"""The report and the publication among others' files: whole pages, no secrets, pictures alone."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
import yaml
from PIL import Image, PngImagePlugin

from chandir import report
from chandir.report.publish import archive, pictures, publication, whole
from chandir.report.show import figures
from tests import fake_runs

ROOT = Path(__file__).parents[2]


def test_a_block_that_fails_leaves_a_folder_as_it_was(tmp_path: Path) -> None:
    with whole.together(tmp_path) as part:
        (part / "tables").mkdir()
        (part / "tables" / "a").write_text("1")
        (part / "index").write_text("1")

    def fill() -> None:
        with whole.together(tmp_path) as part:
            (part / "index").write_text("2")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill()
    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*")}
    assert set(found) == {"tables", "tables/a", "index"}
    assert found["index"].read_text() == "1"


def test_many_that_write_one_page_leave_that_of_one(tmp_path: Path) -> None:
    def write(who: str) -> None:
        for _ in range(20):
            with whole.together(tmp_path) as part:
                for name in ("a", "b", "c"):
                    (part / name).write_text(who)

    (tmp_path / ".old.part").mkdir()  # of a process that was killed
    threads = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / name).read_text() for name in "abc"}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_figure_that_cannot_be_drawn_takes_no_table_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runs.demo(tmp_path / "runs")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("odd numbers")

    monkeypatch.setattr(figures, "of_task", fail)
    monkeypatch.setattr(figures, "of_part", lambda *_: [])
    index = report.build(tmp_path / "runs", tmp_path / "out")
    assert "digits: no figures (ZeroDivisionError: odd numbers)." in index.read_text()
    assert "sobolev" in (index.parent / "tables" / "results.md").read_text()


def png(path: Path, text: str = "") -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", text)
    Image.new("RGB", (3, 2), (250, 0, 0)).save(path, "PNG", pnginfo=info)
    return path


def test_of_a_picture_the_page_has_what_is_seen(tmp_path: Path) -> None:
    plain = png(tmp_path / "a.png", text="a secret")
    with open(plain, "ab") as file:
        file.write(b"and another one")
    shown = pictures.picture_of(plain)
    assert shown is not None
    assert b"secret" not in shown
    assert b"another" not in shown
    with Image.open(io.BytesIO(shown)) as image:
        assert image.convert("RGB").getpixel((2, 1)) == (250, 0, 0)


def test_no_link_no_pipe_and_no_other_file_is_embedded(tmp_path: Path) -> None:
    folder = fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)
    outside = png(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "text.png").write_text("root:x:0:0")
    (folder / "cut.png").write_bytes(outside.read_bytes()[:40])
    Image.new("RGB", (2, 2)).save(folder / "jpeg.png", "JPEG")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    text = report.build(tmp_path / "runs", tmp_path / "out").read_text()
    assert "data:image/png" not in text
    assert base64.b64encode(b"root:x").decode() not in text
    png(folder / "real.png")
    assert report.build(tmp_path / "runs", tmp_path / "out").read_text().count("image/png") == 1


def test_a_publication_has_no_secret_and_no_home(tmp_path: Path) -> None:
    folder = fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)
    command = "python run.py tracker.api_key=SESAME data.root=/home/joe/data trial=0"
    origin = json.loads((folder / "provenance.json").read_text()) | {"command": command}
    (folder / "provenance.json").write_text(json.dumps(origin))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["root"] = "/home/joe/data"
    config["tracker"] = {"name": "none", "api_key": "SESAME"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    out = publication.publish(tmp_path / "runs", tmp_path / "out").parent
    with tarfile.open(out / archive.NAME) as tar:
        packed = {member.name: tar.extractfile(member) for member in tar}
        everything = [file.read() for file in packed.values() if file is not None]
    everything += [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert len(everything) > 8
    for content in everything:
        assert b"SESAME" not in content
        assert b"/home/joe" not in content
    told = json.loads((out / "provenance.json").read_text())["commands"]
    assert list(told) == ["python run.py tracker.api_key=*** data.root=~/data trial=0"]


def test_what_needs_no_mask_is_published_byte_for_byte(tmp_path: Path) -> None:
    folder = fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0)
    out = publication.publish(tmp_path / "runs", tmp_path / "out").parent
    (carried,) = archive.unpack(out, tmp_path / "again")
    for path in carried.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_notebooks_shell_and_an_ascii_terminal_break_no_report(
    tmp_path: Path, backend: str
) -> None:
    fake_runs.trial(tmp_path / "runs", 0, fake_runs.H0, 90.0, labels=("± 1 é",))
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "scripts/report.py", str(tmp_path / "runs")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "page")],
        cwd=ROOT, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"+- 1 ?" in done.stdout
    code = "from chandir.report.show.figures import style\nwith style.house(): pass"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0
