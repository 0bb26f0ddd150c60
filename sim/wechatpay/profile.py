"""How fast the gateway is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from protocols.wechatpay import Endpoint
from sim.latency import LatencyError, LatencyProfile

__all__ = ["GatewayProfile"]

_REFERENCE = LatencyProfile.lognormal(80_000, 200_000)
_READ = LatencyProfile.lognormal(40_000, 120_000)
_CONFIRM = LatencyProfile.lognormal(120_000, 400_000)
_SETTLE = LatencyProfile.lognormal(2_000_000, 10_000_000)


_NAMES = {
    Endpoint.PREPAY: "prepay",
    Endpoint.NATIVE: "prepay",
    Endpoint.COMBINE: "prepay",
    Endpoint.COMBINE_QUERY: "query",
    Endpoint.COMBINE_CLOSE: "close",
    Endpoint.CODEPAY: "codepay",
    Endpoint.REVERSE: "reverse",
    Endpoint.CONTRACT: "contract",
    Endpoint.DEBIT: "debit",
    Endpoint.PARKING: "debit",
    Endpoint.TRADE_BILL: "bill",
    Endpoint.FUND_BILL: "bill",
    Endpoint.BILL_FILE: "bill_file",
    Endpoint.QUERY: "query",
    Endpoint.CLOSE: "close",
    Endpoint.REFUND: "refund",
    Endpoint.ABNORMAL_REFUND: "refund",
    Endpoint.REFUND_QUERY: "refund_query",
    Endpoint.CERTIFICATES: "certificates",
}


@dataclass(frozen=True, kw_only=True)
class GatewayProfile:
    """The gateway's own share of time; the network's legs come on top.

    The defaults are the declared reference gateway (log-normal, median 80 ms, p99 200 ms) for writes and half of it
    for reads. They are assumptions: the platform publishes no figures.

    Attributes:
        prepay: request complete → order committed; combined orders and codes to scan as well.
        codepay: pay code read → paid, or the password box is open.
        reverse: request complete → reversed.
        query: both queries of orders.
        close: close.
        refund: request complete → refund accepted.
        refund_query: query of a refund.
        certificates: certificate list.
        contract: contracts looked up or ended.
        debit: request complete → debit accepted; all calls about number plates.
        debit_settle: debit accepted → decided and announced.
        bill: link to a bill. bill_file: its first byte.
        confirm: the payer's finger → order paid and the phone's ``requestPayment:ok``; no password and no bank in it.
        confirm_to_callback: order paid → first callback leaves.
        refund_settle: refund accepted → money back and REFUND.SUCCESS. Minutes to days in reality.
    """

    prepay: LatencyProfile = _REFERENCE
    query: LatencyProfile = _READ
    close: LatencyProfile = _REFERENCE
    refund: LatencyProfile = _REFERENCE
    refund_query: LatencyProfile = _READ
    certificates: LatencyProfile = _READ
    codepay: LatencyProfile = _CONFIRM
    reverse: LatencyProfile = _REFERENCE
    contract: LatencyProfile = _READ
    debit: LatencyProfile = _REFERENCE
    debit_settle: LatencyProfile = _SETTLE
    bill: LatencyProfile = _REFERENCE
    bill_file: LatencyProfile = _READ
    confirm: LatencyProfile = _CONFIRM
    confirm_to_callback: LatencyProfile = _REFERENCE
    refund_settle: LatencyProfile = _SETTLE

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> GatewayProfile:
        """Read ``{"codepay": {"kind": "lognormal", "median_us": …, "p99_us": …}, …}``; what is absent keeps its default.

        Raises:
            LatencyError: an unknown call, or a bad distribution; the message names it.
        """
        known = [field.name for field in fields(cls)]
        made: dict[str, LatencyProfile] = {}
        for name, value in raw.items():
            if name not in known:
                raise LatencyError(
                    f"the gateway has no latency {str(name)[:40]!r}; it has {', '.join(known)}"
                )
            if not isinstance(value, Mapping):
                raise LatencyError(f"the latency of {name} must be an object")
            made[name] = LatencyProfile.from_dict(value)
        return cls(**made)

    @classmethod
    def instant(cls) -> GatewayProfile:
        """No delay anywhere: for tests of behaviour."""
        zero = LatencyProfile.constant(0)
        return cls(**{field.name: zero for field in fields(cls)})

    def of(self, endpoint: Endpoint) -> LatencyProfile:
        """The profile of one call.

        Raises:
            ValueError: this gateway does not serve the endpoint itself.
        """
        name = _NAMES.get(endpoint)
        if name is None:
            raise ValueError(f"no latency for {endpoint}")
        profile: LatencyProfile = getattr(self, name)
        return profile
