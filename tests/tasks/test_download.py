"""Downloads: one process at a time, and failures in words."""

from __future__ import annotations

import socket
import threading
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import pytest

from tasks.download import TIMEOUT, fetch, verify


def test_nothing_is_downloaded_when_nothing_is_missing(tmp_path):
    fetch(tmp_path / "untouched", lambda: [], lambda into: pytest.fail("downloaded"))
    assert not (tmp_path / "untouched").exists()


def test_a_silent_server_is_given_up(tmp_path):
    seen = []

    def download(into):
        seen.append(socket.getdefaulttimeout())
        Path(into, "file").touch()

    fetch(tmp_path / "root", lambda: [] if seen else ["file"], download)
    assert seen == [TIMEOUT]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    "error", [URLError("unreachable"), RuntimeError("corrupted"), IncompleteRead(b"")]
)
def test_failures_say_what_to_do(tmp_path, error):
    def download(into):
        raise error

    message = r"a.bin.*data.root=.*data.source=synthetic"
    with pytest.raises(FileNotFoundError, match=message) as info:
        fetch(tmp_path, lambda: ["a.bin"], download)
    assert info.value.__cause__ is error
    assert str(error) in str(info.value)
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=r"a.bin.*Not a directory"):
        fetch(tmp_path / "file" / "root", lambda: ["a.bin"], lambda into: None)


def test_a_download_that_brings_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match="it brought other files"):
        fetch(tmp_path, lambda: ["a.bin"], lambda into: None)


def test_trials_that_start_together_download_once(tmp_path):
    file, downloads = tmp_path / "a.bin", []
    both, looked = threading.Barrier(2, timeout=60), set()

    def missing():
        names = [] if file.exists() else ["a.bin"]
        if threading.get_ident() not in looked:
            looked.add(threading.get_ident())
            both.wait()  # both have found the file missing
        return names

    def download(into):
        downloads.append(threading.get_ident())
        Path(into, "a.bin").touch()

    threads = [threading.Thread(target=fetch, args=(tmp_path, missing, download)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(downloads) == 1


def test_files_still_being_unpacked_are_waited_for(tmp_path):
    file, read = tmp_path / "a.bin", []

    def missing():
        return [] if file.exists() else ["a.bin"]

    def other():
        fetch(tmp_path, missing, lambda into: pytest.fail("downloaded"))
        read.append(file.read_text())

    second = threading.Thread(target=other)

    def download(into):
        file.write_text("half")
        second.start()
        second.join(0.3)  # long enough to read half a file, if nothing held it back
        file.write_text("whole")

    fetch(tmp_path, missing, download)
    second.join(60)
    assert read == ["whole"]


@pytest.mark.parametrize("error", [RuntimeError("HTML in place of gzip"), KeyboardInterrupt()])
def test_half_of_a_download_is_never_in_place(tmp_path, error):
    """Whatever ends it, the next run starts from what was there before."""

    def download(into):
        Path(into, "a.bin").write_text("half")
        raise error

    with pytest.raises((FileNotFoundError, KeyboardInterrupt)):
        fetch(tmp_path, lambda: ["a.bin"], download)
    assert [path.name for path in tmp_path.iterdir()] == [".download.lock"]


def test_what_a_killed_download_left_is_removed_and_a_file_that_is_there_kept(tmp_path):
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download" / "raw").write_text("half")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine").write_text("mine")

    def missing():
        return [name for name in ("raw/a", "raw/b") if not (tmp_path / name).exists()]

    def download(into):
        Path(into, "raw").mkdir()
        for name in ("a", "b", "mine"):
            Path(into, "raw", name).write_text("new")

    fetch(tmp_path, missing, download)
    found = {path.name: path.read_text() for path in (tmp_path / "raw").iterdir()}
    assert found == {"a": "new", "b": "new", "mine": "mine"}
    assert not (tmp_path / ".download").exists()


def test_what_a_kill_after_the_last_file_left_is_removed(tmp_path):
    (tmp_path / ".download" / "raw").mkdir(parents=True)
    fetch(tmp_path, lambda: [], lambda into: pytest.fail("downloaded"))
    assert [path.name for path in tmp_path.iterdir()] == [".download.lock"]


def test_md5s(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"abc")
    bad.write_bytes(b"abd")
    expected = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321's, of "abc"
    verify([(good, expected)])
    with pytest.raises(ValueError, match=f"bad: md5 4911e516e5aa21d327512e0c8b197616.*{expected}"):
        verify([(good, expected), (bad, expected)])
