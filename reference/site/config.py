"""What a site controller is told about its station: one JSON document, checked before anything is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reference.site.gauge.config import GaugeConfig
from reference.site.receipts.feie_config import FeieConfig

__all__ = [
    "BackendConfig",
    "ConfigError",
    "FuellingPointConfig",
    "LineConfig",
    "NozzleConfig",
    "PriceLimits",
    "PrinterConfig",
    "SiteConfig",
    "load_config",
    "parse_config",
    "split_host_port",
]

Grade = Literal["92", "95", "98", "diesel"]
TWO_WIRE_PUMPS = 16
AAFF_GUNS = 32
MAX_DOCUMENT_BYTES = 1 << 20  # a station of 32 fuelling points needs about 10 KB


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the field and what is wrong with it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NozzleConfig(_Part):
    """One nozzle: its number in the station, and its logical number on its fuelling point (1..8)."""

    nozzle: Annotated[int, Field(ge=1, le=999)]
    logical: Annotated[int, Field(ge=1, le=8)] = 1
    grade: Grade
    tank: Annotated[int, Field(ge=1, le=99)] = 1
    price_fen_per_l: Annotated[int, Field(ge=1, le=99_99)]


class FuellingPointConfig(_Part):
    """One fuelling point (one side of a dispenser) and where it answers on its line.

    ``address`` is the IFSF database (0x21..0x24), the DART address (0x50..0x6F), the Modbus unit id (1..247) or the Two-Wire pump (1..16); text such as
    "0x50" is accepted.
    ``block`` is the place of this fuelling point inside its Modbus unit, counted from 1 (unused on DART).
    """

    fuelling_point: Annotated[int, Field(ge=1, le=999)]
    address: Annotated[int, Field(ge=1, le=247)]
    block: Annotated[int, Field(ge=1, le=32)] = 1
    nozzles: Annotated[tuple[NozzleConfig, ...], Field(min_length=1, max_length=8)]

    @field_validator("address", mode="before")
    @classmethod
    def _hexadecimal(cls, value: object) -> object:
        if isinstance(value, str) and value.lower().startswith("0x"):
            return int(value, 16)
        return value

    @model_validator(mode="after")
    def _logical_numbers_differ(self) -> Self:
        logical = [nozzle.logical for nozzle in self.nozzles]
        if len(set(logical)) != len(logical):
            raise ValueError(
                f"fuelling point {self.fuelling_point} has two nozzles with the same logical number"
            )
        return self


class IfsfConfig(_Part):
    """What an IFSF line needs beside its fuelling points. One line is one dispenser node.

    ``udp`` is "address:port" of the heartbeats, by broadcast (3486 is the standard's port); None when another host wires the
    driver itself. ``interface`` is our own address: where the dispenser finds us, and the only network that is dialled.
    """

    udp: str | None = None
    interface: str = "127.0.0.1"
    node: Annotated[int, Field(ge=1, le=127)] = 1
    controller_node: Annotated[int, Field(ge=1, le=127)] = 1
    stand_alone: bool = False
    unpaid_limit: Annotated[int, Field(ge=1, le=255)] = 15

    @field_validator("udp")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            split_host_port(value)
        return value


class LineConfig(_Part):
    """One polled line.

    At most one of ``tcp`` ("host:port") and ``serial`` (a device path) names its far end; neither is given when
    another host wires the driver itself.
    """

    name: str = ""
    protocol: Literal["dart", "modbus", "ifsf", "twowire", "aaff"]
    framing: Literal["tcp", "rtu"] = "tcp"
    echo: bool = False
    """Two-Wire only: the converter gives our own bytes back."""
    digits: Literal[6, 8] = 6
    """Two-Wire only: the digits of the pumps' displays."""
    poll: Literal["long", "short"] = "long"
    """AA FF only: ``short`` for dispensers whose firmware looks at one byte of a poll."""
    tcp: str | None = None
    serial: str | None = None
    baud: Annotated[int, Field(ge=1200, le=1_000_000)] = 9600
    period_us: Annotated[int, Field(ge=10_000, le=10_000_000)] = 250_000
    phase_us: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    missed_polls_offline: Annotated[int, Field(ge=3, le=10)] = 5
    ifsf: IfsfConfig = IfsfConfig()
    fuelling_points: Annotated[tuple[FuellingPointConfig, ...], Field(min_length=1, max_length=32)]

    @model_validator(mode="before")
    @classmethod
    def _usual_pace(cls, value: object) -> object:
        """AA FF lines run at 38400 baud and are polled every 0.8 s unless something else is said."""
        if isinstance(value, dict) and value.get("protocol") == "aaff":
            return {"baud": 38_400, "period_us": 800_000, **value}
        return value

    @model_validator(mode="after")
    def _one_far_end_and_one_pump_per_address(self) -> Self:
        if self.tcp is not None and self.serial is not None:
            raise ValueError("a line has either tcp or serial, not both")
        if self.tcp is not None:
            split_host_port(self.tcp)
        seen: dict[tuple[int, int], int] = {}
        for point in self.fuelling_points:
            place = (point.address, point.block if self.protocol == "modbus" else 0)
            other = seen.setdefault(place, point.fuelling_point)
            if other != point.fuelling_point:
                raise ValueError(
                    f"fuelling points {other} and {point.fuelling_point} share address 0x{point.address:02X}"
                )
            if self.protocol == "dart" and not 0x50 <= point.address <= 0x6F:
                raise ValueError(
                    f"fuelling point {point.fuelling_point}: address 0x{point.address:02X} is not a DART address "
                    f"(0x50..0x6F)"
                )
            if self.protocol == "ifsf" and not 0x21 <= point.address <= 0x24:
                raise ValueError(
                    f"fuelling point {point.fuelling_point}: address 0x{point.address:02X} is no fuelling point of an IFSF "
                    f"node (0x21..0x24)"
                )
            if self.protocol == "aaff" and point.address > AAFF_GUNS:
                raise ValueError(
                    f"fuelling point {point.fuelling_point}: address {point.address} is not an AA FF gun (1..32)"
                )
            if self.protocol == "aaff" and (len(point.nozzles) > 1 or point.nozzles[0].logical != 1):
                raise ValueError(
                    f"fuelling point {point.fuelling_point}: an AA FF gun has one nozzle, with logical number 1"
                )
            if self.protocol == "twowire" and point.address > TWO_WIRE_PUMPS:
                raise ValueError(
                    f"fuelling point {point.fuelling_point}: address {point.address} is not a Two-Wire pump (1..16)"
                )
        return self


class PriceLimits(_Part):
    """Between which unit prices a grade may be sold; the ceiling is the government's maximum retail price, or less."""

    floor_fen_per_l: Annotated[int, Field(ge=1, le=99_99)] = 1
    ceiling_fen_per_l: Annotated[int, Field(ge=1, le=99_99)] = 99_99

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.floor_fen_per_l > self.ceiling_fen_per_l:
            raise ValueError(
                f"the floor ({self.floor_fen_per_l} fen/l) is above the ceiling ({self.ceiling_fen_per_l} fen/l)"
            )
        return self


class PrinterConfig(_Part):
    """The receipt printer: raw TCP, usually port 9100; a serial line; or, with ``feie``, one in Feie's cloud.

    ``confirm`` is how a receipt on paper is proved: ``status`` (GS r, every printer) or ``process-id`` (GS ( H, Epson's kind).
    """

    tcp: str | None = None
    serial: str | None = None
    baud: Annotated[int, Field(ge=1200, le=1_000_000)] = 9600
    feie: FeieConfig | None = None
    columns: Annotated[int, Field(ge=32, le=64)] = 32
    codepage: Literal["gb18030", "gbk", "gb2312"] = "gb18030"
    confirm: Literal["status", "process-id"] = "status"
    queue_limit: Annotated[int, Field(ge=1, le=10_000)] = 200

    @model_validator(mode="after")
    def _one_far_end(self) -> Self:
        if sum(end is not None for end in (self.tcp, self.serial, self.feie)) > 1:
            raise ValueError("a printer has one of tcp, serial and feie")
        return self

    @field_validator("tcp")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            split_host_port(value)
        return value


class BackendConfig(_Part):
    """How the uplink behaves towards the backend. Times in microseconds.

    ``command_wait_us`` plus ``request_timeout_us`` is how long an instance that hangs can hold up commands on an
    otherwise idle station, so together they stay below the 15 s in which another instance must have taken over.
    """

    request_timeout_us: Annotated[int, Field(ge=100_000, le=60_000_000)] = 4_000_000
    retry_first_us: Annotated[int, Field(ge=10_000, le=60_000_000)] = 250_000
    retry_most_us: Annotated[int, Field(ge=10_000, le=60_000_000)] = 5_000_000
    live_gap_us: Annotated[int, Field(ge=50_000, le=1_000_000)] = 500_000
    live_refresh_us: Annotated[int, Field(ge=1_000_000, le=600_000_000)] = 30_000_000
    command_wait_us: Annotated[int, Field(ge=0, le=60_000_000)] = 8_000_000


class SiteConfig(_Part):
    """A whole station as its controller sees it."""

    station: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]
    name: Annotated[str, Field(max_length=100)] = ""
    taxpayer_id: Annotated[str, Field(max_length=20)] = ""
    lift_policy: Literal["authorise", "order_required"] = "authorise"
    offline_policy: Literal["authorise", "deny"] = "authorise"
    authorisation_ttl_us: Annotated[int, Field(ge=1_000_000, le=3_600_000_000)] = 120_000_000
    lines: Annotated[tuple[LineConfig, ...], Field(min_length=1, max_length=32)]
    price_limits: dict[Grade, PriceLimits] = Field(default_factory=dict)
    printer: PrinterConfig | None = None
    gauge: GaugeConfig | None = None
    uplink: BackendConfig = BackendConfig()
    # The next three are used by the real process only; a host in the same process passes them itself.
    backend: tuple[str, ...] = ()
    station_key: Annotated[str, Field(max_length=512)] = ""
    journal: str = "site.sqlite3"

    @model_validator(mode="after")
    def _numbers_are_unique(self) -> Self:
        points = [point.fuelling_point for line in self.lines for point in line.fuelling_points]
        nozzles = [n.nozzle for line in self.lines for point in line.fuelling_points for n in point.nozzles]
        for what, numbers in (("fuelling point", points), ("nozzle", nozzles)):
            twice = sorted({number for number in numbers if numbers.count(number) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]} is named twice in station {self.station}")
        for url in self.backend:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"backend {url!r} is not an http:// or https:// address")
        return self

    @property
    def fuelling_points(self) -> tuple[FuellingPointConfig, ...]:
        """All fuelling points, in the order of the lines."""
        return tuple(point for line in self.lines for point in line.fuelling_points)


def split_host_port(text: str) -> tuple[str, int]:
    """Split "host:port". Raises ValueError when there is no port between 1 and 65535."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError(f"{text!r} is not host:port")
    return host, int(port)


def load_config(path: Path) -> SiteConfig:
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, is not JSON, or does not describe a station.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        document = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    return parse_config(document, origin=str(path))


def parse_config(document: object, *, origin: str = "configuration") -> SiteConfig:
    """Check a decoded JSON document. Raises ConfigError naming the first few wrong fields."""
    try:
        return SiteConfig.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{origin}: {'.'.join(str(step) for step in problem['loc']) or 'document'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        ]
        raise ConfigError("\n".join(lines)) from error
