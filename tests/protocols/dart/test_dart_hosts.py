"""One sale on a DART line: the same events and bytes in virtual time, over TCP and over a pty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from typing import ClassVar

from protocols.dart import (
    AllowedNozzles,
    Command,
    CommandCode,
    ControllerSide,
    Data,
    Event,
    FilledReport,
    LineTiming,
    NozzleReport,
    PresetVolume,
    PumpSide,
    PumpStatus,
    PumpTransaction,
    StatusReport,
    TotalsReport,
    TotalsRequest,
    UnitPrices,
)
from protocols.sansio import NEED_DATA, Outgoing
from sim.kernel import VirtualKernel
from sim.wires import (
    PtyHost,
    SerialHost,
    VirtualBus,
    connect_machine_tcp,
    serve_machine_tcp,
)

ADDRESS = 0x51
# A pump on a busy machine may be late; only the test's own time-out judges that here.
PATIENT = LineTiming(baud=None, reply_limit_us=20_000_000)

RAW_BAD_CHECKSUM = bytes.fromhex("51 37 01 01 06 1D 3D 03 FA")
POLL = None
SALE: list[tuple[object, ...] | bytes | None] = [
    POLL,
    (UnitPrices(prices_units=(685,)),),
    POLL,
    (Command(code=CommandCode.RESET),),
    POLL,
    RAW_BAD_CHECKSUM,
    (AllowedNozzles(nozzles=(1,)), PresetVolume(volume_units=2000)),
    (Command(code=CommandCode.AUTHORISE),),
    POLL,
    (Command(code=CommandCode.RETURN_FILLING), TotalsRequest(counter=1)),
    POLL,
    POLL,
]


class Side:
    """What both ends note."""

    side: PumpSide | ControllerSide

    def __init__(self) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.events: list[Event] = []
        self.said = b""

    def next_timer(self) -> int | None:
        return self.side.next_timer()

    def handle_timer(self, now_us: int) -> None:
        self.side.handle_timer(now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        out = self.side.data_to_send(now_us)
        self.said += b"".join(burst.data for burst in out)
        return out

    def drain(self) -> list[Event]:
        fresh = []
        while (event := self.side.next_event()) is not NEED_DATA:
            fresh.append(event)
        self.events += fresh
        return fresh


class Pump(Side):
    """Answers like a pump that has sold 20 litres."""

    ANSWERS: ClassVar[dict[CommandCode, list[PumpTransaction]]] = {
        CommandCode.RESET: [
            StatusReport(status=PumpStatus.RESET),
            FilledReport(volume_units=0, amount_units=0),
        ],
        CommandCode.AUTHORISE: [
            StatusReport(status=PumpStatus.AUTHORISED),
            NozzleReport(price_units=685, nozzle=1, out=True),
        ],
        CommandCode.RETURN_FILLING: [FilledReport(volume_units=2000, amount_units=13700)],
    }

    def __init__(self) -> None:
        super().__init__()
        self.side = PumpSide([ADDRESS])

    def receive_data(self, data: bytes, now_us: int) -> None:
        assert isinstance(self.side, PumpSide)
        self.side.receive_data(data, now_us)
        for event in self.drain():
            if not isinstance(event, Data):
                continue
            for transaction in event.transactions:
                if isinstance(transaction, Command):
                    self.side.send(ADDRESS, self.ANSWERS[transaction.code])
                elif isinstance(transaction, TotalsRequest):
                    self.side.send(ADDRESS, [TotalsReport(counter=transaction.counter, total_units=2000)])


class Controller(Side):
    """Plays the sale, one exchange after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.side = ControllerSide([ADDRESS], timing=PATIENT, raw=True)
        self.script = list(SALE)
        self.is_done = False

    def next_timer(self) -> int | None:
        return 0 if len(self.script) == len(SALE) else self.side.next_timer()

    def handle_timer(self, now_us: int) -> None:
        if len(self.script) == len(SALE):
            self.go_on(now_us)
        else:
            self.side.handle_timer(now_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.side.receive_data(data, now_us)
        if self.drain() and not self.side.busy:
            self.go_on(now_us)

    def go_on(self, now_us: int) -> None:
        assert isinstance(self.side, ControllerSide)
        if not self.script:
            self.is_done = True
            return
        step = self.script.pop(0)
        if step is POLL:
            self.side.poll(ADDRESS, now_us)
        elif isinstance(step, bytes):
            self.side.send_raw(step)
        else:
            self.side.send(ADDRESS, step, now_us)


Seen = tuple[list[Event], bytes, list[Event], bytes]


def seen(controller: Controller, pump: Pump) -> Seen:
    return controller.events, controller.said, pump.events, pump.said


def clock() -> int:
    return time.monotonic_ns() // 1000


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def virtually() -> Seen:
    controller, pump = Controller(), Pump()
    with closing(VirtualKernel("dart", epoch_us=0)) as kernel:
        bus = VirtualBus(kernel, "line", baud=9600)
        bus.attach(controller, name="controller", master=True)
        bus.attach(pump, name="pump")
        kernel.run(10_000_000)
    assert controller.is_done
    return seen(controller, pump)


def over_tcp() -> Seen:
    async def play() -> Seen:
        controller, pump = Controller(), Pump()
        server = await serve_machine_tcp(lambda: pump, "127.0.0.1", 0, clock)
        client = await connect_machine_tcp(controller, "127.0.0.1", server.port, clock)
        await until(lambda: controller.is_done)
        await client.aclose()
        await server.aclose()
        return seen(controller, pump)

    return asyncio.run(play())


def over_pty() -> Seen:
    async def play() -> Seen:
        controller, pump = Controller(), Pump()
        pty = PtyHost(pump, clock, baud=115_200)
        line = SerialHost(controller, clock, path=await pty.start(), baud=115_200, is_paced=True)
        await line.start()
        await until(lambda: controller.is_done)
        await line.aclose()
        await pty.aclose()
        return seen(controller, pump)

    return asyncio.run(play())


def test_the_sale_is_the_same_on_every_wire() -> None:
    in_virtual_time = virtually()
    events, said, _, answered = in_virtual_time
    assert [type(event).__name__ for event in events] == [
        *("Eot", "Ack", "Eot", "Ack", "Data", "Unexpected", "Ack", "Ack", "Data", "Ack", "Data", "Eot")
    ]
    assert RAW_BAD_CHECKSUM in said
    assert b"\x51\x57\xfa" in answered
    assert over_tcp() == in_virtual_time
    assert over_pty() == in_virtual_time


def test_a_virtual_line_takes_its_time() -> None:
    """A poll and its answer are six characters of 11 bits at 9600 baud: 6.876 ms with whole-microsecond bursts."""

    class Polls(Controller):
        def __init__(self) -> None:
            super().__init__()
            self.script = [POLL]
            self.times: list[int] = []

        def next_timer(self) -> int | None:
            return 0 if not self.times else self.side.next_timer()

        def handle_timer(self, now_us: int) -> None:
            self.times.append(now_us)
            self.go_on(now_us)

        def receive_data(self, data: bytes, now_us: int) -> None:
            super().receive_data(data, now_us)
            self.times.append(now_us)

    controller = Polls()
    with closing(VirtualKernel("dart", epoch_us=0)) as kernel:
        bus = VirtualBus(kernel, "line", baud=9600)
        bus.attach(controller, name="controller", master=True)
        bus.attach(Pump(), name="pump")
        kernel.run(100_000)
    assert controller.times == [0, 2 * LineTiming(baud=9600).chars_us(3)]
