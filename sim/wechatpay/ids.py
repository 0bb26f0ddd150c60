"""Numbers and nonces in the platform's shapes, all drawn from one stream, so a run repeats them."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta, timezone

__all__ = ["Ids"]

_CHINA = timezone(timedelta(hours=8))
_NONCE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Ids:
    """Draws ids; times are Unix microseconds and appear in them as China time, as in the documentation's samples."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def _digits(self, count: int) -> str:
        return f"{self._rng.randrange(10**count):0{count}d}"

    @staticmethod
    def _china(unix_us: int, pattern: str) -> str:
        return datetime.fromtimestamp(unix_us // 1_000_000, _CHINA).strftime(pattern)

    def prepay_id(self, unix_us: int) -> str:
        """``wx`` + 14 digits of time + 20 characters: 36 in all."""
        return f"wx{self._china(unix_us, '%Y%m%d%H%M%S')}{self._rng.getrandbits(64):016x}0000"

    def code_url(self) -> str:
        """What a native order's QR code says."""
        return f"weixin://wxpay/bizpayurl?pr={self.nonce(9)}"

    def auth_code(self) -> str:
        """What a phone shows at the pump: 18 digits beginning with 10 to 15."""
        return f"1{self._rng.randrange(6)}{self._digits(16)}"

    def contract_id(self, unix_us: int) -> str:
        """18 digits, as in the documentation's samples."""
        return f"{self._china(unix_us, '%Y%m%d')}{self._digits(10)}"

    def entry_id(self, unix_us: int) -> str:
        """20 characters: a car that has come in."""
        return f"5K{self._china(unix_us, '%y%m%d')}{self._digits(12)}"

    def transaction_id(self, unix_us: int) -> str:
        """28 digits beginning 42."""
        return f"4200{self._digits(6)}{self._china(unix_us, '%Y%m%d')}{self._digits(10)}"

    def refund_id(self, unix_us: int) -> str:
        """29 digits beginning 50."""
        return f"503{self._digits(7)}{self._china(unix_us, '%Y%m%d')}{self._digits(11)}"

    def notice_id(self) -> str:
        """36 characters."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def request_id(self) -> str:
        """The ``Request-ID`` header."""
        return f"08{self._rng.getrandbits(120):030X}-0"

    def nonce(self, length: int = 32) -> str:
        """Letters and digits."""
        return "".join(self._rng.choices(_NONCE_ALPHABET, k=length))

    def key_bytes(self, count: int) -> bytes:
        """Bytes of a session key: drawn like everything else, worthless outside the simulation."""
        return self._rng.randbytes(count)
