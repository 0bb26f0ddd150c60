"""Which data each bar code of GS k takes.

Source: the data tables of GS k in the Epson and Bixolon command manuals. A printer that meets a byte outside
its table ends the command there and prints the rest as normal text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Symbology", "barcode_prefix_ok", "barcode_problem", "symbology_of"]

_DIGITS: Final = frozenset(b"0123456789")
_CODE39: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./")
_CODABAR: Final = frozenset(b"0123456789ABCDabcd$+-./:")
_ASCII: Final = frozenset(range(128))


@dataclass(frozen=True, slots=True)
class Symbology:
    """One bar code system.

    Attributes:
        name: as clients call it.
        allowed: byte values that may stand in the data.
        shortest: fewest data bytes.
        longest: most data bytes.
        even: whether the number of bytes must be even (ITF).
    """

    name: str
    allowed: frozenset[int]
    shortest: int
    longest: int
    even: bool = False


_TABLE: Final = (
    Symbology("UPC-A", _DIGITS, 11, 12),
    Symbology("UPC-E", _DIGITS, 6, 12),
    Symbology("EAN13", _DIGITS, 12, 13),
    Symbology("EAN8", _DIGITS, 7, 8),
    Symbology("CODE39", _CODE39, 1, 255),
    Symbology("ITF", _DIGITS, 2, 254, even=True),
    Symbology("CODABAR", _CODABAR, 2, 255),
    Symbology("CODE93", _ASCII, 1, 255),
    Symbology("CODE128", _ASCII, 2, 255),
)


@dataclass(frozen=True, slots=True)
class BarcodeProblem:
    """Why data is refused, and how many of its bytes the command still took."""

    reason: str
    good_bytes: int


def symbology_of(m: int) -> Symbology | None:
    """The bar code system that parameter ``m`` of GS k names (0..6 NUL-ended, 65..73 counted), or None."""
    index = m if m <= 6 else m - 65
    if m <= 6 or 65 <= m <= 73:
        return _TABLE[index]
    return None


def barcode_prefix_ok(m: int, data: bytes) -> bool:
    """Whether ``data`` can still grow into valid NUL-ended data for system ``m``: keeps a bad one bounded."""
    system = symbology_of(m)
    return system is not None and len(data) <= system.longest and all(byte in system.allowed for byte in data)


def barcode_problem(m: int, data: bytes) -> BarcodeProblem | None:
    """Check complete bar code data; None when it is good."""
    system = symbology_of(m)
    if system is None:
        return BarcodeProblem(f"GS k has no system {m}", 0)
    for index, byte in enumerate(data):
        if byte not in system.allowed:
            return BarcodeProblem(f"byte {byte:02X} cannot stand in {system.name}", index)
    if len(data) > system.longest:
        return BarcodeProblem(f"{system.name} takes at most {system.longest} bytes", system.longest)
    if len(data) < system.shortest or (system.even and len(data) % 2):
        return BarcodeProblem(f"{len(data)} bytes are not a length that {system.name} takes", 0)
    if system.name == "CODE128" and (data[:1] != b"{" or data[1:2] not in (b"A", b"B", b"C")):
        return BarcodeProblem("CODE128 data begins with {A, {B or {C", 0)
    return None
