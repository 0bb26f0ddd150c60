"""Tanks: readings come in, stock is shown with its age, deliveries are booked once, alarms are raised once.

Everything a reading brings about stands in the transaction that stores the reading, so that a reading which is sent twice,
to whichever instance, has one effect. The stock book is append-only like the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, func, insert, select, update

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import sales, stations
from reference.backend.tanks.account import Account, Booked, GroupReading, advance
from reference.backend.tanks.alarms import active_alarms, words_of
from reference.backend.tanks.posts import TankPost, TanksPost
from reference.backend.tanks.schema import stock_book, tank_accounts, tank_readings, tanks

__all__ = ["WATCH", "Tanks"]

WATCH = "tank.watch"
_AHEAD_US = 600_000_000
"""A site's clock may be wrong by some minutes; a reading from further ahead would shut out all that come after it."""

_LOCK = select(stations.c.station).where(stations.c.station == bindparam("of_station")).with_for_update()
_READING = select(tank_readings.c.digest).where(
    tank_readings.c.station == bindparam("of_station"), tank_readings.c.at_us == bindparam("at")
)
_TANKS = select(tanks).where(tanks.c.station == bindparam("of_station")).order_by(tanks.c.tank)
_ACCOUNT = select(tank_accounts).where(
    tank_accounts.c.station == bindparam("of_station"), tank_accounts.c.grp == bindparam("of_group")
)
_ACCOUNTS = (
    select(tank_accounts)
    .where(tank_accounts.c.station == bindparam("of_station"))
    .order_by(tank_accounts.c.grp)
)
_SET_TANK = (
    update(tanks)
    .where(tanks.c.station == bindparam("of_station"), tanks.c.tank == bindparam("of_tank"))
    .values(
        {name: bindparam(f"new_{name}") for name in tanks.c.keys() if name not in {"station", "tank"}}  # noqa: SIM118
    )
)
_SET_ACTIVE = (
    update(tanks)
    .where(tanks.c.station == bindparam("of_station"), tanks.c.tank == bindparam("of_tank"))
    .values(active=bindparam("told"))
)
_SET_ACCOUNT = (
    update(tank_accounts)
    .where(tank_accounts.c.station == bindparam("of_station"), tank_accounts.c.grp == bindparam("of_group"))
    .values(state=bindparam("new_state"), updated_us=bindparam("now_us"))
)
_NEIGHBOUR = (
    select(stock_book.c.site_delivery)
    .where(
        stock_book.c.station == bindparam("of_station"),
        stock_book.c.kind == "delivery",
        stock_book.c.ended_us >= bindparam("not_before_us"),
        stock_book.c.started_us <= bindparam("not_after_us"),
    )
    .order_by(stock_book.c.entry_id)
    .limit(1)
)
_BOOK = (
    select(stock_book)
    .where(stock_book.c.station == bindparam("of_station"), stock_book.c.entry_id > bindparam("after"))
    .order_by(stock_book.c.entry_id)
    .limit(bindparam("most"))
)
_SOLD = (
    select(sales.c.tank, func.sum(sales.c.volume_ml).label("volume_ml"), func.count().label("count"))
    .where(sales.c.station == bindparam("of_station"), sales.c.tank.is_not(None), sales.c.state != "test")
    .group_by(sales.c.tank)
    .order_by(sales.c.tank)
)


class Tanks:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.outbox.handlers[WATCH] = self._watch

    # --- readings ---------------------------------------------------------------------------------------------------

    async def take(self, station: str, post: TanksPost) -> bool:
        """Take a round of readings in; whether it was new.

        Raises:
            ApiError: 404 for an unknown station; 409 if another round is known for that time; 422 if it names a tank twice
                or comes from the future.
        """
        numbers = [tank.tank for tank in post.tanks]
        if len(set(numbers)) != len(numbers):
            raise ApiError(422, "invalid", "a tank stands twice", "tanks")
        if post.at_us > self.core.clock_us() + _AHEAD_US:
            raise ApiError(
                422, "from_the_future", "the reading's time is yet to come: set the site's clock", "at_us"
            )
        content = msgspec.json.encode(post, order="deterministic")
        digest = hashlib.sha256(content).hexdigest()
        return await self.core.db.run(lambda tx: self._take(tx, station, post, content.decode(), digest))

    async def _take(self, tx: Transaction, station: str, post: TanksPost, content: str, digest: str) -> bool:
        if await tx.first(_LOCK, {"of_station": station}) is None:
            raise ApiError(404, "unknown_station", f"there is no station {station}", "station")
        now_us = self.core.clock_us()
        known = await tx.first(_READING, {"of_station": station, "at": post.at_us})
        if known is not None:
            if known.digest != digest:
                raise ApiError(409, "reading_differs", "another reading of that time is known", "at_us")
            return False
        values = {
            "station": station,
            "at_us": post.at_us,
            "digest": digest,
            "content": content,
            "heard_us": now_us,
        }
        await tx.insert(tank_readings, values)
        rows = {row.tank: row for row in await tx.rows(_TANKS, {"of_station": station})}
        newest_us = max((row.read_at_us for row in rows.values()), default=-1)
        if not rows:
            watch_us = self.core.settings.gauge_silent_s * 1_000_000
            await self.core.outbox.put(tx, WATCH, station, delay_us=watch_us)
        if post.at_us > newest_us:  # what comes late is on record, and changes nothing that is newer
            for tank in post.tanks:
                await self._keep(tx, station, tank, rows.get(tank.tank), post.at_us)
            await self._account(tx, station, post)
        tx.notify(f"stock/{station}")
        return True

    async def _keep(
        self, tx: Transaction, station: str, tank: TankPost, row: Row[Any] | None, at_us: int
    ) -> None:
        """The tank as it is shown from now on."""
        was = set(msgspec.json.decode(row.active)) if row is not None else set()
        active = active_alarms(tank, was, self.core.settings)
        for kind in sorted(active - was):
            await self.core.alarm(tx, kind, f"{station}/{tank.tank}", words_of(kind, tank))
        shown: dict[str, Any] = {
            "grade": tank.grade,
            "grp": tank.group,
            "capacity_ml": tank.capacity_ml,
            "pumpable_ml": tank.pumpable_ml,
            "read_at_us": at_us,
            "blocked": int("tank_water" in active),
            "active": msgspec.json.encode(sorted(active)).decode(),
        }
        figures = {name: getattr(tank, name) for name in ("height_um", "water_um", "temperature_mdeg")}
        if tank.volume_ml is not None:
            figures |= {"volume_ml": tank.volume_ml, "corrected_ml": tank.corrected_ml, "volume_at_us": at_us}
        elif row is not None:
            figures = {
                name: getattr(row, name) for name in (*figures, "volume_ml", "corrected_ml", "volume_at_us")
            }
        else:
            figures |= {"volume_ml": None, "corrected_ml": None, "volume_at_us": None}
        shown |= figures
        if row is None:
            await tx.execute(insert(tanks), {"station": station, "tank": tank.tank, **shown})
        else:
            new = {f"new_{name}": value for name, value in shown.items()}
            await tx.execute(_SET_TANK, {"of_station": station, "of_tank": tank.tank, **new})

    # --- accounts ---------------------------------------------------------------------------------------------------

    async def _account(self, tx: Transaction, station: str, post: TanksPost) -> None:
        groups: dict[int, list[TankPost]] = {}
        for tank in post.tanks:
            groups.setdefault(tank.group, []).append(tank)
        for number, members in groups.items():
            reading = _together(members, post.at_us)
            if reading is None:
                continue
            keys = {"of_station": station, "of_group": number}
            row = await tx.first(_ACCOUNT, keys)
            account = Account() if row is None else msgspec.json.decode(row.state, type=Account)
            is_new = not account.series
            found = advance(account, reading, self.core.settings.tank_limits)
            state = msgspec.json.encode(account).decode()
            now_us = self.core.clock_us()
            grade = members[0].grade
            if row is None:
                values = {
                    "station": station,
                    "grp": number,
                    "grade": grade,
                    "state": state,
                    "updated_us": now_us,
                }
                await tx.execute(insert(tank_accounts), values)
            else:
                await tx.execute(_SET_ACCOUNT, {**keys, "new_state": state, "now_us": now_us})
            if is_new:
                opening = Booked(reading.at_us, reading.at_us, reading.volume_ml)
                await self._enter(tx, "opening", station, number, grade, opening, None)
            if found.booked is not None:
                await self._book(tx, station, number, grade, found.booked)
            for kind, words in found.alarms:
                await self.core.alarm(tx, kind, f"{station}/{number}", words)

    async def _book(self, tx: Transaction, station: str, group: int, grade: str, booked: Booked) -> None:
        """Enter a delivery; what another tank got at the same time, or ten minutes before or after, came with the same tanker."""
        quiet_us = self.core.settings.tank_limits.quiet_us
        neighbour = await tx.first(
            _NEIGHBOUR,
            {
                "of_station": station,
                "not_before_us": booked.started_us - quiet_us,
                "not_after_us": booked.ended_us + quiet_us,
            },
        )
        name = f"{station}-{booked.started_us}" if neighbour is None else neighbour.site_delivery
        await self._enter(tx, "delivery", station, group, grade, booked, name)
        await self.core.shifts.delivery_booked(
            tx,
            station,
            f"delivery/{station}/{group}/{booked.started_us}",
            group,
            grade,
            booked.volume_ml,
            booked.ended_us,
        )

    async def _enter(
        self,
        tx: Transaction,
        kind: str,
        station: str,
        group: int,
        grade: str,
        booked: Booked,
        name: str | None,
    ) -> None:
        await tx.insert_new(
            stock_book,
            {
                "kind": kind,
                "entry_key": f"{kind}/{station}/{group}/{booked.started_us}",
                "station": station,
                "grp": group,
                "grade": grade,
                "site_delivery": name,
                "volume_ml": booked.volume_ml,
                "started_us": booked.started_us,
                "ended_us": booked.ended_us,
                "content": "{}",
                "instance": self.core.instance,
                "recorded_us": self.core.clock_us(),
            },
        )

    # --- silence ----------------------------------------------------------------------------------------------------

    async def _watch(self, task: Task) -> int | None:
        """Look whether readings still come; the next look is due when the newest one will be too old."""
        station = task.subject
        silent_us = self.core.settings.gauge_silent_s * 1_000_000

        async def work(tx: Transaction) -> int:
            await tx.first(_LOCK, {"of_station": station})
            now_us = self.core.clock_us()
            rows = await tx.rows(_TANKS, {"of_station": station})
            newest_us: int = max((row.read_at_us for row in rows), default=now_us)
            if newest_us + silent_us > now_us:
                return newest_us + silent_us
            news = False
            for row in rows:
                active = set(msgspec.json.decode(row.active))
                if "gauge_silent" not in active:
                    news = True
                    told = msgspec.json.encode(sorted(active | {"gauge_silent"})).decode()
                    await tx.execute(_SET_ACTIVE, {"of_station": station, "of_tank": row.tank, "told": told})
            if news:
                age_s = (now_us - newest_us) // 1_000_000
                await self.core.alarm(
                    tx, "gauge_silent", station, f"no reading of the tank gauge for {age_s} s"
                )
            return now_us + silent_us

        return await self.core.db.run(work)

    # --- what is shown ----------------------------------------------------------------------------------------------

    async def stock(self, station: str) -> list[dict[str, Any]]:
        """Stock by grade with its age; empty for a station without a gauge. Raises `ApiError` 404."""

        async def work(tx: Transaction) -> Iterable[Row[Any]]:
            await self.core.stations.row(tx, station)
            return await tx.rows(_TANKS, {"of_station": station})

        return self.by_grade(await self.core.db.run(work))

    async def rows(self, tx: Transaction, station: str) -> Iterable[Row[Any]]:
        """The tanks of a station, for those who show them."""
        return await tx.rows(_TANKS, {"of_station": station})

    def by_grade(self, rows: Iterable[Row[Any]]) -> list[dict[str, Any]]:
        """Stock by grade, in the order of the tanks."""
        now_us = self.core.clock_us()
        stale_us = self.core.settings.stock_stale_s * 1_000_000
        grades: dict[str, dict[str, Any]] = {}
        for row in rows:
            known = row.volume_ml is not None
            age_us = max(0, now_us - row.volume_at_us) if known else None
            entry = grades.setdefault(
                row.grade,
                {
                    "grade": row.grade,
                    "volume_ml": None,
                    "age_us": None,
                    "stale": False,
                    "available": False,
                    "tanks": [],
                },
            )
            entry["tanks"].append(
                {
                    "tank": row.tank,
                    "volume_ml": row.volume_ml,
                    "corrected_ml": row.corrected_ml,
                    "corrected_to_mdeg": self.core.settings.tank_reference_mdeg,
                    "capacity_ml": row.capacity_ml,
                    "water_um": row.water_um,
                    "temperature_mdeg": row.temperature_mdeg,
                    "age_us": age_us,
                    "blocked": bool(row.blocked),
                    "alarms": msgspec.json.decode(row.active),
                }
            )
            if known and age_us is not None:
                entry["volume_ml"] = (entry["volume_ml"] or 0) + row.volume_ml
                entry["age_us"] = max(entry["age_us"] or 0, age_us)
            entry["stale"] |= age_us is None or age_us > stale_us
            entry["available"] |= known and row.volume_ml > row.pumpable_ml and not row.blocked
        return list(grades.values())

    async def book(self, station: str, after: int, most: int) -> dict[str, Any]:
        """The stock book after a number, the accounts, and what was sold out of each tank. Raises `ApiError` 404."""

        async def work(tx: Transaction) -> tuple[Any, Any, Any]:
            await self.core.stations.row(tx, station)
            keys = {"of_station": station}
            return (
                await tx.rows(_BOOK, {**keys, "after": after, "most": most}),
                await tx.rows(_ACCOUNTS, keys),
                await tx.rows(_SOLD, keys),
            )

        entries, accounts, sold = await self.core.db.run(work)
        names = [c.name for c in stock_book.columns if c.name not in {"station", "content", "instance"}]
        return {
            "entries": [{name: getattr(row, name) for name in names} for row in entries],
            "accounts": [_account_view(row) for row in accounts],
            "sold": [{"tank": row.tank, "volume_ml": int(row.volume_ml), "sales": row.count} for row in sold],
        }


def _together(members: list[TankPost], at_us: int) -> GroupReading | None:
    """The tanks of a group as one; None if the account would be wrong with what is known."""
    volume_ml = 0
    for tank in members:
        if tank.volume_ml is None or not tank.certain:
            return None
        volume_ml += tank.volume_ml
    series = hashlib.sha256("/".join(tank.series for tank in members).encode()).hexdigest()[:16]
    return GroupReading(at_us, volume_ml, sum(tank.drawn_ml for tank in members), series)


def _account_view(row: Row[Any]) -> dict[str, Any]:
    account = msgspec.json.decode(row.state, type=Account)
    return {
        "group": row.grp,
        "grade": row.grade,
        "opened_us": account.opened_us,
        "opening_ml": account.opening_ml,
        "delivered_ml": account.delivered_ml,
        "drawn_ml": account.sold_ml,
        "volume_ml": account.volume_ml,
        "variance_ml": account.variance_ml,
        "delivery_since_us": None if account.delivery is None else account.delivery.start_us,
        "days": [msgspec.to_builtins(day) for day in account.days],
    }
