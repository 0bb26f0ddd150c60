from __future__ import annotations

import pytest

from protocols.modbus import (
    BadReply,
    Frame,
    ModbusClient,
    NoReply,
    Refused,
    Registers,
    Written,
    rtu_frame,
    rtu_silence_us,
    tcp_frame,
)
from protocols.sansio import NEED_DATA, LocalProtocolError, Machine

S = 1_000_000


def events(client: ModbusClient) -> list:
    found = []
    while (event := client.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def sent(client: ModbusClient, now_us: int = 0) -> list[tuple[bytes, int]]:
    return [(burst.data, burst.not_before_us) for burst in client.data_to_send(now_us)]


def test_it_is_a_machine_and_wakes_its_host() -> None:
    client = ModbusClient()
    assert isinstance(client, Machine)
    wakes: list[int] = []
    client.on_wake = lambda: wakes.append(1)
    client.read(1, 0, 5, 0)
    assert wakes == [1]


def test_replies_out_of_order_find_their_requests() -> None:
    client = ModbusClient()
    first = client.read(1, 200, 2, 0)
    second = client.write(1, 242, [7, 2], 0)
    assert [data.hex() for data, _ in sent(client)] == [
        "000100000006010300c80002",
        "00020000000b011000f200020400070002",
    ]
    client.receive_data(
        tcp_frame(Frame(1, 2, bytes.fromhex("1000f20002")))
        + tcp_frame(Frame(1, 1, bytes.fromhex("030400010002"))),
        5,
    )
    assert events(client) == [Written(second, 1, 242, 2), Registers(first, 1, 200, (1, 2))]
    assert client.idle
    assert client.next_timer() is None


def test_a_single_register_is_written_with_function_6() -> None:
    client = ModbusClient(framing="rtu")
    number = client.write(3, 300, [760], 0)
    assert sent(client) == [(rtu_frame(Frame(3, 0, bytes.fromhex("06012c02f8"))), 0)]
    client.receive_data(rtu_frame(Frame(3, 0, bytes.fromhex("06012c02f8"))), 10)
    assert events(client) == [Written(number, 3, 300, 1)]


def test_a_time_out_says_unknown_and_the_late_reply_answers_nothing() -> None:
    client = ModbusClient(timeout_us=S)
    number = client.read(1, 0, 1, 0)
    assert client.next_timer() == S
    client.handle_timer(S - 1)
    assert events(client) == []
    client.handle_timer(S)
    assert events(client) == [NoReply(number, 1, 0)]
    client.receive_data(tcp_frame(Frame(1, 1, b"\x03\x02\x00\x00")), S + 1)
    assert events(client) == [BadReply(b"\x03\x02\x00\x00", "it answers no request")]


def test_an_exception_names_its_request() -> None:
    client = ModbusClient()
    number = client.read(9, 0, 1, 0)
    client.receive_data(tcp_frame(Frame(9, 1, b"\x83\x0b")), 0)
    assert events(client) == [Refused(number, 9, 0, 3, 11)]


@pytest.mark.requirement("fd-link.wrong-address-has-no-effect")
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Frame(2, 1, b"\x03\x02\x00\x00"), "unit 2 answered in place of 1"),
        (Frame(1, 1, b"\x06\x00\x00\x00\x00"), "function 6 answers a request of function 3"),
        (Frame(1, 1, b"\x03\x04\x00\x00\x00\x00"), "1 registers were asked for"),
        (Frame(1, 1, b"\x03\x02\x00"), "cannot be decoded"),
    ],
)
def test_a_reply_that_does_not_fit_leaves_the_request_waiting(frame: Frame, reason: str) -> None:
    client = ModbusClient()
    number = client.read(1, 0, 1, 0)
    client.receive_data(tcp_frame(frame), 0)
    (event,) = events(client)
    assert isinstance(event, BadReply)
    assert reason in event.reason
    client.receive_data(tcp_frame(Frame(1, 1, b"\x03\x02\x12\x34")), 0)
    assert events(client) == [Registers(number, 1, 0, (0x1234,))]


def test_tcp_keeps_its_window_and_rtu_one_at_a_time_with_silence_between() -> None:
    client = ModbusClient(max_in_flight=2)
    for _ in range(5):
        client.read(1, 0, 1, 0)
    assert len(sent(client)) == 2
    client.receive_data(tcp_frame(Frame(1, 2, b"\x03\x02\x00\x00")), 0)
    assert len(sent(client)) == 1
    client = ModbusClient(framing="rtu", baud=9_600)
    client.read(1, 0, 1, 0)
    client.read(2, 0, 1, 0)
    assert len(sent(client)) == 1
    reply = rtu_frame(Frame(1, 0, b"\x03\x02\x00\x00"))
    client.receive_data(reply[:3], 40_000)
    client.receive_data(reply[3:], 50_000)
    ((_, not_before_us),) = sent(client)
    assert not_before_us == 50_000 + rtu_silence_us(9_600)


def test_rtu_noise_before_a_time_out_does_not_spoil_the_next_reply() -> None:
    client = ModbusClient(framing="rtu", timeout_us=100_000)
    client.read(1, 0, 1, 0)
    second = client.read(1, 1, 1, 0)
    client.receive_data(b"\x01\x03\xff", 50_000)
    client.handle_timer(100_000)
    assert [type(event) for event in events(client)] == [NoReply]
    client.receive_data(rtu_frame(Frame(1, 0, b"\x03\x02\x00\x09")), 150_000)
    assert events(client) == [Registers(second, 1, 1, (9,))]


def test_a_broken_connection_makes_unknown_what_was_out_and_sends_the_rest_anew() -> None:
    client = ModbusClient(max_in_flight=1)
    first = client.read(1, 0, 1, 0)
    client.read(1, 5, 1, 0)
    sent(client)
    client.receive_data(b"\x00\x01", 1)
    client.connection_lost(2)
    assert events(client) == [NoReply(first, 1, 0)]
    assert sent(client) == []
    client.connection_made(3)
    assert [data.hex() for data, _ in sent(client)] == ["000200000006010300050001"]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.read(1, 0, 0, 0),
        lambda client: client.read(1, 0, 126, 0),
        lambda client: client.read(1, 65_535, 2, 0),
        lambda client: client.read(0, 0, 1, 0),
        lambda client: client.write(1, 0, [], 0),
        lambda client: client.write(1, 0, [65_536], 0),
    ],
)
def test_a_request_that_modbus_cannot_carry_is_a_local_error(call) -> None:
    with pytest.raises(LocalProtocolError):
        call(ModbusClient())


def test_too_many_waiting_requests_are_a_local_error() -> None:
    client = ModbusClient(max_in_flight=1)
    for _ in range(257):
        client.read(1, 0, 1, 0)
    with pytest.raises(LocalProtocolError, match="over 256"):
        client.read(1, 0, 1, 0)
