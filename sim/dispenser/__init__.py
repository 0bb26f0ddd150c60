"""The dispenser: a protocol-free model (meter, valve, nozzles, totals, journal) and its protocol personalities."""

from __future__ import annotations

from .dart import DartDispenser, DartQuirks
from .dart_head import DartHead
from .events import (
    AuthorisationDropped,
    Delivery,
    DeliveryEnded,
    FlowStarted,
    FlowStopped,
    FpEvent,
    NozzleLifted,
    NozzleReturned,
    PriceChanged,
    Reading,
    StateChanged,
)
from .fuelling_point import FuellingPoint
from .meter import PULSE_ML, amount_fen, pulses_within_amount
from .modbus import ModbusConnection, ModbusDispenser
from .model import Dispenser
from .nozzle import Nozzle
from .profile import DispenserProfile
from .states import COMMANDS, STATE_TABLE, FpInput, FpState, Guard, Rule, state_table
from .tank import Tank

__all__ = [
    "COMMANDS",
    "PULSE_ML",
    "STATE_TABLE",
    "AuthorisationDropped",
    "DartDispenser",
    "DartHead",
    "DartQuirks",
    "Delivery",
    "DeliveryEnded",
    "Dispenser",
    "DispenserProfile",
    "FlowStarted",
    "FlowStopped",
    "FpEvent",
    "FpInput",
    "FpState",
    "FuellingPoint",
    "Guard",
    "ModbusConnection",
    "ModbusDispenser",
    "Nozzle",
    "NozzleLifted",
    "NozzleReturned",
    "PriceChanged",
    "Reading",
    "Rule",
    "StateChanged",
    "Tank",
    "amount_fen",
    "pulses_within_amount",
    "state_table",
]
