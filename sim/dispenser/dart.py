"""The DART personality: a dispenser that speaks Wayne DART as public drivers and captures know it.

The line (frames, block numbers, acknowledgements) is `protocols.dart.PumpSide`; here is the pump's mind: its status, what
a command does to the model, what it reports by itself. The status table is `protocols.dart.next_status`. An illegal
command is acknowledged on the line and has no effect (capture notes of moduslightstech-lgtm/intelipump), so a driver has to
look at DC1, never at the acknowledgement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocols.dart import Ack, BadFrame, Data, Deviation, PumpSide, PumpTransaction, Quirks
from protocols.sansio import NEED_DATA, Outgoing

from .dart_head import DartHead
from .fuelling_point import FuellingPoint
from .model import Dispenser

__all__ = ["DartDispenser", "DartQuirks"]

_CONTROL_BYTES = 3
"""Length of a poll, an EOT, an acknowledgement."""

_STOP_FLAG = b"\xfa"

_WAITING_MAX = 48
"""Reports that wait for a poll. When nobody polls, a pump keeps its state and not its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DartQuirks:
    """Deviations of real pump heads, off by default.

    Attributes:
        late_price_us: the status leaves NOT PROGRAMMED this long after the prices came (seconds were seen; intelipump).
        ignored_resets: so many RESETs are acknowledged but ignored (some heads stay in FILLING COMPLETED until the
            nozzle goes out or the status is asked; intelipump).
        forgets_prices: a power cut loses the prices, so the status after it is NOT PROGRAMMED.
        parity_every: every so manieth data frame is heard with wrong parity, and so answered NAK; 0 for none.
        glue_every: every so manieth data frame of ours comes late, glued to the answer of the next poll; 0 for none. From
            2: were it every one, no acknowledgement would ever get through.
        newest_only: reports of the nozzle that no poll has fetched are replaced by newer ones, so a nozzle that is out
            for less than one poll is never told.
        second_address: answers there as well (a wrongly set address switch): a collision with the pump it belongs
            to. 0 for none.
        line: deviations of the line: unanswered polls, block number after 15, DC101 of 13 bytes.
    """

    late_price_us: int = 0
    ignored_resets: int = 0
    forgets_prices: bool = False
    parity_every: int = 0
    glue_every: int = 0
    newest_only: bool = False
    second_address: int = 0
    line: Quirks = field(default_factory=Quirks)

    def __post_init__(self) -> None:
        if self.glue_every < 0 or self.glue_every == 1 or self.parity_every < 0 or self.parity_every == 1:
            raise ValueError(
                "glue_every and parity_every are 0, or 2 and more: with 1 nothing would ever get through"
            )


class DartDispenser:
    """A `Machine`: one dispenser on a DART line, one address for each fuelling point.

    Args:
        dispenser: the model; this personality serves its timers and opens its fuelling points.
        addresses: DART address (0x50..0x6F) -> fuelling point of the dispenser.
        quirks: deviations to show.
        reply_delay_us: silence before each answer (limit 25 ms).

    Attributes:
        on_wake: set by the host; called when there is something new to report or a timer has moved.
        warnings: what the controller did otherwise than the rules say and is lived with, counted by its kind
            (`protocols.dart.DeviationKind`); ``bad frame`` for what was no frame.

    Raises:
        ValueError: a fuelling point is not the dispenser's or has two addresses.
        LocalProtocolError: an address is out of range.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        addresses: Mapping[int, FuellingPoint],
        *,
        quirks: DartQuirks | None = None,
        reply_delay_us: int = 0,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.dispenser = dispenser
        self.quirks = quirks if quirks is not None else DartQuirks()
        self.warnings: Counter[str] = Counter()
        self._data_heard = self._data_sent = 0
        self._late = b""
        second = (self.quirks.second_address,) if self.quirks.second_address else ()
        self._side = PumpSide((*addresses, *second), quirks=self.quirks.line, reply_delay_us=reply_delay_us)
        self._side.on_wake = self._wake
        self._heads: dict[int, DartHead] = {}
        seen: set[int] = set()
        for address, point in addresses.items():
            if dispenser.fuelling_points.get(point.number) is not point:
                raise ValueError(
                    f"fuelling point {point.number} at 0x{address:02X} is not part of this dispenser"
                )
            if point.number in seen:
                raise ValueError(f"fuelling point {point.number} has two DART addresses")
            seen.add(point.number)
            self._heads[address] = DartHead(
                point,
                send=self._sender(address),
                restart=self._restarter(address),
                has_power=lambda: self.dispenser.powered,
                late_price_us=self.quirks.late_price_us,
                ignored_resets=self.quirks.ignored_resets,
                forgets_prices=self.quirks.forgets_prices,
            )
            if self.quirks.newest_only:
                self._heads[address].supersede = self._side.connection(address).supersede
            point.on_change = self._wake
        self._polls = {
            bytes((address, 0x20, 0xFA)): (head, self._side.connection(address))
            for address, head in self._heads.items()
        }

    def head(self, address: int) -> DartHead:
        """The pump head at an address, to look at. Raises KeyError for another address."""
        return self._heads[address]

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`. Without power nothing is heard."""
        dispenser = self.dispenser
        timer = self.next_timer() if self.quirks.late_price_us else dispenser.next_timer()
        if timer is not None and timer <= now_us:
            self.handle_timer(now_us)
        if not dispenser.powered:
            return
        if len(data) == _CONTROL_BYTES:
            # Nearly every burst on a line is a poll, or somebody else's: as little as possible here.
            polled = self._polls.get(data)
            if polled is not None:
                head, link = polled
                if head.delivering and link.quiet:
                    report = head.live_report(now_us)
                    if report is not None:
                        if self._side.answer(link, report, now_us):
                            return
                        self._side.send(link.address, (report,))
                self._side.receive_data(data, now_us)
                return
            if data[0] not in self._heads:
                self._side.receive_data(data, now_us)
                return
            if data.find(_STOP_FLAG) == _CONTROL_BYTES - 1:
                self._take(data, now_us)
                return
        # Frame by frame, so that a poll in the same burst already finds what the command before it caused.
        start = 0
        while start < len(data):
            end = data.find(_STOP_FLAG, start) + 1 or len(data)
            self._take(data[start:end], now_us)
            start = end

    def _take(self, piece: bytes, now_us: int) -> None:
        for head, link in self._polls.values():
            # It may be the end of a poll: whoever may be asked has its news ready.
            if head.delivering and link.quiet:
                head.report_live(now_us)
        if self.quirks.parity_every and len(piece) > _CONTROL_BYTES and piece[0] in self._heads:
            self._data_heard += 1
            if self._data_heard % self.quirks.parity_every == 0:
                self._side.parity_error()
        self._side.receive_data(piece, now_us)
        while (event := self._side.next_event()) is not NEED_DATA:
            if type(event) is Ack:
                continue
            if isinstance(event, Data) and event.address in self._heads:
                head = self._heads[event.address]
                for transaction in event.transactions:
                    head.execute(transaction, now_us)
            elif isinstance(event, Deviation):
                self.warnings[event.kind.value] += 1
            elif isinstance(event, BadFrame):
                self.warnings["bad frame"] += 1

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        out = self._side.data_to_send(now_us)
        if self.quirks.glue_every and out:
            return self._glued(out)
        return out

    def _glued(self, out: list[Outgoing]) -> list[Outgoing]:
        """Hold a data frame back, and send the one held back glued to what comes next."""
        if self._late:
            out = [Outgoing(self._late, out[0].not_before_us), *out]  # one behind the other, without a gap
            self._late = b""
            return out
        if len(out[-1].data) > _CONTROL_BYTES:
            self._data_sent += 1
            if self._data_sent % self.quirks.glue_every == 0:
                self._late = out[-1].data
                return out[:-1]
        return out

    def next_timer(self) -> int | None:
        """The earliest timer of the model and of the pump heads."""
        earliest = self.dispenser.next_timer()
        if self.quirks.late_price_us:
            for head in self._heads.values():
                timer = head.next_timer()
                if timer is not None and (earliest is None or timer < earliest):
                    earliest = timer
        return earliest

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self.dispenser.handle_timer(now_us)
        for head in self._heads.values():
            head.handle_timer(now_us)

    def quiet(self, address: int) -> bool:
        """True when a poll of ``address`` now would be answered "nothing to send" and change nothing."""
        head = self._heads.get(address)
        return (
            head is not None
            and self.dispenser.powered
            and self._side.quiet(address)
            and not head.has_news()
            and not self._late
        )

    idle_gap_us = 0
    """An idle poll is answered at once, or not by `idle_answer`."""

    def idle_answer(self, poll: bytes) -> bytes | None:
        """See `sim.wires.carried`."""
        if not self.dispenser.powered:
            return b""
        polled = self._polls.get(poll)
        if self._late or (polled is not None and polled[0].delivering and polled[0].has_news()):
            return None
        return self._side.idle_answer(poll)

    def idle_heard(self, poll: bytes, heard_us: int) -> None:
        """See `sim.wires.carried`."""
        self._side.idle_heard(poll, heard_us)

    def _wake(self) -> None:
        if self.on_wake is not None:
            self.on_wake()

    def _sender(self, address: int) -> Callable[[tuple[PumpTransaction, ...]], None]:
        link = self._side.connection(address)

        def send(transactions: tuple[PumpTransaction, ...]) -> None:
            if link.queued > _WAITING_MAX:
                self._side.drop_queued(address)
                transactions = self._heads[address].whole_state()
            self._side.send(address, transactions)

        return send

    def _restarter(self, address: int) -> Callable[[], None]:
        return lambda: self._side.restart(address)
