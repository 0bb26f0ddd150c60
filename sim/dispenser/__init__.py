"""The dispenser: a protocol-free model (meter, valve, nozzles, totals, journal) and its protocol personalities."""

from __future__ import annotations

from .aaff import AaFfDispenser
from .aaff_gun import AaFfGun, AaFfQuirks
from .coriolis import CoriolisMeter, FlowThrough, MassFlow, StandingFlow
from .dart import DartDispenser, DartQuirks
from .dart_head import DartHead
from .events import (
    AuthorisationDropped,
    Component,
    Delivery,
    DeliveryEnded,
    FlowStarted,
    FlowStopped,
    FpEvent,
    NozzleLifted,
    NozzleReturned,
    PointLocked,
    PointUnlocked,
    PowerChanged,
    PriceChanged,
    Reading,
    RecordOverwritten,
    StateChanged,
    VoicePrompt,
)
from .fuelling_point import FuellingPoint
from .ifsf import IfsfDispenser
from .ifsf_fields import IfsfOptions
from .meter import PULSE_ML, Meter, amount_fen, pulses_within_amount
from .modbus import ModbusConnection, ModbusDispenser
from .modbus_cng import CngDispenser, Cylinder
from .model import Dispenser
from .nozzle import Blend, Nozzle
from .profile import DispenserProfile
from .safety import LOCAL_ROLES, PARTS, REGULATOR, SealEntry, seal_log_is_whole
from .states import COMMANDS, STATE_TABLE, FpInput, FpState, Guard, Rule, state_table
from .tank import Tank
from .twowire import TwoWireDispenser, TwoWireQuirks

__all__ = [
    "COMMANDS",
    "LOCAL_ROLES",
    "PARTS",
    "PULSE_ML",
    "REGULATOR",
    "STATE_TABLE",
    "AaFfDispenser",
    "AaFfGun",
    "AaFfQuirks",
    "AuthorisationDropped",
    "Blend",
    "CngDispenser",
    "Component",
    "CoriolisMeter",
    "Cylinder",
    "DartDispenser",
    "DartHead",
    "DartQuirks",
    "Delivery",
    "DeliveryEnded",
    "Dispenser",
    "DispenserProfile",
    "FlowStarted",
    "FlowStopped",
    "FlowThrough",
    "FpEvent",
    "FpInput",
    "FpState",
    "FuellingPoint",
    "Guard",
    "IfsfDispenser",
    "IfsfOptions",
    "MassFlow",
    "Meter",
    "ModbusConnection",
    "ModbusDispenser",
    "Nozzle",
    "NozzleLifted",
    "NozzleReturned",
    "PointLocked",
    "PointUnlocked",
    "PowerChanged",
    "PriceChanged",
    "Reading",
    "RecordOverwritten",
    "Rule",
    "SealEntry",
    "StandingFlow",
    "StateChanged",
    "Tank",
    "TwoWireDispenser",
    "TwoWireQuirks",
    "VoicePrompt",
    "amount_fen",
    "pulses_within_amount",
    "seal_log_is_whole",
    "state_table",
]
