"""UnionPay's gateway (ACP 5.1.0) to test against: stateful, signed, on the run's own clock, with faults as data."""

from __future__ import annotations

from sim.unionpay.cashier import Cashier
from sim.unionpay.faults import CONFIRM, FaultKind, Forgery, GatewayFault, UnionPayFaults
from sim.unionpay.gate import REFUSAL_ORDER, RequestGate
from sim.unionpay.gateway import JUMP_PATH, UnionPayGateway
from sim.unionpay.ids import Ids
from sim.unionpay.ledger import AcpRefusedError, Ledger, PaymentRefusedError, Trade, TradeState
from sim.unionpay.material import (
    Authority,
    Merchant,
    MerchantAccount,
    PlatformMaterial,
    SignerKey,
    generate_merchant,
    generate_platform,
    issue_signer,
    load_gateway_material,
    save_gateway_material,
)
from sim.unionpay.notifier import ANSWER_LIMIT_S, Notice, Notifier
from sim.unionpay.operations import UNION_APP_ID, Operations
from sim.unionpay.payer import PayerDesk
from sim.unionpay.profile import NOTICE_LADDERS_S, GatewayProfile, Switches
from sim.unionpay.replies import Signer
from sim.unionpay.settlement import PlantedDifference, SettlementBook, clearing_day

__all__ = [
    "ANSWER_LIMIT_S",
    "CONFIRM",
    "JUMP_PATH",
    "NOTICE_LADDERS_S",
    "REFUSAL_ORDER",
    "UNION_APP_ID",
    "AcpRefusedError",
    "Authority",
    "Cashier",
    "FaultKind",
    "Forgery",
    "GatewayFault",
    "GatewayProfile",
    "Ids",
    "Ledger",
    "Merchant",
    "MerchantAccount",
    "Notice",
    "Notifier",
    "Operations",
    "PayerDesk",
    "PaymentRefusedError",
    "PlantedDifference",
    "PlatformMaterial",
    "RequestGate",
    "SettlementBook",
    "Signer",
    "SignerKey",
    "Switches",
    "Trade",
    "TradeState",
    "UnionPayFaults",
    "UnionPayGateway",
    "clearing_day",
    "generate_merchant",
    "generate_platform",
    "issue_signer",
    "load_gateway_material",
    "save_gateway_material",
]
