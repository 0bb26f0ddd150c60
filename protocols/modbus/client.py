"""The client (master) side: requests with time-outs, replies matched by transaction id or by turn.

A time-out means *unknown*: whether the server executed the request cannot be told from here. So nothing is repeated by
itself; commands carry a token that makes it safe for the owner to repeat them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from protocols.sansio import NEED_DATA, LocalProtocolError, NeedData, Outgoing

from .framing import Frame, Framing, RtuAssembler, TcpAssembler, rtu_frame, rtu_silence_us, tcp_frame

__all__ = ["BadReply", "ClientEvent", "ModbusClient", "NoReply", "Refused", "Registers", "Written"]

KNOWN_MAX: Final = 256
"""Blocks whose request and last answer are kept; a site reads two or three a fuelling point."""

QUEUE_MAX: Final = 256
"""Requests waiting. Ours: an owner that piles up more does not look at the answers."""

_PATIENCE: Final = 5
"""A reply may come in pieces with longer pauses than 3.5 characters (converters, ptys): its CRC says when it is whole."""

_decoder = DecodePDU(False)


@dataclass(frozen=True, slots=True)
class Registers:
    """A read was answered."""

    request: int
    unit_id: int
    address: int
    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A write was answered."""

    request: int
    unit_id: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An exception response came."""

    request: int
    unit_id: int
    address: int
    function: int
    code: int


@dataclass(frozen=True, slots=True)
class NoReply:
    """The time-out passed; whether the request was executed is unknown."""

    request: int
    unit_id: int
    address: int


@dataclass(frozen=True, slots=True)
class BadReply:
    """Something came that answers no request (noise, a late or foreign reply). The request waits on."""

    raw: bytes
    reason: str


ClientEvent: TypeAlias = Registers | Written | Refused | NoReply | BadReply


@dataclass(slots=True)
class _Request:
    number: int
    unit_id: int
    function: int
    address: int
    count: int
    frame: bytes
    transaction_id: int
    deadline_us: int = 0


class ModbusClient:
    """One connection of a client: a `Machine` with requests and events.

    Args:
        framing: ``tcp`` or ``rtu``.
        timeout_us: from the departure of a request to its time-out.
        max_in_flight: requests out at once on TCP; on RTU it is one, as the line demands.
        baud: line speed, for the silence between RTU frames.
        silence_us: replaces the 3.5 characters.

    Raises:
        ValueError: a limit is not positive.
    """

    def __init__(
        self,
        *,
        framing: Framing = "tcp",
        timeout_us: int = 1_000_000,
        max_in_flight: int = 8,
        baud: int = 9_600,
        silence_us: int | None = None,
    ) -> None:
        if timeout_us <= 0 or max_in_flight <= 0:
            raise ValueError("timeout_us and max_in_flight must be positive")
        self.on_wake: Callable[[], None] | None = None
        self.framing = framing
        self._timeout_us = timeout_us
        self._window = max_in_flight if framing == "tcp" else 1
        self._silence_us = rtu_silence_us(baud) if silence_us is None else silence_us
        self._tcp = TcpAssembler()
        self._rtu = RtuAssembler(_PATIENCE * self._silence_us)
        self._waiting: deque[_Request] = deque()
        self._flying: dict[int, _Request] = {}
        self._out: list[Outgoing] = []
        self._events: deque[ClientEvent] = deque()
        self._number = 0
        self._free_us = 0
        self._reads: dict[tuple[int, int], bytes] = {}
        # (unit, address, count) to (the answer's PDU, (request, answer) as frames)
        self._idle_frames: dict[tuple[int, int, int], tuple[bytes, tuple[bytes, bytes]]] = {}
        self._read_last: dict[tuple[int, int, int], tuple[bytes, tuple[int, ...]]] = {}

    @property
    def idle(self) -> bool:
        """No request waits or is out."""
        return not self._waiting and not self._flying

    def read(self, unit_id: int, address: int, count: int, now_us: int) -> int:
        """Ask for ``count`` (1..125) holding registers; returns the request's number.

        Raises:
            LocalProtocolError: a value out of range, or too many requests wait.
        """
        if not 1 <= count <= 125:
            raise LocalProtocolError(f"{count} registers in one read, not 1..125")
        # A controller reads the same few blocks over and over.
        pdu = self._reads.get((address, count))
        if pdu is None:
            request = ReadHoldingRegistersRequest(address=address, count=count)
            pdu = bytes(b"\x03" + request.encode())
            if len(self._reads) < KNOWN_MAX:
                self._reads[address, count] = pdu
        return self._ask(unit_id, 3, address, count, pdu, now_us)

    def write(self, unit_id: int, address: int, registers: Sequence[int], now_us: int) -> int:
        """Write 1..123 registers in one request; returns the request's number.

        Raises:
            LocalProtocolError: a value out of range, or too many requests wait.
        """
        count = len(registers)
        if not 1 <= count <= 123 or not all(0 <= value <= 0xFFFF for value in registers):
            raise LocalProtocolError(f"cannot write {count} registers, or a value is not 0..65535")
        if count == 1:
            single = WriteSingleRegisterRequest(address=address, registers=list(registers))
            return self._ask(unit_id, 6, address, 1, bytes(b"\x06" + single.encode()), now_us)
        pdu = WriteMultipleRegistersRequest(address=address, registers=list(registers))
        return self._ask(unit_id, 16, address, count, bytes(b"\x10" + pdu.encode()), now_us)

    def idle_read(self, unit_id: int, address: int, count: int, now_us: int) -> tuple[bytes, bytes] | None:
        """RTU, on a line at rest: the frame of this read, and the one that would tell the registers as they were last.

        None when no such read was answered yet, or the line is not at rest.
        """
        if (
            self.framing != "rtu"
            or self._waiting
            or self._flying
            or self._free_us > now_us
            or not self._rtu.is_empty
        ):
            return None
        key = (unit_id, address, count)
        last = self._read_last.get(key)
        if last is None:
            return None
        frames = self._idle_frames.get(key)
        if frames is None or frames[0] is not last[0]:
            request = rtu_frame(Frame(unit_id, 0, self._reads[address, count]))
            frames = self._idle_frames[key] = (last[0], (request, rtu_frame(Frame(unit_id, 0, last[0]))))
        return frames[1]

    def next_event(self) -> ClientEvent | NeedData:
        """The next piece of news, or `NEED_DATA`."""
        return self._events.popleft() if self._events else NEED_DATA

    def connection_made(self, now_us: int) -> None:
        """A connection stands: what waited goes out."""
        self._launch(now_us)

    def connection_lost(self, now_us: int) -> None:  # noqa: ARG002 - named by the hosts of connections
        """The connection broke: what was out is unknown (`NoReply`), what waits goes out on the next one."""
        for request in self._flying.values():
            self._events.append(NoReply(request.number, request.unit_id, request.address))
        self._flying.clear()
        self._out.clear()
        self._tcp = TcpAssembler()
        self._rtu = RtuAssembler(_PATIENCE * self._silence_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if self.framing == "tcp":
            for frame in self._tcp.feed(data):
                self._settle(frame, self._flying.get(frame.transaction_id), now_us)
            return
        self._rtu.feed(data, now_us)
        self._free_us = now_us + self._silence_us
        frame_now = self._rtu.peek()
        if frame_now is not None:
            self._rtu.end()
            self._settle(frame_now, next(iter(self._flying.values()), None), now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the shape of every machine
        """See `protocols.sansio.Machine`."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """The next time-out."""
        return min((request.deadline_us for request in self._flying.values()), default=None)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        late = [request for request in self._flying.values() if request.deadline_us <= now_us]
        for request in late:
            del self._flying[request.transaction_id]
            self._events.append(NoReply(request.number, request.unit_id, request.address))
        if late:
            self._rtu.end()
            self._launch(now_us)

    def _ask(self, unit_id: int, function: int, address: int, count: int, pdu: bytes, now_us: int) -> int:
        if not 0 <= address <= 0x10000 - count:
            raise LocalProtocolError(f"registers {address}..{address + count - 1} do not exist in Modbus")
        if not 1 <= unit_id <= 255:
            raise LocalProtocolError(f"unit {unit_id} cannot be asked (1..247, on TCP also 255)")
        if len(self._waiting) >= QUEUE_MAX:
            raise LocalProtocolError(f"over {QUEUE_MAX} Modbus requests wait")
        self._number += 1
        # 16 bits on the wire; the window is far smaller, so a number is free again when it comes round.
        transaction_id = (self._number - 1) % 0xFFFF + 1
        frame = Frame(unit_id, transaction_id, pdu)
        wire = tcp_frame(frame) if self.framing == "tcp" else rtu_frame(frame)
        self._waiting.append(_Request(self._number, unit_id, function, address, count, wire, transaction_id))
        self._launch(now_us)
        if self.on_wake is not None:
            self.on_wake()
        return self._number

    def _launch(self, now_us: int) -> None:
        while self._waiting and len(self._flying) < self._window:
            request = self._waiting.popleft()
            start_us = now_us if self.framing == "tcp" else max(now_us, self._free_us)
            request.deadline_us = start_us + self._timeout_us
            self._flying[request.transaction_id] = request
            self._out.append(Outgoing(request.frame, start_us))

    def _settle(self, frame: Frame, request: _Request | None, now_us: int) -> None:
        event = self._unchanged(frame, request) or _judge(frame, request)
        if type(event) is Registers:
            key = (event.unit_id, event.address, len(event.registers))
            if key in self._read_last or len(self._read_last) < KNOWN_MAX:
                self._read_last[key] = (frame.pdu, event.registers)
        self._events.append(event)
        if request is not None and not isinstance(event, BadReply):
            del self._flying[request.transaction_id]
            self._launch(now_us)

    def _unchanged(self, frame: Frame, request: _Request | None) -> Registers | None:
        """The answer to a read that is the last one to the byte; its registers are then the same tuple."""
        if request is None or request.function != 3 or frame.unit_id != request.unit_id:
            return None
        last = self._read_last.get((request.unit_id, request.address, request.count))
        if last is None or last[0] != frame.pdu:
            return None
        return Registers(request.number, request.unit_id, request.address, last[1])


def _judge(frame: Frame, request: _Request | None) -> ClientEvent:
    """What a reply says about the request that it answers."""
    if request is None:
        return BadReply(frame.pdu, "it answers no request")
    if frame.unit_id != request.unit_id:
        return BadReply(frame.pdu, f"unit {frame.unit_id} answered in place of {request.unit_id}")
    function = frame.pdu[0]
    if function & 0x7F != request.function:
        return BadReply(frame.pdu, f"function {function} answers a request of function {request.function}")
    pdu = _decoder.decode(frame.pdu)
    if pdu is None:
        return BadReply(frame.pdu, "it cannot be decoded")
    if function & 0x80:
        return Refused(request.number, request.unit_id, request.address, request.function, pdu.exception_code)
    if function == 3:
        if len(frame.pdu) != 2 + 2 * request.count or frame.pdu[1] != 2 * request.count:
            return BadReply(frame.pdu, f"{request.count} registers were asked for")
        return Registers(request.number, request.unit_id, request.address, tuple(pdu.registers))
    if len(frame.pdu) != 5 or pdu.address != request.address:
        return BadReply(frame.pdu, f"the write went to {request.address}")
    return Written(request.number, request.unit_id, request.address, request.count)
