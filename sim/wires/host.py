"""Drives one machine over a real byte stream: the part that TCP, serial devices and ptys share.

It does what every host does (see `protocols.sansio`): feed bytes, send what is due no earlier than it is due, keep one
timer. Writes can be paced to a baud rate, for media that have none of their own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from protocols.sansio import Machine
from sim.faults import NEVER_US
from sim.wires.capture import Capture
from sim.wires.faults import NO_FAULTS, WireFaults
from sim.wires.virtual import tell_link

__all__ = ["Clock", "Pace", "StreamHost"]

Clock = Callable[[], int]
"""Microseconds on the run's clock."""

_UNSENT_LIMIT_BYTES: Final = 1024 * 1024
"""A peer that lets this much pile up is not reading; the connection is dropped, as a real device would do."""

_TICK_US: Final = 16_000
"""A paced burst comes in pieces of this duration, its last one at its end: as from a USB adapter, which gathers what has come for
16 ms (FTDI's latency timer). So a short reply is there in one piece, for drivers that take the first bytes for the whole."""

_LINGER_US: Final = 100_000
"""A peer that only hears from now on still gets an answer that is due so soon."""

_READ_BYTES: Final = 8 * 1024
"""Read at a time: more than any field protocol's frame. What is longer comes in pieces, as it does on any stream."""


class _Writer(Protocol):
    def write(self, data: bytes) -> object: ...
    def abort(self) -> object: ...
    def close(self) -> object: ...


class Pace:
    """How fast a paced line takes bytes.

    Args:
        baud: symbols a second.
        bits_per_char: start, data, parity and stop bits together.
    """

    __slots__ = ("baud", "bits_per_char")

    def __init__(self, baud: int, bits_per_char: int = 11) -> None:
        if baud < 1 or bits_per_char < 1:
            raise ValueError("baud and bits_per_char start at 1")
        self.baud = baud
        self.bits_per_char = bits_per_char

    def burst_us(self, characters: int) -> int:
        """How long so many characters take, rounded up to a whole microsecond."""
        return -(-characters * self.bits_per_char * 1_000_000 // self.baud)

    def characters(self, elapsed_us: int) -> int:
        """How many characters have passed completely after so long."""
        return elapsed_us * self.baud // (self.bits_per_char * 1_000_000)


class StreamHost(asyncio.BufferedProtocol, asyncio.Protocol):
    """Hosts a machine on an asyncio transport, or on anything with ``write``, ``abort`` and ``close`` (see `attach_writer`).

    It reads into a buffer of its own: for a plain protocol asyncio makes a new one of 256 KiB for each read, which costs more
    than everything else that happens to a poll.

    The machine's timers run whether or not a connection stands; what it sends without one is lost. One host can serve
    several connections one after the other; `stop` ends it. A machine that says ``wants_close`` (its peer speaks another
    protocol) gets its connection closed.

    Args:
        machine: the machine; the host sets its ``on_wake``.
        clock: the run's clock, microseconds.
        name: the machine's name in captures and faults.
        peer: the other side's name in captures.
        pace: paces the writes; None writes at once.
        faults: what goes wrong with what this host sends, and noise it hears.
        capture: where bursts are recorded.
        lingers: a peer that has said its last still gets the answer that is due (``printf … | nc -N``).
    """

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        *,
        name: str = "machine",
        peer: str = "peer",
        pace: Pace | None = None,
        faults: WireFaults | None = None,
        capture: Capture | None = None,
        lingers: bool = False,
    ) -> None:
        self.machine = machine
        self.name = name
        self._lingers = lingers
        self.on_lost: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._pace = pace
        self._faults = NO_FAULTS if faults is None else faults
        self._is_plain = pace is None and not self._faults
        self._may_want_close = hasattr(machine, "wants_close")
        self._read = memoryview(bytearray(_READ_BYTES))
        self._capture = capture
        self._number = capture.port(name) if capture is not None else 0
        self._peer_number = capture.port(peer) if capture is not None else 0
        self._writer: _Writer | None = None
        # (earliest start, bytes to write or None, note, bytes as the machine gave them), first in, first out.
        self._unsent: deque[tuple[int, bytes | None, str, bytes]] = deque()
        self._unsent_bytes = 0
        self._written = 0
        self._line_free_us = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = NEVER_US
        self._is_woken = False
        self._is_paused = False
        self._is_stopped = False
        machine.on_wake = self._on_wake

    # Connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: the connection stands."""
        self.attach_writer(transport)  # type: ignore[arg-type]  # a stream's transport writes and aborts

    def attach_writer(self, writer: _Writer) -> None:
        """Start to drive the machine over this writer."""
        self._writer = writer
        now_us = self._clock()
        self._line_free_us = now_us
        if self._faults.is_down(now_us):
            self._break(now_us)
            return
        tell_link(self.machine, now_us, is_up=True)
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - named by asyncio
        """From asyncio: the connection is gone."""
        if self._writer is None:
            return
        self._writer = None
        self._is_paused = False
        self._unsent.clear()
        self._unsent_bytes = self._written = 0
        tell_link(self.machine, self._clock(), is_up=False)
        if self.on_lost is not None:
            self.on_lost()
        self.pump()

    def eof_received(self) -> bool:
        """From asyncio: the peer says nothing more. True if it still has to hear something."""
        due_us = self.machine.next_timer()
        if not self._lingers or self._writer is None:
            return False
        if not self._unsent and (due_us is None or due_us > self._clock() + _LINGER_US):
            return False
        self._loop.call_later(_LINGER_US / 1_000_000, self._close, self._writer)
        return True

    def _close(self, writer: _Writer) -> None:
        if writer is self._writer:
            writer.close()

    def pause_writing(self) -> None:
        """From asyncio: the peer does not read fast enough."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """From asyncio: the peer reads again."""
        self._is_paused = False
        self.pump()

    @property
    def is_connected(self) -> bool:
        """Whether a connection stands."""
        return self._writer is not None

    def stop(self) -> None:
        """Drive the machine no more; an open connection is broken."""
        self._is_stopped = True
        self.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Break the connection now."""
        if self._writer is not None:
            self._writer.abort()

    def _break(self, now_us: int) -> None:
        self._faults.note_down(now_us)
        self.abort()

    # Bytes.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - named by asyncio
        """From asyncio: where the next bytes go."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """From asyncio: so many bytes have come."""
        self.data_received(bytes(self._read[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes from the wire."""
        now_us = self._clock()
        if not self._is_plain and self._faults.is_down(now_us):
            self._break(now_us)
            return
        if self._capture is not None:
            self._capture.record(now_us, self._peer_number, data)
        self.machine.receive_data(data, now_us)
        self.pump()
        if self._may_want_close and self._writer is not None and self.machine.wants_close:  # type: ignore[attr-defined]
            self._writer.close()  # what is written already still goes out

    def _on_wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Handle what is due, send what may be sent, arm the timer for the rest."""
        self._is_woken = False
        if self._is_stopped:
            return
        now_us = self._clock()
        if self._faults.next_noise_us <= now_us:
            self._make_noise(now_us)
        machine = self.machine
        want_us = machine.next_timer()
        if want_us is not None and want_us <= now_us:
            machine.handle_timer(now_us)
        for outgoing in machine.data_to_send(now_us):
            data, not_before_us = outgoing.data, outgoing.not_before_us
            if self._unsent or not_before_us > now_us or not self._is_plain or self._is_paused:
                self._accept(data, not_before_us, now_us)
            elif data and self._writer is not None:  # nearly always: nothing holds it back
                self._writer.write(data)
                if self._capture is not None:
                    self._capture.record(now_us, self._number, data)
        due_us = self._faults.next_noise_us
        if self._unsent:
            if self._unsent_bytes > _UNSENT_LIMIT_BYTES:
                self.abort()
                return
            due_us = min(due_us, self._flush(now_us))
        want_us = machine.next_timer()
        if want_us is not None and want_us < due_us:
            due_us = want_us
        if due_us < NEVER_US or self._timer is not None:
            self._arm(due_us, now_us)

    def _make_noise(self, now_us: int) -> None:
        for burst in self._faults.take_noise(now_us):
            if not burst.sender:
                self._hear(burst.data, burst.fault, now_us)
            elif self._writer is not None:
                self._unsent.append((now_us, burst.data, burst.fault, b""))

    def _accept(self, data: bytes, not_before_us: int, now_us: int) -> None:
        if not data or self._writer is None:
            return
        start_us = max(not_before_us, now_us)
        hit = self._faults.strike(self.name, data, start_us) if self._faults else None
        if hit is None:
            self._unsent.append((start_us, data, "", data))
            self._unsent_bytes += len(data)
            return
        if hit.data is None and self._faults.is_down(now_us):
            self.abort()
            return
        self._unsent_bytes += len(data)
        start_us += hit.delay_us
        self._unsent.append((start_us, hit.data, hit.note, data))
        for gap_us, piece in hit.following():
            start_us += gap_us
            self._unsent.append((start_us, piece, hit.note, b""))
        if hit.is_echoed and hit.data is not None:
            self._loop.call_soon(self._echo, hit.data, hit.note)

    def _echo(self, data: bytes, note: str) -> None:
        if not self._is_stopped:
            self._hear(data, note, self._clock())
            self.pump()

    def _hear(self, data: bytes, note: str, now_us: int) -> None:
        """Bytes that the peer has not sent."""
        if self._capture is not None:
            self._capture.record_touched(now_us, self._peer_number, data, note, b"")
        self.machine.receive_data(data, now_us)

    def _flush(self, now_us: int) -> int:
        """Write what may be written by now; returns when to come back."""
        unsent = self._unsent
        while unsent and not self._is_paused:
            start_us, data, note, sent = unsent[0]
            start_us = max(start_us, self._line_free_us)
            if start_us > now_us:
                return start_us
            if data is not None and self._writer is not None:
                if self._pace is not None:
                    end_us = start_us + self._pace.burst_us(len(data))
                    # At least one character, however slow the line.
                    piece_us = start_us + max(
                        self._pace.burst_us(self._written) + _TICK_US, self._pace.burst_us(self._written + 1)
                    )
                    if now_us < min(end_us, piece_us):
                        return min(end_us, piece_us)
                    done = min(self._pace.characters(now_us - start_us), len(data))
                    self._writer.write(data[self._written : done])
                    self._written = done
                    if done < len(data):
                        continue
                    self._written = 0
                    self._line_free_us = end_us
                else:
                    self._writer.write(data)
            unsent.popleft()
            self._unsent_bytes = max(0, self._unsent_bytes - len(sent))
            self._record(now_us, data, note, sent)
        return NEVER_US

    def _record(self, now_us: int, data: bytes | None, note: str, sent: bytes) -> None:
        if self._capture is None:
            return
        if note:
            self._capture.record_touched(now_us, self._number, data or b"", note, sent)
        else:
            self._capture.record(now_us, self._number, sent)

    def _arm(self, due_us: int, now_us: int) -> None:
        if self._timer is not None:
            if due_us == self._timer_us:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_us = due_us
        if due_us < NEVER_US:
            self._timer = self._loop.call_later(max(0, due_us - now_us) / 1_000_000, self._due)

    def _due(self) -> None:
        self._timer = None
        self.pump()
