"""``forecourt device printer``: models, their settings, and a real printer on a pty."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from escpos.printer import Serial
from typer.testing import CliRunner

from forecourt.cli import app
from forecourt.guard import BadInput
from forecourt.printer_models import printer_profile
from sim.printer import CHINESE_58MM, CHINESE_80MM, PROFILES

from .running_device import device


def test_python_escpos_prints_on_a_pty_until_the_head_is_hot(tmp_path: Path) -> None:
    said: list[str] = []
    arguments = (
        "printer",
        "--pty",
        "--baud",
        "115200",
        "--model",
        "chinese-58mm-serial",
        "--set",
        "speed_mm_s=2000",
    )
    with device(*arguments, cwd=tmp_path, said=said) as (where, control):
        printer = Serial(where, baudrate=115_200, timeout=0.3)
        assert printer.is_online()
        control.post("/printer/overheat", json={"for_ms": 3_600_000}).raise_for_status()
        assert not printer.is_online()
        printer.text("pump 7\n")
        printer.close()
        shown = control.get("/printer").json()
        assert shown["condition"]["auto_recoverable_error"]
        assert control.get("/printer/unfinished").json() is None
        for act in ("power-off", "power-on"):
            control.post(f"/printer/{act}").raise_for_status()
        assert shown["model"] == "chinese-58mm-serial"
        end_s = time.monotonic() + 30
        while control.get("/printer").json()["condition"]["starting"] and time.monotonic() < end_s:
            time.sleep(0.05)
        assert control.get("/printer").json()["condition"]["auto_recoverable_error"]  # power cools nothing
    assert any("head hot" in line for line in said)


def test_a_model_and_its_settings() -> None:
    assert printer_profile("generic-58mm", []) is not None
    assert printer_profile("generic-58mm", []) == CHINESE_58MM
    changed = printer_profile(
        "generic-80mm",
        ["speed_mm_s=250", "chinese=none", "cutter=no", "handshake=none", "name=mine", "model_id=0x63"],
    )
    assert (changed.speed_mm_s, changed.chinese, changed.cutter) == (250, None, False)
    assert (changed.handshake, changed.name, changed.model_id) == ("none", "mine", 0x63)
    assert changed.width_dots == CHINESE_80MM.width_dots


@pytest.mark.parametrize(
    ("model", "setting", "told"),
    [
        ("laser", "", "there are generic-58mm, generic-80mm, chinese-80mm"),
        ("chinese-80mm", "speed", "expected NAME=VALUE with a NAME of name, width_dots"),
        ("chinese-80mm", "colour=red", "expected NAME=VALUE"),
        ("chinese-80mm", "speed_mm_s=fast", "expected a whole number"),
        ("chinese-80mm", "speed_mm_s=0", "speed_mm_s must be above 0"),
        ("chinese-80mm", "cut_us=-1", "cut_us is not below 0"),
        ("chinese-80mm", "cutter=maybe", "yes or no"),
        ("chinese-80mm", "chinese=big5", "one of gb18030, gb2312, none"),
        ("chinese-80mm", "busy_left_bytes=300", "busy_left_bytes < ready_left_bytes"),
        ("chinese-80mm", "width_dots=100", "at least 192"),
    ],
)
def test_what_cannot_be_is_told(model: str, setting: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        printer_profile(model, [setting] if setting else [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "chinese-80mm", "--udp-port", "0"],
        ["--model", "epson-80mm-ethernet", "--udp-port", "0", "--pty"],
    ],
)
def test_a_port_for_datagrams_needs_a_board_that_has_one(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["device", "printer", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--udp-port: only a board on TCP has one" in " ".join(result.stderr.split())


def test_a_port_for_datagrams_that_is_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        arguments = ["device", "printer", "--model", "epson-80mm-ethernet", "--udp-port", str(port)]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert f"UDP 127.0.0.1:{port}: Address already in use" in " ".join(result.stderr.split())


def test_every_model_has_a_name_of_its_own() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())
