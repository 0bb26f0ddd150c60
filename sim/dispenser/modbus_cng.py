"""The Modbus personality of a CNG dispenser: the map of `protocols.modbus.maps`, on the same model as every other.

A CNG dispenser starts by itself when its nozzle is lifted; what a controller has is the lock, the price and the pressures.
The model counts thousandths of what is sold: here its millilitres are grams, its prices fen per kilogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from protocols.modbus import ExceptionCode, Framing, ModbusServer, Refusal
from protocols.modbus.maps import CNG_FIELDS, EndOfSale, FieldBank, MapParameters, MapServer, OperationFlag

from .events import Delivery, DeliveryEnded, FpEvent, NozzleLifted, StateChanged
from .fuelling_point import FuellingPoint
from .modbus import ModbusDispenser
from .model import Dispenser
from .states import FpState

__all__ = ["CngDispenser", "Cylinder"]

_BCD12: Final = 10**12
_BCD8: Final = 10**8
_MAX_TARGET_BAR: Final = 350
_MAX_DECIBAR: Final = 10 * _MAX_TARGET_BAR

_ENDS: Final = (
    ("emergency-stop", EndOfSale.ERROR),
    ("power-failure", EndOfSale.ERROR),
    ("breakaway", EndOfSale.ERROR),
    ("terminated", EndOfSale.REMOTE_STOP),
    ("no-flow-timeout", EndOfSale.NO_FLOW),
)
"""How a delivery's flags read as an end-of-sale code; the pressures' own ends are told apart below."""


@dataclass(slots=True)
class Cylinder:
    """What hangs on the hose, and what the thermometers say. Pressure rises evenly with what is filled.

    Attributes:
        start_decibar: pressure before a sale, 0.1 bar.
        decibar_per_kg: how much a kilogram adds: 100 for a car's cylinder of some 130 L.
        ambient_decidegree, gas_decidegree: 0.1 °C, signed.
    """

    start_decibar: int = 400
    decibar_per_kg: int = 100
    ambient_decidegree: int = 180
    gas_decidegree: int = 150

    def pressure_decibar(self, filled_g: int) -> int:
        """The pressure once so much was filled."""
        return self.start_decibar + filled_g * self.decibar_per_kg // 1_000

    def room_g(self, to_decibar: int) -> int:
        """How much may be filled up to a pressure; 0 or less when it is there already."""
        return (to_decibar - self.start_decibar) * 1_000 // self.decibar_per_kg


class CngDispenser(ModbusDispenser):
    """A CNG dispenser of one hose behind the foreign map.

    Args:
        dispenser: the model, with one fuelling point of one nozzle.
        parameters: the unit, and what the published page leaves open.
        keeps_lock: the lock outlives a power cut ("parameter B begins with 1").
        cylinder: what is filled; left out, a car's.
        framing, baud, absent_unit, silence_us: see `ModbusDispenser`.

    Attributes:
        cylinder: as given; whoever plays the customer may change it between sales.
        is_locked: what ``lock`` reads as.

    Raises:
        ValueError: more than one hose.
    """

    def __init__(
        self,
        dispenser: Dispenser,
        parameters: MapParameters | None = None,
        *,
        keeps_lock: bool = False,
        cylinder: Cylinder | None = None,
        framing: Framing = "rtu",
        baud: int = 9_600,
        absent_unit: Literal["gateway", "silence"] = "gateway",
        silence_us: int | None = None,
    ) -> None:
        points = tuple(dispenser.fuelling_points.values())
        if len(points) != 1 or len(points[0].nozzles) != 1:
            raise ValueError("this map has one hose: one fuelling point with one nozzle")
        self.parameters = parameters or MapParameters()
        self.cylinder = cylinder or Cylinder()
        self.is_locked = False
        self._keeps_lock = keeps_lock
        self._point: FuellingPoint = points[0]
        (self._logical,) = self._point.nozzles
        self._written: dict[str, int] = {"target_pressure": 0, "max_pressure": 0, "bank_sequence": 0}
        self._end = EndOfSale.NONE
        self._limited_by = EndOfSale.PRESET
        self._last: Delivery | None = None
        self._last_pressures = (0, 0)
        self._last_gas_decidegree = 0
        self._fields = FieldBank(CNG_FIELDS, self, self.parameters)
        super().__init__(
            dispenser,
            self.parameters.unit_id,
            framing=framing,
            baud=baud,
            absent_unit=absent_unit,
            silence_us=silence_us,
        )
        self._point.listeners.append(self._on_event)

    def _server(self) -> ModbusServer:
        framing, baud, absent_unit, silence_us = self._options
        return MapServer(
            self._fields, framing=framing, baud=baud, absent_unit=absent_unit, silence_us=silence_us
        )

    # --- the board ---------------------------------------------------------------------------------------------

    def _on_event(self, event: FpEvent) -> None:
        match event:
            case NozzleLifted(at_us=at_us):
                self._begin(at_us)
            case DeliveryEnded(delivery=delivery):
                self._note_end(delivery)
            case StateChanged(old=FpState.INOPERATIVE) if not self._keeps_lock:
                self.is_locked = False
            case _:
                pass

    def _begin(self, now_us: int) -> None:
        """A sale begins by itself, up to the lower of the two pressures, unless somebody has locked it."""
        if self.is_locked:
            return
        limits = [
            (10 * self._written["target_pressure"], EndOfSale.PRESET),
            (self._written["max_pressure"], EndOfSale.MAXIMUM),
        ]
        limit, self._limited_by = min(
            ((decibar, code) for decibar, code in limits if decibar), default=(0, EndOfSale.PRESET)
        )
        room_g = self.cylinder.room_g(limit) if limit else None
        if self._point.authorise(now_us, preset_ml=room_g):
            self._end = EndOfSale.NONE

    def _note_end(self, delivery: Delivery) -> None:
        self._last = delivery
        self._last_pressures = (
            self.cylinder.start_decibar,
            self.cylinder.pressure_decibar(delivery.volume_ml),
        )
        self._last_gas_decidegree = self.cylinder.gas_decidegree
        codes = [code for flag, code in _ENDS if flag in delivery.flags]
        if not codes and "preset" in delivery.flags:
            codes = [self._limited_by]
        self._end = codes[0] if codes else EndOfSale.NOZZLE

    # --- the registers -----------------------------------------------------------------------------------------

    def read_field(self, name: str, now_us: int) -> float:
        """See `protocols.modbus.maps.FieldSource`."""
        if name in self._written:
            return self._written[name]
        total_g, total_fen = self._point.totals(self._logical, now_us)
        if name == "lock":
            return int(self.is_locked)
        if name in _OF_THE_LAST:
            return self._of_the_last(name)
        reading = self._point.reading(now_us)
        nozzle = self._point.nozzles[self._logical]
        filling = self._point.delivering_nozzle is not None
        return {
            "operation_flags": int(self._flags()),
            "unit_price": reading.price_fen_per_l if filling else nozzle.price_fen_per_l,
            "set_price": nozzle.price_fen_per_l,
            "quantity": reading.volume_ml,
            "amount": reading.amount_fen,
            "total_quantity": total_g // 10 % _BCD12,
            "total_amount": total_fen % _BCD12,
            "tote_quantity": total_g // 10 % _BCD8,
            "pressure": self.cylinder.pressure_decibar(reading.volume_ml if filling else 0),
            "flow": nozzle.meter.rate_ml_per_min // 10 if self._point.flowing else 0,
            "error_flags": int(self._point.state is FpState.INOPERATIVE),
            "ambient_temperature": self.cylinder.ambient_decidegree,
            "gas_temperature": self.cylinder.gas_decidegree,
            "end_of_sale": int(self._end),
        }[name]

    def _flags(self) -> OperationFlag:
        flags = OperationFlag(0)
        if self._point.nozzle_out is not None:
            flags |= OperationFlag.NOZZLE_OUT
        if self._point.delivering_nozzle is not None:
            flags |= OperationFlag.FILLING
        if self._end is not EndOfSale.NONE:
            flags |= OperationFlag.SALE_ENDED
        if self.is_locked:
            flags |= OperationFlag.LOCKED
        return flags

    def _of_the_last(self, name: str) -> int:
        if self._last is None:
            return 0
        return {
            "last_quantity": self._last.volume_ml,
            "last_amount": self._last.amount_fen,
            "last_gas_temperature": self._last_gas_decidegree,
            "start_pressure": self._last_pressures[0],
            "end_pressure": self._last_pressures[1],
        }[name]

    def write_field(self, name: str, value: float, now_us: int) -> None:
        """See `protocols.modbus.maps.FieldSource`."""
        wanted = int(value)
        limits = {"lock": 1, "target_pressure": _MAX_TARGET_BAR, "max_pressure": _MAX_DECIBAR}
        if wanted > limits.get(name, 0xFFFF):
            raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
        if name == "lock":
            self._lock(bool(wanted), now_us)
        elif name == "set_price":
            if not 0 < wanted <= self._point.profile.max_price_fen_per_l:
                raise Refusal(ExceptionCode.ILLEGAL_DATA_VALUE)
            if not self._point.set_price(now_us, self._logical, wanted):
                raise Refusal(ExceptionCode.SERVER_DEVICE_BUSY)
        else:
            self._written[name] = wanted

    def write_coil(self, name: str, on: bool, now_us: int) -> None:  # noqa: ARG002 - the map has no coils
        """See `protocols.modbus.maps.FieldSource`."""
        raise Refusal(ExceptionCode.ILLEGAL_DATA_ADDRESS)

    def _lock(self, on: bool, now_us: int) -> None:
        if on == self.is_locked:
            return
        self.is_locked = on
        if on:
            self._point.terminate(now_us)
        elif self._point.state is FpState.CALLING:
            self._begin(now_us)


_OF_THE_LAST: Final = frozenset(
    {"last_quantity", "last_amount", "last_gas_temperature", "start_pressure", "end_pressure"}
)
