"""The site controller that stands at the station: pump drivers, journal, uplink, receipts."""

from __future__ import annotations

from reference.site.config import ConfigError, LineConfig, SiteConfig, load_config, parse_config
from reference.site.controller import SiteController
from reference.site.journal import Journal, JournalError, Sale
from reference.site.pumps.dart import DartDriver
from reference.site.pumps.driver import PointStatus, PumpDriver, SaleNotStored
from reference.site.pumps.drivers import make_driver
from reference.site.pumps.events import DriverEvent, PointState
from reference.site.receipts.spooler import ReceiptSpooler

__all__ = [
    "ConfigError",
    "DartDriver",
    "DriverEvent",
    "Journal",
    "JournalError",
    "LineConfig",
    "PointState",
    "PointStatus",
    "PumpDriver",
    "ReceiptSpooler",
    "Sale",
    "SaleNotStored",
    "SiteConfig",
    "SiteController",
    "load_config",
    "make_driver",
    "parse_config",
]
