"""A Coriolis mass meter as it sits inside an LNG or CNG dispenser: what the dispenser's own board reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from protocols.modbus import ExceptionCode, Framing, Refusal
from protocols.modbus.maps import (
    DIRECT,
    MICRO_MOTION,
    SCAN_SLOTS,
    CoriolisProfile,
    FieldBank,
    MapParameters,
    MapServer,
    Quantity,
)
from protocols.sansio import Outgoing

from .fuelling_point import FuellingPoint

__all__ = ["CoriolisMeter", "FlowThrough", "MassFlow", "StandingFlow"]

_US_PER_MIN: Final = 60_000_000


class MassFlow(Protocol):
    """What flows through a meter."""

    def flow_g_per_min(self, now_us: int) -> int:
        """Mass flow."""

    def mass_g(self, now_us: int) -> int:
        """Everything that ever flowed through; never falls."""


class StandingFlow:
    """A flow that somebody sets by hand; constant until it is set again."""

    def __init__(self) -> None:
        self._g_per_min = 0
        self._since_us = 0
        self._before_ug = 0

    def set(self, g_per_min: int, now_us: int) -> None:
        """Flow so much from now on. Raises ValueError for a negative flow."""
        if g_per_min < 0:
            raise ValueError(f"a flow is not negative: {g_per_min} g/min")
        self._before_ug += self._flowed_ug(now_us)
        self._g_per_min, self._since_us = g_per_min, now_us

    def flow_g_per_min(self, now_us: int) -> int:  # noqa: ARG002 - see `MassFlow`
        """See `MassFlow`."""
        return self._g_per_min

    def mass_g(self, now_us: int) -> int:
        """See `MassFlow`."""
        return (self._before_ug + self._flowed_ug(now_us)) // 1_000_000

    def _flowed_ug(self, now_us: int) -> int:
        return self._g_per_min * (now_us - self._since_us) * 1_000_000 // _US_PER_MIN


class FlowThrough:
    """The flow of a fuelling point's nozzle, whose model counts grams where it says millilitres."""

    def __init__(self, point: FuellingPoint, logical_nozzle: int) -> None:
        self._point, self._logical = point, logical_nozzle

    def flow_g_per_min(self, now_us: int) -> int:  # noqa: ARG002 - see `MassFlow`
        """See `MassFlow`."""
        flows = self._point.flowing and self._point.delivering_nozzle == self._logical
        return self._point.nozzles[self._logical].meter.rate_ml_per_min if flows else 0

    def mass_g(self, now_us: int) -> int:
        """See `MassFlow`."""
        return self._point.totals(self._logical, now_us)[0]


@dataclass(slots=True)
class _Conditions:
    """What a meter measures besides: LNG, unless somebody sets it."""

    temperature_c: float = -140.0
    density_kg_per_l: float = 0.42
    drive_gain_percent: float = 3.5


class CoriolisMeter:
    """One meter on an RTU line: a `Machine`.

    Args:
        flow: what flows through it.
        profile: its make's addresses.
        unit_id: 1..247; the fielded reader expects 1 for gas, 2 for liquid.
        framing, baud, silence_us: see `protocols.modbus.ModbusServer`.

    Attributes:
        conditions: temperature, density and drive gain; may be set at any time.
        is_deaf_to_resets: a reset is acknowledged and not obeyed: why readers look at the total afterwards.
        on_wake: set by the host.
    """

    def __init__(
        self,
        flow: MassFlow,
        profile: CoriolisProfile = MICRO_MOTION,
        *,
        unit_id: int = 1,
        framing: Framing = "rtu",
        baud: int = 9_600,
        silence_us: int | None = None,
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.flow = flow
        self.profile = profile
        self.conditions = _Conditions()
        self.is_deaf_to_resets = False
        self._base_g = 0
        self._codes = [0] * SCAN_SLOTS
        self._quantity_of = {code: quantity for quantity, code in profile.codes.items()}
        parameters = MapParameters(
            unit_id=unit_id, functions=DIRECT.functions, low_word_first=DIRECT.low_word_first
        )
        bank = FieldBank(profile.fields(), self, parameters, coils=profile.coils())
        self._server = MapServer(bank, framing=framing, baud=baud, silence_us=silence_us)

    @property
    def unit_id(self) -> int:
        """Its unit."""
        return self._server.unit_id

    def total_kg(self, now_us: int) -> float:
        """The mass total since its last reset."""
        return (self.flow.mass_g(now_us) - self._base_g) / 1_000

    # --- the registers -----------------------------------------------------------------------------------------

    def read_field(self, name: str, now_us: int) -> float:
        """See `protocols.modbus.maps.FieldSource`."""
        kind, _, slot = name.rpartition("_")
        if kind == "scan_code":
            return self._codes[int(slot)]
        if kind == "scan_value":
            quantity = self._quantity_of.get(self._codes[int(slot)])
            return 0.0 if quantity is None else self._measure(quantity, now_us)
        if name == "own_address":
            return self.unit_id
        if name == "reset":
            return 0
        return self._measure(_QUANTITIES[name], now_us)

    def _measure(self, quantity: Quantity, now_us: int) -> float:
        match quantity:
            case Quantity.MASS_FLOW:
                return self.flow.flow_g_per_min(now_us) / 1_000
            case Quantity.TOTAL:
                return self.total_kg(now_us)
            case Quantity.TEMPERATURE:
                return self.conditions.temperature_c
            case Quantity.DENSITY:
                return self.conditions.density_kg_per_l
            case _:
                return self.conditions.drive_gain_percent

    def write_field(self, name: str, value: float, now_us: int) -> None:
        """See `protocols.modbus.maps.FieldSource`."""
        if name == "reset":
            if value != 1:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            self._reset(now_us)
            return
        code = int(value)
        if code not in self._quantity_of:
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        self._codes[int(name.rpartition("_")[2])] = code

    def write_coil(self, name: str, on: bool, now_us: int) -> None:  # noqa: ARG002 - there is one coil
        """See `protocols.modbus.maps.FieldSource`."""
        if on:
            self._reset(now_us)

    def _reset(self, now_us: int) -> None:
        if not self.is_deaf_to_resets:
            self._base_g = self.flow.mass_g(now_us)

    # --- the line ----------------------------------------------------------------------------------------------

    @property
    def wants_close(self) -> bool:
        """TCP: the peer sent something that is no Modbus; the host should close the connection."""
        return self._server.wants_close

    def connection_made(self, now_us: int) -> None:
        """From hosts of connections: a new one stands."""
        self._server.connection_made(now_us)

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._server.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        return self._server.data_to_send(now_us)

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        return self._server.next_timer()

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._server.handle_timer(now_us)


_QUANTITIES: Final = {"mass_flow": Quantity.MASS_FLOW, "total": Quantity.TOTAL}
