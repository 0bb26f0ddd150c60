"""What a driver throws away leaves one line with its bytes, and no card number. (Damaged Modbus RTU frames are counted alone.)"""

from __future__ import annotations

import logging

import pytest

from reference.site.config import LineConfig
from reference.site.pumps.drivers import make_driver

CARD = bytes.fromhex("62 22 02 11 22 33 44 55 66 77")
RECORD = bytes.fromhex("BB EE 00 11 01 6E") + bytes(25) + CARD + bytes(75) + bytes.fromhex("00 DD EE")

DAMAGED = [
    ("dart", 0x51, bytes.fromhex("51 30 01 01 05 A2 9C 03 FA"), "51 30 01 01 05 A2 9C 03 FA", "address 51"),
    ("aaff", 1, RECORD, "BB EE 00 11 01 6E and 113 more (masked)", "gun 1"),
    ("modbus", 1, bytes.fromhex("01 03 02 12 34 B5 33"), "03 02 12 34", "the line"),
    ("twowire", 1, bytes.fromhex("57"), "57", ""),
]


@pytest.mark.requirement("fd-link.bad-frames-are-logged")
@pytest.mark.parametrize(
    ("protocol", "address", "raw", "shown", "place"), DAMAGED, ids=[d[0] for d in DAMAGED]
)
def test_a_refused_frame_leaves_one_line_with_its_bytes(protocol, address, raw, shown, place, caplog) -> None:
    point = {
        "fuelling_point": 1,
        "address": address,
        "nozzles": [{"nozzle": 1, "grade": "92", "price_fen_per_l": 750}],
    }
    config = {"protocol": protocol, "fuelling_points": [point]}
    if protocol == "modbus":
        config |= {"framing": "rtu"}
    driver = make_driver(LineConfig.model_validate(config))
    with caplog.at_level(logging.INFO, logger="reference.site.pumps.damage"):
        now_us = 0
        for _ in range(20):
            if driver.data_to_send(now_us):
                break
            now_us = max(now_us, driver.next_timer() or 0)
            driver.handle_timer(now_us)
        driver.receive_data(raw, now_us + 15_000)
        for _ in range(6):
            if caplog.messages or (due_us := driver.next_timer()) is None or due_us > now_us + 200_000:
                break
            driver.handle_timer(due_us)
    (line,) = caplog.messages
    assert line.startswith(f"{protocol}, {place}")
    assert ": frame refused (" in line
    assert line.endswith(f": {shown}")
    assert CARD.hex(" ").upper() not in line
