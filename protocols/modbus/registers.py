"""The register map: one definition that the code uses and that the published page is made from.

Our own, openly documented map for a fuel dispenser; no maker's map was copied (no public Chinese one was found, and the
public Compac C5000 page shaped only the idea of an end-of-sale block). Every register can be read as a holding
register (function 03) and as an input register (function 04) at the same address. Addresses are those on the wire
(first register = 0); values of several registers are big-endian, most significant register first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import Final

__all__ = [
    "DEVICE",
    "FUELLING_POINT",
    "FUELLING_POINT_STRIDE",
    "GRADE_CODES",
    "MAP_IDENTITY",
    "MAP_VERSION",
    "MAX_FUELLING_POINTS",
    "MAX_NOZZLES",
    "NOZZLE",
    "NOZZLE_BASE",
    "NOZZLE_STRIDE",
    "Access",
    "Command",
    "CommandResult",
    "PresetKind",
    "Register",
    "SaleFlag",
    "StatusBit",
    "Width",
    "base_of_fuelling_point",
    "base_of_nozzle",
    "noteworthy_flags",
]

MAP_IDENTITY: Final = 0x46435254
"""``FCRT`` in ASCII, so that a driver sees that it talks to a device with this map."""

MAP_VERSION: Final = 1

FUELLING_POINT_STRIDE: Final = 200
"""Fuelling point k (1..M) has the registers from 200*k on."""

NOZZLE_BASE: Final = 100
"""Nozzle n (1..8) has the registers from 100 + 10*(n-1) on in its fuelling point's block."""

NOZZLE_STRIDE: Final = 10

MAX_FUELLING_POINTS: Final = 64
"""Of one unit: bounded so that the map stays within 16-bit addresses with room for growth."""

MAX_NOZZLES: Final = 8


class Width(IntEnum):
    """How many registers a value takes; all values are unsigned."""

    U16 = 1
    U32 = 2
    U64 = 4


class Access(Enum):
    """Whether a register can be written."""

    READ = "R"
    READ_WRITE = "RW"


class Command(IntEnum):
    """Codes for the ``command`` register."""

    NONE = 0
    OPEN = 1
    CLOSE = 2
    AUTHORISE = 3
    TERMINATE = 4
    SUSPEND = 5
    RESUME = 6
    RESET = 7
    SET_PRESET = 8


class CommandResult(IntEnum):
    """What became of the last command."""

    NONE = 0
    DONE = 1
    REFUSED = 2


class PresetKind(IntEnum):
    """What ``preset_value`` means."""

    NONE = 0
    VOLUME_ML = 1
    AMOUNT_FEN = 2


class StatusBit(IntFlag):
    """Bits of ``status_bits``."""

    FLOWING = 1
    SALE_WAITING = 2
    NOZZLE_OUT = 4


class SaleFlag(IntFlag):
    """Bits of ``sale_flags``: how a delivery ended. No bit: the nozzle was hung up."""

    PRESET = 1
    TERMINATED = 2
    POWER_FAILURE = 4
    NO_FLOW_TIMEOUT = 8
    ZERO = 16
    TEST = 32
    EMERGENCY = 64
    OVERRUN = 128
    CLOCK_LOST = 256
    OTHER = 32768


_FLAG_NAMES: Final = (
    (SaleFlag.TEST, "test"),
    (SaleFlag.POWER_FAILURE, "power-failure"),
    (SaleFlag.EMERGENCY, "emergency-stop"),
    (SaleFlag.CLOCK_LOST, "clock-lost"),
)


def noteworthy_flags(flags: int) -> tuple[str, ...]:
    """Names of those flags of a sale that whoever books it has to know."""
    return tuple(name for flag, name in _FLAG_NAMES if flags & flag)


GRADE_CODES: Final = {"92": 92, "95": 95, "98": 98, "diesel": 1}
"""Codes of ``grade``; 0 is a grade that this map does not know."""


@dataclass(frozen=True, slots=True)
class Register:
    """One value of the map.

    Attributes:
        offset: first register, from the start of its block.
        name: the name the code uses.
        width: registers it takes.
        access: R or RW.
        unit: unit of the number, "" for codes and counts.
        meaning: one sentence for the published page.
    """

    offset: int
    name: str
    width: Width
    access: Access
    unit: str
    meaning: str


_R = Access.READ
_RW = Access.READ_WRITE

DEVICE: Final = (
    Register(0, "identity", Width.U32, _R, "", "0x46435254, `FCRT` in ASCII."),
    Register(2, "map_version", Width.U16, _R, "", "Version of this map: 1."),
    Register(3, "fuelling_points", Width.U16, _R, "", "Number of fuelling points, M."),
    Register(
        4,
        "restarts",
        Width.U16,
        _R,
        "",
        "Counts power-ons, modulo 65,536. A change tells a driver to read everything before it commands.",
    ),
)
"""The block at address 0."""

FUELLING_POINT: Final = (
    Register(
        0,
        "state",
        Width.U16,
        _R,
        "",
        "1 INOPERATIVE, 2 CLOSED, 3 IDLE, 4 CALLING, 5 AUTHORISED, 6 STARTED, 7 SUSPENDED_STARTED, 8 FUELLING, 9 SUSPENDED_FUELLING.",
    ),
    Register(
        1, "nozzle_out", Width.U16, _R, "", "Logical nozzle 1..8 that is out of its boot; 0 when none is."
    ),
    Register(
        2,
        "status_bits",
        Width.U16,
        _R,
        "",
        "1 fuel flows, 2 a sale waits for its acknowledgement, 4 a nozzle is out.",
    ),
    Register(
        3, "display_price", Width.U16, _R, "fen/L", "Unit price on the display; fixed during a delivery."
    ),
    Register(
        4,
        "display_volume",
        Width.U32,
        _R,
        "ml",
        "Volume on the display, steps of 10 ml; live during a delivery.",
    ),
    Register(6, "display_amount", Width.U32, _R, "fen", "Amount on the display; live during a delivery."),
    Register(
        8, "last_sequence", Width.U32, _R, "", "Sequence number of the newest delivery; 0 before the first."
    ),
    Register(
        10, "waiting_sales", Width.U16, _R, "", "Deliveries not acknowledged yet (65,535: that many or more)."
    ),
    Register(
        11,
        "delivering_nozzle",
        Width.U16,
        _R,
        "",
        "Logical nozzle whose delivery is under way; 0 when none is.",
    ),
    Register(
        12,
        "sale_sequence",
        Width.U32,
        _R,
        "",
        "Sequence number of the OLDEST delivery not acknowledged; 0 when none waits, then the whole sale block is 0.",
    ),
    Register(14, "sale_nozzle", Width.U16, _R, "", "Its logical nozzle."),
    Register(
        15,
        "sale_flags",
        Width.U16,
        _R,
        "",
        "How it ended: 0 nozzle hung up, else the sum of 1 preset reached, 2 terminated, 4 power failure, 8 no flow for too long, 16 zero sale, 32 test delivery that went back into the tank, 64 emergency stop, 128 more than the preset, 256 the clock was lost, 32768 other.",
    ),
    Register(16, "sale_volume", Width.U32, _R, "ml", "Its volume."),
    Register(18, "sale_amount", Width.U32, _R, "fen", "Its amount."),
    Register(20, "sale_price", Width.U16, _R, "fen/L", "Its unit price."),
    Register(21, "sale_end_total_volume", Width.U64, _R, "ml", "The nozzle's volume totaliser after it."),
    Register(25, "sale_end_total_amount", Width.U64, _R, "fen", "The nozzle's amount totaliser after it."),
    Register(29, "sale_duration", Width.U32, _R, "ms", "From its start to its end."),
    Register(31, "sale_age", Width.U32, _R, "ms", "Since its end (the device has no calendar)."),
    Register(33, "last_token", Width.U16, _R, "", "Token of the last command that was looked at."),
    Register(
        34,
        "last_result",
        Width.U16,
        _R,
        "",
        "What became of it: 0 no command yet, 1 done, 2 refused in this state or with these parameters.",
    ),
    Register(
        40,
        "acknowledge",
        Width.U32,
        _RW,
        "",
        "Write `sale_sequence` here once that sale is stored safely; the next one takes its place. Writing an acknowledged number again changes nothing; a number that was never offered gives exception 3. Reads as the last acknowledged number.",
    ),
    Register(
        42,
        "token",
        Width.U16,
        _RW,
        "",
        "Names the command of the same request. A command with the token of the last one is not executed again, so a request whose reply was lost may be repeated. 0: no token, always executed.",
    ),
    Register(
        43,
        "allowed_nozzles",
        Width.U16,
        _RW,
        "",
        "For AUTHORISE: bit n-1 allows logical nozzle n; 0 allows all.",
    ),
    Register(
        44, "preset_kind", Width.U16, _RW, "", "For AUTHORISE and SET_PRESET: 0 none, 1 volume, 2 amount."
    ),
    Register(45, "preset_value", Width.U32, _RW, "ml or fen", "The preset, by its kind."),
    Register(
        47,
        "command",
        Width.U16,
        _RW,
        "",
        "Writing executes: 1 OPEN, 2 CLOSE, 3 AUTHORISE, 4 TERMINATE, 5 SUSPEND, 6 RESUME, 7 RESET, 8 SET_PRESET. Write 42..47 in one request: the parameters count first. Reads as the last code written.",
    ),
)
"""The block of fuelling point k, at 200*k."""

NOZZLE: Final = (
    Register(
        0,
        "price",
        Width.U16,
        _RW,
        "fen/L",
        "Unit price. Writing is refused with exception 6 (busy) from authorisation to the end of the sale and with exception 3 when out of bounds; read it back.",
    ),
    Register(1, "grade", Width.U16, _R, "", "92, 95, 98, or 1 for diesel."),
    Register(2, "total_volume", Width.U64, _R, "ml", "Volume totaliser; counts along with a delivery."),
    Register(6, "total_amount", Width.U64, _R, "fen", "Amount totaliser; counts along with a delivery."),
)
"""The block of nozzle n of fuelling point k, at 200*k + 100 + 10*(n-1)."""


def base_of_fuelling_point(index: int) -> int:
    """First address of fuelling point ``index`` (1..M of the unit). Raises ValueError outside 1..64."""
    if not 1 <= index <= MAX_FUELLING_POINTS:
        raise ValueError(f"fuelling point {index} is not in 1..{MAX_FUELLING_POINTS}")
    return FUELLING_POINT_STRIDE * index


def base_of_nozzle(index: int, logical_nozzle: int) -> int:
    """First address of a nozzle's block. Raises ValueError outside 1..64 and 1..8."""
    if not 1 <= logical_nozzle <= MAX_NOZZLES:
        raise ValueError(f"logical nozzle {logical_nozzle} is not in 1..{MAX_NOZZLES}")
    return base_of_fuelling_point(index) + NOZZLE_BASE + NOZZLE_STRIDE * (logical_nozzle - 1)
