"""The IFSF dispenser node sells: states, transactions, locks, prices."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.ifsf import (
    Address,
    Element,
    Message,
    TransactionState,
)
from sim.dispenser.ifsf_buffer import Transaction, TransactionBuffer

from .ifsf_bench import CD, CLEAR, LOCK, OPEN, RELEASE, TERMINATE, UNLOCK, Bench

# -- sales -----------------------------------------------------------------------------------------------------------


def states(messages: list[Message]) -> list[int]:
    return [
        message.value(0x14)[0] for message in messages if message.database == b"\x21" and message.value(0x14)
    ]


def test_a_fill_is_told_from_lift_to_transaction() -> None:
    bench = Bench(prices=(830, 860))
    bench.command(OPEN)
    bench.fp.lift(2, bench.now_us)
    assert [(m.value(0x14), m.value(0x15)) for m in bench.heard()] == [(b"\x04", b"\x02")]
    bench.write(b"\x21", Element(27, bytes.fromhex("0600002000")), Element(RELEASE))
    assert states(bench.notices) == [5, 6]
    bench.fp.squeeze(bench.now_us, 30_000)
    bench.run(20)
    told = bench.heard()
    running = [message for message in told if message.value(0x66) is not None]
    assert [message.value(0x25) for message in running] == [b"\x02"] * len(running)
    assert len(running) > 5
    assert states(told) == [8, 3]
    (sale,) = [message for message in told if message.database.hex() == "21210001"]
    assert (sale.value(5), sale.value(0x15)) == (
        bytes.fromhex("0600001995"),
        b"\x02",
    )  # whole pulses within 20.00
    assert told.index(sale) == len(told) - 1
    assert bench.node.points[1].settings[27] == bytes.fromhex("0600000000")  # a preset serves once


@pytest.mark.requirement("fd-auth.unpaid-limit-blocks")
def test_release_is_refused_at_the_unpaid_limit() -> None:
    bench = Bench(unpaid_limit=2)
    bench.command(OPEN)
    for _ in range(2):
        bench.fill()
        bench.run(1)
    bench.fp.lift(1, bench.now_us)
    assert bench.command(RELEASE) == 6
    bench.write(bytes.fromhex("21210001"), Element(CLEAR))
    assert bench.command(RELEASE) == 0


def test_only_the_device_that_locked_may_clear_or_unlock() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.fill()
    sale = bytes.fromhex("21210001")
    assert bench.write(sale, Element(UNLOCK)).verdicts == ((UNLOCK, 3),)
    assert bench.write(sale, Element(LOCK)).status == 0
    assert bench.write(sale, Element(LOCK)).verdicts == ((LOCK, 3),)
    bench.cd = Address(2, 7)
    assert bench.write(sale, Element(CLEAR)).verdicts == ((CLEAR, 3),)
    assert bench.write(sale, Element(UNLOCK)).verdicts == ((UNLOCK, 3),)
    bench.cd = CD
    assert bench.write(sale, Element(CLEAR)).status == 0
    assert bench.read(sale, 21)[0].value(21) == b"\x01"  # history
    assert bench.write(sale, Element(CLEAR)).verdicts == ((CLEAR, 3),)
    assert [reply.status for reply in bench.read(bytes.fromhex("21200000"), 1)] == [0]


@pytest.mark.parametrize(("target", "left"), [("payable", b"\x02"), ("cleared", b"\x01")])
def test_what_an_unlock_leads_to_is_a_switch(target: Any, left: bytes) -> None:
    bench = Bench(unlock_to=target)
    bench.command(OPEN)
    bench.fill()
    sale = bytes.fromhex("21210001")
    bench.write(sale, Element(LOCK))
    assert bench.write(sale, Element(UNLOCK)).status == 0
    assert bench.read(sale, 21)[0].value(21) == left


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("profile", ["drop", "journal"])
def test_a_sale_without_fuel_is_stored_only_if_asked_for(mode: int, profile: str) -> None:
    bench = Bench(profile={"zero_sales": profile})
    bench.write(b"\x21", Element(24, bytes((mode,))))
    bench.command(OPEN)
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.run(2)
    bench.fp.hang_up(bench.now_us)
    assert [one.volume_ml for one in bench.place.buffer.open] == [0] * mode


def test_an_authorisation_without_a_lift_leaves_no_zero_sale() -> None:
    bench = Bench()
    bench.write(b"\x21", Element(24, b"\x01"))
    bench.command(OPEN)
    assert bench.command(RELEASE) == 0
    assert bench.command(TERMINATE) == 0
    assert len(bench.place.buffer) == 0


def test_sequence_numbers_wrap_and_skip_what_is_open() -> None:
    buffer = TransactionBuffer(sequence=9998)

    def add() -> Transaction:
        one = Transaction(buffer.next_sequence(), b"\x02\x01", 1, 1, 92, 10, 8, 800, 0, 10)
        buffer.add(one)
        return one

    kept = add()
    assert [add().sequence for _ in range(3)] == [1, 2, 3]
    buffer.last_sequence = 9998
    assert add().sequence == 4  # 9999 to 3 are still open
    assert kept.state is TransactionState.PAYABLE


def test_a_price_waits_for_the_end_of_the_sale() -> None:
    bench = Bench(points=2, price_event=True)
    bench.write(b"\x20", Element(OPEN))
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.fp.squeeze(0, 30_000)
    bench.run(5)
    assert bench.write(bytes.fromhex("610000009211"), Element(2, bytes.fromhex("04000490"))).status == 0
    assert bench.points[1].nozzles[1].price_fen_per_l == 490
    assert bench.fp.nozzles[1].price_fen_per_l == 830
    bench.fp.hang_up(bench.now_us)
    assert bench.fp.nozzles[1].price_fen_per_l == 490
    assert bench.place.buffer.open[0].price_fen_per_l == 830
    assert [m.database.hex() for m in bench.heard() if m.database[1:2] == b"\x41"][-1] == "214199"
