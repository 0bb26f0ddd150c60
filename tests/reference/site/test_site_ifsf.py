"""The IFSF driver against the dispenser node: start-up, sales exactly once, what a bad day does to them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocols.ifsf import Address, Endpoint, Heartbeat, MessageKind, NodeMachine, decode_message
from protocols.sansio import Outgoing
from reference.site.config import ConfigError, LineConfig, parse_config
from reference.site.driver import SaleNotStored
from reference.site.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    DriverEvent,
    LineDown,
    LineUp,
    LiveAmount,
    NozzleLifted,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.ifsf import IfsfDriver
from reference.site.witness import Witness
from sim.dispenser import Dispenser, DispenserProfile, FuellingPoint, IfsfDispenser, IfsfOptions, Nozzle, Tank
from sim.kernel import VirtualKernel
from sim.wires import Capture, VirtualNodes, WireFault

S = 1_000_000
GRADES = ("92", "95")


def line_config(points: int = 1, *, price: int = 868, **ifsf: Any) -> LineConfig:
    return LineConfig.model_validate(
        {
            "protocol": "ifsf",
            "name": "node",
            "ifsf": ifsf,
            "fuelling_points": [
                {
                    "fuelling_point": number,
                    "address": 0x20 + number,
                    "nozzles": [
                        {
                            "nozzle": 10 * number + k,
                            "logical": k,
                            "grade": grade,
                            "price_fen_per_l": price + k,
                        }
                        for k, grade in enumerate(GRADES, start=1)
                    ],
                }
                for number in range(1, points + 1)
            ],
        }
    )


OPEN: list[VirtualKernel] = []


@pytest.fixture(autouse=True)
def _close_kernels() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Process:
    """The site's end of the wire: whichever driver lives there now."""

    def __init__(self, driver: IfsfDriver) -> None:
        self.driver = driver
        self._wake: Callable[[], None] | None = None
        self.endpoint: Endpoint | None = None

    @property
    def on_wake(self) -> Callable[[], None] | None:
        return self._wake

    @on_wake.setter
    def on_wake(self, wake: Callable[[], None] | None) -> None:
        self._wake = self.driver.on_wake = wake

    def start(self, endpoint: Endpoint, now_us: int) -> None:
        self.endpoint = endpoint
        self.driver.start(endpoint, now_us)

    def replace(self, driver: IfsfDriver, now_us: int) -> None:
        self.driver.on_wake = None
        self.driver = driver
        driver.on_wake = self._wake
        assert self.endpoint is not None
        driver.start(self.endpoint, now_us)
        if self._wake is not None:
            self._wake()

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.driver.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        return self.driver.data_to_send(now_us)

    def next_timer(self) -> int | None:
        return self.driver.next_timer()

    def handle_timer(self, now_us: int) -> None:
        self.driver.handle_timer(now_us)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)


class Bench:
    """A dispenser, a driver, and a controller that authorises every lift and keeps what it is sold."""

    def __init__(
        self,
        points: int = 1,
        *,
        seed: str = "1",
        faults: tuple[WireFault, ...] = (),
        options: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
        **ifsf: Any,
    ) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=0)
        OPEN.append(self.kernel)
        self.ifsf = ifsf
        self.count = points
        tanks = {grade: Tank(number, grade) for number, grade in enumerate(GRADES, start=1)}
        self.fps = [
            FuellingPoint(
                number,
                [
                    Nozzle(
                        logical=k,
                        nozzle_id=10 * number + k,
                        grade=grade,
                        tank=tanks[grade],
                        price_fen_per_l=800,
                    )
                    for k, grade in enumerate(GRADES, start=1)
                ],
                profile=DispenserProfile(**(profile or {})),
            )
            for number in range(1, points + 1)
        ]
        self.dispenser = Dispenser(self.fps)
        self.node = IfsfDispenser(self.dispenser, options=IfsfOptions(**(options or {})))
        self.events: list[DriverEvent] = []
        self.sales: list[SaleCaptured] = []
        self.witnesses: dict[int, Witness] = {}
        self.preset_fen: int | None = None
        self.serves = True
        self.refuse_sales = 0
        self.process = Process(self.new_driver())
        self.capture = Capture("node")
        site: Any = self.process
        self.wire = VirtualNodes(
            self.kernel,
            "node",
            site,
            self.node,
            latency_us=500,
            names=("site", "pump"),
            faults=faults,
            capture=self.capture,
        )

    @property
    def driver(self) -> IfsfDriver:
        return self.process.driver

    @property
    def fp(self) -> FuellingPoint:
        return self.fps[0]

    def new_driver(self) -> IfsfDriver:
        driver = IfsfDriver(line_config(self.count, **self.ifsf))
        driver.listener = self.hear
        for nozzle, witness in self.witnesses.items():
            driver.remember(nozzle, witness)
        return driver

    def hear(self, event: DriverEvent) -> None:
        self.events.append(event)
        match event:
            case SaleCaptured():
                if self.refuse_sales:
                    self.refuse_sales -= 1
                    raise SaleNotStored
                self.sales.append(event)
                self.witnesses[event.nozzle] = event.witness
            case TotalsRead():
                self.witnesses[event.nozzle] = event.witness
            case NozzleLifted() if self.serves:
                self.driver.authorise(event.fuelling_point, event.nozzle, preset_fen=self.preset_fen)

    def restart(self) -> None:
        """Kill -9 and start again: all that is left is the journal."""
        self.wire.cut()
        self.process.replace(self.new_driver(), self.kernel.now_us)

    def at(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        self.kernel.call_at(round(seconds * S), lambda: act(*args, self.kernel.now_us))

    def car(
        self, seconds: float, fill_s: float = 20, *, nozzle: int = 1, fp: FuellingPoint | None = None
    ) -> None:
        fp = self.fp if fp is None else fp
        self.at(seconds, fp.lift, nozzle)
        self.at(seconds + 2, lambda now_us: fp.squeeze(now_us, 35_000))
        self.at(seconds + 2 + fill_s, fp.hang_up)

    def run(self, seconds: float) -> None:
        self.kernel.run(round(seconds * S))

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self) -> list[Any]:
        """What the site said, decoded."""
        return [decode_message(frame.data) for frame in self.capture if frame.sender == "site" and frame.data]

    def check_books(self) -> None:
        """Each delivery once, to the last drop, and nothing left in the dispenser."""
        for fp in self.fps:
            for nozzle in fp.nozzles.values():
                mine = [sale for sale in self.sales if sale.nozzle == nozzle.nozzle_id]
                delivered = [one for one in fp.journal if one.nozzle_id == nozzle.nozzle_id]
                assert [(sale.volume_ml, sale.amount_fen) for sale in mine] == [
                    (one.volume_ml, one.amount_fen) for one in delivered
                ]
                if mine:
                    assert mine[-1].end_total_volume_ml == nozzle.total_volume_ml
                    assert mine[-1].end_total_amount_fen == nozzle.total_amount_fen
        assert [len(held.buffer) for held in self.node.points.values()] == [0] * len(self.fps)


def test_start_up_reads_everything_before_it_commands_anything() -> None:
    bench = Bench(2)
    bench.run(3)
    said = bench.said()
    assert (said[0].database, said[0].elements[0].data_id) == (b"\x00", 11)
    pump_writes = [
        at for at, one in enumerate(said) if one.kind is MessageKind.WRITE and one.database != b"\x00"
    ]
    reads = [one.database.hex() for one in said[: pump_writes[0]] if one.kind is MessageKind.READ]
    assert {"21", "22", "21200000", "22200000", "2111", "2112", "2211", "2212", "40"} <= set(reads)
    order = [one.database.hex() for one in said if one.kind is MessageKind.WRITE]
    shape = list(dict.fromkeys(database[:2] for database in order))
    assert shape == ["00", "01", "41", "42", "81", "82", "83", "84", "21", "22", "61"]
    assert (
        order.index("01")
        < order.index("41")
        < order.index("81")
        < order.index("2111")
        < order.index("610000009211")
    )
    opened = [at for at, one in enumerate(said) if one.elements[:1] and one.elements[0].data_id == 60]
    prices = [at for at, one in enumerate(said) if one.database[0] == 0x61 and one.elements]
    assert max(prices[:2]) < min(opened)
    assert [fp.state for fp in bench.fps] == [3, 3]
    assert [event.fuelling_point for event in bench.told(LineUp)] == [1, 2]
    assert [(fp.nozzles[1].price_fen_per_l, fp.nozzles[2].price_fen_per_l) for fp in bench.fps] == [
        (869, 870)
    ] * 2
    assert bench.driver.refusals == 4  # the meters: the maker fixes them
    assert bench.node.store.recipients == [Address(2, 1)]


def test_a_fill_from_lift_to_sale() -> None:
    bench = Bench()
    bench.preset_fen = 5_000
    bench.car(2, nozzle=2)
    bench.run(60)
    kinds = [type(event).__name__ for event in bench.events if not isinstance(event, LiveAmount)]
    assert [kind for kind in kinds if kind not in {"StateChanged", "PriceSet", "TotalsRead"}] == [
        "LineUp",
        "NozzleLifted",
        "Authorised",
        "SaleCaptured",
        "NozzleReturned",
    ]
    (sale,) = bench.sales
    assert (sale.nozzle, sale.price_fen_per_l, sale.flags) == (12, 870, ())
    assert sale.amount_fen <= 5_000
    assert sale.ended_us - sale.started_us > 5 * S
    live = bench.told(LiveAmount)
    assert len(live) > 20
    assert [event.volume_ml for event in live] == sorted(event.volume_ml for event in live)
    assert live[-1].volume_ml <= sale.volume_ml
    bench.check_books()
    said = bench.said()
    cleared = next(one for one in said if one.database.hex() == "21210001")
    assert [element.data_id for element in cleared.elements] == [31, 30]


def test_a_sale_is_cleared_only_when_it_is_stored() -> None:
    bench = Bench()
    bench.refuse_sales = 3
    bench.car(2)
    bench.run(24.5)
    assert bench.sales == []
    assert len(bench.node.points[1].buffer) == 1
    bench.run(40)
    assert len(bench.sales) == 1
    bench.check_books()


def test_the_next_lift_is_told_after_the_sale_before_is_stored() -> None:
    bench = Bench()
    bench.refuse_sales = 5
    bench.car(2, 5)
    bench.at(9.1, bench.fp.lift, 1)
    bench.run(30)
    told = [type(event).__name__ for event in bench.events]
    first = told.index("NozzleLifted")
    assert told.index("NozzleLifted", first + 1) > len(told) - 1 - told[::-1].index("SaleCaptured")
    assert len(bench.sales) == 1


def test_an_authorisation_that_is_not_used_is_void() -> None:
    bench = Bench()
    bench.at(2, bench.fp.lift, 1)
    bench.at(5, bench.fp.hang_up)
    bench.run(10)
    assert len(bench.told(Authorised)) == len(bench.told(DeliveryVoid)) == 1
    assert bench.sales == []
    assert bench.driver.status(1).state is PointState.IDLE
    assert not bench.driver.status(1).settling


def test_a_nozzle_up_and_down_in_an_instant_gets_nothing() -> None:
    bench = Bench()
    bench.at(2, bench.fp.lift, 1)
    bench.at(2.0007, bench.fp.hang_up)
    bench.run(10)
    assert bench.fp.state == 3
    assert bench.driver.status(1).state is PointState.IDLE
    assert bench.driver.authorise(1, 11)  # not stuck


def test_stop_ends_the_delivery() -> None:
    bench = Bench()
    bench.car(2, 60)
    bench.run(10)
    assert bench.driver.status(1).delivering == 11
    assert bench.driver.stop(1)
    bench.run(12)
    assert bench.fp.state == 3
    assert len(bench.sales) == 1
    bench.check_books()
    assert not bench.driver.stop(1)


def test_release_that_is_refused_is_told_with_its_reason() -> None:
    bench = Bench(unpaid_limit=1)
    bench.serves = False
    bench.run(2)
    assert bench.driver.authorise(1, 11, preset_fen=1)  # less than a pulse
    bench.run(3)
    (refused,) = bench.told(AuthoriseRefused)
    assert "refuses Release (6)" in refused.reason
    assert bench.driver.authorise(1, 11)
    assert not bench.driver.authorise(1, 11)
    bench.run(4)
    assert bench.fp.state == 3  # authorised without a lift: taken back at once
    assert not bench.driver.authorise(1, 99)


def test_prices_change_between_deliveries_and_are_read_back() -> None:
    bench = Bench(2)
    bench.car(2, 20)
    bench.run(10)
    assert bench.driver.set_prices(1, {11: 700, 12: 750})
    assert bench.driver.set_prices(2, {21: 700, 22: 750})
    assert not bench.driver.set_prices(1, {21: 700})
    bench.run(40)
    assert [
        (event.nozzle, event.price_fen_per_l, event.confirmed) for event in bench.told(PriceSet)[-4:]
    ] == [
        (21, 700, True),
        (22, 750, True),
        (11, 700, True),
        (12, 750, True),
    ]
    assert bench.sales[0].price_fen_per_l == 869
    assert [nozzle.price_fen_per_l for fp in bench.fps for nozzle in fp.nozzles.values()] == [700, 750] * 2
    assert bench.driver.set_prices(1, {11: 9_999_99})
    bench.run(60)
    assert bench.told(PriceSet)[-1].confirmed is False


def test_a_running_delivery_is_adopted_by_a_new_process() -> None:
    bench = Bench()
    bench.car(2, 20)
    bench.run(10)
    bench.restart()
    bench.run(12)
    status = bench.driver.status(1)
    assert status.state is PointState.FUELLING
    assert status.delivering == 11
    assert status.volume_ml > 1_000
    bench.run(40)
    assert len(bench.sales) == 1
    bench.check_books()


def test_the_first_process_ever_adopts_what_runs_and_what_waits() -> None:
    bench = Bench(stand_alone=True)
    bench.run(2)
    bench.wire.cut()
    bench.car(3, 10)
    bench.car(20, 30)
    bench.run(15)
    bench.witnesses.clear()
    bench.restart()
    bench.run(80)
    assert [sale.flags for sale in bench.sales] == [("adopted",), ()]
    bench.check_books()


def test_what_was_sold_alone_is_uploaded_once_and_flagged() -> None:
    down = WireFault(kind="down", at_us=5 * S, for_us=200 * S)
    bench = Bench(faults=(down,), stand_alone=True)
    for at in (60, 100, 140):
        bench.car(at, 10)
    bench.run(300)
    assert len(bench.told(LineDown)) == 1
    assert [sale.flags for sale in bench.sales] == [("offline", "recovered")] * 3
    assert [sale.more for sale in bench.sales] == [True, True, False]
    bench.check_books()
    read_all = next(one for one in reversed(bench.said()) if one.database.hex() == "21200000")
    assert read_all.kind is MessageKind.READ


def test_a_dispenser_that_may_not_go_on_alone_waits() -> None:
    down = WireFault(kind="down", at_us=5 * S, for_us=200 * S)
    bench = Bench(faults=(down,))
    bench.car(60, 10)
    bench.run(300)
    assert bench.sales == []
    assert bench.fp.journal == type(bench.fp.journal)()


def test_fuel_that_no_transaction_explains_is_reconstructed() -> None:
    bench = Bench()
    bench.car(2, 10)
    bench.run(30)
    nozzle = bench.fp.nozzles[1]
    nozzle.total_volume_ml += 5_000
    nozzle.total_amount_fen += 4_345
    bench.car(40, 10)
    bench.run(90)
    assert [sale.flags for sale in bench.sales] == [(), ("reconstructed",), ()]
    assert (bench.sales[1].volume_ml, bench.sales[1].amount_fen) == (5_000, 4_345)
    assert bench.sales[1].more


def test_numbers_wrap_in_the_middle_of_an_upload() -> None:
    down = WireFault(kind="down", at_us=5 * S, for_us=200 * S)
    bench = Bench(faults=(down,), stand_alone=True, options={"sequence": 9_997})
    for at in (50, 80, 110, 140):
        bench.car(at, 10)
    bench.run(300)
    assert len(bench.sales) == 4
    bench.check_books()


def test_power_cut_and_configuration_again() -> None:
    bench = Bench()
    bench.car(2, 60)

    def cut(now_us: int) -> None:
        bench.dispenser.cut_power(now_us)

    def restore(now_us: int) -> None:
        bench.dispenser.restore_power(now_us)

    bench.at(20, cut)
    bench.at(40, restore)
    bench.car(100, 10)
    bench.run(140)
    assert bench.fp.state == 3
    assert len(bench.told(LineUp)) == 2
    assert len(bench.sales) == 2
    assert bench.fp.nozzles[1].price_fen_per_l == 869
    bench.check_books()


def test_a_board_that_failed_is_configured_again() -> None:
    """Pump board loss: inoperative, then closed, then opened by the driver; the link stands all the time."""
    bench = Bench()
    bench.run(2)

    def fail(now_us: int) -> None:
        bench.fp.fail(now_us, "pulser")

    bench.at(3, fail)
    bench.run(5)
    assert bench.driver.status(1).state is PointState.INOPERATIVE
    bench.at(6, bench.fp.recover)
    bench.run(10)
    assert bench.driver.status(1).state is PointState.IDLE
    bench.car(11, 10)
    bench.run(40)
    bench.check_books()


def kill_at(at_us: int) -> None:
    """A station's three sales, the site killed at one instant: every drop is sold once."""
    bench = Bench(2)
    bench.car(2, 6)
    bench.car(2.5, 5, fp=bench.fps[1], nozzle=2)
    bench.car(14, 5)
    bench.kernel.call_at(at_us, bench.restart)
    bench.run(60)
    assert [bench.driver.status(number).state for number in (1, 2)] == [PointState.IDLE] * 2
    bench.check_books()
    OPEN.remove(bench.kernel)
    bench.kernel.close()


@pytest.mark.parametrize("part", range(2))
def test_killed_at_any_instant_each_sale_is_there_once(part: int) -> None:
    rng = random.Random(f"kill {part}")
    for _ in range(4):
        kill_at(rng.randrange(0, 25 * S))
    # The instants that matter most: around hang-up, transaction, storing and clearing.
    for _ in range(4):
        kill_at(10 * S + rng.randrange(0, 12_000))


@pytest.mark.slow
def test_killed_at_a_thousand_instants() -> None:
    rng = random.Random("kill")
    for number in range(1_000):
        kill_at(rng.randrange(0, 25 * S) if number % 2 else 10 * S + rng.randrange(0, 15_000))


def cut_at(at_us: int) -> None:
    bench = Bench(2)
    bench.car(2, 6)
    bench.car(2.5, 5, fp=bench.fps[1], nozzle=2)
    bench.car(14, 5)
    bench.kernel.call_at(at_us, bench.wire.cut)
    bench.run(60)
    bench.check_books()


@pytest.mark.parametrize("part", range(2))
def test_connections_cut_at_any_instant(part: int) -> None:
    rng = random.Random(f"cut {part}")
    for _ in range(4):
        cut_at(rng.randrange(0, 25 * S))
        cut_at(10 * S + rng.randrange(0, 12_000))


def test_a_dispenser_that_does_not_answer_is_dialled_again_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.run(2)
    monkeypatch.setattr(bench.node, "_responder", type("Deaf", (), {"handle": lambda *_: None})())
    bench.run(120)
    assert len(bench.told(LineDown)) == 1
    assert bench.driver.status(1).state is PointState.OFFLINE
    assert len(bench.said()) < 150
    assert not bench.driver.authorise(1, 11)


def test_what_the_journal_must_not_believe(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is no transaction is counted and left alone; the totaliser still tells of the fuel."""
    bench = Bench()
    bench.run(2)
    read = bench.node.store._read_transaction
    monkeypatch.setattr(
        bench.node.store,
        "_read_transaction",
        lambda one, data_id: b"" if data_id == 6 else read(one, data_id),
    )
    bench.car(3, 10)
    bench.run(60)
    assert bench.driver.unreadable > 0
    assert [sale.flags for sale in bench.sales] == [("reconstructed",)]
    assert bench.sales[0].volume_ml == bench.fp.journal[0].volume_ml


@pytest.mark.parametrize("address", [0x20, 0x25, 1])
def test_an_address_that_is_no_fuelling_point_is_refused(address: int) -> None:
    station = {"station": "KM01", "lines": [line_config().model_dump(mode="json")]}
    station["lines"][0]["fuelling_points"][0]["address"] = address  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"lines\.0: .*IFSF"):
        parse_config(station)


def test_noise_on_both_sides_is_survived() -> None:
    rng = random.Random("ifsf driver")
    bench = Bench()
    bench.run(2)
    for _ in range(3_000):
        data = rng.randbytes(rng.randrange(1, 30))
        if rng.random() < 0.7:
            data = (
                bytes((2, 1, 1, 1, 0, rng.choice((0x80, 0x20, 0xE0)) | rng.randrange(32), 0, len(data)))
                + data
            )
        bench.driver.receive_data(data, bench.kernel.now_us)
        if bench.driver.wants_close:
            bench.driver.dropped(bench.kernel.now_us)
            bench.driver.accepted(bench.kernel.now_us)
        bench.driver.receive_datagram(rng.randbytes(10), bench.kernel.now_us)
    bench.wire.cut()
    bench.run(30)
    bench.sales.clear()
    bench.car(40, 10)
    bench.run(70)
    bench.check_books()


def test_it_is_a_node_machine() -> None:
    machine: NodeMachine = IfsfDriver(line_config())
    assert machine.dial is None
    assert not machine.wants_close


def test_what_real_dispensers_do_against_the_rules_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nozzle bit that is always set, the state in the heartbeat, status messages to nobody: it works, with warnings."""
    bench = Bench()
    monkeypatch.setattr(type(bench.node.points[1]), "nozzle_bits", property(lambda _self: b"\x01"))
    bench.run(2)
    status = "000001010080000e01216400140103150101160200 00".replace(" ", "")
    bench.driver.receive_data(bytes.fromhex(status), bench.kernel.now_us)
    bench.car(3, 10)
    bench.car(30, 10)
    bench.run(60)
    bench.check_books()
    assert len(bench.sales) == len(bench.told(NozzleLifted)) == 2
    assert bench.driver.device.link.counts == {"ifsf-status-to-nobody": 1}
    bench.restart()
    bench.node.link.status = 3
    beat = Heartbeat("127.0.0.1", 8802, Address(1, 1), 3).encode()
    bench.driver.receive_datagram(beat, bench.kernel.now_us)
    assert bench.driver.device.link.counts == {"ifsf-status-is-state": 1}
