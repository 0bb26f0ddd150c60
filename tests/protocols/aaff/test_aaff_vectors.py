"""Published frames, byte for byte, and what must be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocols import aaff

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
GOOD = VECTORS["good"]
DAMAGED = VECTORS["damaged"]


def expected(name: str, fields: dict[str, Any]) -> Any:
    made = dict(fields)
    if name == "Poll":
        made["time"] = bytes.fromhex(made["time"])
    if name == "Raw":
        made["body"] = bytes.fromhex(made["body"])
    if name == "Prices":
        made["parameters"] = tuple(aaff.Parameter(index, value) for index, value in made["parameters"])
    return getattr(aaff, name)(**made)


def message_of(frame: aaff.Frame) -> Any:
    decode = aaff.decode_from_master if frame.direction is aaff.Direction.TO_PUMP else aaff.decode_from_pump
    return decode(frame.command, frame.body)


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["hex"][:14])
def test_a_good_frame_decodes_and_encodes_again(vector: dict[str, Any], independent) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = aaff.Framer().feed(raw)
    assert isinstance(frame, aaff.Frame)
    assert raw[-3] == independent.crc8(raw[2:-3])
    message = message_of(frame)
    assert message == expected(*vector["says"])
    assert aaff.encode_frame(frame.direction, message.command, frame.gun, message.encode()) == raw


@pytest.mark.parametrize("vector", DAMAGED, ids=lambda vector: vector["why"])
def test_a_damaged_frame_is_refused_and_the_next_one_taken(vector: dict[str, Any]) -> None:
    raw, good = bytes.fromhex(vector["hex"]), bytes.fromhex(GOOD[0]["hex"])
    framer = aaff.Framer()
    items = framer.feed(raw) + framer.feed(good)
    assert isinstance(items[0], aaff.BadBytes)
    assert items[0].reason == vector["reason"]
    assert [item for item in items if isinstance(item, aaff.Frame)] == aaff.Framer().feed(good)
    assert b"".join(item.raw for item in items if isinstance(item, aaff.BadBytes)) == raw


@pytest.mark.parametrize("vector", DAMAGED, ids=lambda vector: vector["why"])
def test_a_dispenser_leaves_damage_unanswered_and_without_effect(vector: dict[str, Any]) -> None:
    side = aaff.PumpSide([1, 2])
    side.receive_data(bytes.fromhex(vector["hex"]), 0)
    events = []
    while isinstance(event := side.next_event(), aaff.BadFrame | aaff.Request | aaff.Deviation):
        events.append(event)
    assert not [event for event in events if isinstance(event, aaff.Request)]
    assert side.data_to_send(0) == []


def test_the_gateway_s_authorisation_of_a_thousand_yuan(independent) -> None:
    body = aaff.Authorise(aaff.AuthoriseType.AMOUNT, 1000_00).encode()
    assert aaff.encode_frame(aaff.Direction.TO_PUMP, 0x70, 1, body) == bytes.fromhex(GOOD[2]["hex"])
    assert independent.frame(True, 0x70, 1, bytes.fromhex("00000000100000")) == bytes.fromhex(GOOD[2]["hex"])


def test_every_rule_names_its_sources_and_none_may_fail_a_device() -> None:
    assert len(aaff.RULES) >= 40
    for slug, rule in aaff.RULES.items():
        assert slug == rule.id
        assert slug.startswith("aaff-")
        assert rule.text.endswith(".")
        assert len(set(rule.sources)) <= 2
        assert rule.count == min(len(rule.sources), 1)  # two programs, one family of authors
        assert not rule.mandatory
