"""`out_trade_no`: time, device fingerprint, random salt and a check, in 32 capital letters and digits.

The narrowest field it must fit is WeChat Pay's `out_trade_no` (6 to 32 of ``[0-9A-Za-z_|*-]``, unique for a
merchant; JSAPI prepay, pay.weixin.qq.com); UnionPay's `orderId` takes letters and digits only. Layout, base 32
(RFC 4648 alphabet)::

    TTTTTTTTT  FFFFFFF  SSSSSSSSSSS  CCCCC
    9 time     7 device 11 salt      5 check     (ms since 1970; 35 bits; 55 bits; 25 bits)

The number is neither a secret nor an idempotency key. Its check only tells a number that this service made from one
that was mistyped, cut or invented, before any table is asked. The raw device name cannot be read back: the
fingerprint is an HMAC under the station's key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["TradeNumber", "TradeNumberError", "TradeNumbers"]

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_VALUE: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_SHAPE: Final = re.compile(r"[A-Z2-7]{32}")
_TIME, _DEVICE, _SALT, _CHECK = 9, 7, 11, 5


class TradeNumberError(ValueError):
    """The text is not a number that this service made (or not for this device)."""


@dataclass(frozen=True, slots=True)
class TradeNumber:
    """What a valid number tells.

    Attributes:
        text: the 32 characters.
        made_ms: Unix time in milliseconds.
        device: the fingerprint, 7 characters.
    """

    text: str
    made_ms: int
    device: str


def _encode(value: int, length: int) -> str:
    letters = []
    for _ in range(length):
        value, low = divmod(value, 32)
        letters.append(_ALPHABET[low])
    return "".join(reversed(letters))


def _decode(text: str) -> int:
    value = 0
    for letter in text:
        value = value * 32 + _VALUE[letter]
    return value


def _keyed(key: bytes, text: str, length: int) -> str:
    digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return _encode(int.from_bytes(digest[:8], "big"), length)


class TradeNumbers:
    """Makes and checks numbers.

    Args:
        check_key: the service's own key; every instance of one service must hold the same.
        clock_us: Unix time in microseconds.
        random_bits: ``random_bits(n)`` gives an integer of n random bits (`secrets.randbits` outside simulations).
    """

    def __init__(
        self, check_key: bytes, clock_us: Callable[[], int], random_bits: Callable[[int], int]
    ) -> None:
        if not check_key:
            raise ValueError("the trade number check key is empty")
        self._check_key = check_key
        self._clock_us = clock_us
        self._random_bits = random_bits

    @staticmethod
    def fingerprint(station_key: str, device: str) -> str:
        """Seven characters that stand for a device (such as ``KM01/3``) of the station that owns the key."""
        return _keyed(station_key.encode(), f"device/{device}", _DEVICE)

    def make(self, station_key: str, device: str) -> str:
        """A new number for a device."""
        body = (
            _encode(self._clock_us() // 1000, _TIME)
            + self.fingerprint(station_key, device)
            + _encode(self._random_bits(_SALT * 5), _SALT)
        )
        return body + self._check(body)

    def parse(self, text: str) -> TradeNumber:
        """Check a number that came back. Raises `TradeNumberError` for any that this service did not make."""
        if not isinstance(text, str) or not _SHAPE.fullmatch(text):
            raise TradeNumberError("out_trade_no must be 32 characters of A-Z and 2-7")
        body, check = text[:-_CHECK], text[-_CHECK:]
        if not hmac.compare_digest(self._check(body), check):
            raise TradeNumberError("out_trade_no fails its check characters")
        return TradeNumber(text, _decode(body[:_TIME]), body[_TIME : _TIME + _DEVICE])

    def parse_for(self, text: str, station_key: str, device: str) -> TradeNumber:
        """Like `parse`, and the number must have been made for this device."""
        number = self.parse(text)
        if not hmac.compare_digest(number.device, self.fingerprint(station_key, device)):
            raise TradeNumberError("out_trade_no was made for another device")
        return number

    def _check(self, body: str) -> str:
        return _keyed(self._check_key, f"out_trade_no/{body}", _CHECK)
