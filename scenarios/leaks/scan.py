"""A scan: folders, files and databases searched one after the other into one report."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from scenarios.leaks.containers import Inside, inside
from scenarios.leaks.finder import Finder
from scenarios.leaks.report import Finding, ScanReport
from scenarios.leaks.tables import SQLITE_MAGIC, TableText, sqlite_tables

__all__ = ["Scan"]

_DEEPEST: Final = 4
"""Containers in containers that are opened: a trace in a gzip in a zip in a base64 field."""

_MOST_OPENED: Final = 4 * 1024**3
"""Bytes taken out of containers in one scan; who sends more sends a bomb."""


class Scan:
    """Searches places and keeps the report.

    Args:
        finder: knows the canaries.

    Attributes:
        report: so far.
    """

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.report = ScanReport(planted=len(finder.canaries))
        self._opened = 0

    def folder(self, folder: Path, *, but: Iterable[Path] = ()) -> None:
        """Search every file below a folder, or one file, in the order of their names. Links are not followed.

        Args:
            folder: where.
            but: files that hold canaries by right, such as the list of them.
        """
        left_out = {path.resolve() for path in but}
        if not folder.is_dir():
            self._file(folder, _shown(folder.name), left_out)
            return

        def unreadable(error: OSError) -> None:
            self.report.unsearched.append(f"{_shown(str(error.filename))}: {error.strerror}")

        for where, folders, names in os.walk(folder, onerror=unreadable):
            folders.sort()
            for name in sorted(names):
                path = Path(where, name)
                told = _shown(path.relative_to(folder).as_posix())
                # A name is written by somebody, too.
                self.data(os.fsencode(name), f"name of {told}", is_file=False)
                self._file(path, told, left_out)

    def _file(self, path: Path, told: str, left_out: set[Path]) -> None:
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) or not stat.S_ISREG(mode) or path.resolve() in left_out:
                return
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self.report.files += 1
                if not size:
                    return
                with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                    self.data(data, told, is_capture=path.suffix == ".fcap")
                    is_database = data[: len(SQLITE_MAGIC)] == SQLITE_MAGIC
        except (OSError, ValueError) as error:
            self.report.unsearched.append(f"{told}: {getattr(error, 'strerror', None) or error}")
            return
        if is_database:
            for text in sqlite_tables(path, told):
                self.table(text)

    def data(
        self, data: bytes | mmap, told: str, *, is_file: bool = True, is_capture: bool = False, depth: int = 0
    ) -> None:
        """Search bytes and everything inside them.

        Args:
            data: what to search.
            told: what it is called in the report.
            is_file: counts as searched.
            is_capture: a capture of a wire.
            depth: how many containers it was taken out of.
        """
        if is_file:
            self.report.bytes_searched += len(data)
        found = self._finder.search(data)
        for hit in found:
            self.report.add(Finding(told, hit.offset, hit.form, hit.canary))
        for part in inside(data, is_capture=is_capture):
            if not isinstance(part, Inside):
                self.report.unsearched.append(f"{told}: {part.reason}")
            elif depth >= _DEEPEST:
                self.report.unsearched.append(f"{told}: {part.name}: more than {_DEEPEST} containers deep")
            elif self._opened + len(part.data) > _MOST_OPENED:
                self.report.unsearched.append(
                    f"{told}: {part.name}: more than {_MOST_OPENED:,} bytes in containers"
                )
            else:
                self.report.members += 1
                self._opened += len(part.data)
                self.data(part.data, f"{told}: {part.name}", depth=depth + 1)

    def table(self, text: TableText | str) -> None:
        """Search a piece of a table; a text instead says why one could not be read."""
        if isinstance(text, str):
            self.report.unsearched.append(text)
            return
        self.report.rows += len(text.starts)
        self.report.bytes_searched += len(text.data)
        for hit in self._finder.search(text.data):
            self.report.add(Finding(text.place(hit.offset), hit.offset, hit.form, hit.canary))
        for part in inside(text.data):
            if isinstance(part, Inside):
                self.report.members += 1
                self.data(part.data, f"{text.name}: {part.name}", depth=1)


def _shown(name: str) -> str:
    """A file's name as text that can be printed, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
