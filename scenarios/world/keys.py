"""Key material of a run: made at run time, once a process, and never part of a trace."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cache

from sim.wechatpay import Merchant, PlatformKeys, generate_merchant, generate_platform

__all__ = ["RunKeys", "run_keys"]

_CERTIFICATES_VALID_FROM_UNIX_S = 1_735_689_600
"""2025-01-01: before any shipped scenario begins; test certificates live five years."""


@dataclass(frozen=True)
class RunKeys:
    """Everything secret that a run needs."""

    platform: PlatformKeys
    merchant: Merchant
    station_key: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    admin_key: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    service_secret: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))


@cache
def run_keys() -> RunKeys:
    """The keys of this process. RSA keys take a second to make, so all runs of a process share them."""
    platform = generate_platform(valid_from_unix_s=_CERTIFICATES_VALID_FROM_UNIX_S)
    merchant = generate_merchant(platform, valid_from_unix_s=_CERTIFICATES_VALID_FROM_UNIX_S)
    return RunKeys(platform, merchant)
