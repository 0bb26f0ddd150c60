"""The server (slave) side: every request answered once, in order, with its own transaction id.

Source of the rules: Modbus Application Protocol Specification V1.1b3, sections 6 and 7 (request checks: function, then
counts, then addresses), MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 4.4, MODBUS over Serial Line V1.02.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import WriteMultipleRegistersResponse, WriteSingleRegisterResponse

from protocols.sansio import Outgoing

from .bank import ExceptionCode, Refusal, RegisterBank
from .framing import Frame, Framing, RtuAssembler, TcpAssembler, rtu_frame, rtu_silence_us, tcp_frame

__all__ = ["ModbusServer"]

READ_HOLDING = 3
READ_INPUT = 4
WRITE_SINGLE = 6
WRITE_MULTIPLE = 16

MAX_READ_COUNT = 125
MAX_WRITE_COUNT = 123

KNOWN_MAX = 64
"""Replies kept while no register changes."""

BROADCAST = 0
"""Serial line: everyone executes, nobody answers. On TCP: the device at the end of the connection."""

TCP_ANY_UNIT = 255
"""Messaging on TCP/IP guide, 4.4.1.2: the non-significant unit of a device that is addressed by its IP address."""

_SHORTEST = {READ_HOLDING: 5, READ_INPUT: 5, WRITE_SINGLE: 5, WRITE_MULTIPLE: 6}

_MOST = {READ_HOLDING: MAX_READ_COUNT, READ_INPUT: MAX_READ_COUNT, WRITE_MULTIPLE: MAX_WRITE_COUNT}

_decoder = DecodePDU(True)


class ModbusServer:
    """One connection of a server: a `Machine` between bytes and a `RegisterBank`.

    Args:
        bank: the registers.
        unit_id: 1..247.
        framing: ``tcp`` or ``rtu``.
        baud: line speed, for the silence that ends an RTU frame.
        absent_unit: TCP only, for a request to another unit: ``gateway`` answers exception 11, ``silence`` nothing.
        silence_us: replaces the 3.5 characters where bytes come over a pty or a network.

    Attributes:
        requests: requests to this unit so far.

    Raises:
        ValueError: a unit outside 1..247.
    """

    on_wake: Callable[[], None] | None

    def __init__(
        self,
        bank: RegisterBank,
        unit_id: int,
        *,
        framing: Framing = "tcp",
        baud: int = 9_600,
        absent_unit: Literal["gateway", "silence"] = "gateway",
        silence_us: int | None = None,
    ) -> None:
        if not 1 <= unit_id <= 247:
            raise ValueError(f"Modbus unit {unit_id} is not in 1..247")
        self.on_wake = None
        self.unit_id = unit_id
        self.framing = framing
        self.requests = 0
        self._bank = bank
        self._absent_unit = absent_unit
        self._out: list[Outgoing] = []
        self._tcp = TcpAssembler()
        self._generation: int | None = None
        # Request to reply; on TCP both are the frame from behind the transaction id on.
        self._known: dict[bytes, bytes] = {}
        # RTU: request frame to (reply, its frame).
        self._known_rtu: dict[bytes, tuple[bytes, bytes]] = {}
        self._silence_us = rtu_silence_us(baud) if silence_us is None else silence_us
        self._rtu = RtuAssembler(self._silence_us)

    @property
    def wants_close(self) -> bool:
        """TCP: the stream lost its frame boundaries, the host should close the connection."""
        return self._tcp.lost

    @property
    def bad_frames(self) -> int:
        """Frames dropped without an answer: CRC, length, foreign protocol id."""
        return self._tcp.bad_frames + self._rtu.bad_frames

    def connection_made(self, now_us: int) -> None:  # noqa: ARG002 - named by the hosts of connections
        """A new connection stands: what was half received on the old one is forgotten."""
        self._tcp.restart()
        self._rtu = RtuAssembler(self._silence_us)
        self._out.clear()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire."""
        if self.framing == "tcp":
            # Nearly every burst is one poll like the one before, of registers that have not changed since.
            known = self._recall(data[2:]) if self._tcp.is_between_frames else None
            if known is not None:
                self._out.append(Outgoing(data[:2] + known, now_us))
                return
            for frame in self._tcp.feed(data):
                self._serve_tcp(frame, now_us)
            return
        ended = self._rtu.feed(data, now_us)
        if ended is not None:
            self._serve_rtu(ended, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:  # noqa: ARG002 - the shape of every machine
        """Drain the replies."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """RTU: when silence ends the frame that is being received."""
        return self._rtu.ends_us

    def handle_timer(self, now_us: int) -> None:
        """RTU: serve the frame that silence has ended."""
        ends_us = self._rtu.ends_us
        if ends_us is not None and ends_us <= now_us:
            frame = self._rtu.end()
            if frame is not None:
                self._serve_rtu(frame, now_us)

    def _serve_tcp(self, frame: Frame, now_us: int) -> None:
        unit_id, transaction_id, pdu = frame
        if unit_id in {self.unit_id, BROADCAST, TCP_ANY_UNIT}:
            request = tcp_frame(frame)[2:]
            known = self._recall(request)
            if known is None:
                self.requests += 1
                known = tcp_frame(Frame(unit_id, 0, self._work_out(pdu, now_us)))[2:]
                self._remember(pdu[0], request, known)
            self._out.append(Outgoing(transaction_id.to_bytes(2, "big") + known, now_us))
        elif self._absent_unit == "gateway":
            reply = bytes((pdu[0] | 0x80, ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND))
            self._out.append(Outgoing(tcp_frame(Frame(unit_id, transaction_id, reply)), now_us))

    def _serve_rtu(self, frame: Frame, now_us: int) -> None:
        pdu = frame.pdu
        if frame.unit_id == self.unit_id:
            reply = self._recall(pdu)
            if reply is None:
                self.requests += 1
                reply = self._work_out(pdu, now_us)
                self._remember(pdu[0], pdu, reply)
            self._out.append(Outgoing(rtu_frame(Frame(self.unit_id, 0, reply)), now_us))
        elif frame.unit_id == BROADCAST and pdu[0] in {WRITE_SINGLE, WRITE_MULTIPLE}:
            self.requests += 1
            self._work_out(pdu, now_us)

    @property
    def silence_us(self) -> int:
        """RTU: from the end of a request to the beginning of its answer."""
        return self._silence_us

    def idle_answer(self, data: bytes) -> bytes | None:
        """RTU: the frame with which this burst, heard on a line at rest, would be answered, if that is known beforehand.

        Known is what was answered to the same burst while no register has changed. Empty for another unit's burst; None
        for one that has to be heard.

        Answers given away here are not among ``requests``.
        """
        if self.framing != "rtu" or self._rtu.ends_us is not None or self._out:
            return None
        if data[0] != self.unit_id:
            return None if data[0] == BROADCAST else b""
        generation = self._bank.generation()
        if generation is None or generation != self._generation:
            return None
        pdu = data[1:-2]
        reply = self._known.get(pdu)
        if reply is None:
            return None
        known = self._known_rtu.get(data)
        if known is not None and known[0] is reply:
            return known[1]
        if rtu_frame(Frame(data[0], 0, pdu)) != data:
            return None
        if len(self._known_rtu) >= KNOWN_MAX:
            self._known_rtu.clear()
        answer = rtu_frame(Frame(self.unit_id, 0, reply))
        self._known_rtu[data] = (reply, answer)
        return answer

    def _recall(self, request: bytes) -> bytes | None:
        """The reply that the same request got, if no register has changed since."""
        generation = self._bank.generation()
        if generation is None:
            return None
        if generation != self._generation:
            self._generation = generation
            self._known.clear()
        reply = self._known.get(request)
        if reply is not None:
            self.requests += 1
        return reply

    def _remember(self, function: int, request: bytes, reply: bytes) -> None:
        if (
            function in {READ_HOLDING, READ_INPUT}
            and len(self._known) < KNOWN_MAX
            and self._generation is not None
            and self._bank.generation() == self._generation
        ):
            self._known[request] = reply

    def _work_out(self, pdu: bytes, now_us: int) -> bytes:
        try:
            return self._execute(pdu, now_us)
        except Refusal as refusal:
            return _encoded(ExceptionResponse(pdu[0] & 0x7F, refusal.code))

    def _execute(self, pdu: bytes, now_us: int) -> bytes:
        function = pdu[0]
        shortest = _SHORTEST.get(function)
        if shortest is None:
            raise Refusal(ExceptionCode.ILLEGAL_FUNCTION)
        # pymodbus decodes leniently (surplus bytes, short payloads), so the lengths are checked here.
        expected = shortest if function != WRITE_MULTIPLE or len(pdu) < shortest else shortest + pdu[5]
        if len(pdu) != expected:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        address, count = pdu[1] << 8 | pdu[2], pdu[3] << 8 | pdu[4]
        # Before pymodbus looks: it reports a count that it does not like on standard error.
        most = _MOST.get(function)
        if most is not None and not 1 <= count <= most:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        if function in {READ_HOLDING, READ_INPUT}:
            # Not by pymodbus's response, which packs one register at a time.
            return bytes((function, 2 * count)) + self._bank.read(address, count, now_us)
        request = _decoder.decode(pdu)
        if request is None:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        values = list(request.registers)
        if function == WRITE_SINGLE:
            self._bank.write(address, values, now_us)
            return _encoded(WriteSingleRegisterResponse(address=address, registers=values))
        if pdu[5] != 2 * count:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        self._bank.write(address, values, now_us)
        return _encoded(WriteMultipleRegistersResponse(address=address, count=count))


def _encoded(pdu: ModbusPDU) -> bytes:
    return bytes((pdu.function_code,)) + bytes(pdu.encode())
