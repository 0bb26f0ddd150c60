"""Both ends on one damaged line: nothing is lost, nothing happens twice, no damage is for ever."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.dart import (
    ControllerSide,
    Data,
    LineTiming,
    PumpLinkState,
    PumpSide,
    Quirks,
    SendFailed,
    TotalsReport,
    TotalsRequest,
    UnitPrices,
    state_table,
)
from protocols.sansio import NEED_DATA

ADDRESSES = (0x50, 0x51)


class Line:
    """A line between both ends; ``damage`` does what it likes to each burst."""

    def __init__(
        self, damage: random.Random | None = None, quirks: Quirks | None = None, rate: float = 0.0
    ) -> None:
        self.now_us = 0
        self.rng = damage
        self.rate = rate
        self.pump = PumpSide(ADDRESSES, quirks=quirks)
        self.controller = ControllerSide(
            ADDRESSES, timing=LineTiming(baud=None), quirks=quirks, attempts_max=5
        )
        self.at_pump: dict[int, list[int]] = {address: [] for address in ADDRESSES}
        self.at_controller: dict[int, list[int]] = {address: [] for address in ADDRESSES}
        self.failed = 0

    def wire(self, data: bytes) -> bytes:
        rng = self.rng
        if rng is None or rng.random() >= self.rate:
            return data
        kind = rng.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return data[: rng.randrange(len(data))]
        if kind == 2:
            return rng.randbytes(rng.randrange(1, 9)) + data
        if len(data) == 3:
            return b""  # control frames have no checksum; a flipped bit makes an ACK of a NAK, and nobody can know
        flipped = bytearray(data)
        # One to three bits: within what CRC-16/ARC finds for certain in frames this short.
        for _ in range(rng.randrange(1, 4)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)

    def step(self) -> None:
        self.now_us += 1000
        for burst in self.controller.data_to_send(self.now_us):
            self.pump.receive_data(self.wire(burst.data), self.now_us)
        for burst in self.pump.data_to_send(self.now_us):
            self.controller.receive_data(self.wire(burst.data), self.now_us)
        self.drain()

    def finish(self) -> None:
        """Until the exchange is over, by answer or by time."""
        for _ in range(40):
            self.step()
            if not self.controller.busy:
                for burst in self.controller.data_to_send(self.now_us):
                    self.pump.receive_data(self.wire(burst.data), self.now_us)
                self.drain()
                return
            timer = self.controller.next_timer()
            assert timer is not None
            self.now_us = max(self.now_us, timer)
            self.controller.handle_timer(self.now_us)
            self.drain()
        raise AssertionError("an exchange has no end")

    def drain(self) -> None:
        while (event := self.pump.next_event()) is not NEED_DATA:
            if isinstance(event, Data):
                self.at_pump[event.address] += [
                    price
                    for transaction in event.transactions
                    if isinstance(transaction, UnitPrices)
                    for price in transaction.prices_units
                ]
        while (event := self.controller.next_event()) is not NEED_DATA:
            if isinstance(event, Data) and not event.same_as_last:
                self.at_controller[event.address] += [
                    transaction.total_units
                    for transaction in event.transactions
                    if isinstance(transaction, TotalsReport)
                ]
            self.failed += isinstance(event, SendFailed)


def test_a_clean_line_carries_everything_once_in_order() -> None:
    line = Line()
    for round_number in range(50):
        for address in ADDRESSES:
            line.pump.send(address, [TotalsReport(counter=1, total_units=round_number)])
            line.controller.send(address, [UnitPrices(prices_units=(round_number,))], line.now_us)
            line.finish()
            line.controller.poll(address, line.now_us)
            line.finish()
    for address in ADDRESSES:
        assert line.at_pump[address] == list(range(50))
        assert line.at_controller[address] == list(range(50))
        assert line.pump.quiet(address)


@pytest.mark.parametrize(
    "quirks",
    [Quirks(tx_wrap=0), Quirks(glue_poll=True), Quirks(ack_poll=True), Quirks(unanswered_polls=1)],
    ids=["wrap to 0", "glued poll", "ack and poll", "unanswered polls"],
)
def test_quirks_lose_nothing(quirks: Quirks) -> None:
    line = Line(quirks=quirks)
    for number in range(40):
        line.pump.send(0x50, [TotalsReport(counter=1, total_units=number)])
        line.controller.send(0x50, [UnitPrices(prices_units=(number,))], line.now_us)
        line.finish()
        for _ in range(2):
            line.controller.poll(0x50, line.now_us)
            line.finish()
    assert line.at_pump[0x50] == list(range(40))
    assert line.at_controller[0x50] == list(range(40))


def damaged_run(seed: str, rounds: int, rate: float) -> Line:
    line = Line(random.Random(f"dart/{seed}"), rate=rate)
    for number in range(rounds):
        for address in ADDRESSES:
            line.pump.send(address, [TotalsReport(counter=1, total_units=number)])
            if number % 3 == 0:
                line.controller.send(address, [UnitPrices(prices_units=(number,))], line.now_us)
                line.finish()
            line.controller.poll(address, line.now_us)
            line.finish()
    line.rate = 0.0
    for address in ADDRESSES:
        for _ in range(rounds):
            if line.pump.quiet(address):
                break
            line.controller.poll(address, line.now_us)
            line.finish()
    return line


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.2, 0.4]))
def test_a_damaged_line_loses_and_doubles_nothing_that_is_numbered(seed: int, rate: float) -> None:
    line = damaged_run(str(seed), 30, rate)
    for address in ADDRESSES:
        assert line.at_controller[address] == list(range(30))
        assert line.pump.quiet(address)
        executed = line.at_pump[address]
        assert executed == sorted(executed)
        # What was given up is unknown; what was acknowledged was executed.
        assert len(set(range(0, 30, 3)) - set(executed)) <= line.failed


def test_loss_doubles_no_command_but_number_zero() -> None:
    class Lossy(Line):
        def wire(self, data: bytes) -> bytes:
            assert self.rng is not None
            return b"" if self.rng.random() < self.rate else data

    line = Lossy(random.Random("dart/loss"), rate=0.3)
    for number in range(300):
        line.pump.send(0x50, [TotalsReport(counter=1, total_units=number)])
        line.controller.send(
            0x50, [UnitPrices(prices_units=(number,)), TotalsRequest(counter=1)], line.now_us
        )
        line.finish()
        line.controller.poll(0x50, line.now_us)
        line.finish()
    line.rate = 0.0
    while not line.pump.quiet(0x50):
        line.controller.poll(0x50, line.now_us)
        line.finish()
    assert line.at_controller[0x50] == list(range(300))
    executed = line.at_pump[0x50]
    assert executed == sorted(executed)
    # A block sent as number 0 is executed at each arrival: that is the rule, and the only doubling there is.
    doubled = len(executed) - len(set(executed))
    assert doubled <= 2 * (line.failed + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["poll", "send", "queue", "ack", "nak", "drop", "restart", "noise"]), max_size=60
    )
)
def test_random_walk_of_the_pump_link_follows_its_table(walk: list[str]) -> None:
    listed = {(row["from"], row["to"]) for row in state_table()["pump_link"]["transitions"]}
    side = PumpSide([0x50])
    link = side.connection(0x50)
    actions = {
        "poll": lambda: side.receive_data(b"\x50\x20\xfa", 0),
        "send": lambda: side.receive_data(b"\x50\x30\x01\x01\x05\x5f\x5f\x03\xfa", 0),
        "queue": lambda: side.send(0x50, [TotalsReport(counter=1, total_units=1)]),
        "ack": lambda: side.receive_data(b"\x50\xc0\xfa", 0),
        "nak": lambda: side.receive_data(b"\x50\x50\xfa", 0),
        "drop": lambda: side.drop_queued(0x50),
        "restart": lambda: side.restart(0x50),
        "noise": lambda: side.receive_data(b"\x99\xfa", 0),
    }
    for name in walk:
        before = link.state
        actions[name]()
        assert before is link.state or (before.value, link.state.value) in listed
        assert side.quiet(0x50) == (link.state is PumpLinkState.EMPTY)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["poll", "send", "eot", "data", "ack", "nak", "bad", "timer", "noise", "other"]),
        max_size=60,
    ),
    st.booleans(),
)
def test_random_walk_of_the_controller_link_follows_its_table(walk: list[str], held: bool) -> None:
    listed = {(row["from"], row["to"]) for row in state_table()["controller_link"]["transitions"]}
    side = ControllerSide(ADDRESSES, auto_ack=not held)
    inputs = {
        "eot": b"\x50\x70\xfa",
        "data": bytes.fromhex("50 31 01 01 00 9E A0 03 FA"),
        "ack": b"\x50\xc0\xfa",
        "nak": b"\x50\x50\xfa",
        "bad": bytes.fromhex("50 37 01 01 06 1D 3D 03 FA"),
        "noise": b"\x00\x10\xfa\x99\xfa",
        "other": b"\x51\x70\xfa",
    }
    for name in walk:
        before = side.state
        if name in inputs:
            side.receive_data(inputs[name], 0)
        elif name == "timer":
            side.handle_timer(side.next_timer() or 0)
        elif before.value == "held":
            side.acknowledge(0x50, 0)
        elif not side.busy:
            if name == "poll":
                side.poll(0x50, 0)
            else:
                side.send(0x50, [TotalsRequest(counter=1)], 0)
        assert before is side.state or (before.value, side.state.value) in listed
        assert (side.next_timer() is None) == (side.state.value in {"idle", "held"})


@pytest.mark.requirement("fd-link.unknown-input-never-crashes", "fd-link.noise-needs-no-restart")
@pytest.mark.parametrize(
    "count", [30_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_random_bytes_crash_nothing_and_the_next_good_frame_is_answered(count: int) -> None:
    rng = random.Random("dart/fuzz")
    spice = b"\xfa\xfa\x10\x03\x50\x51\x20\x30\x70\xc0\x50\x01\x02\x05\x65"
    pump = PumpSide(ADDRESSES)
    controller = ControllerSide(ADDRESSES)
    done = 0
    while done < count:
        size = rng.randrange(1, 200)
        done += size
        junk = bytes(rng.choice(spice) if rng.random() < 0.5 else rng.randrange(256) for _ in range(size))
        pump.receive_data(junk, 0)
        pump.data_to_send(0)
        # A DLE at the end of the junk is harmless: an address follows it, not a stop flag.
        pump.receive_data(b"\x51\x20\xfa", 0)
        assert [burst.data for burst in pump.data_to_send(0)][-1] == b"\x51\x70\xfa"
        while pump.next_event() is not NEED_DATA:
            pass
        if not controller.busy:
            controller.poll(0x50, 0)
        controller.receive_data(junk, 0)
        controller.restart()
        controller.poll(0x50, 0)
        controller.receive_data(b"\x50\x70\xfa", 0)
        assert not controller.busy
        controller.data_to_send(0)
        while controller.next_event() is not NEED_DATA:
            pass
