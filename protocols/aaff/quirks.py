"""Deviations of real peers, as switches. All off by default."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.sansio import LocalProtocolError

__all__ = ["Quirks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What one end of a line does or lives with.

    Attributes:
        any_checksum: a dispenser takes frames whose checksum is wrong or left out, and records a `Deviation`. The firmware
            never checks it (ycxzfforever/LNG_V2.X_NEW ``src/app.c``).
        checksum_sent: a master sends a ``good`` checksum, a ``zero`` byte in its place, or none (``missing``), as the
            back office does for which the firmware leaves out the check.

    Raises:
        LocalProtocolError: ``checksum_sent`` is something else.
    """

    any_checksum: bool = False
    checksum_sent: str = "good"

    def __post_init__(self) -> None:
        if self.checksum_sent not in ("good", "zero", "missing"):
            raise LocalProtocolError(
                f"checksum_sent is {self.checksum_sent!r}, not 'good', 'zero' or 'missing'"
            )
