"""Commands to a station: numbered, fetched by long poll, answered with a result."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.store.database import Transaction
from reference.backend.store.schema import commands, stations

__all__ = ["Commands"]

_MOST = 100
_NUMBER = (
    update(stations)
    .where(stations.c.station == bindparam("of_station"))
    .values(command_seq=stations.c.command_seq + 1)
    .returning(stations.c.command_seq)
)
_KNOWN = select(commands.c.id).where(commands.c.command_key == bindparam("key"))
_OPEN = (
    select(commands.c.id, commands.c.kind, commands.c.nozzle, commands.c.order_id, commands.c.body)
    .where(
        commands.c.station == bindparam("of_station"),
        commands.c.id > bindparam("after"),
        commands.c.done_us.is_(None),
    )
    .order_by(commands.c.id)
    .limit(_MOST)
)
_OWNER = select(commands.c.order_id).where(
    commands.c.station == bindparam("of_station"), commands.c.id == bindparam("number")
)
_ONE = (
    select(commands)
    .where(commands.c.station == bindparam("of_station"), commands.c.id == bindparam("number"))
    .with_for_update()
)
_RESULT = (
    update(commands)
    .where(commands.c.station == bindparam("of_station"), commands.c.id == bindparam("number"))
    .values(ok=bindparam("is_ok"), reason=bindparam("why"), done_us=bindparam("now_us"))
)


class Commands:
    """Kinds: ``authorise``, ``cancel``, ``print``, ``settled``, ``handover``."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def put(
        self,
        tx: Transaction,
        *,
        key: str,
        kind: str,
        station: str,
        nozzle: int,
        order_id: str | None,
        **body: Any,
    ) -> None:
        """Write a command in the caller's transaction, once for its key.

        Numbers are given under the station's row lock, so a reader that has seen number n will never see n-1 appear.
        """
        if await tx.first(_KNOWN, {"key": key}) is not None:
            return
        row = await tx.first(_NUMBER, {"of_station": station})
        if row is None:
            raise ApiError(404, "unknown_station", f"station {station} has not reported yet", "station")
        await tx.insert(
            commands,
            {
                "station": station,
                "id": row.command_seq,
                "command_key": key,
                "kind": kind,
                "nozzle": nozzle,
                "order_id": order_id,
                "body": msgspec.json.encode(body).decode(),
                "created_us": self.core.clock_us(),
            },
        )
        tx.notify(f"commands/{station}")

    async def poll(self, station: str, after: int, wait_ms: int) -> list[dict[str, Any]]:
        """Unanswered commands after a number; waits for the first up to ``wait_ms``."""
        hub = self.core.db.hub
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_ms / 1000
        with hub.subscribe(f"commands/{station}") as news:
            while True:
                found = await self.core.db.single(_OPEN, {"of_station": station, "after": after})
                left = end - loop.time()
                if found or left <= 0 or self.core.stopping:
                    return [_command(row) for row in found]
                await news.wait(left if hub.fallback_s is None else min(left, hub.fallback_s))

    async def result(self, station: str, number: int, *, ok: bool, reason: str | None) -> None:
        """Take the station's answer, once; a repeated answer changes nothing.

        Raises:
            ApiError: 404 if the station has no such command; 409 if it was answered otherwise before.
        """

        async def work(tx: Transaction) -> None:
            found = await tx.first(_OWNER, {"of_station": station, "number": number})
            if found is None:
                raise ApiError(404, "unknown_command", f"station {station} has no command {number}", "id")
            # Locks are taken in one order everywhere: the order's row, then the command's.
            order = await self.core.orders.lock(tx, found.order_id) if found.order_id else None
            row = await tx.first(_ONE, {"of_station": station, "number": number})
            assert row is not None  # noqa: S101 - commands are never deleted
            if row.done_us is not None:
                if bool(row.ok) != ok:
                    raise ApiError(409, "answered_otherwise", f"command {number} was answered before", "ok")
                return
            await tx.execute(
                _RESULT,
                {
                    "of_station": station,
                    "number": number,
                    "is_ok": int(ok),
                    "why": reason,
                    "now_us": self.core.clock_us(),
                },
            )
            if order is not None:
                await self.core.orders.answered(tx, order, row.kind, ok=ok, reason=reason)

        await self.core.db.run(work)


def _command(row: Any) -> dict[str, Any]:
    body = msgspec.json.decode(row.body)
    return {
        "id": row.id,
        "kind": row.kind,
        "nozzle": row.nozzle,
        "order_id": row.order_id,
        "preset_fen": None,
        "preset_ml": None,
        "sale": None,
        "receipt": None,
        "shift": None,
        **body,
    }
