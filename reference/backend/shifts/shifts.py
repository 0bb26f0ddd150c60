"""Shifts: one handover after the other, each closing a shift and opening the next with the same readings.

A handover is one row that is inserted once; so a shift cannot be closed twice, and the end of one is the start of the next.
The report of a closed shift is filed with that row and never changes; what becomes known later is a dated entry beside it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Row

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.shifts import queries as q
from reference.backend.shifts.files import boundary_of, report_as_of, with_changes
from reference.backend.shifts.report import Boundary, NozzleMark, TankMark
from reference.backend.shifts.views import Handover, HandoverPost
from reference.backend.store.database import Transaction
from reference.backend.store.schema import handovers, shift_entries

__all__ = ["Shifts"]

_AHEAD_US = 600_000_000
_HIDDEN = frozenset({"entry_key", "station", "shift", "instance"})
_NOT_TOLD_ONCE: dict[str, Any] = {
    "attendants": [],
    "drive_off_after_us": 0,
    "drive_offs": 0,
    "drive_off_fen": 0,
}
"""What reports of earlier versions do not have."""


class Shifts:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # --- sales ------------------------------------------------------------------------------------------------------

    async def place(
        self, tx: Transaction, station: str, nozzle: int, ended_us: int
    ) -> tuple[int | None, int | None, str | None]:
        """Where a delivery belongs: (tank, shift, attendant).

        The tank that its nozzle draws from now, the closed shift in which it ended (None: the open one), and who had logged in at its
        pump then (None: nobody).

        Raises:
            ApiError: 404 for the station.
        """
        row = await tx.first(q.PLACE, {"of_station": station, "number": nozzle, "ended": ended_us})
        if row is None:
            raise ApiError(404, "unknown_station", f"there is no station {station}", "station")
        return row.tank, None if row.closer is None else row.closer - 1, row.attendant

    async def late(self, tx: Transaction, sale: Any) -> None:
        """A delivery became known after its shift was closed: a dated entry, once."""
        kind = "late_test" if sale.state == "test" else "late_sale"
        await self.enter(tx, kind, sale, f"late/{sale.sale_id}", sale.volume_ml, sale.amount_fen)

    async def enter(
        self, tx: Transaction, kind: str, sale: Any, key: str, volume_ml: int, amount_fen: int
    ) -> None:
        """A dated entry about a sale of a closed shift; nothing for a sale of before the first shift."""
        if not sale.shift:
            return
        values = {
            "kind": kind,
            "entry_key": key,
            "station": sale.station,
            "shift": sale.shift,
            "sale_id": sale.sale_id,
            "nozzle": sale.nozzle,
            "sequence": sale.sequence,
            "grp": None,
            "grade": sale.grade,
            "volume_ml": volume_ml,
            "amount_fen": amount_fen,
        }
        await self._append(tx, values)

    async def delivery_booked(
        self, tx: Transaction, station: str, key: str, group: int, grade: str, volume_ml: int, ended_us: int
    ) -> None:
        """A road tanker was booked (the caller holds the station's lock): an entry, if the shift it ended in is closed."""
        row = await tx.first(q.CLOSER, {"of_station": station, "ended": ended_us})
        if row is None or row.closer is None or row.closer < 2:
            return
        values = {
            "kind": "delivery",
            "entry_key": key,
            "station": station,
            "shift": row.closer - 1,
            "sale_id": None,
            "nozzle": None,
            "sequence": None,
            "grp": group,
            "grade": grade,
            "volume_ml": volume_ml,
            "amount_fen": 0,
        }
        await self._append(tx, values)

    async def _append(self, tx: Transaction, values: dict[str, Any]) -> None:
        stamp = {"instance": self.core.instance, "recorded_us": self.core.clock_us()}
        await tx.insert_new(shift_entries, {**values, **stamp})

    # --- handing over -----------------------------------------------------------------------------------------------

    async def ask(self, station: str, body: Handover) -> None:
        """Let the site hand over; the same shift is handed over once, however often this is asked.

        Raises:
            ApiError: 404 for an unknown station; 409 if another shift is open than the one named.
        """

        async def work(tx: Transaction) -> None:
            await self.core.stations.row(tx, station)
            last = await tx.first(q.LAST, {"of_station": station})
            number = 0 if last is None else last.number
            if number != body.closes:
                raise ApiError(409, "other_shift", f"shift {number} is open", "closes")
            await self.core.commands.put(
                tx,
                key=f"handover/{station}/{body.closes}",
                kind="handover",
                station=station,
                nozzle=0,
                order_id=None,
                shift=body.model_dump(),
            )

        await self.core.db.run(work)

    async def take(self, station: str, post: HandoverPost) -> bool:
        """Take a handover in; whether it was new.

        Raises:
            ApiError: 404 for an unknown station; 409 if the shift was closed otherwise, another one is open, or the time is
                not after the last handover's; 422 if a nozzle stands twice or it comes from the future.
        """
        numbers = [mark.nozzle for mark in post.nozzles]
        if len(set(numbers)) != len(numbers):
            raise ApiError(422, "invalid", "a nozzle stands twice", "nozzles")
        if post.at_us > self.core.clock_us() + _AHEAD_US:
            raise ApiError(
                422, "from_the_future", "the handover is yet to come: set the site's clock", "at_us"
            )
        content = msgspec.json.encode(post, order="deterministic")
        digest = hashlib.sha256(content).hexdigest()
        return await self.core.db.run(lambda tx: self._take(tx, station, post, content.decode(), digest))

    async def _take(
        self, tx: Transaction, station: str, post: HandoverPost, content: str, digest: str
    ) -> bool:
        if await tx.first(q.LOCK, {"of_station": station}) is None:
            raise ApiError(404, "unknown_station", f"there is no station {station}", "station")
        known = await tx.first(q.ONE, {"of_station": station, "number": post.number})
        if known is not None:
            if known.digest != digest:
                raise ApiError(
                    409, "shift_closed", f"shift {post.number - 1} was handed over before", "number"
                )
            return False
        last = await tx.first(q.LAST, {"of_station": station})
        if post.number != (1 if last is None else last.number + 1):
            raise ApiError(
                409, "other_shift", f"shift {0 if last is None else last.number} is open", "number"
            )
        if last is not None and post.at_us <= last.at_us:
            raise ApiError(409, "before_the_last", "the handover before was later than this one", "at_us")
        stock = await self._stock(tx, station, post.at_us)
        closed = Boundary(
            post.number,
            post.at_us,
            post.attendant,
            post.cash_counted_fen,
            msgspec.convert(msgspec.to_builtins(post.nozzles), list[NozzleMark]),
            stock,
        )
        late = await self._close_sales(tx, station, closed, last)
        report = None
        if last is not None:
            rule_us = self.core.settings.drive_off_s * 1_000_000
            report = await report_as_of(tx, station, boundary_of(last), closed, frozenset(), rule_us)
            await self._alarm(tx, station, report)
            await self._drive_offs(tx, station, post.at_us - rule_us)
        await tx.insert(
            handovers,
            {
                "station": station,
                "number": post.number,
                "at_us": post.at_us,
                "attendant": post.attendant,
                "cash_counted_fen": post.cash_counted_fen,
                "digest": digest,
                "content": content,
                "stock": msgspec.json.encode(stock).decode(),
                "report": None if report is None else msgspec.json.encode(report).decode(),
                "instance": self.core.instance,
                "recorded_us": self.core.clock_us(),
            },
        )
        for sale in late:
            await tx.execute(q.PUT, {"wanted": sale.sale_id, "into": post.number - 1})
            await self.late(tx, sale)
        tx.notify(f"shifts/{station}")
        return True

    async def _stock(self, tx: Transaction, station: str, at_us: int) -> list[TankMark]:
        row = await tx.first(q.GAUGE, {"of_station": station, "until_us": at_us})
        if row is None:
            return []
        return [
            TankMark(tank["tank"], tank["grade"], tank["group"], tank["volume_ml"], row.at_us)
            for tank in msgspec.json.decode(row.content)["tanks"]
        ]

    async def _close_sales(
        self, tx: Transaction, station: str, closed: Boundary, last: Row[Any] | None
    ) -> list[Any]:
        """Give the open sales their shift. What ended before the handover but is not in its readings is late: these are given back."""
        ends = {mark.nozzle: mark.sequence for mark in closed.nozzles}
        shift = closed.number - 1
        late = []
        for sale in await tx.rows(q.OPEN, {"of_station": station}):
            if last is not None and sale.ended_us <= last.at_us:
                # It came in while the handover before was being written.
                row = await tx.first(q.CLOSER, {"of_station": station, "ended": sale.ended_us})
                into = shift if row is None or row.closer is None else row.closer - 1
                await tx.execute(q.PUT, {"wanted": sale.sale_id, "into": into})
                await self.late(tx, with_changes(sale, shift=into))
            elif sale.nozzle not in ends and sale.ended_us <= closed.at_us:
                await tx.execute(q.PUT, {"wanted": sale.sale_id, "into": shift})
            elif sale.ended_us <= closed.at_us and sale.sequence > ends[sale.nozzle]:
                late.append(with_changes(sale, shift=shift))
        for nozzle, sequence in ends.items():
            keys = {"of_station": station, "number": nozzle, "last": sequence, "into": shift}
            await tx.execute(q.PUT_ALL, keys)
        return late

    async def _alarm(self, tx: Transaction, station: str, report: dict[str, Any]) -> None:
        """Tell a person what does not agree."""
        subject = f"{station}/{report['shift']}"
        for row in report["nozzles"]:
            if row["difference_ml"] or row["difference_fen"] or row["missing"]:
                words = (
                    f"nozzle {row['nozzle']}: the totaliser moved by {row['difference_ml']} ml and "
                    f"{row['difference_fen']} fen more than was sold, {row['missing']} sales are missing"
                )
                await self.core.alarm(tx, "shift_litres", subject, words)
        if report["cash_difference_fen"]:
            words = f"{report['cash_difference_fen']} fen more in the drawer than were taken"
            await self.core.alarm(tx, "shift_cash", subject, words)

    async def _drive_offs(self, tx: Transaction, station: str, until_us: int) -> None:
        """Tell of each drive-off once, whichever shift it was sold in and whenever it became known; the oldest first."""
        for sale in await tx.rows(q.UNPAID, {"of_station": station, "until_us": until_us}):
            words = f"nozzle {sale.nozzle}: {sale.amount_fen} fen are unpaid since {sale.ended_us}"
            await self.core.alarm(tx, "drive_off", sale.sale_id, words)

    # --- what is shown ----------------------------------------------------------------------------------------------

    async def listed(self, station: str, after: int, most: int) -> dict[str, Any]:
        """Closed shifts after a number, and the open one. Raises `ApiError` 404."""

        async def work(tx: Transaction) -> dict[str, Any]:
            await self.core.stations.row(tx, station)
            rows = await tx.rows(q.PAGE, {"of_station": station, "after": after + 1, "most": most})
            last = await tx.first(q.LAST, {"of_station": station})
            return {
                "shifts": [await self._shown(tx, row) for row in rows],
                "open": 0 if last is None else last.number,
                "open_since_us": None if last is None else last.at_us,
                "attendant": None if last is None else last.attendant,
            }

        return await self.core.db.run(work)

    async def one(self, station: str, shift: int) -> dict[str, Any]:
        """A closed shift. Raises `ApiError` 404."""

        async def work(tx: Transaction) -> dict[str, Any]:
            row = await tx.first(q.ONE, {"of_station": station, "number": shift + 1})
            if row is None or row.report is None:
                raise ApiError(
                    404, "unknown_shift", f"station {station} has not closed a shift {shift}", "shift"
                )
            return await self._shown(tx, row)

        return await self.core.db.run(work)

    async def all(self, after: int, most: int) -> list[dict[str, Any]]:
        """Closed shifts of all stations, for the operator; ``after`` is how many to skip."""

        async def work(tx: Transaction) -> list[dict[str, Any]]:
            rows = await tx.rows(q.REPORTS, {"after": after, "most": most})
            return [await self._shown(tx, row) for row in rows]

        return await self.core.db.run(work)

    async def _shown(self, tx: Transaction, row: Row[Any]) -> dict[str, Any]:
        entries = await tx.rows(q.ENTRIES, {"of_station": row.station, "of_shift": row.number - 1})
        names = [column.name for column in shift_entries.columns if column.name not in _HIDDEN]
        report = msgspec.json.decode(row.report)
        return {
            "station": row.station,
            # That of its beginning: a night shift belongs to the day before.
            "business_date": self.core.days.date_of(row.station, report["opened_us"]).isoformat(),
            **_NOT_TOLD_ONCE,
            **report,
            "corrections": [{name: getattr(entry, name) for name in names} for entry in entries],
        }
