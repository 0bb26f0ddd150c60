"""An HTTP network in memory: host names lead to ASGI applications, with latency and faults, on the kernel's clock."""

from __future__ import annotations

from sim.net.balancer import Balancer
from sim.net.client import NetworkClient, NetworkReply, NetworkTransport
from sim.net.faults import HttpFault, HttpFaultKind, HttpFaults
from sim.net.network import AppError, Network, NetworkError

__all__ = [
    "AppError",
    "Balancer",
    "HttpFault",
    "HttpFaultKind",
    "HttpFaults",
    "Network",
    "NetworkClient",
    "NetworkError",
    "NetworkReply",
    "NetworkTransport",
]
