"""Every simulated platform behind one CONNECT proxy, for clients that are pointed at it by environment variables alone."""

from __future__ import annotations

from scenarios.gateways.context import GatewayContext, HostedService, WeChatTrust
from scenarios.gateways.folder import FolderError, GatewayFolder, environment, export_lines
from scenarios.gateways.house import GatewayHouse
from scenarios.gateways.services import SERVICES

__all__ = [
    "SERVICES",
    "FolderError",
    "GatewayContext",
    "GatewayFolder",
    "GatewayHouse",
    "HostedService",
    "WeChatTrust",
    "environment",
    "export_lines",
]
