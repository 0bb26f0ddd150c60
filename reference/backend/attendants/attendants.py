"""Attendants log in with the code on their card: at a till, or at fuelling points, whose sales are theirs from then on."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from reference.backend.attendants.schema import SHIFT_US, attendant_sessions, attendants, duties
from reference.backend.attendants.views import AttendantLogin, AttendantPost
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.store.database import Transaction

__all__ = ["Attendants"]

_BY_CODE = select(attendants).where(
    attendants.c.station == bindparam("of_station"),
    attendants.c.code_digest == bindparam("digest"),
    attendants.c.active == 1,
)
_BY_TOKEN = (
    select(attendants.c.station, attendants.c.attendant, attendants.c.role)
    .join(
        attendant_sessions,
        (attendant_sessions.c.station == attendants.c.station)
        & (attendant_sessions.c.attendant == attendants.c.attendant),
    )
    .where(
        attendant_sessions.c.token_digest == bindparam("digest"),
        attendant_sessions.c.expires_us > bindparam("now_us"),
        attendants.c.active == 1,
    )
)
_OF_STATION = (
    select(attendants).where(attendants.c.station == bindparam("of_station")).order_by(attendants.c.attendant)
)


class Attendants:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def enrol(self, station: str, attendant: str, body: AttendantPost) -> dict[str, Any]:
        """Enter an attendant, or change one; what is out of service or has another code is logged out, and off duty.

        Raises:
            ApiError: 404 for the station; 409 if somebody has this code already.
        """

        async def work(tx: Transaction) -> dict[str, Any]:
            await self.core.stations.row(tx, station)
            row: dict[str, Any] = {
                "name": body.name,
                "role": body.role,
                "code_digest": _digest(body.code),
                "active": int(body.active),
                "updated_us": self.core.clock_us(),
            }
            holder = await tx.first(
                select(attendants).where(attendants.c.code_digest == row["code_digest"]), {}
            )
            if holder is not None and (holder.station, holder.attendant) != (station, attendant):
                raise ApiError(409, "code_taken", "another attendant has this code", "code")
            mine = (attendants.c.station == station) & (attendants.c.attendant == attendant)
            known = await tx.first(select(attendants).where(mine), {})
            if known is None:
                await tx.insert(attendants, {"station": station, "attendant": attendant, **row})
            else:
                await tx.execute(update(attendants).where(mine).values(**row))
            if known is not None and (not body.active or known.code_digest != row["code_digest"]):
                await tx.execute(
                    delete(attendant_sessions).where(
                        attendant_sessions.c.station == station, attendant_sessions.c.attendant == attendant
                    )
                )
                await self._off_duty(tx, station, attendant)
            return {"attendant": attendant, "name": body.name, "role": body.role, "active": body.active}

        return await self.core.db.run(work)

    async def listed(self, station: str) -> list[dict[str, Any]]:
        """The attendants of a station."""
        rows = await self.core.db.run(lambda tx: tx.rows(_OF_STATION, {"of_station": station}))
        return [
            {"attendant": row.attendant, "name": row.name, "role": row.role, "active": bool(row.active)}
            for row in rows
        ]

    async def log_in(self, station: str, body: AttendantLogin) -> dict[str, Any]:
        """A card was shown: a token, and the fuelling points are this attendant's from now on.

        Raises:
            ApiError: 401 for a code that nobody in service has.
        """
        token = self.core.ids.text(48)

        async def work(tx: Transaction) -> dict[str, Any]:
            row = await tx.first(_BY_CODE, {"of_station": station, "digest": _digest(body.code)})
            if row is None:
                raise ApiError(401, "code_refused", "nobody in service here has this code", "code")
            now_us = self.core.clock_us()
            await tx.insert(
                attendant_sessions,
                {
                    "token_digest": _digest(token),
                    "station": station,
                    "attendant": row.attendant,
                    "expires_us": now_us + SHIFT_US,
                },
            )
            for point in sorted(set(body.fuelling_points)):
                await self._duty(tx, station, point, row.attendant)
            return {"token": token, "attendant": row.attendant, "name": row.name, "role": row.role}

        return await self.core.db.run(work)

    async def log_out(self, station: str, authorization: str) -> None:
        """The token is worth nothing any more, and its attendant is on duty nowhere. Raises `ApiError` 401."""
        attendant, _ = await self.member(station, authorization)

        async def work(tx: Transaction) -> None:
            token = _digest(authorization.partition(" ")[2])
            await tx.execute(delete(attendant_sessions).where(attendant_sessions.c.token_digest == token))
            await self._off_duty(tx, station, attendant)

        if attendant:
            await self.core.db.run(work)

    async def _off_duty(self, tx: Transaction, station: str, attendant: str) -> None:
        """End an attendant's duties. Whoever came to a pump after her login at all of them stays there."""
        since_us = self.core.clock_us() - SHIFT_US
        recent = (
            select(duties)
            .where(duties.c.station == station, duties.c.from_us > since_us)
            .order_by(duties.c.from_us, duties.c.id)
        )
        held: dict[int, str | None] = {}
        for row in await tx.rows(recent, {}):
            if row.fuelling_point == 0:
                held.clear()  # all pumps changed hands
            held[row.fuelling_point] = row.attendant
        for point, who in sorted(held.items()):
            if who == attendant:
                await self._duty(tx, station, point, None)
            elif who is not None and held.get(0) == attendant:
                await self._duty(tx, station, point, who)

    async def _duty(self, tx: Transaction, station: str, point: int, attendant: str | None) -> None:
        await tx.insert(
            duties,
            {
                "station": station,
                "fuelling_point": point,
                "attendant": attendant,
                "from_us": self.core.clock_us(),
            },
        )

    async def member(self, station: str, authorization: str) -> tuple[str, str]:
        """Who a bearer token belongs to: (attendant, role). Raises `ApiError` 401."""
        token = authorization.partition(" ")[2]
        found = await self.core.db.run(
            lambda tx: tx.first(_BY_TOKEN, {"digest": _digest(token), "now_us": self.core.clock_us()})
        )
        if found is None or found.station != station:
            raise ApiError(401, "unauthorised", f"this key is not that of station {station}")
        return found.attendant, found.role


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
