"""The IFSF dispenser node: captured conversations answered as captured, elements, deviations."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.ifsf import (
    Address,
    Element,
    Endpoint,
    Heartbeat,
    Message,
    MessageKind,
    decode_message,
)
from sim.dispenser import (
    Reading,
)

from .ifsf_bench import CD, OPEN, Bench, closed

# -- captured conversations --------------------------------------------------------------------------------------

CLOSED_TALK = {
    "read FP_State of all": (
        "01 03 02 01 00 0E 00 03 01 20 14",
        ["02 01 01 03 00 2E 00 05 01 21 14 01 02", "02 01 01 03 00 EE 00 03 01 20 00"],
    ),
    "add recipient, message code 2": (
        "01 03 02 01 02 4B 00 06 01 00 0B 02 02 01",
        ["02 01 01 03 00 EB 00 03 01 00 00"],
    ),
    "price 4.90": (
        "01 03 02 01 00 43 00 0D 06 61 00 00 00 08 11 02 04 04 00 04 90",
        ["02 01 01 03 00 E3 00 08 06 61 00 00 00 08 11 00"],
    ),
    "calculator: two not writable": (
        "01 03 02 01 00 5F 00 0B 01 01 0B 01 00 16 01 00 17 01 00",
        ["02 01 01 03 00 FF 00 09 01 01 05 0B 00 16 02 17 02"],
    ),
    "meter to product": (
        "01 03 02 01 00 5A 00 05 01 81 04 01 01",
        ["02 01 01 03 00 FA 00 05 01 81 05 04 02"],
    ),
    "nozzle: meter not writable": (
        "01 03 02 01 00 5B 00 09 02 21 11 01 01 01 07 01 01",
        ["02 01 01 03 00 FB 00 08 02 21 11 05 01 00 07 02"],
    ),
}


@pytest.mark.parametrize("name", CLOSED_TALK)
def test_a_closed_dispenser_answers_as_captured(name: str) -> None:
    asked, answers = CLOSED_TALK[name]
    assert Bench(recipient=False).say(asked) == [answer.replace(" ", "").lower() for answer in answers]


def test_open_is_acknowledged_before_the_status_is_told() -> None:
    bench = Bench(status_alarm=True)
    answers = bench.say("01 03 02 01 00 42 00 04 01 21 3C 00")
    assert answers == [
        "0201010300e20003012100",
        "02010103008000180121640014010315010016020000500800" + "00" * 7,
    ]


def test_release_that_is_not_allowed_is_refused_as_captured() -> None:
    """Auth_State_Mode 1: nobody calls, so the other elements are taken and Release is not."""
    bench = Bench()
    bench.write(b"\x01", Element(11, b"\x01"))
    bench.command(OPEN)
    answers = bench.say("01 03 02 01 00 4C 00 12 01 21 1B 05 05 00 10 00 00 1E 02 02 01 19 01 01 3E 00")
    assert answers[0] == "0201010300ec000b0121051b001e0019003e03"
    error, status = (decode_message(bytes.fromhex(answer)) for answer in answers[1:])
    assert error.database == b"\x21\x41\x30"
    assert status.value(0x14) == b"\x03"


def test_release_without_preset_is_taken() -> None:
    bench = Bench()
    bench.command(OPEN)
    answers = bench.say("01 03 02 01 00 47 00 0B 01 21 1E 02 02 01 19 01 01 3E 00")
    assert answers[0] == "0201010300e70003012100"
    assert bench.fp.state == 5


def test_running_message_as_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(running_nozzle=False)
    monkeypatch.setattr(bench.fp, "reading", lambda _now_us: Reading(170, 141, 830))
    bench.heard()
    bench.place.tell_running(0)
    (message,) = bench.node.data_to_send(0)
    assert message.data.hex() == "0201010300800012012166002205060000014123050600000017"


def test_a_transaction_is_told_read_and_cleared_as_captured() -> None:
    bench = Bench(sequence=2996)
    bench.node.store.write(  # product 8, as at that site
        *_product_write(8),
        Message(receiver=bench.node.own, originator=CD, kind=MessageKind.WRITE, database=b"\x41"),
        0,
    )
    bench.place._store(_delivery(8570, 7113, 830), 1)
    bench.place._released_by = CD.encode()
    told = [out.data.hex() for out in bench.node.data_to_send(0)]
    assert told[-1] == (
        "0201010300800020042121299764000102299715010214020000050506000071130605" + "0600000857"
    )
    bench.place.buffer.last_sequence = 3019
    bench.place._store(_delivery(2080, 1726, 830), 1)
    bench.heard()
    asked = "01 03 02 01 00 06 00 0F 04 21 21 30 20 01 06 05 07 08 0A 15 02 EA EB"
    (answer,) = bench.say(asked)
    assert answer == (
        "020101030026003104212130200102302006050600000208050506000017260704040008300801010a04000000081501020202"
        "0201ea00eb00"
    )
    cleared = bench.say("01 03 02 01 00 47 00 09 04 21 21 30 20 1F 00 1E 00")
    assert cleared[0] == "0201010300e700060421213020" + "00"
    notice = decode_message(bytes.fromhex(cleared[1]))
    assert (notice.database.hex(), notice.value(0x15)) == ("21213020", b"\x01")


def _product_write(number: int) -> tuple[Any, Any, bytes]:
    from protocols.ifsf import DATABASES, Database, DatabaseKind

    kind = DatabaseKind.PRODUCT
    return Database(kind, index=1), DATABASES[kind][2], bytes.fromhex(f"{number:08d}")


def _delivery(volume_ml: int, amount_fen: int, price: int) -> Any:
    from sim.dispenser import Delivery

    return Delivery(1, 1, 11, "92", 11, 1, volume_ml, amount_fen, price, 0, 0, volume_ml, amount_fen)


def test_totals_as_captured() -> None:
    bench = Bench()
    nozzle = bench.fp.nozzles[1]
    nozzle.total_volume_ml, nozzle.total_amount_fen, nozzle.count = 44_717_780, 86_558, 94
    assert bench.say("01 03 02 01 00 0F 00 06 02 21 11 14 15 16") == [
        "02010103002f001e02211114070a000004471778" + "15070a000000086558" + "16070c000000000094"
    ]


def test_close_as_captured() -> None:
    bench = Bench(node=2)
    bench.command(OPEN)
    bench.heard()
    assert bench.say("01 02 02 01 00 44 00 04 01 21 3D 00")[0] == "0201010200e40003012100"
    closed(bench)


def test_the_chinese_event_for_an_applied_price() -> None:
    bench = Bench(node=1, price_event=True)
    bench.heard()
    answers = bench.say("01 01 02 01 00 43 00 0D 06 61 00 00 00 92 11 02 04 04 00 04 90")
    assert answers[1] == "020101010080000c03214199640001019905" + "0102"
    assert bench.fp.nozzles[1].price_fen_per_l == 490
    refused = bench.write(bytes.fromhex("610000009211"), Element(2, bytes.fromhex("04999999")))
    assert dict(refused.verdicts) == {2: 1}
    assert [notice.database.hex() for notice in bench.notices] == ["214137"]


# -- what real controlling devices do against the rules -------------------------------------------------------------


def test_deviations_are_accepted_and_recorded() -> None:
    bench = Bench(node=1, cd=Address(3, 1), recipient=False)
    said = [
        "01 01 03 01 00 42 00 06 01 00 0b 02 03 01",
        "01 01 03 01 00 43 00 05 01 01 02 01 01",
        "01 01 03 01 00 45 00 05 01 01 05 01 01",
        "01 01 03 01 00 46 00 05 01 01 0c 01 00",
        "01 01 03 01 00 47 00 05 01 01 0b 01 00",
        "01 01 03 01 00 48 00 08 01 41 02 04 00 00 00 95",
        "01 01 03 01 00 4e 00 0d 06 61 00 00 00 95 11 02 04 04 00 08 68",
        "01 01 03 01 00 4f 00 06 02 21 11 01 01 01",
        "01 01 03 01 00 50 00 06 02 21 11 05 01 01",
        "01 01 03 01 00 42 00 04 01 21 3C 00",
        "01 01 03 01 00 4b 00 05 01 21 21 01 01",
    ]
    for text in said:
        answer = decode_message(bytes.fromhex(bench.say(text)[0]))
        assert (answer.kind, answer.status) == (MessageKind.ACKNOWLEDGE, 0), text
    assert bench.fp.nozzles[1].price_fen_per_l == 868
    bench.say("01 01 03 01 02 4B 00 06 01 00 0B 02 03 01")
    assert set(bench.node.link.counts) == {"ifsf-controller-subnet", "ifsf-mask-id", "ifsf-recipient-code-2"}
    assert bench.say("01 09 03 01 00 42 00 04 01 21 3C 00") == []
    assert "ifsf-foreign-receiver" in bench.node.link.counts


def test_a_second_controlling_device_is_recorded_not_served() -> None:
    bench = Bench()
    bench.node.receive_datagram(Heartbeat("127.0.0.1", 9999, Address(2, 2)).encode(), 0)
    assert bench.node.dial == Endpoint("127.0.0.1", 8888)
    assert bench.node.link.counts == {"ifsf-other-controller": 1}


# -- acknowledgement codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("database", "element", "code"),
    [
        ("01", Element(12, b"\x02"), 1),
        ("01", Element(12, b"\x01\x01"), 1),
        ("21", Element(20, b"\x03"), 2),
        ("21", Element(100), 2),
        ("21", Element(27, bytes.fromhex("0600000001")), 3),
        ("21", Element(99, b"\x01"), 4),
        ("00", Element(4, b"\x00"), 1),
        ("21", Element(OPEN, b"\x00"), 1),
        ("2111", Element(1, b"\x09"), 1),
    ],
)
def test_an_element_that_is_refused_has_its_code(database: str, element: Element, code: int) -> None:
    reply = Bench().write(bytes.fromhex(database), element)
    assert (reply.status, reply.verdicts) == (5, ((element.data_id, code),))


def test_configuration_is_refused_while_open() -> None:
    bench = Bench()
    bench.command(OPEN)
    for database, element in (
        (b"\x01", Element(12, b"\x01")),
        (b"\x41", Element(2, bytes(4))),
        (b"\x21", Element(2, b"\x05")),
    ):
        assert bench.write(database, element).verdicts == ((element.data_id, 3),)


@pytest.mark.parametrize("database", ["02", "22", "2112", "21210005", "610000007711", "88"])
def test_an_unknown_database(database: str) -> None:
    bench = Bench()
    raw = bytes.fromhex(database)
    if database != "610000007711":  # the price of a product may be written before the product has a slot
        assert bench.write(raw, Element(1, b"\x01")).status == 6
    if database != "610000007711":
        assert bench.read(raw, 1)[0].status == 6


def test_every_data_id_of_every_database_can_be_read() -> None:
    from protocols.ifsf import DATABASES, parse_database

    bench = Bench(points=2, prices=(830, 860))
    bench.command(OPEN)
    bench.fill()
    bench.heard()
    for text in ("00", "01", "21", "41", "610000009211", "81", "2111", "21210001", "a1"):
        raw = bytes.fromhex(text)
        database = parse_database(raw)
        assert database is not None
        (answer,) = bench.read(raw, *DATABASES[database.kind], 250)
        for element in answer.elements:
            row = DATABASES[database.kind].get(element.data_id)
            if row is None or not element.value:
                assert element.value == b""
            elif row.size is not None:
                assert len(element.value) == row.size, (text, row)
    several = bench.read(b"\x20", 20)
    assert [reply.database for reply in several] == [b"\x21", b"\x22", b"\x20"]
    assert [reply.database.hex() for reply in bench.read(b"\x40", 2)] == ["41", "42", "40"]
    assert len(bench.read(b"\x80", 20)) == 5
