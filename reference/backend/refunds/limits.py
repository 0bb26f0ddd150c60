"""The gateway's limits on refunds, kept by queueing: what is over a limit waits for its turn, or for a person.

Of one payment: at most 50 refunds, at least a minute apart, within a year of the payment. Of one merchant: 150 calls a
second when all is well, 6 a second of calls that fail (WXDOC refund page). The rates are token buckets in the store,
so that the instances of a service share them: a burst of a third, and the rest a second, so that no second has more.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select, update

from reference.backend.core import Core
from reference.backend.refunds.schema import refund_pace
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments, refunds

__all__ = ["RefundLimits"]

_SECOND_US: Final = 1_000_000
_APART_US: Final = 60 * _SECOND_US
_AGE_US: Final = 365 * 86_400 * _SECOND_US
_MOST: Final = 50
# After an error, calls stay slow for so long; each further error begins it anew.
_SLOW_US: Final = 60 * _SECOND_US

_PAYMENT = select(payments).where(payments.c.out_trade_no == bindparam("number")).with_for_update()
_BEFORE = select(func.count().label("sent"), func.max(refunds.c.sent_us).label("last_us")).where(
    refunds.c.out_trade_no == bindparam("number"), refunds.c.sent_us.is_not(None)
)
_PACE = select(refund_pace).where(refund_pace.c.mchid == bindparam("ours")).with_for_update()
_TAKE = (
    update(refund_pace)
    .where(refund_pace.c.mchid == bindparam("ours"))
    .values(full_us=bindparam("new_full_us"), slow_full_us=bindparam("new_slow_full_us"))
)
_SLOW = (
    update(refund_pace)
    .where(refund_pace.c.mchid == bindparam("ours"))
    .values(slow_until_us=bindparam("until_us"))
)


class _Bucket:
    """So many calls in any second: a third of them at once."""

    def __init__(self, per_s: int) -> None:
        burst = max(1, per_s // 3)
        self.gap_us = _SECOND_US // max(1, per_s - burst)
        self.slack_us = (burst - 1) * self.gap_us

    def wait_us(self, full_us: int, now_us: int) -> int:
        """How long until a call may go."""
        return max(0, full_us - self.slack_us - now_us)

    def taken_us(self, full_us: int, now_us: int) -> int:
        return max(full_us, now_us) + self.gap_us


class RefundLimits:
    """Says of a refund whether it may be sent now."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._fast = _Bucket(core.settings.refund_calls_per_s)
        self._slow = _Bucket(core.settings.refund_errors_per_s)

    async def of_payment(self, tx: Transaction, row: Row[Any]) -> int | str | None:
        """May this refund, never sent before, be sent now? The caller holds the order's lock.

        Returns:
            None if it may; when to ask again (Unix µs); or why it never may: ``too_many`` or ``too_old``.
        """
        now_us = self.core.clock_us()
        payment = await tx.first(_PAYMENT, {"number": row.out_trade_no})
        if payment is None or payment.paid_us is None or payment.paid_us + _AGE_US <= now_us:
            return "too_old"
        before = await tx.first(_BEFORE, {"number": row.out_trade_no})
        if before is None or before.last_us is None:
            return None
        if before.sent >= _MOST:
            return "too_many"
        if now_us < before.last_us + _APART_US <= now_us + 2 * _APART_US:
            return int(before.last_us) + _APART_US
        return None

    async def of_merchant(self, tx: Transaction) -> int | None:
        """Take a place in the merchant's calls of this second: None, or when to ask again (Unix µs)."""
        now_us = self.core.clock_us()
        ours = {"ours": self.core.settings.merchant.mchid}
        pace = await tx.first(_PACE, ours)
        if pace is None:
            fresh = {"mchid": ours["ours"], "full_us": 0, "slow_full_us": 0, "slow_until_us": 0}
            await tx.insert_new(refund_pace, fresh)
            pace = await tx.first(_PACE, ours)
            assert pace is not None  # noqa: S101 - inserted above, or by another
        # Farther ahead than they are ever written, and instances' clocks may differ, means that the clock was set back since.
        is_slow = now_us < pace.slow_until_us <= now_us + 2 * _SLOW_US
        full_us, slow_full_us = (
            at_us if at_us <= now_us + 2 * _SECOND_US else now_us
            for at_us in (pace.full_us, pace.slow_full_us)
        )
        wait_us = self._fast.wait_us(full_us, now_us)
        if is_slow:
            wait_us = max(wait_us, self._slow.wait_us(slow_full_us, now_us))
        if wait_us:
            return now_us + wait_us
        taken = {
            "new_full_us": self._fast.taken_us(full_us, now_us),
            "new_slow_full_us": self._slow.taken_us(slow_full_us, now_us) if is_slow else now_us,
        }
        await tx.execute(_TAKE, ours | taken)
        return None

    async def failed(self) -> None:
        """A call failed: from now on they go slowly for a while."""
        values = {"ours": self.core.settings.merchant.mchid, "until_us": self.core.clock_us() + _SLOW_US}
        await self.core.db.run(lambda tx: tx.execute(_SLOW, values))
