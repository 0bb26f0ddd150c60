"""Real-time commands: those a printer obeys the moment they arrive, ahead of everything in its buffer.

Source: DLE EOT, DLE ENQ, DLE DC4 in the Epson command manuals. The scan looks at every byte, so the pattern is
obeyed inside raster data as well, as it is by real printers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.escpos.commands import DLE, DLE_DC4_BYTES, Op

__all__ = ["RealTimeCommand", "RealTimeScanner"]

_CLEAR_BUFFER: Final = bytes.fromhex("10 14 08 01 03 14 01 06 02 08")


@dataclass(frozen=True, slots=True)
class RealTimeCommand:
    """A real-time command.

    Attributes:
        op: DLE_EOT, DLE_ENQ or DLE_DC4.
        args: the bytes after the prefix.
        end: where it ends in the piece that completed it.
    """

    op: Op
    args: tuple[int, ...]
    end: int = 0


class RealTimeScanner:
    """Finds real-time commands in a byte stream that may be cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def reset(self) -> None:
        """Forget half a command."""
        self._held = b""

    def feed(self, data: bytes) -> list[RealTimeCommand]:
        """Scan ``data`` and return the commands complete in it, in order."""
        if not self._held and DLE not in data:
            return []
        stream = self._held + data
        before = len(self._held)
        self._held = b""
        found: list[RealTimeCommand] = []
        at = stream.find(DLE)
        while at >= 0:
            need = _real_time_length(stream, at)
            if need == 0:
                at = stream.find(DLE, at + 1)
                continue
            if at + need > len(stream):
                self._held = stream[at:]
                break
            command = stream[at : at + need]
            if command[1] == 0x14 and command[2] == 8 and command != _CLEAR_BUFFER:
                at = stream.find(DLE, at + 1)
                continue
            op = {0x04: Op.DLE_EOT, 0x05: Op.DLE_ENQ, 0x14: Op.DLE_DC4}[command[1]]
            found.append(RealTimeCommand(op, tuple(command[2:]), at + need - before))
            at = stream.find(DLE, at + need)
        return found


def _real_time_length(stream: bytes, at: int) -> int:
    """Bytes of the real-time command at ``at``; 0 if what stands there is none."""
    head = stream[at : at + 3]
    if len(head) == 1:
        return 2
    if head[1] in (0x04, 0x05):
        return 3
    if head[1] != 0x14:
        return 0
    if len(head) == 2:
        return 3
    return DLE_DC4_BYTES.get(head[2], 0)
