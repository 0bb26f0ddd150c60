"""The IFSF dispenser node: captured conversations answered as captured, states, buffer, stand-alone operation."""

from __future__ import annotations

import random
from typing import Any

import pytest

from protocols.ifsf import (
    COMMAND_STATES,
    Address,
    Element,
    Endpoint,
    FpState,
    Heartbeat,
    Message,
    MessageKind,
    TransactionState,
    decode_message,
    encode_message,
)
from sim.dispenser import (
    Dispenser,
    DispenserProfile,
    FuellingPoint,
    IfsfDispenser,
    IfsfOptions,
    Nozzle,
    Reading,
    Tank,
)
from sim.dispenser.ifsf_buffer import Transaction, TransactionBuffer

CD = Address(2, 1)
OPEN, CLOSE, RELEASE, TERMINATE, SUSPEND, RESUME = range(60, 66)
CLEAR, LOCK, UNLOCK = 30, 31, 32


class Bench:
    """A dispenser with one controlling device that hears and says bytes."""

    def __init__(
        self,
        *,
        node: int = 3,
        points: int = 1,
        prices: tuple[int, ...] = (830,),
        cd: Address = CD,
        recipient: bool = True,
        profile: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        grades = ("92", "95", "98", "diesel")
        made = [
            FuellingPoint(
                number,
                [
                    Nozzle(
                        logical=logical,
                        nozzle_id=10 * number + logical,
                        grade=grades[logical - 1],
                        tank=Tank(10 * number + logical, grades[logical - 1]),
                        price_fen_per_l=price,
                    )
                    for logical, price in enumerate(prices, start=1)
                ],
                profile=DispenserProfile(**(profile or {})),
            )
            for number in range(1, points + 1)
        ]
        self.dispenser = Dispenser(made)
        self.node = IfsfDispenser(self.dispenser, node, options=IfsfOptions(**options))
        self.cd = cd
        self.now_us = 0
        self.token = 0
        self.points = made
        self.fp = made[0]
        self.place = self.node.points[1]
        self.node.start(Endpoint("127.0.0.1", 8801), 0)
        self.heartbeat()
        self.node.connection_made(0)
        self.node.accepted(0)
        if recipient:
            self.write(b"\x00", Element(11, cd.encode()))
            self.heard()

    def heartbeat(self) -> None:
        self.node.receive_datagram(Heartbeat("127.0.0.1", 8888, self.cd).encode(), self.now_us)

    def run(self, seconds: float, *, alive: bool = True) -> None:
        end_us = self.now_us + round(seconds * 1_000_000)
        next_us = self.now_us
        while (due := self.node.next_timer()) is not None and due <= end_us:
            self.now_us = max(self.now_us, due)
            if alive and self.now_us >= next_us:
                self.heartbeat()
                next_us = self.now_us + 5_000_000
            self.node.handle_timer(self.now_us)
        self.now_us = end_us

    def say(self, text: str) -> list[str]:
        """Captured bytes in, the answers as hex out (without the messages that come unasked)."""
        raw = bytes.fromhex(text.replace(" ", ""))
        self.node.receive_data(raw, self.now_us)
        return [one.data.hex() for one in self.node.data_to_send(self.now_us)]

    def write(self, database: bytes, *elements: Element) -> Message:
        return self._ask(MessageKind.WRITE, database, elements=elements)[0]

    def read(self, database: bytes, *ids: int) -> list[Message]:
        return self._ask(MessageKind.READ, database, ids=ids)

    def _ask(self, kind: MessageKind, database: bytes, **content: Any) -> list[Message]:
        self.token = (self.token + 1) % 32
        message = Message(
            receiver=self.node.own,
            originator=self.cd,
            kind=kind,
            token=self.token,
            database=database,
            **content,
        )
        self.node.receive_data(encode_message(message), self.now_us)
        self.notices: list[Message] = []
        replies = []
        for out in self.node.data_to_send(self.now_us):
            reply = decode_message(out.data)
            (self.notices if reply.kind is MessageKind.NOTICE else replies).append(reply)
        assert all(reply.token == self.token for reply in replies)
        return replies

    def heard(self) -> list[Message]:
        return [decode_message(out.data) for out in self.node.data_to_send(self.now_us)]

    def command(self, data_id: int) -> int:
        """Data_Ack of a command to fuelling point 1; 0 is taken."""
        reply = self.write(b"\x21", Element(data_id))
        return dict(reply.verdicts).get(data_id, 0)

    def fill(self, seconds: float = 20, *, flow: int = 30_000) -> None:
        self.fp.lift(1, self.now_us)
        if self.fp.state == FpState.CALLING:
            assert self.command(RELEASE) == 0
        self.fp.squeeze(self.now_us, flow)
        self.run(seconds)
        self.fp.hang_up(self.now_us)


def closed(bench: Bench) -> None:
    assert bench.fp.state == 2


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


# -- alone -----------------------------------------------------------------------------------------------------------


def test_without_its_controlling_device_it_goes_on_and_uploads_later() -> None:
    bench = Bench()
    bench.write(b"\x01", Element(12, b"\x01"))
    bench.command(OPEN)
    bench.run(29, alive=False)
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4  # three periods are not over
    bench.node.connection_lost(bench.now_us)
    bench.run(2, alive=False)
    assert bench.node.dial is None
    assert bench.fp.state == 6
    bench.fp.squeeze(bench.now_us, 30_000)
    bench.run(20, alive=False)
    bench.fp.hang_up(bench.now_us)
    bench.heartbeat()
    bench.node.connection_made(bench.now_us)
    sale, end = bench.read(bytes.fromhex("21200000"), 1, 2, 6, 200, 201)
    assert (sale.value(1), sale.value(2)) == (b"\x00\x01", b"\xff\xff")
    assert (sale.value(200), sale.value(201)) == (b"\x01", b"\x00\x01")
    assert end.status == 0
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4  # it is asked again


def test_without_permission_it_waits() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.run(60, alive=False)
    bench.fp.lift(1, bench.now_us)
    assert bench.fp.state == 4


def test_a_sale_that_ends_alone_is_still_the_devices_own() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.fp.squeeze(0, 5_000)
    bench.run(60, alive=False)
    bench.fp.hang_up(bench.now_us)
    (sale,) = bench.place.buffer.open
    assert (sale.released_by, sale.offline) == (CD.encode(), 0)
    assert sale.volume_ml > 1000


def test_power_comes_back_closed_and_asks_for_configuration() -> None:
    bench = Bench()
    bench.command(OPEN)
    bench.fp.lift(1, 0)
    bench.command(RELEASE)
    bench.fp.squeeze(0, 30_000)
    bench.run(5)
    bench.dispenser.cut_power(bench.now_us)
    assert bench.node.dial is None
    assert bench.node.wants_close
    assert bench.say("01 03 02 01 00 0E 00 03 01 20 14") == []
    bench.node.connection_lost(bench.now_us)
    bench.run(3, alive=False)
    bench.dispenser.restore_power(bench.now_us)
    bench.node.handle_timer(bench.now_us)
    closed(bench)
    datagrams = [Heartbeat.decode(one) for one in bench.node.datagrams_to_send(bench.now_us)]
    assert [beat.status for beat in datagrams] == [1]
    assert [one.volume_ml > 0 for one in bench.place.buffer.open] == [True]  # the interrupted sale is kept
    assert bench.node.store.recipients == []


def test_a_peer_that_does_not_read_is_bounded() -> None:
    bench = Bench()
    bench.command(OPEN)
    for _ in range(10_000):
        bench.place.tell_status()
    assert bench.node.wants_redial
    assert sum(len(out.data) for out in bench.node.data_to_send(0)) <= 65_536
    bench.node.connection_lost(0)
    bench.node.connection_made(0)
    assert bench.heard() == []


def test_half_a_message_does_not_wait_for_ever() -> None:
    bench = Bench()
    bench.node.receive_data(bytes.fromhex("010302010042"), 0)
    for at in range(1, 30):
        bench.now_us = at * 1_000_000
        bench.node.handle_timer(bench.now_us)
    assert bench.node.wants_close
    bench.node.dropped(bench.now_us)
    bench.node.accepted(bench.now_us)
    bench.heartbeat()
    bench.node.connection_made(bench.now_us)
    assert bench.say("01 03 02 01 00 42 00 04 01 21 3C 00")[0] == "0201010300e20003012100"


# -- walks and noise ---------------------------------------------------------------------------------------------------


def walk(steps: int, seed: str) -> None:  # noqa: C901 - one arm for each thing that can happen
    """Commands, hands and time at random: a command outside its table is never taken, and nothing else is impossible."""
    rng = random.Random(seed)
    bench = Bench(prices=(830, 860), unpaid_limit=200)
    legal = {
        (2, 3), (2, 4), (3, 2), (4, 2), (5, 2), (3, 4), (4, 3), (3, 5), (4, 5), (5, 3), (5, 4), (5, 6), (6, 7),
        (6, 8), (7, 6), (8, 9), (9, 8), (6, 3), (7, 3), (8, 3), (9, 3), (6, 2), (7, 2), (8, 2), (9, 2),
    }  # fmt: skip
    seen_states = set()
    changes: list[tuple[int, int]] = []
    from sim.dispenser import StateChanged

    bench.fp.listeners.append(
        lambda event: (
            changes.append((int(event.old), int(event.new))) if isinstance(event, StateChanged) else None
        )
    )
    for step in range(steps):
        before = FpState(bench.fp.state)
        seen_states.add(before)
        act = rng.randrange(8)
        if act < 4:
            command = rng.choice(list(COMMAND_STATES))
            verdict = bench.command(command)
            if before not in COMMAND_STATES[command]:
                assert verdict == 3
                assert [notice.database[1:2] for notice in bench.notices][:1] == [b"\x41"]
            else:
                assert verdict in {0, 6}
        elif act == 4:
            bench.fp.lift(rng.choice((1, 2)), bench.now_us)
        elif act == 5:
            bench.fp.hang_up(bench.now_us)
        elif act == 6:
            bench.fp.squeeze(bench.now_us, 40_000)
        else:
            bench.now_us += rng.randrange(1, 3_000_000)
            if step % 5 == 0:
                bench.heartbeat()
            bench.node.handle_timer(bench.now_us)
        for message in bench.heard():
            if message.database == b"\x21" and message.value(0x14):
                assert 1 <= message.value(0x14)[0] <= 9
        if len(bench.place.buffer) > 100:
            for one in bench.place.buffer.open:
                database = b"\x21\x21" + bytes.fromhex(f"{one.sequence:04d}")
                assert bench.write(database, Element(LOCK), Element(CLEAR)).status == 0
        if bench.node.link.peer is None:
            bench.heartbeat()
    assert set(changes) <= legal
    assert seen_states == set(FpState) - {FpState.INOPERATIVE}


def test_random_walk() -> None:
    walk(4_000, "ifsf")


@pytest.mark.slow
def test_a_hundred_thousand_steps() -> None:
    walk(100_000, "ifsf long")


def fuzz(rounds: int) -> None:
    rng = random.Random("ifsf dispenser")
    bench = Bench(points=2, prices=(830, 860))
    asked = bytes.fromhex("0103020100020003012114")
    for _ in range(rounds):
        kind = rng.randrange(4)
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 30))
        else:
            body = rng.choice(
                (b"\x01\x21", b"\x02\x21\x11", b"\x01\x01", b"\x01\x00", b"\x04\x21\x21\x00\x01", b"")
            )
            body += rng.randbytes(rng.randrange(0, 12))
            data = (
                bytes((1, 3, 2, 1, 0, rng.choice((0x00, 0x40, 0x60, 0xE0)) | 2))
                + len(body).to_bytes(2, "big")
                + body
            )
        bench.node.receive_data(data, 0)
        if bench.node.wants_close or kind == 0:
            bench.node.dropped(0)
            bench.node.accepted(0)
        bench.node.data_to_send(0)
        if bench.node.wants_redial:
            bench.node.connection_lost(0)
            bench.node.connection_made(0)
    bench.node.receive_data(asked, 0)
    answers = [decode_message(out.data) for out in bench.node.data_to_send(0)]
    assert [(one.kind, one.database) for one in answers] == [(MessageKind.ANSWER, b"\x21")]


def test_noise_is_survived_and_the_next_question_answered() -> None:
    fuzz(5_000)


@pytest.mark.slow
def test_a_million_pieces_of_noise() -> None:
    fuzz(1_000_000)
