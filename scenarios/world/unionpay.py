"""UnionPay in a virtual run, where somebody pays over it: its gateway, its hosts, and what its books say."""

from __future__ import annotations

from typing import Any, Final

import httpx

from reference.backend import BackendSettings
from scenarios.model import Scenario, Services
from scenarios.model.hosts import UNIONPAY, UNIONPAY_ACQUIRER, UNIONPAY_FILES, UNIONPAY_PAYER
from scenarios.record import GatewayTransaction
from scenarios.world.faults import FaultPlan
from scenarios.world.keys import unionpay_keys
from scenarios.world.translate import latency_profile, scaled
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.people import BY_CONTRACT
from sim.unionpay import GatewayProfile, Trade, TradeState, UnionPayGateway

__all__ = [
    "build_unionpay",
    "channel_settings",
    "unionpay_hosts",
    "unionpay_transactions",
    "uses_unionpay",
    "with_unionpay",
]


def uses_unionpay(scenario: Scenario) -> bool:
    """Whether anybody pays over it."""
    return any(name.startswith("unionpay") for name in scenario.demand.channels())


def channel_settings(scenario: Scenario) -> dict[str, Any]:
    """What the backend's settings need beside the ordinary ones for the channels that this scenario's drivers use."""
    used = scenario.demand.channels()
    if used in {(), ("wechatpay",)}:
        return {}
    more: dict[str, Any] = {"channels": tuple(sorted({"wechatpay", *used}))}
    if uses_unionpay(scenario):
        more["unionpay_acquirer_url"] = f"https://{UNIONPAY_ACQUIRER}/v1/jump"
    if BY_CONTRACT in used:
        more["contract_plan_id"] = _CONTRACT_PLAN
    return more


def with_unionpay(settings: BackendSettings) -> BackendSettings:
    """The merchant's credentials there."""
    return settings.with_unionpay(unionpay_keys()[1].credentials)


def build_unionpay(
    kernel: Kernel, services: Services, plan: FaultPlan, notify_client: httpx.AsyncClient
) -> UnionPayGateway:
    """The gateway, as fast as the scenario says of the other one: three eighths before the payer, five after.

    Of the plan's gateway faults, those that spoil bills strike its settlement files as well.
    """
    platform, merchant = unionpay_keys()
    whole = latency_profile(services.gateway)
    profile = GatewayProfile(
        front=scaled(whole, 3),
        back=scaled(whole, 3),
        app=scaled(whole, 3),
        confirm=LatencyProfile.constant(0),
        issuer=scaled(whole, 5),
        notice=scaled(whole, 5),
    )
    gateway = UnionPayGateway(
        kernel,
        [merchant.account],
        platform,
        notify_client=notify_client,
        profile=profile,
        faults=plan.settlement(),
    )
    plan.attach_report(gateway.faults.report)
    return gateway


def unionpay_hosts(gateway: UnionPayGateway) -> dict[str, Any]:
    """Its applications by the names under which the world's network knows them."""
    return {
        UNIONPAY: gateway.app,
        UNIONPAY_ACQUIRER: gateway.acquirer_app,
        UNIONPAY_PAYER: gateway.payer_app,
        UNIONPAY_FILES: gateway.file_app,
    }


def unionpay_transactions(gateway: UnionPayGateway) -> tuple[GatewayTransaction, ...]:
    """Its books as the oracles read them: each payment with what was given back of it."""
    given: dict[int, int] = {}
    for trade in gateway.ledger.trades:
        if trade.original is not None and trade.state is TradeState.SUCCESS and trade.txn_type in _BACK:
            given[id(trade.original)] = given.get(id(trade.original), 0) + trade.amount_fen
    return tuple(
        _transaction(trade, given.get(id(trade), 0))
        for trade in gateway.ledger.trades
        if trade.txn_type == _CONSUME
    )


_CONTRACT_PLAN: Final = 1_001
"""The plan of debits that the merchant has agreed with WeChat Pay; any number does."""

_CONSUME: Final = "01"
_BACK: Final = frozenset({"04", "31"})
"""Refund, cancel."""


def _transaction(trade: Trade, refunded_fen: int) -> GatewayTransaction:
    return GatewayTransaction(
        out_trade_no=trade.order_id,
        state=str(trade.state),
        total_fen=trade.amount_fen,
        paid_fen=trade.amount_fen if trade.state is TradeState.SUCCESS else 0,
        refunded_fen=refunded_fen,
    )
