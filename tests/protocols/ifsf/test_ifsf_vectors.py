"""Captured messages, byte for byte, beside a reader that shares nothing with the implementation."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from protocols.ifsf import (
    Address,
    Database,
    DatabaseKind,
    Element,
    Heartbeat,
    MessageError,
    MessageKind,
    Number,
    StreamFramer,
    decode_message,
    encode_message,
    parse_database,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
MESSAGES = [bytes.fromhex(vector["hex"]) for vector in VECTORS["messages"]]
NAMES = [vector["meaning"] for vector in VECTORS["messages"]]


def read_by_hand(raw: bytes) -> dict[str, Any]:
    """Written from the published description alone: header, DBADDR, then by kind."""
    size = raw[8]
    rest = list(raw[9 + size :])
    kind = raw[5] // 32
    seen: dict[str, Any] = {
        "to": (raw[0], raw[1]),
        "from": (raw[2], raw[3]),
        "code": raw[4],
        "kind": kind,
        "token": raw[5] % 32,
        "database": raw[9 : 9 + size],
    }
    if kind == 0:
        seen["ids"] = rest
    elif kind == 7:
        seen["status"] = rest.pop(0)
        seen["pairs"] = [(rest[at], rest[at + 1]) for at in range(0, len(rest), 2)]
    else:
        items = []
        while rest:
            name, count = rest.pop(0), rest.pop(0)
            if count == 255:
                count = rest.pop(0) * 256 + rest.pop(0)
            items.append((name, bytes(rest[:count])))
            del rest[:count]
        seen["items"] = items
    return seen


@pytest.mark.parametrize("raw", MESSAGES, ids=NAMES)
def test_message_decodes_and_encodes_again(raw: bytes) -> None:
    message = decode_message(raw)
    assert encode_message(message) == raw
    seen = read_by_hand(raw)
    assert (tuple(message.receiver), tuple(message.originator)) == (seen["to"], seen["from"])
    assert (message.code, message.kind, message.token) == (seen["code"], seen["kind"], seen["token"])
    assert message.database == seen["database"]
    assert list(message.ids) == seen.get("ids", [])
    assert [tuple(element) for element in message.elements] == seen.get("items", [])
    assert message.status == seen.get("status", 0)
    assert list(message.verdicts) == seen.get("pairs", [])


@pytest.mark.parametrize("raw", MESSAGES, ids=NAMES)
def test_every_truncation_is_an_error_not_a_crash(raw: bytes) -> None:
    for size in range(len(raw)):
        assert StreamFramer().feed(raw[:size]) == []
        with pytest.raises(MessageError):
            decode_message(raw[:size])
        if size >= 9:  # the same with a length that fits: it breaks off inside, or is shorter and whole
            shorter = raw[:6] + (size - 8).to_bytes(2, "big") + raw[8:size]
            with contextlib.suppress(MessageError):
                assert encode_message(decode_message(shorter)) == shorter


@pytest.mark.parametrize("raw", MESSAGES, ids=NAMES)
def test_every_byte_value_at_every_position(raw: bytes) -> None:
    # Inside the body; a header's bytes are mostly free.
    for position in range(4, min(len(raw), 24)):
        for value in range(256):
            changed = raw[:position] + bytes((value,)) + raw[position + 1 :]
            try:
                message = decode_message(changed)
            except MessageError:
                continue
            again = encode_message(message)
            # A long form of a short length is the only thing that is written otherwise.
            assert again == changed or decode_message(again) == message


@pytest.mark.parametrize("vector", VECTORS["heartbeats"], ids=lambda vector: vector["hex"])
def test_heartbeat(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    heard = Heartbeat.decode(raw)
    assert heard == Heartbeat(vector["ip"], vector["port"], Address(*vector["address"]), vector["status"])
    assert heard.encode() == raw


@pytest.mark.parametrize(("raw", "text", "hundredths"), VECTORS["numbers"])
def test_number(raw: str, text: str, hundredths: int) -> None:
    number = Number.decode(bytes.fromhex(raw))
    assert str(number) == text
    assert number.scaled(2) == hundredths
    assert number.encode().hex() == raw


def test_three_messages_in_one_segment() -> None:
    """As a gateway sends them: authorised, started, fuelling at once. (What the capture leaves out is filled with zeros.)"""
    segment = b"".join(
        bytes.fromhex(f"020101010080001801216400140 1{state:02x}15010116020000".replace(" ", ""))
        + bytes.fromhex("5008")
        + bytes(8)
        for state in (5, 6, 8)
    )
    states = [decode_message(raw).value(0x14) for raw in StreamFramer().feed(segment)]
    assert states == [b"\x05", b"\x06", b"\x08"]


def test_status_before_anyone_asked_goes_to_nobody() -> None:
    raw = bytes.fromhex("00000000008000180121640014010315010116020000") + b"\x50\x08" + bytes(8)
    message = decode_message(raw)
    assert (message.receiver, message.originator) == (Address(0, 0), Address(0, 0))
    assert message.kind is MessageKind.NOTICE


@pytest.mark.parametrize(
    ("address", "database"),
    [
        ("00", Database(DatabaseKind.COMMUNICATION)),
        ("01", Database(DatabaseKind.CALCULATOR)),
        ("20", Database(DatabaseKind.FUELLING_POINT)),
        ("24", Database(DatabaseKind.FUELLING_POINT, point=4)),
        ("40", Database(DatabaseKind.PRODUCT)),
        ("48", Database(DatabaseKind.PRODUCT, index=8)),
        ("610000000811", Database(DatabaseKind.PRICE, index=1, product=8)),
        ("81", Database(DatabaseKind.METER, index=1)),
        ("90", Database(DatabaseKind.METER, index=16)),
        ("2118", Database(DatabaseKind.NOZZLE, point=1, index=8)),
        ("21212997", Database(DatabaseKind.TRANSACTION, point=1, index=2997)),
        ("21200000", Database(DatabaseKind.TRANSACTION, point=1)),
        ("214199", Database(DatabaseKind.ERROR, point=1, index=0x99)),
        ("a1", Database(DatabaseKind.SOFTWARE)),
    ],
)
def test_database_address(address: str, database: Database) -> None:
    assert parse_database(bytes.fromhex(address)) == database


@pytest.mark.parametrize(
    "address",
    ["02", "25", "49", "91", "2119", "212129a7", "21210000", "61000000", "610000000819", "2120", ""],
)
def test_no_such_database(address: str) -> None:
    assert parse_database(bytes.fromhex(address)) is None


def test_elements_keep_their_order_and_values() -> None:
    message = decode_message(MESSAGES[NAMES.index("prepay 100.000, controller, mask, Release")])
    assert message.elements == (
        Element(0x1B, bytes.fromhex("0500100000")),
        Element(0x1E, b"\x02\x01"),
        Element(0x19, b"\x01"),
        Element(0x3E),
    )
