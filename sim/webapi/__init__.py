"""What simulated platform APIs have in common: routing by path, latency, faults as data, a control API, drawn words."""

from __future__ import annotations

from sim.webapi.call import Call, Reply
from sim.webapi.control import ControlError, control_app, json_object, refuse_control
from sim.webapi.faults import CallFault, CallFaultBook, CallFaultKind
from sim.webapi.service import Route, WebService
from sim.webapi.words import Words, china_time

__all__ = [
    "Call",
    "CallFault",
    "CallFaultBook",
    "CallFaultKind",
    "ControlError",
    "Reply",
    "Route",
    "WebService",
    "Words",
    "china_time",
    "control_app",
    "json_object",
    "refuse_control",
]
