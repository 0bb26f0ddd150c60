"""The queue before a tax platform: what waits, for what, and how it goes on.

An invoice waits alone for stock and credit. A lost login, a face check and a withdrawn access keep all of a platform's
invoices: one row in `tax_holds` says so, an alarm is raised once, nothing is handed in, and the platform is asked now and
then. When it is back the waiting ones go on, oldest first, a few each second. Nothing leaves the queue any other way.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, or_, select, update

from reference.backend.core import Core
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError
from reference.backend.invoices.schema import tax_holds
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import invoices
from reference.backend.tax import PLATFORM_HOLDS, HeldError

__all__ = ["PROBE", "TaxQueue"]

PROBE: Final = "probe"
"""In `invoices.waits`: this one goes ahead although the platform is held, to see whether it works again."""

_PARKED_US: Final = 3_600_000_000
"""A parked task looks again after that, whatever else happens."""

_FOR_ALL: Final = or_(*(invoices.c.waits == why for why in (*sorted(PLATFORM_HOLDS), PROBE)))
_HOLD: Final = select(tax_holds).where(tax_holds.c.platform == bindparam("wanted"))
_LIFT: Final = delete(tax_holds).where(tax_holds.c.platform == bindparam("wanted"))
_WAITS: Final = (
    update(invoices)
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"), invoices.c.state == "issuing")
    .values(waits=bindparam("why"), reason=bindparam("told"))
)
_FREE: Final = (
    update(invoices).where(invoices.c.fapiao_apply_id == bindparam("wanted")).values(waits=bindparam("why"))
)
_OTHERS: Final = (
    select(invoices.c.fapiao_apply_id)
    .where(invoices.c.platform == bindparam("of_platform"), invoices.c.waits == bindparam("why"))
    .where(invoices.c.fapiao_apply_id != bindparam("wanted"))
    .limit(1)
)
_OLDEST: Final = (
    select(invoices.c.fapiao_apply_id)
    .where(invoices.c.platform == bindparam("of_platform"), _FOR_ALL)
    .order_by(invoices.c.requested_us, invoices.c.fapiao_apply_id)
    .limit(bindparam("most"))
)


class TaxQueue:
    """Keeps invoices back and lets them go."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._calling = 0
        core.outbox.handlers["tax.probe"] = self._probe
        core.outbox.handlers["tax.release"] = self._release

    # Room: a platform that does not answer must leave hands for payments and refunds.

    def enter(self) -> bool:
        """Take one of the places for calls; False if they are all taken."""
        if self._calling >= self.core.settings.tax.calls_at_once:
            return False
        self._calling += 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self._calling -= 1

    # Waiting

    async def park(self, row: Row[Any], why: str) -> int:
        """Put an invoice behind a platform's hold; when its task runs again at the latest."""
        if row.waits != why:
            await self.core.db.run(lambda tx: tx.execute(_FREE, {"wanted": row.fapiao_apply_id, "why": why}))
        return self.core.clock_us() + _PARKED_US

    async def wait(self, row: Row[Any], task: Task, error: HeldError) -> int:
        """A platform said "not now"; when to try again."""
        if error.why in PLATFORM_HOLDS:
            await self.hold(row.platform, error.why, str(error))
            return await self.park(row, error.why)
        await self.core.db.run(lambda tx: self.wait_alone(tx, row, error.why, str(error)))
        return self.again_us(task.attempt)

    async def wait_alone(self, tx: Transaction, row: Row[Any], why: str, told: str) -> None:
        """An invoice waits for stock or credit. The first one that does raises an alarm; a hundred do not raise a hundred."""
        if row.waits != why:
            values = {"of_platform": row.platform, "why": why, "wanted": row.fapiao_apply_id}
            if await tx.first(_OTHERS, values) is None:
                await self.core.alarm(tx, "invoice_waits", row.fapiao_apply_id, f"{why}: {told}")
        await tx.execute(_WAITS, {"wanted": row.fapiao_apply_id, "why": why, "told": told[:500]})

    def again_us(self, attempt: int) -> int:
        """When an invoice that waits alone is tried again."""
        schedule = self.core.settings.tax.wait_schedule_s
        return self.core.clock_us() + schedule[min(attempt - 1, len(schedule) - 1)] * 1_000_000

    # The platform

    async def hold(self, platform: str, why: str, told: str) -> None:
        """Nothing is handed in to a platform until it is back; a person is told, once."""

        async def work(tx: Transaction) -> None:
            now_us = self.core.clock_us()
            if not await tx.insert_new(tax_holds, {"platform": platform, "why": why, "since_us": now_us}):
                return
            await self.core.alarm(tx, "invoice_waits", platform, f"{why}: {told}"[:500])
            probe_us = self.core.settings.tax.probe_s * 1_000_000
            await self.core.outbox.put(
                tx, "tax.probe", platform, key=f"tax.probe/{platform}/{now_us}", delay_us=probe_us
            )

        await self.core.db.run(work)

    async def lift(self, platform: str) -> None:
        """The platform is back: what waits for it goes on."""

        async def work(tx: Transaction) -> None:
            if await tx.execute(_LIFT, {"wanted": platform}):
                key = f"tax.release/{platform}/{self.core.clock_us()}"
                await self.core.outbox.put(tx, "tax.release", platform, key=key)

        await self.core.db.run(work)

    async def _probe(self, task: Task) -> int | None:
        """Ask for the login; where a platform does not tell, let the oldest invoice try."""
        found = await self.core.db.single(_HOLD, {"wanted": task.subject})
        if not found:
            return None
        again_us = self.core.clock_us() + self.core.settings.tax.probe_s * 1_000_000
        try:
            session = await self.core.tax[task.subject].session()
        except (GatewayUnknownError, GatewayRefusedError):
            return again_us
        if session == "ok":
            await self.lift(task.subject)
            return None
        if session is None:
            await self.core.db.run(lambda tx: self._let_one_try(tx, task.subject))
        return again_us

    async def _let_one_try(self, tx: Transaction, platform: str) -> None:
        oldest = await tx.first(_OLDEST, {"of_platform": platform, "most": 1})
        if oldest is None:
            # Nothing waits: the next invoice may see for itself.
            await tx.execute(_LIFT, {"wanted": platform})
            return
        await tx.execute(_FREE, {"wanted": oldest.fapiao_apply_id, "why": PROBE})
        await self.core.outbox.hurry(tx, f"invoice.issue/{oldest.fapiao_apply_id}")

    async def _release(self, task: Task) -> int | None:
        """A few each second, so that a long outage does not end in a flood."""
        most = self.core.settings.tax.release_per_s

        async def work(tx: Transaction) -> bool:
            if await tx.first(_HOLD, {"wanted": task.subject}) is not None:
                return False
            rows = await tx.rows(_OLDEST, {"of_platform": task.subject, "most": most})
            for row in rows:
                await tx.execute(_FREE, {"wanted": row.fapiao_apply_id, "why": None})
                await self.core.outbox.hurry(tx, f"invoice.issue/{row.fapiao_apply_id}")
            return len(rows) == most

        return self.core.clock_us() + 1_000_000 if await self.core.db.run(work) else None
