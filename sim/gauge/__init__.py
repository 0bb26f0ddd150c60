"""An automatic tank gauge (Veeder-Root TLS-350 family): console, probes, ports."""

from __future__ import annotations

from .alarms import PRIORITY, AlarmBoard
from .console import GaugeConsole
from .port import GaugePort
from .probe import Measured, Probe, ProbeSource, TankSource
from .setup import TankSetup
from .units import IMPERIAL, METRIC, UNITS, US, Units
from .watch import DeliveryWatch, LeakWatch, SeenDelivery, Snapshot

__all__ = [
    "IMPERIAL",
    "METRIC",
    "PRIORITY",
    "UNITS",
    "US",
    "AlarmBoard",
    "DeliveryWatch",
    "GaugeConsole",
    "GaugePort",
    "LeakWatch",
    "Measured",
    "Probe",
    "ProbeSource",
    "SeenDelivery",
    "Snapshot",
    "TankSetup",
    "TankSource",
    "Units",
]
