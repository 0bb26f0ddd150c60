"""One line in the log for each frame that was thrown away, with its bytes: what a fitter asks for first."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["note_damage"]

log = logging.getLogger(__name__)

SHOWN_BYTES: Final = 64
"""Of a longer burst the rest is counted: a babbling device does not fill the disk by itself."""


def note_damage(
    protocol: str, place: str, reason: object, raw: bytes, *, open_bytes: int | None = None
) -> None:
    """Log a frame that was refused.

    Args:
        protocol: as the configuration calls it.
        place: who it seemed to come from, for people.
        reason: why it was refused.
        raw: its bytes.
        open_bytes: only so many are shown, because a card number may stand behind them.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    limit = SHOWN_BYTES if open_bytes is None else min(open_bytes, SHOWN_BYTES)
    told = raw[:limit].hex(" ").upper()
    if len(raw) > limit:
        told += f" and {len(raw) - limit} more" + (" (masked)" if open_bytes is not None else "")
    log.info("%s, %s: frame refused (%s): %s", protocol, place, reason, told)
