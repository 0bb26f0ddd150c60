"""Feie's cloud and its printers: orders by HTTP, queues, two minutes until a printer counts as off-line, callbacks."""

from __future__ import annotations

from sim.feie.callbacks import LADDER_US, Callbacks, CloudNotice
from sim.feie.device import OFFLINE_AFTER_US, CloudPrinter
from sim.feie.orders import KEPT_US, Order, OrderBook, OrderState
from sim.feie.server import Feie, FeieAccount, FeieError, FeieSwitches

__all__ = [
    "KEPT_US",
    "LADDER_US",
    "OFFLINE_AFTER_US",
    "Callbacks",
    "CloudNotice",
    "CloudPrinter",
    "Feie",
    "FeieAccount",
    "FeieError",
    "FeieSwitches",
    "Order",
    "OrderBook",
    "OrderState",
]
