"""One fuelling point behind IFSF: commands, settings, unsolicited messages, transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from protocols.ifsf import (
    COMMAND_STATES,
    TRANSACTION_COMMANDS,
    DataAck,
    Element,
    ErrorCode,
    Message,
    Number,
    NumberError,
    bcd,
    error_address,
    error_for,
    fuelling_point_address,
    transaction_address,
)
from protocols.ifsf import FpState as IfsfState

from .events import (
    AuthorisationDropped,
    Delivery,
    DeliveryEnded,
    FpEvent,
    NozzleLifted,
    NozzleReturned,
    PriceChanged,
    StateChanged,
)
from .fuelling_point import FuellingPoint
from .ifsf_buffer import NOBODY, Transaction, TransactionBuffer
from .ifsf_fields import IfsfOptions, amount_field, volume_field
from .states import FpState

__all__ = ["STAND_ALONE", "IfsfPoint"]

STAND_ALONE: Final = b"\xff\xff"
"""Controlling device of a sale that the dispenser released itself."""

CLEAR, LOCK, UNLOCK = range(30, 33)
_TENTH_US: Final = 100_000
_DELIVERING: Final = frozenset(
    {FpState.STARTED, FpState.SUSPENDED_STARTED, FpState.FUELLING, FpState.SUSPENDED_FUELLING}
)


class IfsfPoint:
    """A fuelling point with its buffer and settings.

    Args:
        place: its number in the node, 1..4.
        point: the model.
        options: see `IfsfOptions`.
        notify: takes database address and elements of an unsolicited message.
        product_of: product number behind a logical nozzle.

    Attributes:
        buffer: its transactions.
        settings, stand_alone: data ids that only hold what was written; the node goes on without its controlling device.
        requires_calling, max_authorised_us: Auth_State_Mode and Max_Auth_Time of the calculator.
        errors: errors told so far, by code, with the state of that moment.
    """

    def __init__(
        self,
        place: int,
        point: FuellingPoint,
        options: IfsfOptions,
        *,
        notify: Callable[[bytes, Iterable[Element]], None],
        product_of: Callable[[int], int],
    ) -> None:
        self.place = place
        self.point = point
        self.buffer = TransactionBuffer(
            history=options.history, unlock_to=options.unlock_to, sequence=options.sequence
        )
        self.settings: dict[int, bytes] = {}
        self.stand_alone = False
        self.requires_calling = False
        self.max_authorised_us: int | None = None
        self.on_settled: Callable[[int], None] | None = None
        self.errors: dict[int, IfsfState] = {}
        self._options = options
        self._notify = notify
        self._product_of = product_of
        self._nozzle_out = point.nozzle_out
        self._dirty = False
        self._released_by = NOBODY
        self._offline = False
        self._was_started = 0
        self._running_us: int | None = None
        self._expires_us: int | None = None
        self.reset_settings()
        point.listeners.append(self._on_event)

    def reset_settings(self) -> None:
        """Power-on: what the controlling device has to write again."""
        options = self._options
        period = max(1, min(255, options.running_period_us // _TENTH_US))
        self.settings = {
            2: bytes((min(options.unpaid_limit, 255),)),
            3: bytes((min(options.history, 255),)),
            4: bytes((len(self.point.nozzles),)),
            7: b"\x01",
            22: NOBODY,
            23: b"\x00",
            24: b"\x00",
            25: b"\xff",
            26: NOBODY,
            27: amount_field(0),
            28: volume_field(0),
            30: NOBODY,
            32: b"",
            33: b"\x01",
            59: bytes((period,)),
        }

    @property
    def state(self) -> IfsfState:
        """The state as the protocol numbers it; the model numbers alike."""
        return IfsfState(self.point.state)

    @property
    def mode(self) -> int:
        """The default fuelling mode."""
        return self.settings[7][0] or 1

    # -- commands and settings -----------------------------------------------------------------------------------

    def write(self, data_id: int, value: bytes, message: Message, now_us: int) -> DataAck:
        """Take a setting or a command of the fuelling point."""
        if data_id in COMMAND_STATES:
            verdict = self._command(data_id, message, now_us)
            if verdict is not DataAck.OK:
                self._complain(error_for(data_id, self.state))
            return verdict
        if data_id in {27, 28}:
            return self._preset(data_id, value, now_us)
        if (data_id == 59 and not value[0]) or (data_id == 4 and value[0] != len(self.point.nozzles)):
            return DataAck.INVALID_VALUE
        if data_id in {7, 33} and not 1 <= value[0] <= 8:
            return DataAck.INVALID_VALUE
        if data_id == 3:
            self.buffer.history = value[0]
        self.settings[data_id] = value
        return DataAck.OK

    def _command(self, command: int, message: Message, now_us: int) -> DataAck:
        if self.state not in COMMAND_STATES[command]:
            return DataAck.NOT_IN_THIS_STATE
        point = self.point
        match command:
            case 60:
                done = point.open(now_us)
            case 61:
                done = point.close(now_us)
            case 62:
                return self._release(message, now_us)
            case 63:
                done = point.terminate(now_us)
            case 64:
                done = point.suspend(now_us)
            case 65:
                done = point.resume(now_us)
            case _:
                done = point.reset(now_us)
        return DataAck.OK if done else DataAck.CANNOT_EXECUTE_NOW

    def _release(self, message: Message, now_us: int) -> DataAck:
        if self.requires_calling and self.state is not IfsfState.CALLING:
            return DataAck.NOT_IN_THIS_STATE
        if len(self.buffer) >= self.settings[2][0] or self.buffer.is_full:
            return DataAck.CANNOT_EXECUTE_NOW
        preset_fen, preset_ml = self._preset_value(27, 2), self._preset_value(28, 3)
        if preset_fen and preset_ml:
            return DataAck.NOT_ACCEPTED
        named = self.settings[30]
        released_by = named if named != NOBODY else message.originator.encode()
        before = self._released_by, self._offline
        self._released_by, self._offline = released_by, False
        mask = self.settings[25][0]
        allowed = [logical for logical in self.point.nozzles if mask >> (logical - 1) & 1]
        if not self.point.authorise(
            now_us, allowed_nozzles=allowed, preset_ml=preset_ml or None, preset_fen=preset_fen or None
        ):
            self._released_by, self._offline = before
            return DataAck.CANNOT_EXECUTE_NOW
        self._forget_presets()
        return DataAck.OK

    def _preset_value(self, data_id: int, decimals: int) -> int:
        return Number.decode(self.settings[data_id]).scaled(decimals)

    def _forget_presets(self) -> None:
        self.settings[27], self.settings[28] = amount_field(0), volume_field(0)
        self.settings[25], self.settings[30] = b"\xff", NOBODY

    def _preset(self, data_id: int, value: bytes, now_us: int) -> DataAck:
        try:
            figure = Number.decode(value).scaled(2 if data_id == 27 else 3)
        except NumberError:
            figure = -1
        if figure < 0:
            return DataAck.INVALID_VALUE
        if self.point.state is FpState.AUTHORISED and figure:
            name = "preset_fen" if data_id == 27 else "preset_ml"
            return DataAck.OK if self.point.set_preset(now_us, **{name: figure}) else DataAck.INVALID_VALUE
        self.settings[data_id] = value
        return DataAck.OK

    def _complain(self, code: ErrorCode) -> None:
        self.tell_error(code)
        self.tell_status()

    # -- transactions --------------------------------------------------------------------------------------------

    def write_transaction(self, sequence: int, command: int, message: Message) -> DataAck:
        """Clear, lock or unlock."""
        found = self.buffer.get(sequence)
        if found is None or found.state not in TRANSACTION_COMMANDS[command]:
            return DataAck.NOT_IN_THIS_STATE
        controller = message.originator.encode()
        act = {CLEAR: self.buffer.clear, LOCK: self.buffer.lock, UNLOCK: self.buffer.unlock}[command]
        if not act(found, controller):
            return DataAck.NOT_IN_THIS_STATE
        if command == CLEAR or found not in self.buffer.open:
            self._acknowledge_settled()
            self.tell_transaction(found)
        return DataAck.OK

    def _acknowledge_settled(self) -> None:
        """The model's journal may forget all deliveries older than the oldest open transaction."""
        waiting = {one.delivery_sequence for one in self.buffer.open}
        settled = 0
        for delivery in self.point.unacknowledged:
            if delivery.sequence in waiting:
                break
            settled = delivery.sequence
        if settled:
            self.point.acknowledge(settled)

    def _store(self, delivery: Delivery | None, logical: int) -> None:
        nozzle = self.point.nozzles[logical]
        end_ml = nozzle.total_volume_ml
        volume_ml = delivery.volume_ml if delivery is not None else 0
        if self._offline:
            self.buffer.offline_records += 1
        transaction = Transaction(
            sequence=self.buffer.next_sequence(),
            released_by=self._released_by,
            mode=self.settings[33][0],
            logical=logical,
            product=self._product_of(logical),
            volume_ml=volume_ml,
            amount_fen=delivery.amount_fen if delivery is not None else 0,
            price_fen_per_l=(delivery or nozzle).price_fen_per_l,
            start_total_ml=end_ml - volume_ml,
            end_total_ml=end_ml,
            offline=self.buffer.offline_records if self._offline else 0,
            delivery_sequence=delivery.sequence if delivery is not None else 0,
        )
        self.buffer.add(transaction)
        self.tell_transaction(transaction)

    # -- what the model tells ------------------------------------------------------------------------------------

    def _on_event(self, event: FpEvent) -> None:
        match event:
            case NozzleLifted() | NozzleReturned():
                self._nozzle_out = event.logical_nozzle if isinstance(event, NozzleLifted) else None
                self._dirty = True
            case StateChanged():
                self._on_state(event)
            case DeliveryEnded():
                self._on_delivery(event.delivery)
            case AuthorisationDropped():
                self._on_dropped()
            case PriceChanged():
                if self._options.price_event:
                    self.tell_error(ErrorCode.PRICE_APPLIED)

    def _on_state(self, event: StateChanged) -> None:
        new = event.new
        self.tell_status(new)
        self._expires_us = None
        if new in _DELIVERING:
            self._was_started = self.point.delivering_nozzle or self._nozzle_out or 0
        elif new is FpState.AUTHORISED and self.max_authorised_us is not None:
            self._expires_us = event.at_us + self.max_authorised_us
        if new is FpState.FUELLING:
            self._running_us = event.at_us + self._running_period_us
        elif event.old is FpState.FUELLING:
            self._running_us = None
        if event.old is FpState.INOPERATIVE and self._options.closed_at_start and new is not FpState.CLOSED:
            self.point.close(event.at_us)
        if new is FpState.CALLING:
            self.go_on_alone(event.at_us)
        if new not in _DELIVERING and self.on_settled is not None:
            self.on_settled(event.at_us)

    def _on_delivery(self, delivery: Delivery) -> None:
        self._was_started = 0
        if delivery.volume_ml == 0 and not self.settings[24][0]:
            self.point.acknowledge(delivery.sequence)
            return
        self._store(delivery, delivery.logical_nozzle)

    def _on_dropped(self) -> None:
        logical, self._was_started = self._was_started, 0
        if logical and self.settings[24][0] and self.point.profile.zero_sales == "drop":
            self._store(None, logical)

    def go_on_alone(self, now_us: int) -> None:
        """Stand-alone operation: whoever lifts a nozzle is served, as long as the sale can be kept."""
        if not self.stand_alone or self.point.state is not FpState.CALLING or self.buffer.is_full:
            return
        before = self._released_by, self._offline
        self._released_by, self._offline = STAND_ALONE, True
        if not self.point.authorise(now_us):
            self._released_by, self._offline = before

    # -- what is told --------------------------------------------------------------------------------------------

    def tell_status(self, state: FpState | None = None) -> None:
        """The status message."""
        self._dirty = False
        elements = [
            Element(0x64),
            Element(0x14, bytes((self.point.state if state is None else state,))),
            Element(0x15, self.nozzle_bits),
            Element(0x16, self.settings[22]),
        ]
        if self._options.status_alarm:
            elements.append(Element(0x50, bytes(8)))
        self._notify(fuelling_point_address(self.place), elements)

    @property
    def nozzle_bits(self) -> bytes:
        """Log_Noz_State: a set bit is a nozzle that is out."""
        return bytes((0 if self._nozzle_out is None else 1 << (self._nozzle_out - 1),))

    def tell_error(self, code: ErrorCode) -> None:
        """An error message."""
        self.errors[code] = self.state
        elements = (Element(0x64), Element(0x01, bytes((code,))), Element(0x05, bytes((self.state,))))
        self._notify(error_address(self.place, code), elements)

    def tell_transaction(self, transaction: Transaction) -> None:
        """A transaction was made or cleared."""
        elements = (
            Element(0x64),
            Element(0x01, bcd(transaction.sequence, 2)),
            Element(0x15, bytes((transaction.state,))),
            Element(0x14, transaction.locked_by),
            Element(0x05, amount_field(transaction.amount_fen)),
            Element(0x06, volume_field(transaction.volume_ml)),
        )
        self._notify(transaction_address(self.place, transaction.sequence), elements)

    def tell_running(self, now_us: int) -> None:
        """The running message."""
        reading = self.point.reading(now_us)
        elements = [Element(0x66)]
        if self._options.running_nozzle:
            elements.append(Element(0x25, bytes((self.point.delivering_nozzle or 0,))))
        elements.append(Element(0x22, amount_field(reading.amount_fen)))
        elements.append(Element(0x23, volume_field(reading.volume_ml)))
        self._notify(fuelling_point_address(self.place), elements)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def _running_period_us(self) -> int:
        return self.settings[59][0] * _TENTH_US

    def flush(self) -> None:
        """A nozzle moved without a change of state: tell it."""
        if self._dirty:
            self.tell_status()

    def next_timer(self) -> int | None:
        """Running message and end of an authorisation."""
        if self._running_us is None or self._expires_us is None:
            return self._expires_us if self._running_us is None else self._running_us
        return min(self._running_us, self._expires_us)

    def handle_timer(self, now_us: int) -> None:
        """Act on what is due."""
        if self._running_us is not None and self._running_us <= now_us:
            self._running_us = now_us + self._running_period_us
            self.tell_running(now_us)
        if self._expires_us is not None and self._expires_us <= now_us:
            self._expires_us = None
            self.point.terminate(now_us)
