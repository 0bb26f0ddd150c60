"""What a printer tells its listener; all times are microseconds on the host's clock."""

from __future__ import annotations

from dataclasses import dataclass

from sim.printer.paper import PrintedLine, Receipt

__all__ = [
    "Buzzed",
    "DataDiscarded",
    "DrawerKicked",
    "LinePrinted",
    "PrinterEvent",
    "ReceiptEnded",
    "Surprise",
    "WentOffline",
    "WentOnline",
]


@dataclass(frozen=True, slots=True)
class LinePrinted:
    """A line, symbol or band of an image is on paper."""

    at_us: int
    line: PrintedLine


@dataclass(frozen=True, slots=True)
class ReceiptEnded:
    """A receipt was cut or torn off."""

    at_us: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class WentOffline:
    """The printer stopped; ``causes`` in words."""

    at_us: int
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WentOnline:
    """The printer works again."""

    at_us: int


@dataclass(frozen=True, slots=True)
class DrawerKicked:
    """A pulse went to the cash drawer on connector ``pin`` (2 or 5)."""

    at_us: int
    pin: int
    on_ms: int


@dataclass(frozen=True, slots=True)
class Buzzed:
    """The buzzer sounded ``times`` times."""

    at_us: int
    times: int
    on_ms: int


@dataclass(frozen=True, slots=True)
class DataDiscarded:
    """Bytes were lost: the buffer was full, or the printer had no power."""

    at_us: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Surprise:
    """Bytes a careful engineer would ask about; ``offset`` counts from power-on."""

    at_us: int
    offset: int
    reason: str


PrinterEvent = (
    LinePrinted | ReceiptEnded | WentOffline | WentOnline | DrawerKicked | Buzzed | DataDiscarded | Surprise
)
