"""One gun on an AA FF line: what a poll finds, what commands do, which records wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from protocols.aaff import (
    CARD_LONG,
    CARD_SHORT,
    POWER_DOWN,
    PRICE_INDEX,
    PRICE_PLACES,
    SKIP_AFTER,
    Authorise,
    AuthoriseReply,
    AuthoriseType,
    BriefAck,
    BriefSale,
    Command,
    Fetch,
    Live,
    LiveRecord,
    LiveState,
    MasterMessage,
    Nothing,
    NotUnderstood,
    Parameter,
    ParameterReply,
    Poll,
    Prices,
    PumpMessage,
    Quirks,
    ReadParameter,
    RecordAck,
    RecordAcked,
    RecordType,
    Result,
    Sale,
    SaleRecord,
    ShortPoll,
    Status,
    Stop,
    Totals,
    TotalsRequest,
    Upload,
    WriteParameter,
    encode_time,
)

from .events import AuthorisationDropped, Delivery, DeliveryEnded, FpEvent, NozzleLifted, StateChanged
from .fuelling_point import FuellingPoint
from .meter import PULSE_ML
from .states import FpState

__all__ = ["AaFfGun", "AaFfQuirks"]

_TOTAL_MODULUS: Final = 10**12
_FIELD_MODULUS: Final = 10**8
"""Eight digits: volumes and amounts of one sale."""

_REFUSED: Final = 1
_KINDS: Final = frozenset(AuthoriseType)

_AT_REST: Final = frozenset({FpState.IDLE, FpState.CALLING, FpState.CLOSED, FpState.INOPERATIVE})
_STATES: Final = {
    FpState.INOPERATIVE: 2,  # its own number, 1, means "fuelling" here
    FpState.IDLE: 0,
    FpState.FUELLING: 1,
}
"""States by the numbers of the status; the others go by their IFSF numbers."""

Dialect: TypeAlias = Literal["gateway", "card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AaFfQuirks:
    """How a dispenser on this line differs from another. The facts behind each stand in `protocols.aaff.RULES`.

    Attributes:
        dialect: ``gateway``: card numbers of 10 bytes, status 20, all commands; ``card``: card numbers of 4 bytes, an idle
            poll is answered 51, and the master only listens, acknowledges and sets parameters.
        skip_after: unacknowledged sends after which a record is skipped (10 in older firmware); None never skips.
        brief_sales: sales come as command 74 instead of the record.
        self_service: who may start a sale without the master: ``never``, ``offline`` (after ``offline_after_us`` without a
            frame; such sales are off-line records) or ``always``, which is what a card reader at the dispenser amounts to.
        offline_after_us: see above; the gateway gives up after 160 s.
        most_units: a larger preset is cut to this and echoed so, which a master has to take for a refusal.
        forgets_acks: so many acknowledged records are sent once more after a power cut: the pointer was not saved in time.
        line: deviations of the line.
    """

    dialect: Dialect = "gateway"
    skip_after: int | None = SKIP_AFTER
    brief_sales: bool = False
    self_service: Literal["never", "offline", "always"] = "never"
    offline_after_us: int = 160_000_000
    most_units: int | None = None
    forgets_acks: int = 0
    line: Quirks = field(default_factory=Quirks)

    @property
    def card(self) -> bytes:
        """The card number of a sale without a card."""
        return bytes(CARD_LONG if self.dialect == "gateway" else CARD_SHORT)


class AaFfGun:
    """The mind of one gun.

    Args:
        point: its fuelling point, with exactly one nozzle: neither records nor commands name another.
        quirks: see `AaFfQuirks`.
        epoch_us: unix time (µs) at the dispenser's time 0, for the times in records.

    Attributes:
        upload: what waits for the master.
        heard_us: when the master last spoke to this gun; None if never.

    Raises:
        ValueError: the fuelling point has several nozzles.
    """

    def __init__(self, point: FuellingPoint, quirks: AaFfQuirks, *, epoch_us: int = 0) -> None:
        if len(point.nozzles) != 1:
            raise ValueError(
                f"fuelling point {point.number} has {len(point.nozzles)} nozzles; an AA FF gun is one nozzle"
            )
        self.point = point
        ((self._logical, self._nozzle),) = point.nozzles.items()
        self._quirks = quirks
        self._epoch_us = epoch_us
        self.heard_us: int | None = None
        self.upload = self._upload_from(point.acknowledged_sequence, point.unacknowledged)
        self._granted: tuple[int, int] | None = None
        self._by_master = False
        self._online: dict[int, RecordType] = {}
        self._parameters: dict[int, tuple[int, int]] = {}
        self._brief_uid = 0
        self._last_key: tuple[int, ...] | None = None
        if point.state is FpState.CLOSED:
            # AA FF knows no open and close: a gun with power is in service.
            point.open(0)
        point.listeners.append(self._on_event)

    # --- the master --------------------------------------------------------------------------------------------

    def answer(self, message: MasterMessage, now_us: int) -> PumpMessage | None:  # noqa: C901 - a case each
        """Do what a message asks for. None: this one stays unanswered."""
        self.heard_us = now_us
        if self._quirks.dialect == "card" and isinstance(
            message, Authorise | TotalsRequest | Stop | BriefAck | Prices
        ):
            return NotUnderstood()
        match message:
            case Poll() | ShortPoll():
                return self._polled(message, now_us)
            case RecordAck(uid=uid, record=record):
                if record == Command.SALE:
                    self._acknowledged(uid)
                return RecordAcked()
            case BriefAck():
                self._acknowledged(self._brief_uid)
                return Nothing()
            case Fetch(uid=uid, record=record):
                kept = self._kept(uid) if record == Command.SALE else None
                return NotUnderstood() if kept is None else Sale(self._record(kept))
            case Authorise():
                return self._authorise(message, now_us)
            case Stop():
                return Result(Command.STOP, self._stop(now_us))
            case TotalsRequest():
                return Totals(self.point.last_sequence, *self._totals())
            case Prices(parameters=parameters):
                done = [self._write(parameter, now_us) for parameter in parameters]
                return Result(Command.PRICES, 0 if all(done) else _REFUSED)
            case WriteParameter(parameter=parameter):
                self._write(parameter, now_us)
                return self._read(Command.WRITE_PARAMETER, parameter.index)
            case ReadParameter(parameter=parameter):
                return self._read(Command.READ_PARAMETER, parameter.index)
            case _:
                return NotUnderstood()

    def quiet(self) -> bool:
        """A poll now would be answered as the last one was, with nothing new and nothing that waits."""
        if self.point.flowing or (len(self.upload) and self.point.state in _AT_REST):
            return False
        return self._key(0) == self._last_key

    def _polled(self, poll: Poll | ShortPoll, now_us: int) -> PumpMessage | None:
        state = self.point.state
        self._last_key = self._key(now_us)
        if state is FpState.FUELLING:
            return Live(self._live(poll, now_us))
        if len(self.upload) and state in _AT_REST:
            delivery = self.upload.send()
            if delivery is None:
                self._taken_over()  # skipped
                return None
            if self._quirks.brief_sales:
                self._brief_uid = delivery.sequence
                return BriefSale(
                    delivery.sequence, _units(delivery.volume_ml), delivery.amount_fen % _FIELD_MODULUS
                )
            return Sale(self._record(delivery))
        if self._quirks.dialect == "card":
            return Nothing()
        return Status(_STATES.get(state, int(state)), min(len(self.upload), 9_999))

    def _key(self, now_us: int) -> tuple[int, ...]:
        """What an answer depends on while nothing flows."""
        if self.point.state is FpState.FUELLING:
            reading = self.point.reading(now_us)
            return (int(self.point.state), reading.volume_ml, reading.amount_fen)
        return (int(self.point.state), len(self.upload))

    def _authorise(self, message: Authorise, now_us: int) -> PumpMessage:
        kind, units = message.kind, message.value_units
        if self._granted == (kind, units):
            return AuthoriseReply(0, kind, units)  # the answer was lost; it is in force already
        given = units
        if self._quirks.most_units is not None and kind != AuthoriseType.FREE:
            given = min(units, self._quirks.most_units)
        preset_fen = given if kind == AuthoriseType.AMOUNT else None
        preset_ml = given * PULSE_ML if kind == AuthoriseType.VOLUME else None
        # The model lets a master change its mind until fuel flows; this protocol does not.
        if kind not in _KINDS or self._granted is not None:
            return AuthoriseReply(_REFUSED, kind, 0)
        self._granted = (kind, given)  # before the model tells what came of it
        if not self.point.authorise(now_us, preset_fen=preset_fen, preset_ml=preset_ml):
            self._granted = None
            return AuthoriseReply(_REFUSED, kind, 0)
        self._by_master = True
        return AuthoriseReply(0, kind, given)

    def _stop(self, now_us: int) -> int:
        if self.point.state in _AT_REST:
            return 0  # there is nothing to stop, and a call of the customer's is none of the master's
        return 0 if self.point.terminate(now_us) else _REFUSED

    def _write(self, parameter: Parameter, now_us: int) -> bool:
        if parameter.index == PRICE_INDEX:
            fen = parameter.value * 100 // 10 ** min(parameter.decimals, 12)
            if fen != self._nozzle.price_fen_per_l and not self.point.set_price(now_us, self._logical, fen):
                return False
        self._parameters[parameter.index] = (parameter.value, parameter.decimals)
        return True

    def _read(self, command: Command, index: int) -> PumpMessage:
        if index == PRICE_INDEX:
            return ParameterReply(command, index, self._nozzle.price_fen_per_l)
        kept = self._parameters.get(index)
        if kept is None and PRICE_INDEX < index < PRICE_INDEX + PRICE_PLACES:
            kept = (0, 2)
        return NotUnderstood() if kept is None else ParameterReply(command, index, kept[0])

    # --- records -----------------------------------------------------------------------------------------------

    def _acknowledged(self, uid: int) -> None:
        if self.upload.acknowledge(uid):
            self._taken_over()

    def _taken_over(self) -> None:
        """The upload moved on: what lies before its pointer is not kept for a master any more."""
        self.point.acknowledge(self.upload.pointer)

    def _upload_from(self, pointer: int, waiting: Iterable[Delivery]) -> Upload[Delivery]:
        """What flash holds: the pointer, and the records behind it."""
        upload: Upload[Delivery] = Upload(
            pointer, skip_after=self._quirks.skip_after, uid_last=self.point.profile.sequence_max
        )
        for delivery in waiting:
            upload.add(delivery.sequence, delivery)
        return upload

    def _kept(self, uid: int) -> Delivery | None:
        return next((delivery for delivery in reversed(self.point.journal) if delivery.sequence == uid), None)

    def _totals(self) -> tuple[int, int]:
        volume = self._nozzle.total_volume_ml // PULSE_ML % _TOTAL_MODULUS
        return volume, self._nozzle.total_amount_fen % _TOTAL_MODULUS

    def _record(self, delivery: Delivery) -> SaleRecord:
        total = delivery.end_total_volume_ml // PULSE_ML
        volume = _units(delivery.volume_ml)
        return SaleRecord(
            uid=delivery.sequence,
            shift_sequence=delivery.sequence,
            started=encode_time(self._epoch_us + delivery.started_us),
            ended=encode_time(self._epoch_us + delivery.ended_us),
            card=self._quirks.card,
            record_type=self._online.get(delivery.sequence, RecordType.OFFLINE),
            volume_units=volume,
            price_units=delivery.price_fen_per_l,
            amount_units=delivery.amount_fen % _FIELD_MODULUS,
            use_count=delivery.sequence % 10**6,
            use_volume_units=total % _TOTAL_MODULUS,
            use_amount_units=delivery.end_total_amount_fen % _TOTAL_MODULUS,
            total_before_units=(total - volume) % _TOTAL_MODULUS,
            total_after_units=total % _TOTAL_MODULUS,
            grey=POWER_DOWN if "power-failure" in delivery.flags else 0,
        )

    def _live(self, poll: Poll | ShortPoll, now_us: int) -> LiveRecord:
        reading = self.point.reading(now_us)
        first = poll.ready if isinstance(poll, ShortPoll) else poll.time[0]
        wanted = self._quirks.dialect == "gateway" or first == 1
        return LiveRecord(
            volume_units=_units(reading.volume_ml),
            price_units=reading.price_fen_per_l,
            amount_units=reading.amount_fen % _FIELD_MODULUS,
            total_before_units=self._totals()[0],
            card=self._quirks.card,
            record_type=self._record_type(),
            state=LiveState.FUELLING if wanted else LiveState.ASKS,
        )

    # --- the customer's hand and the works ---------------------------------------------------------------------

    def _on_event(self, event: FpEvent) -> None:
        match event:
            case NozzleLifted(at_us=at_us):
                if self._serves_itself(at_us):
                    self._by_master = not self.point.authorise(at_us) and self._by_master
            case DeliveryEnded(delivery=delivery):
                self._granted = None
                self._online[delivery.sequence] = self._record_type()
                self.upload.add(delivery.sequence, delivery)
                limit = self.point.profile.journal_limit
                while len(self._online) > limit:
                    del self._online[next(iter(self._online))]
                while len(self.upload) > limit:
                    self.upload.give_up()
            case AuthorisationDropped():
                self._granted = None
            case StateChanged(old=FpState.INOPERATIVE):
                self._restart()
            case _:
                pass

    def _record_type(self) -> RecordType:
        return RecordType.ONLINE if self._by_master else RecordType.OFFLINE

    def _serves_itself(self, now_us: int) -> bool:
        if self._quirks.self_service == "offline":
            heard_us = 0 if self.heard_us is None else self.heard_us
            return now_us - heard_us >= self._quirks.offline_after_us
        return self._quirks.self_service == "always"

    def _restart(self) -> None:
        self._granted = None
        self._last_key = None
        self._brief_uid = 0
        self.upload.restart()
        if self._quirks.forgets_acks:
            # The pointer in flash is older than the one that was lost with the power.
            kept = list(self.point.journal)
            oldest = self.upload.oldest()
            new = next((at for at, one in enumerate(kept) if one.sequence == oldest), len(kept))
            waiting = kept[max(0, new - self._quirks.forgets_acks) :]
            if waiting:
                self.upload = self._upload_from(waiting[0].sequence - 1, waiting)


def _units(volume_ml: int) -> int:
    return volume_ml // PULSE_ML % _FIELD_MODULUS
