"""What one printer model is: geometry, speed, buffers and habits. All values can be replaced field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "CHINESE_58MM",
    "CHINESE_80MM",
    "EPSON_80MM_ETHERNET",
    "EPSON_80MM_SERIAL",
    "PrinterProfile",
    "identity",
]


@dataclass(frozen=True, slots=True)
class PrinterProfile:
    """A printer model.

    Attributes:
        name: shown in reports.
        width_dots: printable dots in a line (576 for 80 mm at 203 dpi, 512 at 180 dpi, 384 for 58 mm).
        dot_um: height of a dot in micrometres, also the vertical motion unit.
        speed_mm_s: paper speed while printing and feeding.
        cut_us: duration of a cut.
        head_to_cutter_mm: paper between the print head and the cutter.
        line_spacing_dots: default line spacing (ESC 2).
        chinese: None, ``gb18030`` (leads from 81) or ``gb2312`` (leads from A1): the character set of Chinese mode.
        chinese_on: whether Chinese mode is on after power-on and ESC @.
        receive_buffer_bytes, busy_left_bytes, ready_left_bytes: buffer size; BUSY when this little is left; ready again at.
        interface: ``ethernet`` keeps what the buffer cannot take (the TCP window closes), ``serial`` discards it.
        interface_buffer_bytes: the network board's own buffer.
        realtime_when_busy: ``always`` real-time commands are obeyed on arrival at the interface; ``serial`` on arrival in the
            receive buffer; ``ethernet_forced_only`` the board passes nothing while the printer is BUSY or offline
            unless `Printer.forced_transmission` is on.
        reply_coalesce_us: replies wait this long, so that several leave in one segment (0: at once).
        roll_mm: length of a new roll.
        near_end_mm: paper left when the near-end sensor reports.
        start_up_us: time from power-on to online.
        cover_open_line: what becomes of the line that was printing when the cover was opened.
        cutter: whether there is one; without it a cut command only feeds, and the receipt still ends there.
        model_id, type_id, rom_id: answers to GS I 1, 2, 3.
        maker, model: answers to GS I 66 and 67.
        asb_at_power_on: GS a value in force after power-on (some network boards set FF).

    Raises:
        ValueError: a size, speed or buffer that cannot be.
    """

    name: str
    width_dots: int = 576
    dot_um: int = 125
    speed_mm_s: int = 150
    cut_us: int = 350_000
    head_to_cutter_mm: int = 15
    line_spacing_dots: int = 30
    chinese: Literal["gb18030", "gb2312"] | None = "gb18030"
    chinese_on: bool = True
    receive_buffer_bytes: int = 4096
    busy_left_bytes: int = 128
    ready_left_bytes: int = 256
    interface: Literal["ethernet", "serial"] = "ethernet"
    interface_buffer_bytes: int = 16_384
    realtime_when_busy: Literal["always", "serial", "ethernet_forced_only"] = "always"
    reply_coalesce_us: int = 0
    roll_mm: int = 50_000
    near_end_mm: int = 1_500
    start_up_us: int = 1_500_000
    cover_open_line: Literal["reprinted", "lost"] = "reprinted"
    cutter: bool = True
    model_id: int = 0x20
    type_id: int = 0x02
    rom_id: int = 0x01
    maker: str = "FORECOURT"
    model: str = "SIM-80"
    asb_at_power_on: int = 0

    def __post_init__(self) -> None:
        positive = (
            "width_dots",
            "dot_um",
            "speed_mm_s",
            "line_spacing_dots",
            "roll_mm",
            "interface_buffer_bytes",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"printer profile {self.name!r}: {name} must be above 0, not {getattr(self, name)}"
                )
        if not 0 <= self.busy_left_bytes < self.ready_left_bytes < self.receive_buffer_bytes:
            raise ValueError(
                f"printer profile {self.name!r}: busy_left_bytes < ready_left_bytes < receive_buffer_bytes does not hold"
            )

    @property
    def columns(self) -> int:
        """Columns of font A (12 dots wide)."""
        return self.width_dots // 12

    def feed_us(self, dots: int) -> int:
        """Time to move the paper by ``dots``, microseconds, rounded up."""
        return -(-dots * self.dot_um * 1000 // self.speed_mm_s)


def identity(profile: PrinterProfile, n: int) -> bytes | None:
    """The answer to GS I ``n``: one byte for 1..3 (or 49..51), ``5F`` text ``00`` for 65..69; None for anything else."""
    numbers = {1: profile.model_id, 2: profile.type_id, 3: profile.rom_id}
    texts = {65: "1.00 FC", 66: profile.maker, 67: profile.model, 68: "0001", 69: profile.chinese or ""}
    number = numbers.get(n - 48 if n >= 49 else n)
    if number is not None:
        return bytes((number,))
    return b"\x5f" + texts[n].encode("ascii", "replace") + b"\0" if n in texts else None


CHINESE_80MM: Final = PrinterProfile("chinese-80mm")
"""80 mm network printer with a GB18030 font, as sold for stations: Chinese mode on, real-time commands always obeyed."""

CHINESE_58MM: Final = PrinterProfile(
    "chinese-58mm", width_dots=384, speed_mm_s=70, cutter=False, model="SIM-58"
)
"""58 mm printer without a cutter: 32 columns, 50-90 mm/s."""

EPSON_80MM_ETHERNET: Final = PrinterProfile(
    "epson-80mm-ethernet",
    chinese=None,
    chinese_on=False,
    realtime_when_busy="ethernet_forced_only",
    model_id=0x63,
    maker="EPSON",
    model="TM-T20III",
)
"""No Chinese font; the network board holds back everything, status requests too, while the printer is busy (UB-E02)."""

EPSON_80MM_SERIAL: Final = PrinterProfile(
    "epson-80mm-serial",
    width_dots=512,
    dot_um=141,
    chinese=None,
    chinese_on=False,
    interface="serial",
    realtime_when_busy="serial",
    maker="EPSON",
    model="TM-T88III",
)
"""TM-T88III on a serial line: 150 mm/s, 4 KB buffer, 180 dpi, 42 columns; overflow is lost."""
