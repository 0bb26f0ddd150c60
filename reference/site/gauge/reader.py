"""The gauge reader: polls a Veeder-Root TLS console, and tells what it read, or that nobody answers.

A machine (`protocols.sansio.Machine`) for one point-to-point line, TCP or serial. It checks every checksum, starts afresh at
each SOH, asks again once after ESC, and takes silence for silence: what it knew keeps its age and never turns into zero.
Source: Veeder-Root 576013-635 rev. U (functions 101, 201, 202, 205, 517); readings as old as a minute at most are a
requirement (TANK-01).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.sansio import NEED_DATA, Outgoing, RemoteProtocolError
from protocols.tls import (
    ESC,
    BadReply,
    ComputerReply,
    Inventory,
    NotUnderstood,
    ReplyReader,
    TankDeliveries,
    command,
    read_active_alarms,
    read_deliveries,
    read_inventory,
    read_status,
)
from reference.site.gauge.config import GaugeConfig

__all__ = ["GaugeEvent", "GaugeRead", "GaugeReader", "GaugeSilent", "TankReading"]

_UNITS: Final = {
    "1": (3_785.411784, 25_400.0, True),
    "2": (1_000.0, 1_000.0, False),
    "3": (4_546.09, 25_400.0, True),
}
"""By the first figure of function 517: ml in a volume, um in a length, whether degrees are Fahrenheit's."""

_DELIVERIES_EVERY: Final = 10
_UNITS_EVERY: Final = 60
_HOTTEST_MDEG: Final = 100_000
_COLDEST_MDEG: Final = -60_000
_MOST_ML: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TankReading:
    """One tank as the console told it; None where it told nothing that can be true.

    Attributes:
        gauge_tank: its number at the gauge.
        status: bit 0 delivery, bit 1 leak test, bit 2 invalid height.
        alarms: numbers of function 205 (category 02), rising.
    """

    gauge_tank: int
    product_code: str
    status: int | None
    volume_ml: int | None
    corrected_ml: int | None
    ullage_ml: int | None
    height_um: int | None
    water_um: int | None
    water_ml: int | None
    temperature_mdeg: int | None
    alarms: tuple[int, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether the volume says how much there is."""
        return self.volume_ml is not None and self.status is not None and not self.status & 4


@dataclass(frozen=True, slots=True)
class GaugeRead:
    """A round of polls has come to its end. ``at_us`` is the machine's clock when the inventory came."""

    at_us: int
    tanks: tuple[TankReading, ...]
    system_alarms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeSilent:
    """Nobody answers (or nothing sound comes); ``since_us`` is when the last good inventory came, or None."""

    at_us: int
    since_us: int | None


GaugeEvent = GaugeRead | GaugeSilent


class GaugeReader:
    """The host's end of the gauge's line.

    Args:
        config: see `GaugeConfig`.

    Attributes:
        listener: receives every `GaugeEvent`.
        on_inventory: called the moment an inventory has come, before the round is over.
        latest: the last round of readings, whatever has happened since.
        deliveries: what the console reports of deliveries (function 202).
        silent: whether nobody answers.
        bad_replies, strays, timeouts: counted for the status page.
    """

    def __init__(self, config: GaugeConfig) -> None:
        self.config = config
        self.on_wake: Callable[[], None] | None = None
        self.listener: Callable[[GaugeEvent], None] = _ignore
        self.on_inventory: Callable[[], None] | None = None
        self.latest: GaugeRead | None = None
        self.deliveries: tuple[TankDeliveries, ...] = ()
        self.silent = False
        self.bad_replies = 0
        self.strays = 0
        self.timeouts = 0
        self._units = _UNITS[config.units_number] if config.units_number else None
        self._replies = ReplyReader()
        self._out: list[bytes] = []
        self._todo: list[str] = []
        self._asked: str | None = None
        self._tries = 0
        self._timeout_us: int | None = None
        self._round_us: int = config.phase_us
        self._round = 0
        self._failures = 0
        self._unknown: set[str] = set()
        self._inventory: tuple[int, tuple[Inventory, ...]] | None = None
        self._alarms: dict[int, tuple[int, ...]] = {}
        self._system: tuple[int, ...] = ()

    # --- the machine ----------------------------------------------------------------------------------------------

    def connection_made(self, now_us: int) -> None:
        """From a host with connections: the console is there; what was asked before is asked again."""
        self._replies.reset()
        if self._asked is not None:
            self._say(self._asked, now_us)

    def connection_lost(self, now_us: int) -> None:
        """From a host with connections: what was half received will never be whole."""
        del now_us
        self._replies.reset()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._replies.receive_data(data)
        while (event := self._replies.next_event()) is not NEED_DATA:
            if isinstance(event, ComputerReply):
                self._on_reply(event, now_us)
            elif isinstance(event, NotUnderstood):
                self._on_unknown(now_us)
            elif isinstance(event, BadReply):
                self.bad_replies += 1
                self._again(now_us)
            else:
                self.strays += 1  # somebody else's report in display format

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        del now_us
        out, self._out = self._out, []
        return [Outgoing(data) for data in out]

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        return self._round_us if self._timeout_us is None else min(self._timeout_us, self._round_us)

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if self._timeout_us is not None and self._timeout_us <= now_us:
            self.timeouts += 1
            self._again(now_us)
        if self._round_us <= now_us:
            if self._asked is not None or self._todo:
                self._give_up(now_us)
            self._round_us = now_us + self.config.period_us
            self._begin(now_us)

    # --- a round of polls -----------------------------------------------------------------------------------------

    def _begin(self, now_us: int) -> None:
        wanted = ["i201", "i205", "i101"]
        if self._units is None or (self._round % _UNITS_EVERY == 0 and not self.config.units_number):
            wanted.insert(0, "i517")
        if self._round % _DELIVERIES_EVERY == 0:
            wanted.append("i202")
        self._todo = [function for function in wanted if function not in self._unknown]
        self._round += 1
        self._inventory = None
        self._next(now_us)

    def _next(self, now_us: int) -> None:
        self._asked, self._timeout_us = None, None
        if self._todo:
            self._tries = 0
            self._say(self._todo.pop(0), now_us)
        elif self._inventory is not None:
            self._finish()

    def _say(self, function: str, now_us: int) -> None:
        self._asked = function
        self._tries += 1
        self._timeout_us = now_us + self.config.timeout_us
        self._out.append(command(function, 0, security_code=self.config.security_code))

    def _again(self, now_us: int) -> None:
        """What was asked has not been answered well: once more, after ESC has stopped whatever is still coming."""
        asked = self._asked
        if asked is None:
            return
        if self._tries < self.config.tries:
            self._replies.reset()
            self._out.append(bytes([ESC]))
            self._say(asked, now_us)
        else:
            self._give_up(now_us)

    def _give_up(self, now_us: int) -> None:
        """The round is lost; if the inventory had come, it still counts."""
        self._todo.clear()
        self._asked, self._timeout_us = None, None
        if self._inventory is not None:
            self._finish()
            return
        self._failures += 1
        if self._failures >= self.config.silent_after and not self.silent:
            self.silent = True
            self.listener(GaugeSilent(now_us, None if self.latest is None else self.latest.at_us))

    def _finish(self) -> None:
        assert self._inventory is not None  # noqa: S101 - the callers have looked
        at_us, rows = self._inventory
        self._inventory = None
        self._failures = 0
        self.silent = False
        self.latest = GaugeRead(at_us, tuple(self._reading(row) for row in rows), self._system)
        self.listener(self.latest)

    # --- replies ----------------------------------------------------------------------------------------------------

    def _on_unknown(self, now_us: int) -> None:
        asked = self._asked
        if asked is None:
            self.strays += 1
            return
        if asked == "i201":
            self._give_up(now_us)  # no gauge of this kind is without it: the command was garbled
            return
        self._unknown.add(asked)
        if asked == "i517":
            self._units = _UNITS["2"]
        self._next(now_us)

    def _on_reply(self, reply: ComputerReply, now_us: int) -> None:
        if self._asked is None or reply.code != f"{self._asked}00":
            self.strays += 1  # a late answer to something that was asked again, or another host's
            return
        try:
            self._take(self._asked, reply.data, now_us)
        except RemoteProtocolError:
            self.bad_replies += 1
            self._again(now_us)
            return
        self._next(now_us)

    def _take(self, asked: str, data: str, now_us: int) -> None:
        if asked == "i517":
            if data[:1] not in _UNITS:
                raise RemoteProtocolError(f"unknown units {data[:1]!r}")
            self._units = _UNITS[data[:1]]
        elif asked == "i201":
            self._inventory = (now_us, read_inventory(data))
            if self.on_inventory is not None:
                self.on_inventory()
        elif asked == "i205":
            self._alarms = {row.tank: row.alarms for row in read_status(data)}
        elif asked == "i101":
            self._system = tuple(alarm.kind for alarm in read_active_alarms(data) if alarm.category == 1)
        else:
            self.deliveries = read_deliveries(data)

    def _reading(self, row: Inventory) -> TankReading:
        ml, um, _ = self._units or _UNITS["2"]
        return TankReading(
            row.tank,
            row.product,
            row.status,
            _bounded(row.volume, ml, _MOST_ML),
            _bounded(row.tc_volume, ml, _MOST_ML),
            _bounded(row.ullage, ml, _MOST_ML),
            _bounded(row.height, um, 100_000_000),
            _bounded(row.water, um, 100_000_000),
            _bounded(row.water_volume, ml, _MOST_ML),
            self._degrees(row.temperature),
            self._alarms.get(row.tank, ()),
        )

    def _degrees(self, value: float | None) -> int | None:
        if value is None or abs(value) > 1_000:
            return None
        is_fahrenheit = (self._units or _UNITS["2"])[2]
        mdeg = round((value - 32) / 1.8 * 1_000 if is_fahrenheit else value * 1_000)
        return mdeg if _COLDEST_MDEG <= mdeg <= _HOTTEST_MDEG else None


def _bounded(value: float | None, factor: float, most: int) -> int | None:
    """A figure in whole units, or None when it cannot be true. A hair below nothing is nothing."""
    if value is None or abs(value) > most:
        return None
    scaled = round(value * factor)
    if -1_000 <= scaled < 0:
        return 0
    return scaled if 0 <= scaled <= most else None


def _ignore(event: GaugeEvent) -> None:
    """Until somebody listens."""
