"""Whatever is sent to a control API, it answers."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from scenarios.world.control import printer_control
from sim.printer import CHINESE_80MM, Printer

NUMBERS = [b"NaN", b"1e400", b"-Infinity", b"9" * 4_000]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:9].decode())
def test_a_number_that_is_none_is_refused_with_its_place(number: bytes) -> None:
    async def ask() -> httpx.Response:
        app = printer_control(Printer(CHINESE_80MM), lambda: 0)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://control"
        ) as client:
            return await client.post(
                "/printer/load-paper",
                content=b'{"length_mm": %s, "more": %s}' % (number, number),
                headers={"content-type": "application/json"},
            )

    reply = asyncio.run(ask())
    assert reply.status_code == 422, reply.text
    assert all(each["loc"][0] == "body" and each["msg"] for each in reply.json()["detail"])
    assert number[:20] not in reply.content, "the value is not thrown back"
