"""What a scan says: what was searched, what was found and where. No number is ever shown whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from protocols.cards import mask_private
from scenarios.leaks.canaries import Canary
from scenarios.verdicts import Verdict

__all__ = ["KEPT", "Finding", "ScanReport"]

KEPT: Final = 10_000
"""Findings kept one by one; beyond that they are only counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A canary where none may be.

    Attributes:
        place: file below the scanned folder with its containers, or table, row and column.
        offset: of its first byte in there.
        form: how it was written.
        canary: which.
    """

    place: str
    offset: int
    form: str
    canary: Canary

    def as_json(self) -> dict[str, Any]:
        """For a report; the number is masked."""
        return {
            "place": mask_private(self.place),
            "offset": self.offset,
            "form": self.form,
            "kind": self.canary.kind,
            "masked": self.canary.masked,
        }


@dataclass(slots=True)
class ScanReport:
    """The outcome of a scan.

    Attributes:
        findings: what was found, in the order of the search; at most `KEPT`.
        found: how many there are in all.
        files, members, rows, bytes_searched: how much was searched: files, what was opened inside them, rows of databases.
        unsearched: what could not be searched, and why. While anything is on this list, nothing found proves nothing.
        planted: how many canaries were looked for.
    """

    planted: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    files: int = 0
    members: int = 0
    rows: int = 0
    bytes_searched: int = 0
    unsearched: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Put a finding on record."""
        self.found += 1
        if len(self.findings) < KEPT:
            self.findings.append(finding)

    @property
    def verdict(self) -> Verdict:
        """FAIL with a finding; INCONCLUSIVE if nothing was searched, or not everything could be; else PASS."""
        if self.found:
            return Verdict.FAIL
        if not self.bytes_searched or self.unsearched:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to a file."""
        return {
            "format": 1,
            "verdict": str(self.verdict),
            "canaries": self.planted,
            "searched": {
                "files": self.files,
                "members": self.members,
                "rows": self.rows,
                "bytes": self.bytes_searched,
            },
            "unsearched": [mask_private(reason) for reason in self.unsearched],
            "found": self.found,
            "findings": [finding.as_json() for finding in self.findings],
        }
