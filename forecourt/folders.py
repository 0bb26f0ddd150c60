"""Where a run's evidence goes: chosen and tried out before the long run, so that no hour is lost to a full or closed folder."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from forecourt.guard import BadInput

__all__ = ["claimed_folder", "evidence_folder", "is_there"]

_LONGEST_NAME: Final = 200
"""File systems allow 255 bytes; the folder's working name is a little longer than its own."""


@contextmanager
def claimed_folder(wanted: Path | None, scenario: str, seed: str) -> Iterator[Path]:
    """As `evidence_folder`, and nobody else gets the same one while this run lasts.

    Raises:
        BadInput: as there, or another run is about to write to the folder that was asked for.
    """
    others: list[Path] = []
    while True:
        folder = evidence_folder(wanted, scenario, seed, but=others)
        claim = _claim(folder)
        if claim is not None:
            break
        if wanted is not None:
            raise BadInput(f"{folder} is where another run writes just now; give another folder with --out")
        others.append(folder)
    with claim:
        if wanted is not None and (why := _taken(folder)):  # by a run that ended between look and claim
            raise BadInput(f"{folder} {why}; give another folder with --out")
        yield folder


def _claim(folder: Path) -> socket.socket | None:
    """Something that exists once on the machine for each folder and dies with this process; None when it is there already.

    It is a socket with a name that is no file (unix(7), "abstract"), bound and never listened on: kill -9 leaves nothing that
    would have to be told from a living run. Only Linux has such names; elsewhere two runs with one ``--out`` meet as late as when
    the second one's evidence gets its name.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        try:
            claim.bind(f"\0forecourt-evidence-{name}")
        except OSError as error:
            claim.close()
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        # A worker that outlives this process for a moment must not keep the claim.
        os.register_at_fork(after_in_child=claim.close)
    return claim


def evidence_folder(wanted: Path | None, scenario: str, seed: str, *, but: Collection[Path] = ()) -> Path:
    """The folder of a run: the one asked for, or the first free ``evidence/<scenario>-<seed>-<n>`` that is none of ``but``.

    Raises:
        BadInput: the folder is in use, or nothing can be written there.
    """
    if wanted is None:
        base = Path("evidence")
        folder = next(
            place
            for number in itertools.count(1)
            if not is_there(place := base / f"{scenario}-{seed}-{number}") and place not in but
        )
    else:
        folder = wanted
        if why := _taken(folder):
            raise BadInput(f"{folder} {why}; give another folder with --out")
    _try_out(folder)
    return folder


def is_there(path: Path) -> bool:
    """Whether the name is taken, be it by a link that leads nowhere or round in a circle.

    Raises:
        BadInput: nobody may look, or no such name can be.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BadInput(f"{_shortened(path)} cannot be used: {error.strerror or error}") from None
    return True


def _taken(folder: Path) -> str:
    """Why a run cannot put its evidence there; empty when it can."""
    if not folder.name or folder.name == "..":
        return "is no name for a new folder"
    if len(os.fsencode(folder.name)) > _LONGEST_NAME:
        return f"is a name of more than {_LONGEST_NAME} bytes"
    if not is_there(folder):
        return ""
    if folder.is_symlink():
        return "is a link; the evidence takes the place of what is there, so name the folder itself"
    if not folder.is_dir():
        return "already exists and is a file"
    try:
        return "already exists and holds files" if any(folder.iterdir()) else ""
    except OSError as error:
        return f"already exists and cannot be read: {error.strerror}"


def _try_out(folder: Path) -> None:
    """Write beside the folder's place, as the evidence itself will be before it gets its name."""
    try:
        nearest = folder.absolute().parent
    except FileNotFoundError:
        raise BadInput("the current folder has been removed; go to another one") from None
    while not is_there(nearest):
        nearest = nearest.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".forecourt-", dir=nearest):
            pass
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written: {nearest}: {error.strerror or error}; give another folder with --out"
        ) from error


def _shortened(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"
