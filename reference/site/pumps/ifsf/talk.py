"""What is said to an IFSF dispenser, in what order: conversations as generators.

A conversation yields a `Request` and is sent its `Reply`, or yields a `Pause`. `IfsfDriver` runs one at a time for each node.
The order of start-up is that of the public implementations: recipient, reading, calculator, products, meters, nozzles, prices,
fuelling point, Open (tagnpeng/ifsf and ycxzfforever/ZHY_IFSF_AM3352 on the wire). Nothing is commanded before everything was
read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocols.ifsf import (
    HEARTBEAT_PERIOD_US,
    PRODUCT_NUMBERS,
    Element,
    FpState,
    Number,
    NumberError,
    Reply,
    Request,
    TransactionState,
    bcd,
    from_bcd,
    fuelling_point_address,
    nozzle_address,
    price_address,
    transaction_address,
)
from reference.site.pumps.driver import SaleNotStored
from reference.site.pumps.ifsf.point import IfsfPointLogic
from reference.site.pumps.ifsf.sales import BufferedSale
from reference.site.pumps.witness import Totals

if TYPE_CHECKING:
    from reference.site.pumps.ifsf.driver import IfsfDriver

__all__ = ["Conversation", "Pause", "Talk"]

_AGAIN_US: Final = 250_000
_RETRY_US: Final = 1_000_000
_CAPTURE_TRIES: Final = 6
_CAPTURE_GIVE_UP: Final = 100
_READ_TRIES: Final = 3
_RELEASE_TRIES: Final = 3
_RELEASE_LOOKS: Final = 4
_PRICE_TRIES: Final = 3
_STATE_IDS: Final = (20, 21, 29, 34, 35, 37)
_SALE_IDS: Final = (1, 2, 5, 6, 7, 8, 21, 200)
_NO_CONTROLLER: Final = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on so much later."""

    us: int


Conversation = Generator[Request | Pause, Reply | None, None]
"""What the driver runs. It is closed when the link is lost."""
_Step = Generator[Request | Pause, Reply | None, "Reply | None"]


class Talk:
    """The conversations of one driver."""

    def __init__(self, driver: IfsfDriver) -> None:
        self._driver = driver

    # -- start-up ------------------------------------------------------------------------------------------------

    def start_up(self) -> Conversation:
        """From a fresh connection to every fuelling point up."""
        driver = self._driver
        me = Element(11, driver.device.link.own.encode())
        while True:
            reply = yield Request(b"\x00", elements=(me,))
            if reply is not None and reply.taken:
                break
            yield Pause(_RETRY_US)
        points = list(driver.points.values())
        for point in points:
            while not (yield from self._look(point)):
                yield Pause(_RETRY_US)
        for point in points:
            yield from self._read_products(point)
        for point in points:
            yield from self._capture(point, recovered=True)
        if all(point.state in {FpState.INOPERATIVE, FpState.CLOSED} for point in points):
            yield from self._configure(points)
        for point in points:
            yield from self._check_prices(point)
            yield from self.open(point)
            point.link_up(driver.now_us)

    def _look(self, point: IfsfPointLogic) -> Generator[Request | Pause, Reply | None, bool]:
        """Read the state of one fuelling point."""
        reply = yield Request(fuelling_point_address(point.place), ids=_STATE_IDS)
        if reply is None or not reply.answers:
            return False
        self._driver.take_state(point, reply.answers[0][1])
        return True

    def look_all(self) -> Conversation:
        """Supervision: the states of all fuelling points, in case a message was lost."""
        reply = yield Request(fuelling_point_address(0), ids=_STATE_IDS)
        if reply is None or reply.timed_out:
            return
        for database, values in reply.answers:
            point = self._driver.points.get(database[0] - 0x20)
            if point is not None:
                self._driver.take_state(point, values)

    def _read_products(self, point: IfsfPointLogic) -> Conversation:
        """Which products the nozzles of an open dispenser really sell."""
        slots: dict[int, int] = {}
        reply = yield Request(b"\x40", ids=(2,))
        for database, values in reply.answers if reply is not None else ():
            slots[database[0] - 0x40] = _decimal(values.get(2, b""))
        for logical in sorted(point.nozzles):
            reply = yield Request(nozzle_address(point.place, logical), ids=(1,))
            if reply is not None and reply.answers:
                slot = reply.answers[0][1].get(1, b"")
                product = slots.get(slot[0], 0) if slot else 0
                if product:
                    self._driver.products[point.place, logical] = product

    def _configure(self, points: Iterable[IfsfPointLogic]) -> Conversation:
        """Write the configuration of a dispenser that is closed. What it refuses it keeps: makers fix some of it."""
        driver = self._driver
        numbers = dict.fromkeys(PRODUCT_NUMBERS[grade] for grade in driver.grades.values())
        yield Request(b"\x00", elements=(Element(4, bytes((HEARTBEAT_PERIOD_US // 1_000_000,))),))
        yield from self._write(
            b"\x01",
            {2: bytes((len(numbers),)), 5: bytes((len(driver.points),)), 11: b"\x00", 12: driver.stand_alone},
        )
        slots = {number: slot for slot, number in enumerate(numbers, start=1)}
        for number, slot in slots.items():
            yield from self._write(bytes((0x40 + slot,)), {2: bcd(number, 4)})
        meter = 0x81
        for point in points:
            for logical in sorted(point.nozzles):
                number = PRODUCT_NUMBERS[driver.grades[point.place, logical]]
                driver.products[point.place, logical] = number
                yield from self._write(bytes((meter,)), {4: bytes((slots[number],))})
                meter += 1
        for point in points:
            for logical in sorted(point.nozzles):
                number = driver.products[point.place, logical]
                nozzle = nozzle_address(point.place, logical)
                yield from self._write(nozzle, {1: bytes((slots[number],)), 5: bytes((logical,))})

    def _write(self, database: bytes, values: Mapping[int, bytes]) -> Conversation:
        elements = tuple(Element(data_id, value) for data_id, value in values.items())
        reply = yield Request(database, elements=elements)
        if reply is not None and not reply.taken:
            self._driver.refusals += 1

    def open(self, point: IfsfPointLogic) -> Conversation:
        """Settings and Open for a fuelling point that is closed."""
        if point.state is not FpState.CLOSED:
            return
        period = bytes((max(1, min(255, self._driver.config.period_us // 100_000)),))
        database = fuelling_point_address(point.place)
        settings = {2: bytes((self._driver.unpaid_limit,)), 7: b"\x01", 24: b"\x00", 59: period}
        yield from self._write(database, settings)
        yield Request(database, elements=(Element(60),))
        yield from self._look(point)

    def reopen(self, point: IfsfPointLogic) -> Conversation:
        """A fuelling point came back from a failure: configure it again, as after power-on."""
        points = list(self._driver.points.values())
        if all(one.state in {FpState.INOPERATIVE, FpState.CLOSED} for one in points):
            yield from self._configure(points)
        yield from self._check_prices(point)
        yield from self.open(point)
        if point.state is FpState.CLOSED:
            yield Pause(_RETRY_US)

    # -- prices --------------------------------------------------------------------------------------------------

    def _check_prices(self, point: IfsfPointLogic) -> Conversation:
        for logical, wanted in point.prices.items():
            shown = yield from self._read_price(point, logical)
            if shown != wanted:
                point.price_wishes.setdefault(logical, 0)
        yield from self.prices(point)

    def _read_price(
        self, point: IfsfPointLogic, logical: int
    ) -> Generator[Request | Pause, Reply | None, int]:
        product = self._driver.products[point.place, logical]
        reply = yield Request(price_address(product), ids=(2,))
        if reply is None or not reply.answers:
            return 0
        return _scaled(reply.answers[0][1].get(2, b""), 2)

    def prices(self, point: IfsfPointLogic) -> Conversation:
        """Write the prices that are wished, and believe what is read back. Not while this point delivers."""
        for logical in list(point.price_wishes):
            if point.delivering:
                return
            wanted = point.prices[logical]
            product = self._driver.products[point.place, logical]
            value = Number.of(wanted, decimals=2, left=4).encode()
            shown = 0
            for _ in range(_PRICE_TRIES):
                yield Request(price_address(product), elements=(Element(2, value),))
                shown = yield from self._read_price(point, logical)
                if shown == wanted:
                    break
            if point.prices[logical] == wanted:
                point.price_written(logical, shown, self._driver.now_us, confirmed=shown == wanted)

    # -- commands ------------------------------------------------------------------------------------------------

    def release(self, point: IfsfPointLogic) -> Conversation:
        """Let one delivery happen. What became of it is read from the state, not from the acknowledgement."""
        wanted = point.wanted
        if wanted is None or wanted.said:
            return
        wanted.said = True
        amount = wanted.preset_fen if wanted.preset_ml is None else None
        elements = (
            Element(27, Number.of(amount or 0, decimals=2, left=6).encode()),
            Element(28, Number.of((wanted.preset_ml or 0) // 10, decimals=2, left=6).encode()),
            Element(30, self._driver.device.link.own.encode()),
            Element(25, bytes((1 << (wanted.logical - 1),))),
            Element(62),
        )
        for _ in range(_RELEASE_TRIES):
            reply = yield Request(fuelling_point_address(point.place), elements=elements)
            if reply is None or not reply.timed_out or point.wanted is not wanted:
                break
            # Unknown. What is said on a stream is heard in order: once the state is read, the command has been taken or lost.
            if (yield from self._look(point)) and point.wanted is not wanted:
                return
        verdict = reply.verdicts.get(62, 0) if reply is not None else 0
        for _ in range(_RELEASE_LOOKS):
            answered = yield from self._look(point)
            if point.wanted is not wanted:
                return
            if verdict and answered:
                point.refuse(f"the dispenser refuses Release ({verdict})", self._driver.now_us)
                return
            yield Pause(_AGAIN_US)
            if point.wanted is not wanted:
                return
        # It was not obeyed so far; it must not be later on.
        yield Request(fuelling_point_address(point.place), elements=(Element(63),))
        if point.wanted is wanted:
            point.refuse("the dispenser does not obey Release", self._driver.now_us)

    def stop(self, point: IfsfPointLogic) -> Conversation:
        """End the delivery or the authorisation."""
        yield Request(fuelling_point_address(point.place), elements=(Element(63),))
        point.stop_due = False
        yield from self._look(point)

    # -- sales ---------------------------------------------------------------------------------------------------

    def capture(self, point: IfsfPointLogic) -> Conversation:
        """Read the buffer, hand over what is new, lock and clear it."""
        yield from self._capture(point, recovered=False)

    def _capture(self, point: IfsfPointLogic, *, recovered: bool) -> Conversation:
        driver = self._driver
        tries = 0
        while not point.delivering:
            tries += 1
            if tries > _CAPTURE_GIVE_UP:
                driver.device.link.redial()  # what the dispenser says makes no sense: begin anew
                return
            marks = point.changes
            sales = yield from self._read_sales(point)
            totals = yield from self._read_totals(point, sales or [], recovered=recovered)
            if sales is None or totals is None:
                yield Pause(_AGAIN_US)
                continue
            untold = point.told - {sale.sequence for sale in sales}
            if tries < _CAPTURE_TRIES and (point.changes != marks or untold):
                continue  # something happened in between: the two readings do not hang together
            if tries < _CAPTURE_TRIES and point.must_wait(sales, totals):
                yield Pause(_AGAIN_US)
                continue
            point.capture_due = False
            point.told.clear()
            try:
                point.hand_over(sales, totals, driver.now_us, recovered=recovered)
            except SaleNotStored:
                point.capture_due = True
                yield Pause(_RETRY_US)
                continue
            for sale in sales:
                database = transaction_address(point.place, sale.sequence)
                yield Request(database, elements=(Element(31), Element(30)))
            point.proceed(driver.now_us)
            return

    def _read_sales(
        self, point: IfsfPointLogic
    ) -> Generator[Request | Pause, Reply | None, list[BufferedSale] | None]:
        """The buffer, oldest first; None when it could not be read."""
        if not (yield from self._look(point)):
            return None
        reply = yield Request(transaction_address(point.place), ids=_SALE_IDS)
        if reply is None or reply.timed_out:
            return None
        sales = []
        for _, values in reply.answers:
            if values.get(21, b"\x02") == bytes((TransactionState.CLEARED,)):
                continue
            try:
                sales.append(_sale(values))
            except (NumberError, IndexError):
                self._driver.unreadable += 1
        return sorted(sales, key=lambda sale: -((point.sequence - sale.sequence) % 9999))

    def _read_totals(
        self, point: IfsfPointLogic, sales: list[BufferedSale], *, recovered: bool
    ) -> Generator[Request | Pause, Reply | None, dict[int, Totals] | None]:
        totals = {}
        for logical in point.nozzles_to_read(sales, recovered=recovered):
            reply = yield Request(nozzle_address(point.place, logical), ids=(20, 21))
            if reply is None or not reply.answers:
                return None
            values = reply.answers[0][1]
            try:
                volume_ml = Number.decode(values[20]).scaled(3)
            except (KeyError, NumberError):
                self._driver.unreadable += 1
                return None
            amount = values.get(21, b"")
            totals[logical] = Totals(volume_ml, _scaled(amount, 2) if amount else None)
        return totals


def _sale(values: Mapping[int, bytes]) -> BufferedSale:
    return BufferedSale(
        sequence=from_bcd(values.get(1, b"")),
        logical=values.get(8, b"")[0],
        volume_ml=Number.decode(values.get(6, b"")).scaled(3),
        amount_fen=Number.decode(values.get(5, b"")).scaled(2),
        price_fen_per_l=Number.decode(values.get(7, b"")).scaled(2),
        offline=values.get(2) == _NO_CONTROLLER or values.get(200, b"\x00") not in (b"", b"\x00"),
    )


def _decimal(data: bytes) -> int:
    try:
        return from_bcd(data)
    except NumberError:
        return 0


def _scaled(data: bytes, decimals: int) -> int:
    try:
        return Number.decode(data).scaled(decimals)
    except NumberError:
        return 0
