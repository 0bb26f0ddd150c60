from __future__ import annotations

import pytest

from protocols.modbus import (
    DEVICE_COUNT,
    MAP_IDENTITY,
    POINT_COUNT,
    Command,
    CommandResult,
    ModbusClient,
    NozzleImage,
    PointImage,
    Refused,
    Registers,
    SaleFlag,
    SaleImage,
    StatusBit,
    Written,
    acknowledge_write,
    command_write,
    decode_device,
    decode_nozzle,
    decode_point,
    nozzle_read,
    point_read,
    price_write,
)
from protocols.sansio import NEED_DATA, Machine
from sim.dispenser import Dispenser, FpState, ModbusDispenser, amount_fen

S = 1_000_000
FLOW = 33_000


class Line:
    """A client and a dispenser, bytes carried at once; time moves only when told."""

    def __init__(self, points, *, framing: str = "tcp") -> None:
        self.points = points
        self.point = points[0]
        self.dispenser = Dispenser(points)
        self.device = ModbusDispenser(self.dispenser, 5, framing=framing)
        self.client = ModbusClient(framing=framing)
        self.now_us = 0
        self.wakes = 0
        self.device.on_wake = self._woken

    def _woken(self) -> None:
        self.wakes += 1

    def wait(self, by_us: int) -> None:
        self.now_us += by_us
        while (timer := self.device.next_timer()) is not None and timer <= self.now_us:
            self.device.handle_timer(timer)

    def _event(self):
        for _ in range(10):
            for burst in self.client.data_to_send(self.now_us):
                self.now_us = max(self.now_us, burst.not_before_us)
                self.device.receive_data(burst.data, self.now_us)
            if self.device.framing == "rtu":
                self.wait(5_000)
            for burst in self.device.data_to_send(self.now_us):
                self.client.receive_data(burst.data, self.now_us)
            event = self.client.next_event()
            if event is not NEED_DATA:
                return event
        raise AssertionError("no reply")

    def read(self, address: int, count: int) -> tuple[int, ...]:
        self.client.read(5, address, count, self.now_us)
        event = self._event()
        assert isinstance(event, Registers)
        return event.registers

    def write(self, address: int, registers: list[int]):
        self.client.write(5, address, registers, self.now_us)
        return self._event()

    def image(self, block: int = 1) -> PointImage:
        return decode_point(self.read(*point_read(block)))

    def command(self, command: Command, block: int = 1, **parameters) -> CommandResult | int:
        assert isinstance(self.write(*command_write(block, command, **parameters)), Written)
        return self.image(block).last_result


@pytest.fixture(params=["tcp", "rtu"])
def line(make_point, request) -> Line:
    return Line([make_point()], framing=request.param)


def test_it_is_a_machine(line: Line) -> None:
    assert isinstance(line.device, Machine)
    assert isinstance(line.device.connection(), Machine)


def test_a_sale_from_lift_to_acknowledgement(line: Line) -> None:
    device = decode_device(line.read(0, DEVICE_COUNT))
    assert (device.identity, device.map_version, device.fuelling_points, device.restarts) == (
        MAP_IDENTITY,
        1,
        1,
        0,
    )
    assert line.image().state == FpState.IDLE
    line.point.lift(1, line.now_us)
    image = line.image()
    assert (image.state, image.nozzle_out, image.status_bits) == (FpState.CALLING, 1, StatusBit.NOZZLE_OUT)
    assert (
        line.command(Command.AUTHORISE, token=1, allowed_nozzles=[1], preset_fen=10_000) is CommandResult.DONE
    )
    line.point.squeeze(line.now_us, FLOW)
    line.wait(10 * S)
    live = line.image()
    assert live.state == FpState.FUELLING
    assert live.status_bits == StatusBit.FLOWING | StatusBit.NOZZLE_OUT
    assert (live.delivering_nozzle, live.price_fen_per_l, live.sale) == (1, 760, None)
    assert 5_000 < live.volume_ml < 6_000
    assert live.amount_fen == amount_fen(live.volume_ml, 760)
    assert decode_nozzle(line.read(*nozzle_read(1, 1))).total_volume_ml >= live.volume_ml
    line.wait(60 * S)
    line.point.hang_up(line.now_us)
    ended = line.image()
    assert ended.state == FpState.IDLE
    assert ended.sale is not None
    sale = ended.sale
    assert (sale.volume_ml, sale.amount_fen) == (ended.volume_ml, ended.amount_fen) == (13_150, 9_994)
    assert sale == SaleImage(
        sequence=1,
        logical_nozzle=1,
        flags=SaleFlag.PRESET,
        volume_ml=13_150,
        amount_fen=9_994,
        price_fen_per_l=760,
        end_total_volume_ml=13_150,
        end_total_amount_fen=9_994,
        duration_ms=sale.duration_ms,
        age_ms=sale.age_ms,
    )
    delivery = line.point.journal[-1]
    assert sale.duration_ms == (delivery.ended_us - delivery.started_us) // 1000
    assert 0 <= (line.now_us - delivery.ended_us) // 1000 - sale.age_ms <= 20  # the answer was on its way
    assert (ended.last_sequence, ended.waiting_sales) == (1, 1)
    assert isinstance(line.write(*acknowledge_write(1, 1)), Written)
    after = line.image()
    assert (after.sale, after.waiting_sales, after.last_sequence) == (None, 0, 1)
    assert decode_nozzle(line.read(*nozzle_read(1, 1))) == NozzleImage(760, 92, 13_150, 9_994)


def sell(line: Line, millilitres: int) -> None:
    line.point.lift(1, line.now_us)
    line.point.set_tank_capacity(millilitres)
    line.point.authorise(line.now_us)
    line.point.squeeze(line.now_us, FLOW)
    line.wait(90 * S)
    line.point.hang_up(line.now_us)


@pytest.mark.requirement("fd-pwr.buffered-sales-upload-in-order")
def test_waiting_sales_come_oldest_first_each_until_it_is_acknowledged(line: Line) -> None:
    for millilitres in (1_000, 2_000, 3_000):
        sell(line, millilitres)
    captured = []
    for round_ in range(3):
        first = line.image().sale
        again = line.image().sale
        assert first is not None
        assert again is not None
        assert (first.sequence, first.volume_ml) == (again.sequence, again.volume_ml)
        captured.append((first.sequence, first.volume_ml))
        # The reply to the acknowledgement may be lost: writing it again changes nothing.
        for _ in range(2):
            assert isinstance(line.write(*acknowledge_write(1, first.sequence)), Written)
        assert line.image().waiting_sales == 2 - round_
    assert captured == [(1, 1_000), (2, 2_000), (3, 3_000)]
    for unknown in (0, 4, 2**32 - 1):
        refused = line.write(*acknowledge_write(1, unknown))
        assert isinstance(refused, Refused)
        assert refused.code == 3
    assert list(line.read(240, 2)) == [0, 3]


@pytest.mark.requirement("fd-pwr.uploading-never-blocks-selling")
def test_a_waiting_sale_is_not_mixed_with_the_next_delivery(line: Line) -> None:
    sell(line, 1_000)
    line.point.lift(2, line.now_us)
    line.point.authorise(line.now_us)
    line.point.squeeze(line.now_us, FLOW)
    line.wait(20 * S)
    image = line.image()
    assert image.sale is not None
    assert (image.sale.volume_ml, image.sale.logical_nozzle) == (1_000, 1)
    assert image.delivering_nozzle == 2
    assert image.volume_ml > 9_000


@pytest.mark.requirement("fd-link.duplicate-request-executes-once")
def test_a_repeated_command_is_executed_once(line: Line) -> None:
    write = command_write(1, Command.AUTHORISE, token=77, preset_ml=5_000)
    assert isinstance(line.write(*write), Written)
    assert line.point.state is FpState.AUTHORISED
    line.point.lift(1, line.now_us)
    line.point.hang_up(line.now_us)
    assert line.point.state is FpState.IDLE
    assert isinstance(line.write(*write), Written)
    assert line.point.state is FpState.IDLE
    image = line.image()
    assert (image.last_token, image.last_result) == (77, CommandResult.DONE)
    assert line.command(Command.AUTHORISE, token=78) is CommandResult.DONE
    assert line.command(Command.AUTHORISE, token=79) is CommandResult.REFUSED
    assert line.point.state is FpState.AUTHORISED


def test_without_a_token_a_command_always_counts(line: Line) -> None:
    assert isinstance(line.write(247, [int(Command.CLOSE)]), Written)
    assert line.point.state is FpState.CLOSED
    assert isinstance(line.write(247, [int(Command.OPEN)]), Written)
    assert isinstance(line.write(247, [int(Command.CLOSE)]), Written)
    assert line.point.state is FpState.CLOSED
    assert line.image().last_token == 0


@pytest.mark.requirement("fd-state.every-command-answered-in-every-state")
def test_every_command_reaches_the_model(line: Line) -> None:
    line.point.lift(1, line.now_us)
    assert line.command(Command.RESET) is CommandResult.DONE
    assert line.command(Command.RESUME) is CommandResult.REFUSED
    assert line.command(Command.AUTHORISE) is CommandResult.DONE
    line.point.squeeze(line.now_us, FLOW)
    line.wait(5 * S)
    assert line.command(Command.SUSPEND) is CommandResult.DONE
    line.wait(S)
    assert line.image().state == FpState.SUSPENDED_FUELLING
    assert line.command(Command.SET_PRESET, preset_ml=9_000) is CommandResult.DONE
    assert line.command(Command.RESUME) is CommandResult.DONE
    assert line.command(Command.CLOSE) is CommandResult.DONE
    assert line.command(Command.TERMINATE) is CommandResult.DONE
    line.wait(S)
    image = line.image()
    assert image.state == FpState.CLOSED
    assert image.sale is not None
    assert image.sale.flags == SaleFlag.TERMINATED
    assert line.command(Command.OPEN) is CommandResult.DONE
    for address, value in ((247, 9), (244, 3)):
        refused = line.write(address, [value])
        assert isinstance(refused, Refused)
        assert refused.code == 3


@pytest.mark.requirement("fd-price.price-holds-for-a-delivery")
def test_a_price_is_refused_as_busy_during_a_sale_and_read_back_after(line: Line) -> None:
    for bad in (0, 10_000, 65_535):
        refused = line.write(*price_write(1, 1, bad))
        assert isinstance(refused, Refused)
        assert refused.code == 3
    line.command(Command.AUTHORISE)
    refused = line.write(*price_write(1, 1, 799))
    assert isinstance(refused, Refused)
    assert refused.code == 6
    line.command(Command.TERMINATE)
    assert isinstance(line.write(*price_write(1, 1, 799)), Written)
    assert decode_nozzle(line.read(*nozzle_read(1, 1))).price_fen_per_l == 799
    assert decode_nozzle(line.read(*nozzle_read(1, 2))).price_fen_per_l == 812


@pytest.mark.requirement("fd-pwr.interrupted-sale-uploads-once-flagged")
def test_a_power_cut_counts_as_a_restart_and_keeps_the_interrupted_sale(line: Line) -> None:
    line.point.lift(1, line.now_us)
    line.command(Command.AUTHORISE, token=5)
    line.point.squeeze(line.now_us, FLOW)
    line.wait(10 * S)
    line.dispenser.cut_power(line.now_us)
    line.device.receive_data(b"\x00\x01\x00\x00\x00\x06\x05\x03\x00\x00\x00\x01", line.now_us)
    assert line.device.data_to_send(line.now_us) == []
    line.wait(20 * S)
    line.dispenser.restore_power(line.now_us)
    assert decode_device(line.read(0, DEVICE_COUNT)).restarts == 1
    image = line.image()
    assert (image.state, image.last_token, image.last_result) == (FpState.CALLING, 0, CommandResult.NONE)
    assert image.sale is not None
    assert image.sale.flags == SaleFlag.POWER_FAILURE
    assert image.sale.volume_ml == line.point.nozzles[1].tank.drawn_ml


def test_quiet_says_whether_reading_again_would_show_something_new(line: Line) -> None:
    assert not line.device.quiet(5)
    line.image()
    assert line.device.quiet(5)
    assert not line.device.quiet(6)
    line.point.lift(1, line.now_us)
    assert line.wakes > 0
    assert not line.device.quiet(5)
    line.image()
    assert line.device.quiet(5)
    line.command(Command.AUTHORISE)
    assert line.device.quiet(5)
    line.point.squeeze(line.now_us, FLOW)
    for _ in range(4):
        line.wait(S)
        line.image()
        assert not line.device.quiet(5)
    line.point.hang_up(line.now_us)
    line.image()
    assert not line.device.quiet(5)
    line.write(*acknowledge_write(1, 1))
    line.image()
    assert line.device.quiet(5)


@pytest.mark.requirement("fd-state.points-on-one-board-are-independent", "fd-multi.sides-are-independent")
def test_fuelling_points_of_one_unit_are_apart(make_point) -> None:
    line = Line([make_point(8), make_point(3)])
    assert line.device.blocks == {3: 1, 8: 2}
    assert line.command(Command.AUTHORISE, block=2) is CommandResult.DONE
    assert line.points[0].state is FpState.AUTHORISED
    assert line.image(1).state == FpState.IDLE
    assert line.image(1).last_result == CommandResult.NONE


def test_two_connections_have_their_own_framing_and_one_device(make_point) -> None:
    line = Line([make_point()])
    other = line.device.connection()
    request = b"\x00\x07\x00\x00\x00\x06\x05\x03\x00\xc8\x00\x01"
    line.device.receive_data(request[:5], 0)
    other.receive_data(request, 0)
    (reply,) = other.data_to_send(0)
    assert reply.data == b"\x00\x07\x00\x00\x00\x05\x05\x03\x02\x00\x03"
    line.device.receive_data(request[5:], 0)
    assert [burst.data for burst in line.device.data_to_send(0)] == [reply.data]
    woken: list[int] = []
    other.on_wake = lambda: woken.append(1)
    line.point.lift(1, 0)
    assert woken
    other.receive_data(b"\x00\x01\x00\x00\xff\xff\x05", 0)
    assert other.wants_close
    other.connection_made(0)
    assert not other.wants_close
    other.close()
    assert other.on_wake is None
    assert POINT_COUNT == 35
