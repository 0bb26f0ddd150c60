"""Logs of the reference's processes: whatever a message or a traceback holds, card and phone numbers come out masked."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from protocols.cards import mask_private

__all__ = ["MaskedFormatter", "log_masked"]

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class MaskedFormatter(logging.Formatter):
    """Masks the finished line, traceback included: what an exception says was often written by somebody else."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return mask_private(super().format(record))


def log_masked(level: int = logging.WARNING, *, stream: TextIO | None = None, layout: str = FORMAT) -> None:
    """Let the root logger write to a stream (standard error), masked."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(MaskedFormatter(layout))
    logging.basicConfig(level=level, handlers=[handler])
