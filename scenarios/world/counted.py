"""A capture that counts bytes and frames of one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocols.aaff import Framer as AaFfFramer
from protocols.dart import Framer
from protocols.ifsf import StreamFramer
from protocols.modbus import TcpAssembler
from scenarios.model import Line
from sim.wires import Capture

__all__ = ["Counted", "frame_reader"]


class Counted(Capture):
    """A capture that counts, and keeps the bytes only when they are wanted.

    Attributes:
        bytes_in, bytes_out: what the device heard and said.
        frames_in: whole frames heard, where the protocol has a reader; bursts otherwise.
        frames_out: bursts said, a frame each.
    """

    __slots__ = ("_device", "_keeps", "_read", "bytes_in", "bytes_out", "frames_in", "frames_out")

    def __init__(
        self, wire: str, device: str, *, keeps: bool, read: Callable[[bytes], Sequence[object]] | None
    ) -> None:
        super().__init__(wire)
        self.bytes_in = self.bytes_out = self.frames_in = self.frames_out = 0
        self._device = self.port(device)
        self._keeps = keeps
        self._read = read

    def record(self, t_us: int, port: int, data: bytes) -> None:
        """Count a burst, and record it if bytes are kept."""
        if port == self._device:
            self.bytes_out += len(data)
            self.frames_out += 1
        else:
            self.bytes_in += len(data)
            self.frames_in += 1 if self._read is None else len(self._read(data))
        if self._keeps:
            super().record(t_us, port, data)


def frame_reader(line: Line) -> Callable[[bytes], Sequence[object]] | None:
    """What takes bytes and gives the whole frames among them, where the line's protocol has such a thing."""
    if line.protocol == "dart":
        return Framer().feed
    if line.protocol == "modbus" and line.framing == "tcp":
        return TcpAssembler().feed
    if line.protocol == "ifsf":
        return StreamFramer().feed
    if line.protocol == "aaff":
        return AaFfFramer().feed
    return None
