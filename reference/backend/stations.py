"""Stations and their nozzles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from reference.backend.attendants.acts import note_act
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.models import StationSetup
from reference.backend.store.database import Transaction
from reference.backend.store.schema import nozzles, stations
from reference.backend.tanks.schema import tanks

__all__ = ["Stations"]

_STATION = select(stations).where(stations.c.station == bindparam("of_station"))
_NOZZLES = select(nozzles).where(nozzles.c.station == bindparam("of_station")).order_by(nozzles.c.nozzle)
_NOZZLE = (
    select(nozzles, tanks.c.blocked)
    .outerjoin(tanks, (tanks.c.station == nozzles.c.station) & (tanks.c.tank == nozzles.c.tank))
    .where(nozzles.c.station == bindparam("of_station"), nozzles.c.nozzle == bindparam("number"))
)


_LINE_MOST = 200
"""What the record of acts keeps of one."""


def _lines(items: Iterable[str]) -> list[str]:
    """Items strung together, as many as go into one act."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= _LINE_MOST:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return lines


class Stations:
    """What the sites declare."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def declare(self, station: str, setup: StationSetup) -> None:
        """Store a station, or replace what was stored."""
        head = {
            "name": setup.name,
            "taxpayer_id": setup.taxpayer_id,
            "lift_policy": setup.lift_policy,
            "updated_us": self.core.clock_us(),
        }

        async def work(tx: Transaction) -> None:
            if not await tx.insert_new(stations, {"station": station, "command_seq": 0, **head}):
                await tx.execute(update(stations).where(stations.c.station == station).values(**head))
            known = {
                row.nozzle: row.price_fen_per_l for row in await tx.rows(_NOZZLES, {"of_station": station})
            }
            changed = [
                f"{item.nozzle}: {known[item.nozzle]} to {item.price_fen_per_l}"
                for item in setup.nozzles
                if known.get(item.nozzle, item.price_fen_per_l) != item.price_fen_per_l
            ]
            for words in _lines(changed):
                await note_act(
                    self.core, tx, role="station", who="", station=station, action="prices", subject=words
                )
            await tx.execute(delete(nozzles).where(nozzles.c.station == station))
            for item in setup.nozzles:
                await tx.execute(insert(nozzles), {"station": station, **item.model_dump()})

        await self.core.db.run(work)

    async def row(self, tx: Transaction, station: str) -> Row[Any]:
        """The station's row. Raises `ApiError` 404."""
        row = await tx.first(_STATION, {"of_station": station})
        if row is None:
            raise ApiError(404, "unknown_station", f"there is no station {station}", "station")
        return row

    async def nozzle(self, tx: Transaction, station: str, nozzle: int) -> Row[Any]:
        """The nozzle's row, and whether its tank is ``blocked`` (null without a gauge). Raises `ApiError` 404."""
        row = await tx.first(_NOZZLE, {"of_station": station, "number": nozzle})
        if row is None:
            await self.row(tx, station)
            raise ApiError(404, "unknown_nozzle", f"station {station} has no nozzle {nozzle}", "nozzle")
        return row

    async def view(self, station: str) -> dict[str, Any]:
        """The station with prices and live readings."""

        async def work(tx: Transaction) -> tuple[Row[Any], list[Row[Any]], list[Row[Any]]]:
            row = await self.row(tx, station)
            found = list(await tx.rows(_NOZZLES, {"of_station": station}))
            return row, found, list(await self.core.tanks.rows(tx, station))

        head, rows, tank_rows = await self.core.db.run(work)
        return {
            "station": station,
            "name": head.name,
            "taxpayer_id": head.taxpayer_id,
            "lift_policy": head.lift_policy,
            "nozzles": [
                {
                    "nozzle": row.nozzle,
                    "fuelling_point": row.fuelling_point,
                    "grade": row.grade,
                    "price_fen_per_l": row.price_fen_per_l,
                    "tank": row.tank,
                    "live": self._live(station, row.nozzle),
                }
                for row in rows
            ],
            "stock": self.core.tanks.by_grade(tank_rows),
        }

    def _live(self, station: str, nozzle: int) -> dict[str, Any] | None:
        reading = self.core.live.get(station, nozzle)
        if reading is None:
            return None
        return {
            "state": reading.state,
            "volume_ml": reading.volume_ml,
            "amount_fen": reading.amount_fen,
            "age_us": max(0, self.core.clock_us() - reading.heard_us),
        }
