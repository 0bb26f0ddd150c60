"""What payers have: money, if a test says how much, and a count of the day's payments without a password."""

from __future__ import annotations

from sim.wechatpay.switches import Switches

__all__ = ["Wallets"]

_CHINA_US = 8 * 3_600_000_000
_DAY_US = 86_400_000_000


class Wallets:
    """All payers' wallets. One that nobody has limited pays everything."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._balance_fen: dict[str, int] = {}
        self._free: dict[str, tuple[int, int]] = {}

    def limit(self, openid: str, balance_fen: int | None) -> None:
        """Say what a payer has, in fen; None: enough for everything."""
        if balance_fen is None:
            self._balance_fen.pop(openid, None)
        else:
            self._balance_fen[openid] = balance_fen

    def balance_fen(self, openid: str) -> int | None:
        """What a payer has, or None for enough."""
        return self._balance_fen.get(openid)

    def covers(self, openid: str, fen: int) -> bool:
        """Whether a payer has this much."""
        return self._balance_fen.get(openid, fen) >= fen

    def take(self, openid: str, fen: int) -> None:
        """A payment."""
        if openid in self._balance_fen:
            self._balance_fen[openid] -= fen

    def give(self, openid: str, fen: int) -> None:
        """A refund."""
        if openid in self._balance_fen:
            self._balance_fen[openid] += fen

    def wants_password(self, openid: str, fen: int, unix_us: int) -> bool:
        """Whether a pay code's payment needs the password: a large amount, or too many without one today."""
        day, count = self._free.get(openid, (0, 0))
        today = (unix_us + _CHINA_US) // _DAY_US
        many = day == today and count >= self._switches.free_payments_a_day
        return many or fen > self._switches.password_above_fen

    def count_free(self, openid: str, unix_us: int) -> None:
        """A payment went through without a password."""
        today = (unix_us + _CHINA_US) // _DAY_US
        day, count = self._free.get(openid, (0, 0))
        self._free[openid] = (today, count + 1 if day == today else 1)
