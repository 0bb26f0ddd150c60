"""The leak scan: card and phone numbers that nobody has are planted through every input, then looked for everywhere."""

from __future__ import annotations

from scenarios.leaks.canaries import Canary, CanaryError, make_canaries, read_canaries, write_canaries
from scenarios.leaks.finder import Finder, Hit
from scenarios.leaks.report import Finding, ScanReport
from scenarios.leaks.scan import Scan

__all__ = [
    "Canary",
    "CanaryError",
    "Finder",
    "Finding",
    "Hit",
    "Scan",
    "ScanReport",
    "make_canaries",
    "read_canaries",
    "write_canaries",
]
