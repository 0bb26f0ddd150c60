"""Where a run's evidence goes: chosen and tried out before the long run, so that no hour is lost to a full or closed folder."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from forecourt.guard import BadInput

__all__ = ["evidence_folder"]


def evidence_folder(wanted: Path | None, scenario: str, seed: str) -> Path:
    """The folder of a run: the one asked for, or the first free ``evidence/<scenario>-<seed>-<n>``.

    Raises:
        BadInput: the folder is in use, or nothing can be written there.
    """
    if wanted is None:
        base = Path("evidence")
        folder = next(
            place
            for number in itertools.count(1)
            if not (place := base / f"{scenario}-{seed}-{number}").exists()
        )
    else:
        folder = wanted
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "holds files" if folder.is_dir() else "is a file"
            raise BadInput(f"{folder} already exists and {what}; give another folder with --out")
    _try_out(folder)
    return folder


def _try_out(folder: Path) -> None:
    """Write beside the folder's place, as the evidence itself will be before it gets its name."""
    nearest = folder.absolute().parent
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".forecourt-", dir=nearest):
            pass
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written: {nearest}: {error.strerror or error}; give another folder with --out"
        ) from error
