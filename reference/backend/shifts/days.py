"""Business days: what a station sold between one local midnight (or the hour its day begins) and the next.

The day of a sale is that of its end by the station's own time zone, not UTC; a day with a change of summer time has 23 or 25 hours.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, func, select

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.store.database import Transaction
from reference.backend.store.schema import sales

__all__ = ["BusinessDays"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOLD = (
    select(
        sales.c.grade,
        sales.c.state,
        func.count().label("number"),
        func.sum(sales.c.volume_ml).label("volume_ml"),
        func.sum(sales.c.amount_fen).label("amount_fen"),
    )
    .where(
        sales.c.station == bindparam("of_station"),
        sales.c.ended_us >= bindparam("from_us"),
        sales.c.ended_us < bindparam("until_us"),
    )
    .group_by(sales.c.grade, sales.c.state)
)


class BusinessDays:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def zone_of(self, station: str) -> ZoneInfo:
        """The station's time zone."""
        settings = self.core.settings
        return ZoneInfo(settings.time_zones.get(station, settings.time_zone))

    def date_of(self, station: str, unix_us: int) -> date:
        """The business date of an instant."""
        begins = timedelta(seconds=self.core.settings.day_begins_s)
        local = (_EPOCH + timedelta(microseconds=unix_us)).astimezone(self.zone_of(station))
        return (local.replace(tzinfo=None) - begins).date()

    def span_of(self, station: str, day: date) -> tuple[int, int]:
        """First and one past the last instant of a business day, Unix µs. Raises `ApiError` 422 beyond the calendar."""
        try:
            ends = [self._begin(station, one) for one in (day, day + timedelta(days=1))]
        except OverflowError as error:
            raise ApiError(422, "invalid", "no such day", "day") from error
        return ends[0], ends[1]

    def _begin(self, station: str, day: date) -> int:
        begins = timedelta(seconds=self.core.settings.day_begins_s)
        local = (datetime.combine(day, time()) + begins).replace(tzinfo=self.zone_of(station))
        return (local.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)

    async def report(self, station: str, day: date) -> dict[str, Any]:
        """Sales of a day by grade, and what of them is unpaid. Raises `ApiError` 404 for the station."""
        from_us, until_us = self.span_of(station, day)

        async def work(tx: Transaction) -> list[Any]:
            await self.core.stations.row(tx, station)
            keys = {"of_station": station, "from_us": from_us, "until_us": until_us}
            return list(await tx.rows(_SOLD, keys))

        rows = await self.core.db.run(work)
        sold = [row for row in rows if row.state != "test"]
        grades: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in sold:
            for at, figure in enumerate((row.number, row.volume_ml, row.amount_fen)):
                grades[row.grade][at] += int(figure)
        owed = [row for row in sold if row.state in {"payable", "locked", "quarantined"}]
        return {
            "station": station,
            "day": day.isoformat(),
            "time_zone": self.zone_of(station).key,
            "from_us": from_us,
            "until_us": until_us,
            "sales": sum(row.number for row in sold),
            "volume_ml": sum(int(row.volume_ml) for row in sold),
            "amount_fen": sum(int(row.amount_fen) for row in sold),
            "unpaid_fen": sum(int(row.amount_fen) for row in owed),
            "tests_ml": sum(int(row.volume_ml) for row in rows if row.state == "test"),
            "grades": [
                {"grade": grade, "sales": n, "volume_ml": ml, "amount_fen": fen}
                for grade, (n, ml, fen) in sorted(grades.items())
            ],
        }
