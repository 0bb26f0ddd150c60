"""IFSF numbers: a byte with sign and place of the decimal point, then packed decimal digits.

Bit 7 of the first byte is the sign, bits 6-0 count the digits left of the point; ``06 12 34 56 78`` is 123456.78.
Shown alike by four independent implementations of the dispenser application (IFSF Part 3-01): zhang98722/
ifsf-communication, tagnpeng/ifsf, fangym0335/first, ycxzfforever/ZHY_IFSF_AM3352.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Number", "NumberError", "bcd", "from_bcd"]

_MOST_DIGITS = 2 * 31  # far above any field; bounds what a peer can make us compute


class NumberError(ValueError):
    """Bytes are no IFSF number, or a figure does not fit the field it is meant for."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number exactly as it stands on the wire.

    Attributes:
        digits: decimal digits, two a byte.
        left: how many of them stand left of the decimal point, 0..127 (more than there are: zeros follow).
        negative: the sign.
    """

    digits: str
    left: int
    negative: bool = False

    def __post_init__(self) -> None:
        if len(self.digits) % 2 or len(self.digits) > _MOST_DIGITS or not _all_digits(self.digits):
            raise NumberError(f"{self.digits!r} are not up to {_MOST_DIGITS // 2} pairs of decimal digits")
        if not 0 <= self.left <= 127:
            raise NumberError(f"{self.left} digits left of the point do not fit seven bits")

    @classmethod
    def of(cls, value: int, *, decimals: int, left: int) -> Number:
        """``value`` in units of the last decimal, in a field of ``left + decimals`` digits.

        Raises:
            NumberError: it does not fit.
        """
        width = left + decimals
        digits = str(abs(value)).zfill(width)
        if len(digits) > width:
            raise NumberError(f"{value} does not fit {width} digits")
        return cls(digits, left, value < 0)

    @classmethod
    def decode(cls, data: bytes) -> Number:
        """Read a field. Raises NumberError for an empty one or a nibble above 9."""
        if not data:
            raise NumberError("an empty field is no number")
        return cls(data[1:].hex(), data[0] & 0x7F, bool(data[0] & 0x80))

    def encode(self) -> bytes:
        """The field as on the wire."""
        return bytes((self.left | (0x80 if self.negative else 0),)) + bytes.fromhex(self.digits)

    def scaled(self, decimals: int) -> int:
        """The value in units of the given decimal (2: hundredths).

        Raises:
            NumberError: digits other than 0 would be lost, or zeros without end would follow.
        """
        shift = decimals - (len(self.digits) - self.left)
        if shift > _MOST_DIGITS:
            raise NumberError(f"{self.left} digits left of the point are not a figure of a dispenser")
        value = int(self.digits or "0")
        if shift >= 0:
            value *= int(10**shift)
        else:
            value, lost = divmod(value, int(10**-shift))
            if lost:
                raise NumberError(f"{self} has more than {decimals} decimals")
        return -value if self.negative else value

    def __str__(self) -> str:
        digits = self.digits.ljust(self.left, "0")
        whole, rest = digits[: self.left] or "0", digits[self.left :]
        return f"{'-' if self.negative else ''}{int(whole)}{'.' + rest if rest else ''}"


def bcd(value: int, size: int) -> bytes:
    """``value`` as ``size`` bytes of packed decimal. Raises NumberError when it does not fit."""
    if not 0 <= value < 100**size:
        raise NumberError(f"{value} does not fit {size} bytes of packed decimal")
    return bytes.fromhex(str(value).zfill(2 * size))


def from_bcd(data: bytes) -> int:
    """Read packed decimal. Raises NumberError for no bytes or a nibble above 9."""
    text = data.hex()
    if not text or not _all_digits(text):
        raise NumberError(f"{text or 'nothing'} is not packed decimal")
    return int(text)


def _all_digits(text: str) -> bool:
    return all(character in "0123456789" for character in text)
