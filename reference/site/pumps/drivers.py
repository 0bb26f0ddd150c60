"""Which driver speaks which protocol."""

from __future__ import annotations

from collections.abc import Callable

from reference.site.config import LineConfig
from reference.site.pumps.aaff.driver import AaFfDriver
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.driver import PumpDriver
from reference.site.pumps.ifsf.driver import IfsfDriver
from reference.site.pumps.modbus import ModbusDriver
from reference.site.pumps.twowire.driver import TwoWireDriver

__all__ = ["make_driver"]


def make_driver(line: LineConfig, *, clock_us: Callable[[], int] | None = None) -> PumpDriver:
    """The driver for a line; ``clock_us`` (unix time) is for pumps that are told the time of day.

    Raises:
        ConfigError: the line cannot work as configured.
    """
    if line.protocol == "dart":
        return DartDriver(line)
    if line.protocol == "twowire":
        return TwoWireDriver(line)
    if line.protocol == "ifsf":
        return IfsfDriver(line)
    if line.protocol == "aaff":
        return AaFfDriver(line, clock_us=clock_us)
    return ModbusDriver(line)
