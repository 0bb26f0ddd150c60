"""The people: when they come, what they want, how they pay, and the floor they stand on."""

from __future__ import annotations

from sim.people.api import ApiClient, ApiError, Unreachable
from sim.people.arrivals import arrivals
from sim.people.car import Car
from sim.people.crowd import Crowd
from sim.people.floor import Position, StationFloor, Ticket
from sim.people.hand import DispenserHand
from sim.people.kiosk import Kiosk
from sim.people.members import BY_CONTRACT, MembersDesk, Wallet
from sim.people.names import Identity, identity, social_credit_code
from sim.people.payers import PAY_CODES, Payers
from sim.people.phone import PhoneApp
from sim.people.phones import Phones
from sim.people.plain import PlainHand, PlainPhone, PlainTill, PlainWorld
from sim.people.plan import CarPlan, PayBy, draw_car, truncated_normal_ml
from sim.people.ports import Delivered, Phone, PumpHand, Till, World
from sim.people.profile import (
    DemandProfile,
    FillProfile,
    MemberProfile,
    PatienceProfile,
    PeopleError,
    StepProfile,
    Steps,
)
from sim.people.sse import ServerSentEvent, SseError, SseReader

__all__ = [
    "BY_CONTRACT",
    "PAY_CODES",
    "ApiClient",
    "ApiError",
    "Car",
    "CarPlan",
    "Crowd",
    "Delivered",
    "DemandProfile",
    "DispenserHand",
    "FillProfile",
    "Identity",
    "Kiosk",
    "MemberProfile",
    "MembersDesk",
    "PatienceProfile",
    "PayBy",
    "Payers",
    "PeopleError",
    "Phone",
    "PhoneApp",
    "Phones",
    "PlainHand",
    "PlainPhone",
    "PlainTill",
    "PlainWorld",
    "Position",
    "PumpHand",
    "ServerSentEvent",
    "SseError",
    "SseReader",
    "StationFloor",
    "StepProfile",
    "Steps",
    "Ticket",
    "Till",
    "Unreachable",
    "Wallet",
    "World",
    "arrivals",
    "draw_car",
    "identity",
    "social_credit_code",
    "truncated_normal_ml",
]
