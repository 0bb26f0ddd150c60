"""The receipt printer as a machine: bytes in, status bytes out, lines on paper as time goes by.

Behaviour follows the Epson TM-T88III and TM-U230 manuals and the UB-E02 board manual; see `PrinterProfile` for what
differs between models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.escpos import Op, PrinterCondition, RealTimeCommand, RealTimeScanner, StreamParser
from protocols.sansio import Outgoing
from sim.printer.answers import Answers
from sim.printer.events import DataDiscarded, DrawerKicked, PrinterEvent, Surprise, WentOffline, WentOnline
from sim.printer.hands import Hands
from sim.printer.interpreter import Interpreter
from sim.printer.mechanism import Mechanism
from sim.printer.paper import Receipt
from sim.printer.profile import CHINESE_80MM, PrinterProfile
from sim.printer.receive_path import MAX_INTERFACE_BYTES, ReceivePath

__all__ = ["MAX_SURPRISES", "Printer"]

MAX_SURPRISES: Final = 1000
"""Surprises kept; a noisy line must not fill the memory."""


class Printer(Hands):
    """An ESC/POS receipt printer.

    A `protocols.sansio.Machine`. Its controls (`Hands`, `power_off`, `power_on`) may be called between wire events.

    Args:
        profile: the model.
        listener: called with each `PrinterEvent`.

    Attributes:
        surprises: what a careful engineer would ask about, oldest first, at most `MAX_SURPRISES`.
        discarded_bytes: bytes lost to a full buffer or to missing power.
        on_flow: called with the BUSY signal when it changes: what a serial host does with DTR.
    """

    def __init__(
        self,
        profile: PrinterProfile = CHINESE_80MM,
        listener: Callable[[PrinterEvent], None] | None = None,
    ) -> None:
        self.profile = profile
        self.listener = listener
        self.on_wake: Callable[[], None] | None = None
        self.on_flow: Callable[[bool], None] | None = None
        self.surprises: list[Surprise] = []
        self.discarded_bytes = 0
        self._now_us = 0
        self._powered = True
        self._starting_until_us: int | None = None
        self._told_offline = False
        self._buttons_work = True
        self._path = ReceivePath(
            profile, self._real_time, self._discard, lambda: self.condition.offline, self._flow
        )
        self._answers = Answers(profile, lambda: self.condition)
        self._kick = False
        self._scanner = RealTimeScanner()
        self._parser = StreamParser(board_symbols=profile.board_symbols)
        self._mechanism = Mechanism(profile, self._tell, self._answers.add, self._answers.buffered_status)
        self._interpreter = Interpreter(profile, self._note_surprise, self._enable_asb, self._set_sensors)
        # It is the network board that has asked for it, and has taken the first report.
        self._answers.watch(profile.asb_at_power_on, 0, is_told=False)

    # -- what hosts and tests look at -----------------------------------------------------------------------------

    @property
    def receipts(self) -> list[Receipt]:
        """Every receipt cut or torn off so far, oldest first."""
        return self._mechanism.receipts

    @property
    def unfinished(self) -> Receipt | None:
        """The paper hanging out of the printer, not yet cut; None when nothing is on it."""
        return self._mechanism.strip

    @property
    def paper_left_mm(self) -> int:
        """Paper on the roll."""
        return self._mechanism.paper_left_mm

    @property
    def powered(self) -> bool:
        """Whether it has power: without it a TCP host should refuse connections."""
        return self._powered

    @property
    def busy(self) -> bool:
        """The BUSY signal: the receive buffer is nearly full (or, on a board that waits for it, offline)."""
        return self._path.busy

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet executed."""
        return len(self._path)

    @property
    def idle(self) -> bool:
        """Nothing buffered, queued or moving: all that was sent is on paper."""
        return not len(self._path) and self._mechanism.idle and not self._parser.has_replay

    @property
    def can_receive(self) -> bool:
        """Whether a host may hand over more bytes. A TCP host stops reading while False (the window closes)."""
        return self.receive_window > 0

    @property
    def receive_window(self) -> int:
        """How many bytes a host may hand over now."""
        if not self._powered:
            # A serial printer's DTR drops with its power; what is sent all the same is lost.
            return 0 if self._holds_back else MAX_INTERFACE_BYTES
        return self._path.window

    @property
    def _holds_back(self) -> bool:
        return self.profile.interface == "serial" and self.profile.handshake == "dtr"

    @property
    def condition(self) -> PrinterCondition:
        """The state its status bytes tell."""
        mechanism = self._mechanism
        return PrinterCondition(
            cover_open=mechanism.cover_open,
            paper_end=mechanism.paper_end,
            paper_near_end=mechanism.paper_near_end,
            feeding=mechanism.is_feeding,
            waiting_for_recovery=mechanism.cutter_failed,
            cutter_error=mechanism.cutter_failed,
            unrecoverable_error=mechanism.is_broken,
            auto_recoverable_error=mechanism.cover_opened_while_printing or mechanism.cools_at_us is not None,
            drawer_high=mechanism.drawer_open,
            starting=self._starting_until_us is not None,
            near_end_stop=mechanism.near_end_stop,
            recoverable_error=mechanism.cutter_failed and self.profile.recoverable_bit,
        )

    @property
    def causes(self) -> tuple[str, ...]:
        """Why it does not print now, in words; empty when it would."""
        c = self.condition
        named = (
            ("no power", not self._powered),
            ("starting", c.starting),
            ("paper end", c.paper_end),
            ("cover open", c.cover_open),
            ("near end of paper", c.near_end_stop),
            ("cutter error", c.cutter_error),
            ("unrecoverable error", c.unrecoverable_error),
            ("head hot", self._mechanism.cools_at_us is not None),
            ("feed button", c.feeding),
        )
        return tuple(name for name, holds in named if holds)

    # -- machine ------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_us: int) -> None:
        """Take bytes from the wire. Never raises; without power they are lost."""
        self._advance(now_us)
        if not self._powered:
            self._discard(len(data), "no power")
            return
        self._mechanism.rest_until(now_us)
        self._path.arrive(data)
        self._advance(now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """Drain status replies that are due."""
        self._advance(now_us)
        data = self._answers.take(now_us)
        return [Outgoing(data, now_us)] if data else []

    def next_timer(self) -> int | None:
        """End of the line under way, replies that wait, start-up, a head that cools, or at once after a control."""
        due = [self._now_us] if self._kick else []
        if (wait := self._answers.waits_until_us) is not None:
            due.append(wait)
        if (cools := self._mechanism.cools_at_us) is not None and self._powered:
            due.append(cools)
        if self._starting_until_us is not None:
            due.append(self._starting_until_us)
        elif (done := self._mechanism.done_at_us) is not None:
            due.append(done)
        return min(due, default=None)

    def handle_timer(self, now_us: int) -> None:
        """Act on all that is due."""
        self._advance(now_us)

    # -- controls beside those of `Hands` -------------------------------------------------------------------------

    def forced_transmission(self, on: bool, now_us: int | None = None) -> None:
        """Let an ``ethernet_forced_only`` board pass bytes although the printer is busy (UDP 3289, function 00 11)."""
        self._control(now_us)
        self._path.forced = on
        self._after_control()

    def force(self, data: bytes, now_us: int) -> bytes:
        """Bytes that pass whether or not the printer is busy (UDP 3289, function 00 11); returns what it answers at once."""
        self._advance(now_us)
        if not self._powered:
            return b""
        said = self._answers.diverted(lambda: self._path.force(data))
        self._after_control()
        return said

    def clear_buffers(self, now_us: int | None = None) -> None:
        """Forget what is buffered and the line being composed, on the board as well (UDP 3289, function 00 13)."""
        self._control(now_us)
        self._path.lose_power()
        self._clear_buffers()
        self._after_control()

    def power_off(self, now_us: int | None = None) -> None:
        """Cut the power: buffers, modes and replies are gone, the paper keeps what is on it."""
        self._control(now_us)
        if not self._powered:
            return
        self._powered = False
        self._mechanism.lose_power(self._now_us)
        lost = self._path.lose_power()
        self._answers.lose_power()
        self._scanner.reset()
        self._parser.reset()
        self._interpreter.reset()
        self._starting_until_us = None
        if lost:
            self._discard(lost, "power went")
        if self.on_flow is not None:
            self.on_flow(True)
        self._after_control()

    def power_on(self, now_us: int | None = None) -> None:
        """Give power; the printer is offline until it has started."""
        self._control(now_us)
        if self._powered:
            return
        self._powered = True
        self._mechanism.gain_power()
        self._starting_until_us = self._now_us + self.profile.start_up_us
        self._answers.watch(self.profile.asb_at_power_on, self._now_us, is_told=False)
        if self.on_flow is not None and not self.busy:
            self.on_flow(False)
        self._after_control()

    def _control(self, now_us: int | None) -> None:
        if now_us is not None:
            self._advance(now_us)

    def _after_control(self) -> None:
        # Work is not begun here: the host may know a later time than this printer does. It is asked to call.
        self._kick = True
        self._report_status()
        if self.on_wake is not None:
            self.on_wake()

    # -- the work -------------------------------------------------------------------------------------------------

    def _advance(self, now_us: int) -> None:
        now_us = max(now_us, self._now_us)
        self._kick = False
        if self._starting_until_us is not None and now_us >= self._starting_until_us:
            self._now_us = self._starting_until_us
            self._starting_until_us = None
            self._mechanism.rest_until(self._now_us)
            self._report_status()
        was_moving = self._mechanism.moving
        while self._powered and self._starting_until_us is None:
            if self._mechanism.finish_due(now_us):
                self._now_us = max(self._now_us, self._mechanism.free_at_us)
                self._report_status()
                was_moving = True
                continue
            if self._mechanism.moving:
                break
            if self._mechanism.cool_if_due(now_us):
                self._now_us = max(self._now_us, self._mechanism.free_at_us)
                self._report_status()
                was_moving = True
                continue
            if not was_moving:
                self._mechanism.rest_until(now_us)
            if not (self._mechanism.start_next() or self._execute_one()):
                break
        self._now_us = now_us
        self._path.pass_on()
        self._report_status()

    def _execute_one(self) -> bool:
        """Read one command from the receive buffer, if the mechanism is free for it."""
        if self._mechanism.stopped or not self._mechanism.idle:
            return False
        self._path.pass_on()
        buffer = self._path.buffer
        if not buffer and not self._parser.has_replay:
            return False
        command, used = self._parser.take(buffer)
        del buffer[:used]
        if command is not None:
            self._mechanism.add(self._interpreter.execute(command))
        return True

    # -- real-time commands and status ----------------------------------------------------------------------------

    def _real_time(self, data: bytes) -> int:
        forgotten = 0
        for command in self._scanner.feed(data):
            if self._starting_until_us is None and self._obey(command):
                forgotten = command.end
        return forgotten

    def _obey(self, command: RealTimeCommand) -> bool:
        """Obey it; returns whether everything received so far is forgotten."""
        forgets = False
        if command.op is Op.DLE_EOT:
            self._answers.status_now(command.args[0], self._now_us)
        elif command.op is Op.DLE_ENQ and command.args[0] in (1, 2):
            if command.args[0] == 2 and self._mechanism.cutter_failed:
                self._clear_buffers()
                forgets = True
            self._mechanism.recover_cutter()
        elif command.op is Op.DLE_DC4 and command.args[0] == 1 and not self.condition.error:
            self._mechanism.drawer_open = True
            pin = 5 if command.args[1] else 2
            self._tell(DrawerKicked(self._now_us, pin, command.args[2] * 100))
        elif command.op is Op.DLE_DC4 and command.args[0] == 8:
            self._clear_buffers()
            self._answers.add(b"\x37\x25\x00", self._now_us)
            forgets = True
        elif command.op is Op.DLE_DC4 and command.args[:2] == (7, 1):
            self._answers.report(self._now_us)
        return forgets

    def _clear_buffers(self) -> None:
        self._path.clear_buffer()
        self._parser.reset()
        self._interpreter.clear_line()
        self._mechanism.clear_queue()

    def _enable_asb(self, enabled: int) -> None:
        self._answers.watch(enabled, self._now_us)

    def _set_sensors(self, near_end_stops: bool, buttons_work: bool) -> None:
        self._mechanism.near_end_stops = near_end_stops
        self._buttons_work = buttons_work

    def _flow(self, busy: bool) -> None:
        profile = self.profile
        if profile.interface == "serial" and profile.handshake == "xonxoff" and self._powered:
            self._answers.add(b"\x13" if busy else b"\x11", self._now_us)
        if self.on_flow is not None:
            self.on_flow(busy)

    def _report_status(self) -> None:
        condition = self.condition
        offline = condition.offline or not self._powered
        if offline != self._told_offline:
            self._told_offline = offline
            self._tell(WentOffline(self._now_us, self.causes) if offline else WentOnline(self._now_us))
        if self._powered:
            self._answers.notice(condition, self._now_us)
            self._path.update_busy()

    # -- telling --------------------------------------------------------------------------------------------------

    def _tell(self, event: PrinterEvent) -> None:
        if self.listener is not None:
            self.listener(event)

    def _note_surprise(self, offset: int, reason: str) -> None:
        event = Surprise(self._now_us, offset, reason)
        if len(self.surprises) < MAX_SURPRISES:
            self.surprises.append(event)
        self._tell(event)

    def _discard(self, count: int, reason: str) -> None:
        self.discarded_bytes += count
        self._tell(DataDiscarded(self._now_us, count, reason))
