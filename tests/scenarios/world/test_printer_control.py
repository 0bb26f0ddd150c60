"""The control API of a printer: every hand reaches it, and what it cannot do is refused in words."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import httpx
import pytest
from PIL import Image

from scenarios.world.control import printer_control
from sim.printer import CHINESE_80MM, Printer

NOW_US = 5_000_000


def played(play: Callable[[httpx.AsyncClient, Printer], Awaitable[None]]) -> None:
    async def main() -> None:
        printer = Printer(CHINESE_80MM)
        app = printer_control(printer, lambda: NOW_US)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://printer") as control:
            await play(control, printer)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("act", "body", "changes"),
    [
        ("paper-out", None, {"paper_end": True, "paper_near_end": True}),
        ("open-cover", None, {"cover_open": True}),
        ("overheat", {"for_ms": 60_000}, {"auto_recoverable_error": True}),
        ("overheat", None, {"auto_recoverable_error": True}),
        ("break", None, {"unrecoverable_error": True}),
        ("press-feed", None, {"feeding": True}),
        ("load-paper", {"length_mm": 900}, {"paper_near_end": True}),
    ],
)
def test_every_hand_shows_in_the_condition(
    act: str, body: dict[str, int] | None, changes: dict[str, bool]
) -> None:
    async def play(control: httpx.AsyncClient, printer: Printer) -> None:
        before = (await control.get("/printer")).json()["condition"]
        assert (await control.post(f"/printer/{act}", json=body)).status_code == 204
        after = (await control.get("/printer")).json()["condition"]
        offline = act != "load-paper"
        assert {name: after[name] for name in after if after[name] != before[name]} == {
            **changes,
            **({"offline": True} if offline else {}),
        }

    played(play)


def test_what_goes_wrong_can_be_put_right() -> None:
    async def play(control: httpx.AsyncClient, printer: Printer) -> None:
        for act in ("paper-out", "load-paper", "open-cover", "close-cover", "press-feed", "release-feed"):
            (await control.post(f"/printer/{act}")).raise_for_status()
        (await control.post("/printer/overheat", json={"for_ms": 1})).raise_for_status()
        printer.handle_timer(NOW_US + 1000)
        for act in ("break", "repair", "power-off", "power-on"):
            (await control.post(f"/printer/{act}")).raise_for_status()
        printer.handle_timer(NOW_US + 10_000_000)
        printer.receive_data(b"text\x1bp\x00\x32\x32\x1dVB\x00hanging\n\x1b5", NOW_US + 10_000_000)
        printer.handle_timer(NOW_US + 20_000_000)
        shown = (await control.get("/printer")).json()
        assert (shown["model"], shown["idle"], shown["receipts"]) == ("chinese-80mm", True, 1)
        assert (shown["condition"]["offline"], shown["condition"]["drawer_high"]) == (False, True)
        (await control.post("/printer/close-drawer")).raise_for_status()
        assert not printer.condition.drawer_high
        (receipt,) = (await control.get("/printer/receipts")).json()
        assert receipt == {"text": "text", "whole": True, "end": "partial", "interruptions": []}
        assert (await control.get("/printer/unfinished")).json()["text"] == "hanging"
        for picture in ("receipts/0.png", "unfinished.png"):
            answer = await control.get(f"/printer/{picture}")
            assert Image.open(io.BytesIO(answer.content)).width == 576 + 64
        (surprise,) = (await control.get("/printer/surprises")).json()
        assert surprise["reason"].startswith("unknown command 1B 35")
        (await control.post("/printer/tear-off")).raise_for_status()
        assert (await control.get("/printer/unfinished")).json() is None
        assert (await control.get("/printer/unfinished.png")).status_code == 404
        assert [each["end"] for each in (await control.get("/printer/receipts")).json()] == [
            "partial",
            "torn",
        ]

    played(play)


def test_a_jam_and_its_recovery() -> None:
    async def play(control: httpx.AsyncClient, printer: Printer) -> None:
        (await control.post("/printer/jam")).raise_for_status()
        printer.receive_data(b"text\x1dVB\x00", NOW_US)
        printer.handle_timer(NOW_US + 10_000_000)
        assert (await control.get("/printer")).json()["condition"]["cutter_error"]
        (await control.post("/printer/clear-jam")).raise_for_status()
        printer.receive_data(b"\x10\x05\x01", NOW_US + 10_000_000)
        printer.handle_timer(NOW_US + 20_000_000)
        assert (await control.get("/printer")).json()["receipts"] == 1

    played(play)


@pytest.mark.parametrize(
    ("act", "body", "code", "told"),
    [
        ("explode", None, 422, "paper-out"),
        ("load-paper", {"length_mm": 0}, 422, "length_mm"),
        ("paper-out", {"length_mm": 5}, 422, "paper-out takes no length_mm"),
        ("overheat", {"seconds": 5}, 422, "seconds"),
        ("press-feed", None, 409, "ESC c 5"),
    ],
)
def test_what_cannot_be_is_refused_in_words(act: str, body: object, code: int, told: str) -> None:
    async def play(control: httpx.AsyncClient, printer: Printer) -> None:
        printer.receive_data(b"\x1bc5\x01", NOW_US)
        answer = await control.post(f"/printer/{act}", json=body)
        assert answer.status_code == code
        assert told in answer.text
        assert not printer.condition.offline

    played(play)
