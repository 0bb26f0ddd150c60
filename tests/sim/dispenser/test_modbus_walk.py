"""Modbus under fire: a long walk of hands and registers, a million damaged requests, every byte at every place."""

from __future__ import annotations

import random
import struct

import fastcrc
import pytest

from protocols.modbus import Command, acknowledge_write, command_write, price_write
from sim.dispenser import (
    STATE_TABLE,
    CngDispenser,
    CoriolisMeter,
    DeliveryEnded,
    Dispenser,
    ModbusDispenser,
    StandingFlow,
    StateChanged,
)

SILENCE_US = 5_000
LEGAL = {(row.state, row.trigger, row.target) for rows in STATE_TABLE.values() for row in rows}


def rtu(pdu: bytes, unit: int = 1) -> bytes:
    """A frame built here, not by the package under test."""
    frame = bytes((unit,)) + pdu
    return frame + struct.pack("<H", fastcrc.crc16.modbus(frame))


def tcp(pdu: bytes, unit: int = 1, transaction: int = 7) -> bytes:
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


def write(address: int, registers: list[int]) -> bytes:
    count = len(registers)
    return struct.pack(f">BHHB{count}H", 16, address, count, 2 * count, *registers)


def hear(device, data: bytes, now_us: int) -> bytes:
    device.receive_data(data, now_us)
    if (due_us := device.next_timer()) is not None and due_us <= now_us + SILENCE_US:
        device.handle_timer(due_us)
    return b"".join(burst.data for burst in device.data_to_send(now_us + SILENCE_US))


@pytest.mark.requirement("fd-state.only-listed-transitions", "fd-met.totals-equal-sum-of-sales")
@pytest.mark.parametrize(
    "steps", [4_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_a_walk_over_registers_and_hands_stays_inside_the_table(  # noqa: C901 - a case for each step
    make_point, steps: int
) -> None:
    points = [make_point(1, authorisation_ttl_us=20_000_000), make_point(2, price_while_busy="next")]
    dispenser = Dispenser(points)
    device = ModbusDispenser(dispenser, 1)
    rng = random.Random("modbus walk")
    ended: dict[int, list[int]] = {1: [], 2: []}
    taken: dict[int, list[int]] = {1: [], 2: []}

    def listen(event) -> None:
        if isinstance(event, StateChanged):
            assert (event.old, event.trigger, event.new) in LEGAL
        elif isinstance(event, DeliveryEnded):
            ended[event.fuelling_point].append(event.delivery.sequence)

    for point in points:
        point.listeners.append(listen)
    now_us, token = 0, 0

    def ask(pdu: bytes) -> bytes:
        device.receive_data(tcp(pdu), now_us)
        reply = b"".join(burst.data for burst in device.data_to_send(now_us))
        if not dispenser.powered:
            assert reply == b""
            return b""
        assert reply[:6] == struct.pack(">HHH", 7, 0, len(reply) - 6)
        assert reply[7] in {pdu[0], pdu[0] | 0x80}
        return reply[7:]

    for _ in range(steps):
        now_us += rng.choice((0, 1_000, 50_000, 400_000, 3_000_000))
        dispenser.handle_timer(now_us)
        k = rng.choice((1, 2))
        point = points[k - 1]
        match rng.randrange(12):
            case 0:
                point.lift(rng.choice((1, 2)), now_us)
            case 1:
                point.squeeze(now_us, rng.randint(5_000, 50_000))
            case 2:
                point.hang_up(now_us)
            case 3 | 4 | 5:
                token = token % 65_535 + rng.choice((0, 1))
                preset = rng.choice(
                    ({}, {"preset_ml": rng.randint(0, 9_000)}, {"preset_fen": rng.randint(0, 9_000)})
                )
                command = rng.choice((*[Command.AUTHORISE] * 6, *Command))
                pdu = write(
                    *command_write(
                        k, command, token=token, allowed_nozzles=rng.choice(((), (1,), (2,))), **preset
                    )
                )
                for _ in range(rng.choice((1, 1, 2))):  # a reply was lost: the same again
                    answer = ask(pdu)
                    assert answer[:1] in {b"", b"\x10"}
            case 6:
                ask(write(*price_write(k, rng.choice((1, 2)), rng.randint(0, 12_000))))
            case 7 | 8:
                answer = ask(struct.pack(">BHH", 3, 200 * k, 35))
                if answer:
                    registers = struct.unpack(">35H", answer[2:])
                    sequence = registers[12] << 16 | registers[13]
                    if sequence:
                        taken[k].append(sequence)
                        assert ask(write(*acknowledge_write(k, sequence)))[:1] == b"\x10"
            case 9:
                ask(bytes((rng.randrange(256),)) + rng.randbytes(rng.randrange(8)))
            case 10 if rng.random() < 0.2:
                dispenser.cut_power(now_us)
                now_us += rng.choice((0, 1_000_000, 40_000_000))
                dispenser.restore_power(now_us)
            case _:
                point.release(now_us)
    for k, point in enumerate(points, start=1):
        point.hang_up(now_us)
        assert ended[k] == list(range(1, len(ended[k]) + 1))
        assert taken[k] == list(range(1, len(taken[k]) + 1)), "each offered once it is due, none left out"
        assert len(ended[k]) > steps // 300
        for nozzle in point.nozzles.values():
            mine = [d for d in point.journal if d.nozzle_id == nozzle.nozzle_id]
            assert nozzle.total_volume_ml == sum(d.volume_ml for d in mine)


def devices(make_point):
    own = ModbusDispenser(Dispenser([make_point(1)]), 1, framing="rtu")
    cng = CngDispenser(Dispenser([make_point(2, prices=(425,))]))
    return {
        "own": (own, b"\x03\x00\x02\x00\x01", b"\x03\x02\x00\x01"),
        "cng": (cng, b"\x03\x00\x65\x00\x01", b"\x03\x02\x01\xa9"),
        "meter": (CoriolisMeter(StandingFlow()), b"\x03\x01\x38\x00\x01", b"\x03\x02\x00\x01"),
    }


@pytest.mark.requirement(
    "fd-link.unknown-input-never-crashes", "fd-link.truncated-frame-does-not-swallow-next"
)
@pytest.mark.parametrize("kind", ["own", "cng", "meter"])
@pytest.mark.parametrize(
    "count", [5_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_damaged_requests_crash_nothing_and_the_next_good_one_is_answered(
    make_point, kind: str, count: int
) -> None:
    device, question, answer = devices(make_point)[kind]
    rng = random.Random(f"modbus/{kind}")
    good, expected = rtu(question), rtu(answer)
    now_us = 0
    for number in range(count):
        now_us += 20_000
        choice = rng.random()
        if choice < 0.3:
            data = rng.randbytes(rng.randrange(1, 40))
        elif choice < 0.6:  # a good checksum on nonsense
            data = rtu(bytes((rng.choice((3, 4, 5, 8, 43)),)) + rng.randbytes(rng.randrange(0, 12)))
        elif choice < 0.8:
            data = bytearray(good)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            data = good[: rng.randrange(1, len(good))]
        hear(device, bytes(data), now_us)
        if number % 10 == 0:
            now_us += 20_000
            assert hear(device, good, now_us) == expected, number


@pytest.mark.requirement("fd-link.bad-checksum-is-discarded")
@pytest.mark.parametrize("kind", ["own", "cng", "meter"])
def test_every_byte_value_at_every_position_of_a_request(make_point, kind: str) -> None:
    device, question, answer = devices(make_point)[kind]
    good, expected = rtu(question), rtu(answer)
    now_us = 0
    for place in range(len(good)):
        for value in range(256):
            now_us += 20_000
            changed = good[:place] + bytes((value,)) + good[place + 1 :]
            heard = hear(device, changed, now_us)
            assert heard == (expected if changed == good else b""), (place, value)
        now_us += 20_000
        assert hear(device, good[:place], now_us) == b""
        now_us += 20_000
        assert hear(device, good, now_us) == expected


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_tcp_request_in_two_parts_is_one(make_point, cut: int) -> None:
    device = ModbusDispenser(Dispenser([make_point()]), 1)
    request = tcp(b"\x03\x00\x02\x00\x01")
    assert hear(device, request[:cut], 0) == b""
    assert hear(device, request[cut:], 60_000_000) == tcp(b"\x03\x02\x00\x01")
