"""A platform's access token, shared by all instances: a platform may count how often it is asked for a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import bindparam, delete, or_, select, update

from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.invoices.schema import tax_tokens
from reference.backend.store.database import Database, Transaction

__all__ = ["SharedToken"]

_RENEW_US = 1_800_000_000
"""A token is renewed half an hour ahead of its end, by one instance while the others go on with the old one."""

_CLAIM_US = 10_000_000
_AGAIN_US = 60_000_000
"""A token that the platform does not take is replaced at most once in a minute: the calls are counted."""

_ONE = select(tax_tokens).where(tax_tokens.c.platform == bindparam("wanted"))
_CLAIM = (
    update(tax_tokens)
    .where(
        tax_tokens.c.platform == bindparam("wanted"),
        tax_tokens.c.claimed_until_us <= bindparam("now_us"),
        # Unless somebody has brought a new one meanwhile.
        or_(tax_tokens.c.expires_us <= bindparam("late_us"), tax_tokens.c.token == bindparam("bad")),
    )
    .values(claimed_until_us=bindparam("until_us"))
    .returning(tax_tokens.c.platform)
)


class SharedToken:
    """Keeps one platform's token in the store.

    Args:
        db: the store.
        clock_us: Unix time in microseconds.
        platform: its name.
        fetch: asks for a new one; gives (token, life in seconds).
    """

    def __init__(
        self,
        db: Database,
        clock_us: Callable[[], int],
        platform: str,
        fetch: Callable[[], Awaitable[tuple[str, int]]],
    ) -> None:
        self._db = db
        self._clock_us = clock_us
        self._platform = platform
        self._fetch = fetch
        self._known: tuple[str, int] = ("", 0)
        self._replaced_us = -_AGAIN_US

    async def get(self, refused: str = "") -> str:
        """A token that should be good.

        Args:
            refused: one that the platform has just refused; another is wanted.

        Raises:
            GatewayUnknownError: there is none, and none is to be had now.
        """
        now_us = self._clock_us()
        if refused and now_us - self._replaced_us < _AGAIN_US:
            raise GatewayUnknownError(f"{self._platform} does not take a token that it gave a moment ago")
        token, expires_us = self._known
        if token and token != refused and now_us + _RENEW_US < expires_us:
            return token
        for _ in range(30):
            rows = await self._db.single(_ONE, {"wanted": self._platform})
            token, expires_us = (rows[0].token, rows[0].expires_us) if rows else ("", 0)
            is_good = bool(token) and token != refused and self._clock_us() < expires_us
            if is_good and self._clock_us() + _RENEW_US < expires_us:
                self._known = (token, expires_us)
                return token
            if await self._claim(refused, is_new=not rows):
                return await self._renew(refused)
            if is_good:
                return token  # somebody else is renewing it
            await asyncio.sleep(0.1)
        raise GatewayUnknownError(f"another instance asks {self._platform} for a token, and it takes long")

    async def _claim(self, refused: str, *, is_new: bool) -> bool:
        now_us = self._clock_us()

        async def work(tx: Transaction) -> bool:
            if is_new:
                row = {"platform": self._platform, "token": "", "expires_us": 0, "claimed_until_us": 0}
                await tx.insert_new(tax_tokens, row)
            values = {
                "wanted": self._platform,
                "now_us": now_us,
                "late_us": now_us + _RENEW_US,
                "bad": refused,
                "until_us": now_us + _CLAIM_US,
            }
            return await tx.first(_CLAIM, values) is not None

        return await self._db.run(work)

    async def _renew(self, refused: str) -> str:
        token, life_s = await self._fetch()
        now_us = self._clock_us()
        expires_us = now_us + life_s * 1_000_000

        async def work(tx: Transaction) -> None:
            await tx.execute(delete(tax_tokens).where(tax_tokens.c.platform == self._platform))
            row = {
                "platform": self._platform,
                "token": token,
                "expires_us": expires_us,
                "claimed_until_us": 0,
            }
            await tx.insert(tax_tokens, row)

        await self._db.run(work)
        self._known = (token, expires_us)
        if refused:
            self._replaced_us = now_us
        return token
