from __future__ import annotations

import json

import pytest

from sim.wires import Capture, CapturedFrame, CaptureError, VirtualBus, read_capture


def filled() -> Capture:
    capture = Capture("KM01/line-1")
    capture.describe(medium="bus", baud=9600)
    master, pump = capture.port("master"), capture.port("pump")
    capture.record(3_438, master, b"\x50\x20\xfa")
    capture.record(8_000, pump, b"\x50\x70\xfa")
    capture.record_touched(12_000, pump, b"\x50", "cut", b"\x50\x70\xfa")
    capture.record(1 << 40, master, b"")
    return capture


def test_a_capture_is_written_as_documented_and_read_back(tmp_path):
    path = tmp_path / "line.fcap"
    filled().write(path)
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(head) == {
        "fcap": 1,
        "wire": "KM01/line-1",
        "ports": ["master", "pump"],
        "frames": 4,
        "medium": "bus",
        "baud": 9600,
    }
    assert lines == [
        '[3438,"master","5020fa"]',
        '[8000,"pump","5070fa"]',
        '[12000,"pump","50","cut","5070fa"]',
        '[1099511627776,"master",""]',
    ]
    again = read_capture(path)
    assert list(again) == list(filled())
    assert again.about == {"medium": "bus", "baud": 9600}
    assert [item.name for item in tmp_path.iterdir()] == ["line.fcap"], "nothing half-written is left"


def test_every_burst_of_a_bus_is_captured_byte_exact(kernel, toy_master, toy_device, tmp_path):
    capture = Capture("line")
    bus = VirtualBus(kernel, "line", baud=9600, capture=capture)
    bus.attach(toy_master([0x50]), name="master", master=True)
    bus.attach(toy_device(0x50), name="pump")
    kernel.run(1_000_000)
    assert len(capture) == 8
    assert list(capture)[:2] == [
        CapturedFrame(3_438, "master", b"\x50?\xfa"),
        CapturedFrame(3_438 + 2_000 + 2_292, "pump", b"\x50."),
    ]


def test_a_recorder_that_is_full_says_so(tmp_path):
    capture = Capture("line", limit_bytes=20)
    port = capture.port("a")
    for at_us in range(5):
        capture.record(at_us, port, b"xx")
    capture.write(tmp_path / "a.fcap")
    again = read_capture(tmp_path / "a.fcap")
    assert (len(again), again.truncated) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.fcap:1: damaged"),
        ("[1]\n", r"a\.fcap:1: .*not a capture of format 1"),
        ('{"fcap": 2, "wire": "w", "ports": [], "frames": 0}\n', "not a capture of format 1"),
        ('{"fcap": 1, "wire": "w", "ports": ["a"], "frames": 1}\n[5,"b","00"]\n', r"a\.fcap:2: damaged"),
        ('{"fcap": 1, "wire": "w", "ports": ["a"], "frames": 1}\n[5,"a","0g"]\n', r"a\.fcap:2: damaged"),
        (
            '{"fcap": 1, "wire": "w", "ports": ["a"], "frames": 2}\n[5,"a","00"]\n',
            "1 frames where .* promises 2",
        ),
    ],
)
def test_a_damaged_capture_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "a.fcap"
    path.write_text(text)
    with pytest.raises(CaptureError, match=message):
        read_capture(path)


def test_more_senders_than_the_format_holds_are_refused():
    capture = Capture("line")
    for number in range(255):
        capture.port(f"p{number}")
    with pytest.raises(CaptureError, match="more than 255"):
        capture.port("one more")
