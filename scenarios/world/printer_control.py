"""The control API of a receipt printer: the operator's hands, what breaks, and the paper that comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from sim.printer import Printer, Receipt, receipt_png

__all__ = ["PrinterAct", "PrinterHand", "printer_act", "printer_routes"]

PrinterAct = Literal[
    "paper-out",
    "load-paper",
    "open-cover",
    "close-cover",
    "jam",
    "clear-jam",
    "overheat",
    "break",
    "repair",
    "press-feed",
    "release-feed",
    "tear-off",
    "close-drawer",
    "power-off",
    "power-on",
]

_TAKES: Final = {"load-paper": "length_mm", "overheat": "for_ms"}


class PrinterHand(BaseModel):
    """How much of it: the length of a new roll (``load-paper``), how long the head stays hot (``overheat``)."""

    model_config = ConfigDict(extra="forbid")

    length_mm: Annotated[int, Field(ge=1, le=200_000)] | None = None
    for_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = None


def printer_act(printer: Printer, act: PrinterAct, hand: PrinterHand, now_us: int) -> None:
    """Do something to a printer.

    Raises:
        HTTPException: 422 for a value that this act does not take, 409 for a button that the host has switched off.
    """
    for name, value in hand.model_dump(exclude_none=True).items():
        if _TAKES.get(act) != name:
            raise HTTPException(422, f"{act} takes no {name} ({value})")
    for_us = None if hand.for_ms is None else hand.for_ms * 1000
    acts: dict[PrinterAct, Callable[[], object]] = {
        "paper-out": lambda: printer.paper_out(now_us),
        "load-paper": lambda: printer.load_paper(hand.length_mm, now_us),
        "open-cover": lambda: printer.open_cover(now_us),
        "close-cover": lambda: printer.close_cover(now_us),
        "jam": lambda: printer.jam_cutter(now_us),
        "clear-jam": lambda: printer.clear_jam(now_us),
        "overheat": lambda: printer.overheat(for_us, now_us),
        "break": lambda: printer.break_down(now_us),
        "repair": lambda: printer.repair(now_us),
        "press-feed": lambda: printer.press_feed(True, now_us),
        "release-feed": lambda: printer.press_feed(False, now_us),
        "tear-off": lambda: printer.tear_off(now_us),
        "close-drawer": lambda: printer.close_drawer(now_us),
        "power-off": lambda: printer.power_off(now_us),
        "power-on": lambda: printer.power_on(now_us),
    }
    if acts[act]() is False:
        raise HTTPException(409, "the host has switched the buttons off (ESC c 5)")


def _shown(printer: Printer) -> dict[str, Any]:
    return {
        "model": printer.profile.name,
        "powered": printer.powered,
        "busy": printer.busy,
        "idle": printer.idle,
        "paper_left_mm": printer.paper_left_mm,
        "buffered_bytes": printer.buffered_bytes,
        "discarded_bytes": printer.discarded_bytes,
        "condition": {**asdict(printer.condition), "offline": printer.condition.offline},
        "receipts": len(printer.receipts),
        "surprises": len(printer.surprises),
    }


def _told(receipt: Receipt) -> dict[str, Any]:
    return {
        "text": receipt.text,
        "whole": receipt.whole,
        "end": receipt.end,
        "interruptions": [asdict(each) for each in receipt.interruptions],
    }


def printer_routes(app: FastAPI, printer: Callable[[], Printer], clock_us: Callable[[], int]) -> None:
    """Add the routes of a printer. ``clock_us`` is its clock."""

    @app.get("/printer", tags=["printer"])
    async def condition() -> dict[str, Any]:
        """The printer's condition."""
        return _shown(printer())

    @app.post("/printer/{act}", status_code=204, tags=["printer"])
    async def act(act: PrinterAct, hand: PrinterHand | None = None) -> None:
        """Paper, cover, cutter, head, buttons, drawer and power."""
        printer_act(printer(), act, hand or PrinterHand(), clock_us())

    @app.get("/printer/surprises", tags=["printer"])
    async def surprises() -> list[dict[str, Any]]:
        """What a careful engineer would ask about, with its place in the byte stream: the first thousand."""
        return [asdict(each) for each in printer().surprises]

    @app.get("/printer/receipts", tags=["printer"])
    async def receipts() -> list[dict[str, Any]]:
        """Every receipt that left the printer, as text."""
        return [_told(receipt) for receipt in printer().receipts]

    @app.get("/printer/receipts/{number}.png", response_class=Response, tags=["printer"])
    async def picture(number: Annotated[int, Path(ge=0)]) -> Response:
        """A receipt as it looks; numbers start at 0."""
        printed = printer().receipts
        if number >= len(printed):
            raise HTTPException(404, f"{len(printed)} receipts were printed")
        return Response(receipt_png(printed[number]), media_type="image/png")

    @app.get("/printer/unfinished", tags=["printer"])
    async def unfinished() -> dict[str, Any] | None:
        """The paper that hangs out and is not cut yet; null if nothing is on it."""
        hanging = printer().unfinished
        return None if hanging is None else _told(hanging)

    @app.get("/printer/unfinished.png", response_class=Response, tags=["printer"])
    async def unfinished_picture() -> Response:
        """The paper that hangs out, as it looks."""
        hanging = printer().unfinished
        if hanging is None:
            raise HTTPException(404, "nothing hangs out of the printer")
        return Response(receipt_png(hanging), media_type="image/png")
