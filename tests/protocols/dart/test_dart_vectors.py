"""Published frames, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocols import dart
from protocols.sansio import NEED_DATA

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
DATA = VECTORS["data"]


def build(name: str, fields: dict[str, Any]) -> dart.Transaction:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    if name == "Command":
        fields["code"] = dart.CommandCode(fields["code"])
    if name == "StatusReport":
        fields["status"] = dart.PumpStatus(fields["status"])
    made: dart.Transaction = getattr(dart, name)(**fields)
    return made


def expected(vector: dict[str, Any]) -> tuple[dart.Transaction, ...]:
    return tuple(build(name, fields) for name, fields in vector["transactions"])


@pytest.mark.parametrize("vector", VECTORS["control"], ids=lambda vector: vector["hex"])
def test_control_frame(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = dart.Framer().feed(raw)
    assert frame == dart.ControlFrame(
        address=raw[0], control=dart.Control[vector["control"]], tx=vector["tx"]
    )
    assert dart.encode_control(frame.address, frame.control, frame.tx) == raw


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector["hex"])
def test_data_frame_decodes_and_encodes_again(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = dart.Framer().feed(raw)
    assert isinstance(frame, dart.DataFrame)
    assert (frame.address, frame.tx) == (raw[0], raw[1] & 0x0F)
    decode = dart.decode_from_controller if vector["receiver"] == "pump" else dart.decode_from_pump
    assert decode(frame.block) == expected(vector)
    assert dart.encode_data(frame.address, frame.tx, dart.encode_block(expected(vector))) == raw


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector["hex"])
def test_data_frame_is_acknowledged_and_told(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    address, tx = raw[0], raw[1] & 0x0F
    side: dart.PumpSide | dart.ControllerSide
    if vector["receiver"] == "pump":
        side = dart.PumpSide([address])
    else:
        side = dart.ControllerSide([address])
        side.poll(address, 0)
        side.data_to_send(0)
    side.receive_data(raw, 1)
    assert side.next_event() == dart.Data(address=address, tx=tx, transactions=expected(vector))
    assert side.next_event() is NEED_DATA
    assert [burst.data for burst in side.data_to_send(1)] == [bytes((address, 0xC0 | tx, 0xFA))]


@pytest.mark.requirement("fd-link.bad-checksum-is-discarded")
@pytest.mark.parametrize("vector", VECTORS["nak"], ids=lambda vector: vector["hex"])
@pytest.mark.parametrize("role", ["pump", "controller"])
def test_wrong_checksum_is_refused(vector: dict[str, Any], role: str) -> None:
    raw = bytes.fromhex(vector["hex"])
    side: dart.PumpSide | dart.ControllerSide
    if role == "pump":
        side = dart.PumpSide(range(0x50, 0x58))
    else:
        side = dart.ControllerSide([0x50])
        side.poll(0x50, 0)
        side.data_to_send(0)
    side.receive_data(raw, 1)
    bad = side.next_event()
    assert bad == dart.BadFrame(address=0x50, reason=dart.BadReason.CHECKSUM, raw=raw, nak=True)
    assert side.next_event() is NEED_DATA
    assert [burst.data for burst in side.data_to_send(1)] == [bytes.fromhex(vector["answer"])]


def test_every_vector_names_its_source() -> None:
    for kind in ("control", "data", "nak"):
        assert VECTORS[kind]
        assert all(vector["source"] for vector in VECTORS[kind])
    assert len(DATA) == 32
