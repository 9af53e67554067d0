"""The run folders that a publication carries: packed light files, from which all else is rebuilt.

``runs.tar.xz`` holds, of every published trial, the files that the report reads, under
``<task>/<cell>/trial-<k>/``. The same trials give the same bytes. Unpacked, they are run folders
like any other: the report is built from them, and the command that ran them goes on with what is
missing.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from chandir.report.read.runs import Trial
from chandir.runfolder import reading, secrets

NAME = "runs.tar.xz"
# In the order in which a trial writes them: one whose result is not there yet is not complete.
RESULT = "final.json"
FILES = ("config.yaml", "provenance.json", "log.jsonl", "correlation.json", "error.txt", RESULT)


def packed(trials: Iterable[Trial]) -> bytes:
    """An archive of the light files of trials, one after the other by name.

    Raises:
        ValueError: for trials of one name, which the archive could not tell apart, and for a folder
            that does not say whose it is.
    """
    files: dict[str, bytes] = {}
    for home, trial in _named(trials).items():
        for name in FILES:
            file = trial.folder / name
            if (content := _published(file)) is not None:
                files[f"{home}/{name}"] = content
    made = io.BytesIO()
    with (
        lzma.open(made, "wb", preset=9) as stream,
        # as USTAR where that can name a file: it ends at 155 characters, a cell's folder later
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # of no owner and no time
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _named(trials: Iterable[Trial]) -> dict[str, Trial]:
    """Trials by ``<task>/<cell>/trial-<k>``."""
    named: dict[str, Trial] = {}
    for trial in trials:
        parts = trial.folder.parts[-3:]
        if len(parts) < 3 or not {"/", "..", "."}.isdisjoint(parts):
            raise ValueError(
                f"{trial.folder}: expected <task>/<cell>/trial-<k>; name it by its whole path"
            )
        other = named.setdefault("/".join(parts), trial)
        if other is not trial:
            raise ValueError(
                f"{trial.folder} and {other.folder} are both {'/'.join(parts)}: expected each "
                "trial once; publish one of the folders, or each under a name of its own"
            )
    return named


def _published(path: Path) -> bytes | None:
    """What of a file may be published; None where there is none, or no file that can be read.

    Byte for byte what is there, unless something in it has to be masked, see
    `chandir.runfolder.secrets`.
    """
    try:
        content = reading.content(path)
    except reading.Damaged:
        return None
    if path.name not in ("config.yaml", "provenance.json", "error.txt"):
        return content  # numbers
    try:
        if path.name == "config.yaml":
            whole = reading.parse_yaml(reading.text(path), path.name)
            masked = yaml.safe_dump(secrets.mask(whole), sort_keys=False, allow_unicode=True)
        elif path.name == "provenance.json":
            whole = reading.json_mapping(path)
            masked = json.dumps(secrets.mask(whole), indent=1)
        else:
            raise reading.Damaged("a text")
        return content if secrets.mask(whole) == whole else masked.encode()
    except reading.Damaged:
        return secrets.masked(content.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )


def unpack(
    publication: Path,
    runs: Path,
    hold: Callable[[Path], AbstractContextManager[Any]] = nullcontext,
    lasting: bool = True,
) -> list[Path]:
    """Lay a publication's run folders out below `runs`, beside what is there.

    A file that is there already, and the same, is left alone. Whatever the instant of a kill, a
    trial is whole or has no result yet, and the same call goes on.

    Args:
        publication: A folder that holds ``runs.tar.xz``.
        runs: A results folder; made if need be.
        hold: Keeps others out of a trial's folder that is written into, as long as it lasts.
        lasting: Through a power cut, too, for which it waits for the disk.

    Returns:
        The trials' folders that it holds.

    Raises:
        ValueError: for an archive that is none or is damaged, for a name in it that is not a run
            folder's, and for a file that is there with other content: nothing is written then. And
            as `hold` raises: the trials before that one are laid out then.
    """
    trials: dict[Path, dict[str, bytes]] = {}
    for name, content in _contents(publication / NAME):
        place = runs / name
        trials.setdefault(place.parent, {})[place.name] = content
    for folder in [folder for folder, files in trials.items() if _missing(folder, files)]:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder):  # another process may have been here before
            _lay(folder, _missing(folder, trials[folder]), lasting)
    return sorted(trials)


def _missing(folder: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those of a trial's files that are not in its folder; what is there has to be the same."""
    missing: dict[str, bytes] = {}
    for name, content in files.items():
        there = folder / name
        if not os.path.lexists(there):
            missing[name] = content
        elif not there.is_file():  # a pipe, say, of which reading would not end
            raise ValueError(f"{there} is no file: expected one, or nothing there; remove it")
        elif there.read_bytes() != content:
            raise ValueError(
                f"{there} is another trial's than {NAME} holds: expected the same, or none; unpack "
                "into another folder"
            )
    return missing


def _lay(folder: Path, files: Mapping[str, bytes], lasting: bool) -> None:
    """Write files into a folder, each whole; the result comes when all else is on the disk."""
    for name in sorted(files, key=FILES.index):
        if name == RESULT and lasting:
            _sync(folder)
        draft = folder / f".{name}.{os.getpid()}.tmp"
        try:  # half of a file in its place would be taken for another trial's the next time
            draft.write_bytes(files[name])
            if lasting:
                _sync(draft)
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)
    if lasting:
        _sync(folder)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Run folders: `path` itself or, of a publication, what it carries, for as long as this lasts.

    Raises:
        ValueError: as `unpack`.
    """
    if not (path / NAME).is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        unpack(path, runs, lasting=False)
        yield runs


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:xz") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                plain = len(parts) == 4 and not {"/", ".."} & set(parts)
                if not (member.isreg() and plain and parts[3] in FILES):
                    raise ValueError(
                        f"{path}: {member.name}: expected <task>/<cell>/trial-<k>/ and one of "
                        f"{', '.join(FILES)}; it is no publication's"
                    )
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
        raise ValueError(f"{path}: damaged or no archive ({error}); check it out anew") from error
