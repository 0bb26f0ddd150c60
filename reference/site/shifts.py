"""Shift handover at the site: every nozzle's totals at one moment.

A totaliser moves only with a delivery, and is read after each one: so what was read last *is* its reading at any moment at which
no delivery runs. Of a delivery that runs at the moment of the handover neither sale nor total exists yet; it belongs, whole, to
the shift in which it ends (the rule by which Lanfeng pumps and public pump logs sum their shifts). One that ended just before may
still be on its way out of the pump, so a handover is *sealed* some seconds later, with whatever had ended by its moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from reference.site.config import FuellingPointConfig, NozzleConfig
from reference.site.journal import Journal, JournalError
from reference.site.marks import Mark, MarkBook
from reference.site.pumps.driver import PumpDriver
from reference.site.pumps.events import PointState
from reference.site.uplink import Uplink

__all__ = ["SEAL_AFTER_US", "ShiftDesk", "ShiftOwner"]

log = logging.getLogger(__name__)

SEAL_AFTER_US: Final = 10_000_000
"""Some ten polls of the slowest line, totals and repetitions included: what ended before the moment is captured by then."""

_RETRY_S: Final = 1.0
_TOTAL_ML: Final = 10**11
_TOTAL_FEN: Final = 10**10


class ShiftOwner(Protocol):
    """What the desk asks of the controller."""

    journal: Journal
    clock_us: Callable[[], int]
    uplink: Uplink
    points: dict[int, FuellingPointConfig]
    nozzles: dict[int, NozzleConfig]
    driver_of: dict[int, PumpDriver]

    def alarm(self, text: str) -> None:
        """Tell a person."""


class ShiftDesk:
    """Takes handovers, and sends them when all sales before them have been sent."""

    def __init__(self, owner: ShiftOwner) -> None:
        self._owner = owner
        self._book = MarkBook(owner.journal)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def open_shift(self) -> int:
        """Number of the shift that is open; 0 before the first."""
        last = self._book.last()
        return 0 if last is None else last.number

    def start(self) -> None:
        """Go on with what the journal holds."""
        self._task = asyncio.create_task(self._work(), name="site-shifts")

    async def stop(self) -> None:
        """End the loop; what was not sent stays in the journal."""
        if self._task is not None:
            self._task.cancel()
            (result,) = await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if isinstance(result, Exception):
                raise result

    def hand_over(
        self, attendant: str, *, cash_counted_fen: int | None = None, closes: int | None = None
    ) -> int:
        """Close the open shift at this moment and open the next.

        Args:
            attendant: who comes on duty.
            cash_counted_fen: what the drawer held; None if nobody counted.
            closes: the shift that is meant; handing over one that was handed over already changes nothing.

        Returns:
            The number of the shift that is open now.

        Raises:
            ValueError: another shift than the one that is meant is open.
            JournalError: nothing was stored.
        """
        last = self._book.last()
        number = 1 if last is None else last.number + 1
        if closes is not None and closes != number - 1:
            if closes < number - 1:
                return number - 1
            raise ValueError(f"shift {number - 1} is open, not {closes}")
        at_us = self._owner.clock_us()
        if last is not None:
            at_us = max(at_us, last.at_us + 1)  # a clock that was set back makes no shift of negative length
        self._book.take(Mark(number, at_us, attendant, cash_counted_fen, self._look()))
        self._news.set()
        return number

    # -- readings -----------------------------------------------------------------------------------------------

    def _look(self) -> list[dict[str, Any]]:
        """What is known of each nozzle at this moment."""
        totals = self._book.totals()
        rows = []
        for number, point in self._owner.points.items():
            status = self._owner.driver_of[number].status(number)
            for nozzle in point.nozzles:
                runs = status.delivering == nozzle.nozzle
                sequence, volume_ml, amount_fen = totals.get(nozzle.nozzle, (0, None, None))
                rows.append(
                    {
                        "nozzle": nozzle.nozzle,
                        "grade": nozzle.grade,
                        "tank": nozzle.tank,
                        "sequence": sequence,
                        "volume_ml": volume_ml,
                        "amount_fen": amount_fen,
                        "running_ml": status.volume_ml if runs else 0,
                        "running_fen": status.amount_fen if runs else 0,
                        "offline": status.state is PointState.OFFLINE,
                    }
                )
        return sorted(rows, key=lambda row: int(row["nozzle"]))

    def _seal(self, mark: Mark) -> None:
        """The readings as of the moment, with what has become known since."""
        totals = self._book.totals()
        nozzles = [self._as_of(mark.at_us, row, totals) for row in mark.nozzles]
        body = {
            "number": mark.number,
            "at_us": mark.at_us,
            "attendant": mark.attendant,
            "cash_counted_fen": mark.cash_counted_fen,
            "nozzles": nozzles,
        }
        self._book.seal(mark.number, body, self._book.last_sale())

    def _as_of(
        self, at_us: int, row: dict[str, Any], totals: Mapping[int, tuple[int, int, int]]
    ) -> dict[str, Any]:
        known = dict(row)
        later = self._book.after(row["nozzle"], row["sequence"])
        for sequence, ended_us, volume_ml, amount_fen, sold_ml, sold_fen in later:
            if ended_us <= at_us:
                known |= {"sequence": sequence, "volume_ml": volume_ml, "amount_fen": amount_fen}
                known |= {"running_ml": 0, "running_fen": 0}
            elif known["volume_ml"] is None:
                # Read for the first time after the moment: what it showed then is what it showed before this sale.
                known["volume_ml"] = (volume_ml - sold_ml) % _TOTAL_ML
                known["amount_fen"] = (amount_fen - sold_fen) % _TOTAL_FEN if amount_fen else amount_fen
        if known["volume_ml"] is None and row["nozzle"] in totals:
            _, known["volume_ml"], known["amount_fen"] = totals[row["nozzle"]]
        return known

    # -- sending ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            self._news.clear()
            try:
                for mark in self._book.open():
                    await self._bring(mark)
            except JournalError as error:
                self._owner.alarm(f"handover waits: {error}")
                await asyncio.sleep(_RETRY_S)
                continue
            await self._news.wait()

    async def _bring(self, mark: Mark) -> None:
        if mark.body is None:
            due_us = mark.at_us + SEAL_AFTER_US
            # A clock that was set back while this waited must not make it wait for hours.
            wait_us = min(SEAL_AFTER_US, due_us - self._owner.clock_us())
            if wait_us > 0:
                await asyncio.sleep(wait_us / 1e6)
            self._seal(mark)
            mark = next(one for one in self._book.open() if one.number == mark.number)
        while True:
            if self._owner.journal.pointer("uploaded") < mark.last_sale:
                await asyncio.sleep(_RETRY_S)  # sales go first: what the readings contain is not late
                continue
            response = await self._owner.uplink.send("/shifts", mark.body or {})
            if response.status_code in (200, 201):
                break
            if response.status_code in (400, 409, 413, 422):
                self._owner.alarm(f"handover to shift {mark.number} was refused: {response.text[:200]}")
                break
            await asyncio.sleep(_RETRY_S)
        self._book.finish(mark.number)
