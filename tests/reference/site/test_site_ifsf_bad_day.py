"""The IFSF driver on a bad day: each delivery is sold once, whatever dies, is cut or lies."""

from __future__ import annotations

import random

import pytest

from protocols.ifsf import MessageKind
from reference.site.pumps.events import (
    LineDown,
    LineUp,
    PointState,
)
from sim.wires import WireFault

from .ifsf_bench import Bench, S


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
    bench.kernel.close()


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
