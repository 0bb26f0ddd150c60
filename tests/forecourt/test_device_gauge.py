"""``forecourt device gauge`` in a real process, read by an unmodified client from PyPI and by a serial port."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import serial
from typer.testing import CliRunner

from forecourt.cli import app

from .running_device import device

library = pytest.importorskip(
    "veeder_root_tls_socket_library.tls_3xx", reason="pip install veeder_root_tls_socket_library"
)


def test_the_client_from_pypi_sees_what_the_hand_does(tmp_path: Path) -> None:
    from veeder_root_tls_socket_library.async_socket import AsyncTlsSocket

    async def ask(place: str, code: str) -> str:
        host, _, port = place.rpartition(":")
        async with AsyncTlsSocket(host, int(port)) as tls:
            return await tls.execute(code)

    with device("gauge", "--grades", "92,diesel", cwd=tmp_path) as (place, control):
        before = [tank["volume"] for tank in library.function_201(asyncio.run(ask(place, "i20100")))["tanks"]]
        assert before == pytest.approx([15_000, 15_000], abs=1)
        assert control.post("/tanks/1/draw", json={"volume_ml": 5_000_000}).status_code == 204
        assert control.post("/tanks/2/probe", json={"state": "out"}).status_code == 204
        assert control.post("/tanks/9/draw", json={"volume_ml": 10}).status_code == 404
        assert control.post("/tanks/1/leak", json={"ml_per_h": -1}).status_code == 422
        real = {tank["tank"]: tank["fuel_ml"] for tank in control.get("/tanks").json()}
        assert real[1] == pytest.approx(10_000_000, abs=2_000)
        labels = library.function_602(asyncio.run(ask(place, "i60200")))["labels"]
        assert labels == {1: "FUEL 92", 2: "FUEL DIESEL"}


@pytest.mark.slow
def test_a_driver_on_a_pseudo_terminal(tmp_path: Path) -> None:
    with device("gauge", "--pty", "--units", "us", "--security-code", "123456", cwd=tmp_path) as (
        place,
        control,
    ):
        with serial.Serial(place, 9600, timeout=10) as port:
            port.write(b"\x01i20100\r\n\x01123456i51700\r\n")
            assert re.fullmatch(rb"\x01i51700\d{10}101&&[0-9A-F]{4}\x03", port.read_until(b"\x03"))
        assert control.post("/gauge/power-off").status_code == 204
        assert control.post("/gauge/power-on").status_code == 204


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--grades", "kerosene"], "kerosene"),
        (["--grades", ",".join(["92"] * 17)], "one to 16"),
        (["--security-code", "123"], "six printable"),
        (["--tcp", "nowhere"], "HOST:PORT"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["device", "gauge", *arguments])
    assert result.exit_code == 2 or words in str(result.exception)
    assert words in (result.output + str(result.exception))
