"""One CONNECT-proxy port with a test authority: unmodified clients reach the simulated services by their real names."""

from __future__ import annotations

from sim.proxy.authority import CertificateAuthority, make_ca
from sim.proxy.http import PlatformProtocol
from sim.proxy.proxy import ConnectProxy, ProxyError

__all__ = ["CertificateAuthority", "ConnectProxy", "PlatformProtocol", "ProxyError", "make_ca"]
