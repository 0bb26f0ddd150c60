"""``forecourt device``: one simulated device on one wire, with its control API and a live line, until Ctrl-C."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import typer
from pydantic import ValidationError

from forecourt.exit_codes import exit_codes
from forecourt.guard import BadInput
from scenarios.model import Line

if TYPE_CHECKING:
    from scenarios.world.device import WirePlace

__all__ = ["device_app"]

_PROTOCOLS: Final = tuple(get_args(Line.model_fields["protocol"].annotation))
_GRADE_PRICE: Final = re.compile(r"(?P<grade>[a-z0-9]+)(?:=(?P<yuan>\d{1,3})(?:\.(?P<fen>\d{1,2}))?)?")
_PRICES_FEN_PER_L: Final = {"92": 760, "95": 812, "98": 931, "diesel": 730}
"""Unit prices where none is given: of the order of Yunnan's list prices of early 2026 (assumed)."""

_CHARACTERS: Final = re.compile("[78][NOE][12]")

_UNITS: Final = {"us": 1, "metric": 2, "imperial": 3}

_WORD: Final = "token"
"""What a loudspeaker's HTTP interface asks for where nothing else is said."""

_CODES: Final = exit_codes(
    "stopped by Ctrl-C, SIGTERM or SIGHUP", usage="a port in use", broken="it broke down", stays=True
)

device_app = typer.Typer(
    help="Put one simulated device on one wire and watch it; Ctrl-C ends it.",
    no_args_is_help=True,
    epilog=_CODES,
)

Tcp = Annotated[
    str | None,
    typer.Option("--tcp", metavar="HOST:PORT", help="Listen here; port 0 is any free one. The default wire."),
]
Pty = Annotated[bool, typer.Option("--pty", help="Make a pseudo-terminal and say its path.")]
Serial = Annotated[Path | None, typer.Option("--serial", metavar="PATH", help="Open a serial device.")]
Baud = Annotated[int, typer.Option(min=1200, max=1_000_000, help="Speed of a serial wire.")]
Characters = Annotated[
    str | None,
    typer.Option(
        "--characters",
        metavar="8N1",
        help="Data bits (7, 8), parity (N, O, E) and stop bits (1, 2) of a serial wire, where it is set up otherwise "
        "than the protocol's lines usually are.",
    ),
]
ControlPort = Annotated[
    int, typer.Option(min=0, max=65_535, help="Port of the control API; 0 is any free one.")
]
CaptureFile = Annotated[
    Path | None,
    typer.Option(
        "--capture",
        metavar="FILE",
        help="Write every byte of the wire here at the end (.fcap), and on TCP a .pcapng beside it.",
    ),
]


@device_app.command(epilog=_CODES)
def dispenser(
    protocol: Annotated[str, typer.Option(help=f"What it speaks: {', '.join(_PROTOCOLS)}.")] = "dart",
    tcp: Tcp = None,
    pty: Pty = False,
    serial: Serial = None,
    baud: Baud = 9600,
    characters: Characters = None,
    rtu: Annotated[
        bool, typer.Option("--rtu", help="Modbus RTU frames on TCP too, as behind a serial server.")
    ] = False,
    points: Annotated[int, typer.Option(min=1, max=32, help="How many fuelling points it has.")] = 1,
    grades: Annotated[
        str,
        typer.Option(
            metavar="GRADE[=YUAN],...", help="A nozzle for each, on each fuelling point: 92=7.60,95=8.12."
        ),
    ] = "92,95",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Line address of fuelling point 1 (0x50 on DART, 0x21 on IFSF, else 1); the others follow.",
        ),
    ] = None,
    register_map: Annotated[
        str,
        typer.Option(
            "--map",
            metavar="MAP[:KEY=VALUE,...]",
            help="Modbus registers: own, or cng (a CNG dispenser of one hose) with what its source leaves open: "
            "cng:first-address=1,words=low,functions=3,gaps=zero,keeps-lock=yes.",
        ),
    ] = "own",
    control_port: ControlPort = 0,
    capture: CaptureFile = None,
) -> None:
    """A dispenser: drive it with your controller, lift and squeeze its nozzles through the control API."""
    from forecourt.attend import attend
    from forecourt.foreign_maps import CNG_PRICE, read_cng
    from scenarios.world.device import DeviceOnWire
    from scenarios.world.lone_dispenser import dispenser_station

    place = _place(tcp, pty=pty, serial=serial, characters=characters)
    if protocol not in _PROTOCOLS:
        raise BadInput(f"--protocol {protocol!r}: there are {', '.join(_PROTOCOLS)}")
    if rtu and protocol != "modbus":
        raise BadInput("--rtu is for --protocol modbus")
    if protocol == "ifsf" and (place.kind, place.host) != ("tcp", "127.0.0.1"):
        raise BadInput(
            "--protocol ifsf is a network node on the loopback network: --tcp 127.0.0.1:3486, with the port of its heartbeats"
        )
    modbus_tcp = protocol == "modbus" and place.kind == "tcp" and not rtu
    own = register_map == "own"
    if not own and protocol != "modbus":
        raise BadInput("--map is for --protocol modbus")
    cng = None if own else read_cng(register_map)
    if cng is not None:
        if points != 1:
            raise BadInput("--map cng: such a dispenser has one hose, so --points 1")
        grades = CNG_PRICE
    # On Modbus TCP all fuelling points are one unit; on a serial line each is a unit of its own.
    one_unit = modbus_tcp and own and points > 1
    framing: Literal["tcp", "serial"] = (
        "tcp" if protocol == "ifsf" or (modbus_tcp and not one_unit) else "serial"
    )
    try:
        station = dispenser_station(
            protocol,
            points=points,
            prices_fen_per_l=_prices(grades),
            first_address=_address(address),
            baud=baud,
            framing=framing,
        )
    except ValidationError as error:
        raise BadInput(_said(error.errors()[0])) from None  # what follows the first is its consequence
    device = DeviceOnWire.dispenser(
        station,
        place,
        one_unit=one_unit,
        foreign_map=None if cng is None else cng.personality(is_tcp=modbus_tcp, baud=baud),
        control_port=control_port,
        keep_capture=capture is not None,
    )
    attend(device, capture)


@device_app.command(epilog=_CODES)
def printer(
    model: Annotated[
        str,
        typer.Option(
            help="generic-58mm, generic-80mm (the printers of the scenarios), or a model of docs/printer.md."
        ),
    ] = "generic-58mm",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another value for a property of the model: speed_mm_s=250; again for each.",
        ),
    ] = None,
    tcp: Tcp = None,
    pty: Pty = False,
    serial: Serial = None,
    baud: Baud = 9600,
    characters: Characters = None,
    udp_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of an Epson board's control datagrams, by custom 3289; 0 is any."
        ),
    ] = None,
    control_port: ControlPort = 0,
    capture: CaptureFile = None,
) -> None:
    """A receipt printer (ESC/POS): print on it, take away its paper, look at its receipts as PNG."""
    from forecourt.attend import attend
    from forecourt.printer_models import printer_profile
    from scenarios.world.device import DeviceOnWire

    place = _place(tcp, pty=pty, serial=serial, characters=characters)
    profile = printer_profile(model, settings or [])
    if udp_port is not None and (place.kind != "tcp" or not profile.udp_commands):
        raise BadInput(f"--udp-port: only a board on TCP has one, and {profile.name} does not (udp_commands)")
    device = DeviceOnWire.receipt_printer(
        profile,
        place,
        baud=baud,
        udp_port=udp_port,
        control_port=control_port,
        keep_capture=capture is not None,
    )
    attend(device, capture)


@device_app.command(epilog=_CODES)
def gauge(
    grades: Annotated[
        str, typer.Option(metavar="GRADE,...", help="A tank of 30,000 L for each, half full.")
    ] = "92,95,98,diesel",
    units: Annotated[
        Literal["us", "metric", "imperial"],
        typer.Option(help="Units of its reports; function 517 changes them."),
    ] = "metric",
    security_code: Annotated[
        str, typer.Option(metavar="CODE", help="Six characters that each command must begin with.")
    ] = "",
    tcp: Tcp = None,
    pty: Pty = False,
    serial: Serial = None,
    baud: Baud = 9600,
    characters: Characters = None,
    control_port: ControlPort = 0,
    capture: CaptureFile = None,
) -> None:
    """A tank gauge (Veeder-Root TLS): read it, and fill, drain and wet its tanks through the control API."""
    from forecourt.attend import attend
    from scenarios.world.device import DeviceOnWire
    from scenarios.world.gauge_control import StandingGauge
    from sim.gauge import UNITS

    place = _place(tcp, pty=pty, serial=serial, characters=characters, is_ascii=True)
    names = [part.strip() for part in grades.split(",")]
    for name in names:
        if name not in _PRICES_FEN_PER_L:
            raise BadInput(f"--grades: {name!r} is none of {', '.join(_PRICES_FEN_PER_L)}")
    if not 1 <= len(names) <= 16:
        raise BadInput("--grades: a gauge has one to 16 tanks")
    if security_code and not re.fullmatch(r"[!-~]{6}", security_code):
        raise BadInput("--security-code: six printable characters")

    def make(clock_us: Callable[[], int]) -> StandingGauge:
        grade_of = dict(enumerate(names, start=1))
        return StandingGauge(grade_of, clock_us, units=UNITS[_UNITS[units]], security_code=security_code)

    device = DeviceOnWire.tank_gauge(
        make, place, baud=baud, control_port=control_port, keep_capture=capture is not None
    )
    attend(device, capture)


@device_app.command(epilog=_CODES)
def meter(
    profile: Annotated[
        Literal["micro-motion", "endress-hauser"], typer.Option(help="Whose registers it has.")
    ] = "micro-motion",
    unit: Annotated[int, typer.Option(min=1, max=247, help="Its Modbus unit.")] = 1,
    tcp: Tcp = None,
    pty: Pty = False,
    serial: Serial = None,
    baud: Baud = 9600,
    characters: Characters = None,
    control_port: ControlPort = 0,
    capture: CaptureFile = None,
) -> None:
    """A Coriolis mass meter (Modbus RTU): what a gas dispenser's own board reads; the control API opens the flow."""
    from forecourt.attend import attend
    from protocols.modbus.maps import PROFILES
    from scenarios.world.device import DeviceOnWire
    from scenarios.world.meter_control import StandingMeter

    def make(clock_us: Callable[[], int]) -> StandingMeter:
        return StandingMeter(PROFILES[profile], clock_us, unit_id=unit, baud=baud)

    device = DeviceOnWire.meter_on_line(
        make,
        _place(tcp, pty=pty, serial=serial, characters=characters),
        baud=baud,
        control_port=control_port,
        keep_capture=capture is not None,
    )
    attend(device, capture)


@device_app.command(epilog=_CODES)
def loudspeaker(
    tcp: Tcp = None,
    token: Annotated[str, typer.Option(help="Who may speak through the HTTP interface.")] = _WORD,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Listen to this broker instead: mqtt://[user:password@]host[:port]."
        ),
    ] = None,
    topic: Annotated[
        str, typer.Option(help="Where it listens there; {box} stands for its number.")
    ] = "/sub/topic/money/{box}",
    box: Annotated[str, typer.Option(help="Its serial number or IMEI.")] = "860000000000017",
    clips: Annotated[
        Literal["station", "mqlinks"], typer.Option(help="The clips that it holds.")
    ] = "station",
    control_port: ControlPort = 0,
) -> None:
    """A payment loudspeaker: tell it of payments over MQTT or its maker's HTTP interface, and hear what it says."""
    from forecourt.attend import attend
    from protocols.loudspeaker import BANKS
    from scenarios.world.speaker_device import SpeakerDevice
    from sim.loudspeaker import BoxProfile

    if mqtt is not None and tcp is not None:
        raise BadInput("--tcp is where its HTTP interface listens; with --mqtt it has none")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", box):
        raise BadInput(f"--box {box!r}: up to 32 letters, digits, - and _")
    if re.search(r"[#+\x00]", topic) or not topic:
        raise BadInput(f"--topic {topic!r}: a topic without wildcards")
    try:
        device = SpeakerDevice(
            _place(tcp, pty=False, serial=None),
            box=box,
            token=token,
            mqtt=mqtt,
            topic=topic,
            profile=BoxProfile(bank=BANKS[clips]),
            control_port=control_port,
        )
    except ValueError as error:
        raise BadInput(f"--mqtt: {error}") from None
    attend(device, None)


def _place(
    tcp: str | None,
    *,
    pty: bool,
    serial: Path | None,
    characters: str | None = None,
    is_ascii: bool = False,
) -> WirePlace:
    from scenarios.world.device import WirePlace

    if (tcp is not None) + pty + (serial is not None) > 1:
        raise BadInput("give one of --tcp, --pty and --serial")
    if characters is not None and not _CHARACTERS.fullmatch(characters):
        raise BadInput(
            f"--characters {characters!r}: data bits, parity and stop bits, for example 8N1 or 7O1"
        )
    if characters is not None and characters[0] == "7" and not is_ascii:
        raise BadInput("--characters: this device's bytes have 8 bits; 7 are for the gauge's text")
    if characters is not None and not pty and serial is None:
        raise BadInput("--characters is for --pty and --serial")
    if pty:
        return WirePlace("pty", characters=characters)
    if serial is not None:
        return WirePlace("serial", path=serial, characters=characters)
    host, colon, port = (tcp or "127.0.0.1:0").rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise BadInput(f"--tcp {tcp!r}: expected HOST:PORT, for example 127.0.0.1:5001 or [::1]:5001")
    return WirePlace("tcp", host.removeprefix("[").removesuffix("]"), int(port))


def _address(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 0)
    except ValueError:
        raise BadInput(f"--address {text!r}: expected a number, for example 80 or 0x50") from None


def _prices(text: str) -> dict[str, int]:
    prices: dict[str, int] = {}
    for part in text.split(","):
        found = _GRADE_PRICE.fullmatch(part.strip())
        grade = found["grade"] if found is not None else ""
        if found is None or grade not in _PRICES_FEN_PER_L:
            raise BadInput(
                f"--grades: {part!r} is none of {', '.join(_PRICES_FEN_PER_L)}, with or without =YUAN"
            )
        if grade in prices:
            raise BadInput(f"--grades: {grade} is there twice")
        prices[grade] = _PRICES_FEN_PER_L[grade]
        if found["yuan"] is not None:
            prices[grade] = int(found["yuan"]) * 100 + int((found["fen"] or "0").ljust(2, "0"))
    return prices


def _said(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
