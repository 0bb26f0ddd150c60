"""Failure profiles: what a gateway does to a merchant on a good, a rough and a bad day, as lists of faults.

The shares are declared, not measured: the platform publishes none. A run that wants others writes its own list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sim.faults import FaultError
from sim.wechatpay.faults import GatewayFault

__all__ = ["FAILURES", "failures"]

_CALLS: Final = (
    "prepay",
    "native",
    "codepay",
    "query",
    "close",
    "reverse",
    "refund",
    "refund-query",
    "debit",
)
_MAKING: Final = ("prepay", "codepay", "refund", "reverse", "debit")

FAILURES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = MappingProxyType(
    {
        "calm": (),
        "rough": (
            {"kind": "refuse", "code": "SYSTEM_ERROR", "at": _CALLS, "probability": 0.005},
            {
                "kind": "timeout",
                "at": _MAKING,
                "after_commit": True,
                "delay_us": 10_000_000,
                "probability": 0.002,
            },
            {"kind": "password-asked", "probability": 0.05},
            {"kind": "callback-lost", "probability": 0.01},
            {"kind": "callback-late", "delay_us": 20_000_000, "probability": 0.02},
            {"kind": "callback-duplicate", "delay_us": 1_000_000, "probability": 0.05},
            {"kind": "callback-signature", "forgery": "probe", "probability": 0.002},
            {"kind": "refund-abnormal", "probability": 0.002},
        ),
        "storm": (
            {"kind": "refuse", "code": "SYSTEM_ERROR", "at": _CALLS, "probability": 0.1},
            {"kind": "refuse", "name": "busy", "code": "FREQUENCY_LIMITED", "at": _CALLS, "probability": 0.1},
            {
                "kind": "timeout",
                "at": _MAKING,
                "after_commit": True,
                "delay_us": 20_000_000,
                "probability": 0.05,
            },
            {
                "kind": "timeout",
                "name": "lost",
                "at": _MAKING,
                "delay_us": 20_000_000,
                "probability": 0.05,
            },
            {"kind": "password-asked", "probability": 0.3},
            {"kind": "debit-failed", "probability": 0.2},
            {"kind": "reply-signature", "forgery": "wrong-key", "probability": 0.02},
            {"kind": "callback-lost", "attempts": 3, "probability": 0.2},
            {"kind": "callback-late", "delay_us": 120_000_000, "probability": 0.2},
            {"kind": "callback-duplicate", "copies": 3, "delay_us": 5_000_000, "probability": 0.3},
            {"kind": "callback-before-reply", "probability": 0.1},
            {"kind": "callback-signature", "forgery": "probe", "probability": 0.05},
            {"kind": "refund-abnormal", "probability": 0.1},
            {"kind": "refund-closed", "probability": 0.05},
            {"kind": "bill-missing", "probability": 0.02},
            {"kind": "bill-amount", "probability": 0.02},
        ),
    }
)
"""Faults as plain data, by the profile's name; the fields are those of `GatewayFault`."""


def failures(name: str) -> list[GatewayFault]:
    """The faults of a profile, named ``<profile>/<fault>``.

    Raises:
        FaultError: there is no such profile.
    """
    if name not in FAILURES:
        raise FaultError(f"no failure profile {name[:40]!r}; there are {', '.join(FAILURES)}")
    return [
        GatewayFault.from_dict({**spec, "name": f"{name}/{spec.get('name', spec['kind'])}"})
        for spec in FAILURES[name]
    ]
