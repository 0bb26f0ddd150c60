"""What one printer model is: geometry, speed, buffers and habits. All values can be replaced field by field."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final, Literal

__all__ = [
    "CHINESE_58MM",
    "CHINESE_80MM",
    "EPSON_80MM_ETHERNET",
    "EPSON_80MM_SERIAL",
    "PROFILES",
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
        busy_when: the DIP switch: BUSY when the buffer is full, or when the printer is offline as well.
        interface: ``ethernet`` keeps what the buffer cannot take (the TCP window closes), ``serial`` discards it.
        handshake: of a serial interface: ``dtr`` (the host stops), ``xonxoff`` (13 and 11 are sent), or ``none``.
        interface_buffer_bytes: the network board's own buffer.
        reply_buffer_bytes: what the board keeps for a host that does not read; more is lost.
        connections: how many the board holds at a time, the owner included.
        second_connection: what a connection beside the owner's gets: it ``waits`` its turn, or is ``refused``.
        idle_close_us: the board closes a connection on which nothing has passed for so long; 0 never.
        udp_commands: whether the board has the control functions of UDP port 3289.
        realtime_when_busy: ``always`` real-time commands are obeyed on arrival at the interface; ``serial`` on arrival in the
            receive buffer; ``ethernet_forced_only`` the board passes nothing while the printer is BUSY or offline
            unless `Printer.forced_transmission` is on.
        reply_coalesce_us: replies wait this long, so that several leave in one segment (0: at once).
        roll_mm: length of a new roll.
        near_end_mm: paper left when the near-end sensor reports; 0 is a printer without that sensor.
        cool_down_us: how long an overheated head takes.
        start_up_us: time from power-on to online.
        cover_open_line: what becomes of the line that was printing when the cover was opened.
        cutter: whether there is one; without it a cut command only feeds, and the receipt still ends there.
        board_symbols: whether it knows GS Z and ESC Z, the QR commands of Chinese boards.
        buzzer: whether ESC B and ESC ( A are heard.
        recoverable_bit: newer models set bit 2 of the error byte as well, for every error that DLE ENQ clears.
        model_id, rom_id: answers to GS I 1 and 3; 2 tells of the cutter and the Chinese font.
        maker, model: answers to GS I 66 and 67.
        asb_at_power_on: GS a value in force after power-on (some network boards set FF).
        asb_last_byte: fourth byte of an automatic status, reserved: 00, or 0F on some.

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
    busy_when: Literal["full", "full or offline"] = "full"
    interface: Literal["ethernet", "serial"] = "ethernet"
    handshake: Literal["dtr", "xonxoff", "none"] = "dtr"
    interface_buffer_bytes: int = 16_384
    reply_buffer_bytes: int = 512
    connections: int = 3
    second_connection: Literal["waits", "refused"] = "waits"
    idle_close_us: int = 0
    udp_commands: bool = False
    realtime_when_busy: Literal["always", "serial", "ethernet_forced_only"] = "always"
    reply_coalesce_us: int = 0
    roll_mm: int = 50_000
    near_end_mm: int = 1_500
    cool_down_us: int = 20_000_000
    start_up_us: int = 1_500_000
    cover_open_line: Literal["reprinted", "lost"] = "reprinted"
    cutter: bool = True
    board_symbols: bool = True
    buzzer: bool = True
    recoverable_bit: bool = False
    model_id: int = 0x20
    rom_id: int = 0x01
    maker: str = "FORECOURT"
    model: str = "SIM-80"
    asb_at_power_on: int = 0
    asb_last_byte: int = 0

    def __post_init__(self) -> None:
        positive = (
            "width_dots",
            "dot_um",
            "speed_mm_s",
            "line_spacing_dots",
            "roll_mm",
            "interface_buffer_bytes",
            "connections",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"printer profile {self.name!r}: {name} must be above 0, not {getattr(self, name)}"
                )
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int) and value < 0:
                raise ValueError(f"printer profile {self.name!r}: {one.name} is not below 0, but {value}")
        if self.width_dots < 12 * 16:
            raise ValueError(
                f"printer profile {self.name!r}: width_dots is at least 192 (16 columns), not {self.width_dots}"
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
    # Bit 0: two-byte characters, bit 1: cutter.
    type_id = (profile.chinese is not None) | profile.cutter << 1
    numbers = {1: profile.model_id, 2: type_id, 3: profile.rom_id}
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

_CHINESE_80MM_OLD: Final = PrinterProfile(
    "chinese-80mm-gb2312",
    chinese="gb2312",
    connections=1,
    second_connection="refused",
    reply_coalesce_us=20_000,
    asb_last_byte=0x0F,
    speed_mm_s=200,
    receive_buffer_bytes=65_536,
    model="SIM-80B",
)
"""A board that knows GB2312 only, takes one connection, gathers its replies, and fills the reserved status byte. That cheap
boards do some of this is general knowledge, not from a manual."""

_CHINESE_58MM_SERIAL: Final = PrinterProfile(
    "chinese-58mm-serial",
    width_dots=384,
    speed_mm_s=70,
    cutter=False,
    buzzer=False,
    interface="serial",
    handshake="xonxoff",
    realtime_when_busy="serial",
    near_end_mm=0,
    model="SIM-58S",
)
"""The 58 mm printer inside a pump or a kiosk: a serial line with XON/XOFF, no cutter, no near-end sensor."""

EPSON_80MM_ETHERNET: Final = PrinterProfile(
    "epson-80mm-ethernet",
    chinese=None,
    chinese_on=False,
    board_symbols=False,
    realtime_when_busy="ethernet_forced_only",
    busy_when="full or offline",
    idle_close_us=300_000_000,
    udp_commands=True,
    recoverable_bit=True,
    model_id=0x63,
    maker="EPSON",
    model="TM-T20III",
    asb_at_power_on=0xFF,
)
"""No Chinese font; the network board holds back everything, status requests too, while the printer is busy (UB-E02). The board
has switched automatic status on; ESC @ in a job switches it off."""

EPSON_80MM_SERIAL: Final = PrinterProfile(
    "epson-80mm-serial",
    width_dots=512,
    dot_um=141,
    board_symbols=False,
    chinese=None,
    chinese_on=False,
    interface="serial",
    realtime_when_busy="serial",
    maker="EPSON",
    model="TM-T88III",
)
"""TM-T88III on a serial line: 150 mm/s, 4 KB buffer, 180 dpi, 42 columns; overflow is lost."""

_EPSON_45_BYTES: Final = replace(
    EPSON_80MM_SERIAL,
    name="epson-80mm-serial-45",
    receive_buffer_bytes=45,
    busy_left_bytes=16,
    ready_left_bytes=26,
    busy_when="full or offline",
    handshake="xonxoff",
)
"""The same with its DIP switches at a buffer of 45 bytes, BUSY while offline, XON/XOFF."""

PROFILES: Final = {
    profile.name: profile
    for profile in (
        CHINESE_80MM,
        CHINESE_58MM,
        _CHINESE_80MM_OLD,
        _CHINESE_58MM_SERIAL,
        EPSON_80MM_ETHERNET,
        EPSON_80MM_SERIAL,
        _EPSON_45_BYTES,
    )
}
"""All models, by name."""
