"""The driver's hand over HTTP: the port of `sim.people` on the control API of a real world."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
from simpy.events import Event

from scenarios.model import Scenario
from sim.kernel import Kernel
from sim.people import Delivered

__all__ = ["RemoteHand"]

_MAY_DELIVER: Final = frozenset({"STARTED", "FUELLING"})
_WAIT_MS: Final = 2_000
_PATIENCE_US: Final = 180_000_000
"""Nobody waits longer at a pump than this for anything."""


class RemoteHand:
    """Lifts and squeezes over the network; see `sim.people.PumpHand`.

    What is done at one nozzle happens in order, one request after the other.

    Args:
        kernel: the clock of the people.
        control: client of the control API.
        scenario: for nozzles and prices.
    """

    def __init__(self, kernel: Kernel, control: httpx.AsyncClient, scenario: Scenario) -> None:
        self._kernel = kernel
        self._control = control
        self._points = {n.nozzle: point.fuelling_point for point, n in scenario.station.nozzles()}
        prices = scenario.station.prices_fen_per_l
        self._prices = {nozzle.nozzle: prices[nozzle.grade] for _, nozzle in scenario.station.nozzles()}
        self._turns: dict[int, asyncio.Lock] = {nozzle: asyncio.Lock() for nozzle in self._points}
        self._sequences: dict[int, int] = {}

    def lift(self, nozzle: int) -> bool:
        """Take the nozzle out of its boot (under way when this returns)."""
        self._kernel.spawn(self._lift(nozzle), f"lift {nozzle}")
        return True

    def authorised(self, nozzle: int) -> Event:
        """Succeeds as soon as the fuelling point may deliver, or when nobody would wait longer."""
        return self._kernel.task(self._until(nozzle, _may_deliver), f"authorised {nozzle}")

    def fill(self, nozzle: int, *, flow_ml_per_min: int, full_ml: int, wanted_ml: int) -> Event:  # noqa: ARG002
        """Squeeze until shut-off, preset or valve ends it."""
        return self._kernel.task(self._fill(nozzle, flow_ml_per_min, full_ml), f"fill {nozzle}")

    def hang_up(self, nozzle: int) -> Event:
        """Put the nozzle back; succeeds with what was delivered, or None."""
        return self._kernel.task(self._hang_up(nozzle), f"hang up {nozzle}")

    def price_fen_per_l(self, nozzle: int) -> int:
        """The price on the display."""
        return self._prices[nozzle]

    async def _post(self, nozzle: int, act: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with self._turns[nozzle]:
            reply = await self._control.post(f"/nozzles/{nozzle}/{act}", json=body)
            reply.raise_for_status()
            shown: dict[str, Any] = reply.json()
            return shown

    async def _lift(self, nozzle: int) -> None:
        shown = await self._post(nozzle, "lift")
        last = shown["last_delivery"]
        self._sequences[nozzle] = 0 if last is None else last["sequence"]

    async def _until(self, nozzle: int, is_so: Any) -> dict[str, Any]:
        end_us = self._kernel.now_us + _PATIENCE_US
        version = -1
        while True:
            reply = await self._control.get(
                f"/points/{self._points[nozzle]}", params={"after": version, "wait_ms": _WAIT_MS}
            )
            reply.raise_for_status()
            shown: dict[str, Any] = reply.json()
            if is_so(shown) or self._kernel.now_us > end_us:
                return shown
            version = shown["version"]

    async def _fill(self, nozzle: int, flow_ml_per_min: int, full_ml: int) -> None:
        body = {"flow_ml_per_min": flow_ml_per_min, "full_ml": full_ml}
        shown = await self._post(nozzle, "squeeze", body)
        if shown["state"] in _MAY_DELIVER:
            await self._until(nozzle, _has_stopped)

    async def _hang_up(self, nozzle: int) -> Delivered | None:
        await self._post(nozzle, "hang-up")
        # The valve may take a moment to close after the nozzle is back; the record is there when it has.
        shown = await self._until(nozzle, _is_over)
        last = shown["last_delivery"]
        if last is None or last["sequence"] == self._sequences.get(nozzle) or not last["volume_ml"]:
            return None
        return Delivered(nozzle, last["sequence"], last["volume_ml"], last["amount_fen"])


def _may_deliver(shown: Mapping[str, Any]) -> bool:
    return shown["nozzle_out"] is not None and shown["state"] in _MAY_DELIVER


def _has_stopped(shown: Mapping[str, Any]) -> bool:
    return shown["state"] not in _MAY_DELIVER or (shown["volume_ml"] > 0 and not shown["flowing"])


def _is_over(shown: Mapping[str, Any]) -> bool:
    return shown["state"] not in _MAY_DELIVER and not shown["flowing"]
