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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import yaml

from chandir.report.read.runs import Trial
from chandir.runfolder import reading, secrets

NAME = "runs.tar.xz"
FILES = (
    *("config.yaml", "correlation.json", "error.txt", "final.json", "log.jsonl"),
    "provenance.json",
)


def pack(trials: Iterable[Trial], path: Path) -> None:
    """Write the light files of trials into a new archive, one after the other by name.

    Raises:
        OSError: for a file that cannot be read or written.
    """
    files: dict[str, bytes] = {}
    for trial in trials:
        for name in FILES:
            file = trial.folder / name
            if (content := _published(file)) is not None:
                files["/".join([*trial.folder.parts[-3:], name])] = content
    packed = io.BytesIO()
    with (
        lzma.open(packed, "wb", preset=9) as stream,
        # as USTAR where that can name a file: it ends at 155 characters, a cell's folder later
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # of no owner and no time
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(packed.getvalue())


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


def unpack(publication: Path, runs: Path) -> list[Path]:
    """Lay a publication's run folders out below `runs`, beside what is there.

    A file that is there already, and the same, is left alone.

    Args:
        publication: A folder that holds ``runs.tar.xz``.
        runs: A results folder; made if need be.

    Returns:
        The trials' folders that it holds.

    Raises:
        ValueError: for an archive that is none or is damaged, for a name in it that is not a run
            folder's, and for a file that is there with other content; nothing is written then.
    """
    contents = dict(_contents(publication / NAME))
    missing: dict[Path, bytes] = {}
    for name, content in contents.items():
        there = runs / name
        if not os.path.lexists(there):
            missing[there] = content
        elif not there.is_file():  # a pipe, say, of which reading would not end
            raise ValueError(f"{there} is no file: expected one, or nothing there; remove it")
        elif there.read_bytes() != content:
            raise ValueError(
                f"{there} is another trial's than {publication / NAME} holds: expected the same, "
                "or none; unpack into another folder"
            )
    for there, content in missing.items():
        there.parent.mkdir(parents=True, exist_ok=True)
        draft = there.with_name(f".{there.name}.{os.getpid()}.tmp")
        try:  # half of a file in its place would be taken for another trial's the next time
            draft.write_bytes(content)
            draft.replace(there)
        finally:
            draft.unlink(missing_ok=True)
    return sorted({(runs / name).parent for name in contents})


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
        unpack(path, runs)
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
