"""A WeChat Pay API v3 gateway to test against: stateful, signed, on the run's own clock, with faults as data."""

from __future__ import annotations

from sim.wechatpay.bills import BillBook, PlantedDifference
from sim.wechatpay.codepay import AuthCode, CodePay, PhonePlan
from sim.wechatpay.combined import CombinedBook, CombinedOrder
from sim.wechatpay.contracts import Contract, ContractBook
from sim.wechatpay.failures import FAILURES, failures
from sim.wechatpay.faults import CONFIRM, FaultKind, Forgery, GatewayFault, WeChatPayFaults
from sim.wechatpay.gate import RawRequest, RequestGate, read_request
from sim.wechatpay.gateway import WeChatPayGateway
from sim.wechatpay.ids import Ids
from sim.wechatpay.ledger import Ledger, Order, PaymentRefusedError
from sim.wechatpay.logins import LoginDesk
from sim.wechatpay.material import (
    Merchant,
    MerchantAccount,
    PlatformKey,
    PlatformKeys,
    generate_keys,
    generate_merchant,
    generate_platform,
    load_gateway_material,
    save_gateway_material,
)
from sim.wechatpay.notifier import ANSWER_LIMIT_S, RETRY_LADDER_S, Notice, Notifier
from sim.wechatpay.payer import PayerDesk
from sim.wechatpay.plates import Plate, PlateBook
from sim.wechatpay.profile import GatewayProfile
from sim.wechatpay.refunds import RefundBook, RefundRecord
from sim.wechatpay.replies import Replier, Signer
from sim.wechatpay.switch_over import STEPS_PERMILLE, SwitchOver
from sim.wechatpay.switches import Switches
from sim.wechatpay.wallets import Wallets

__all__ = [
    "ANSWER_LIMIT_S",
    "CONFIRM",
    "FAILURES",
    "RETRY_LADDER_S",
    "STEPS_PERMILLE",
    "AuthCode",
    "BillBook",
    "CodePay",
    "CombinedBook",
    "CombinedOrder",
    "Contract",
    "ContractBook",
    "FaultKind",
    "Forgery",
    "GatewayFault",
    "GatewayProfile",
    "Ids",
    "Ledger",
    "LoginDesk",
    "Merchant",
    "MerchantAccount",
    "Notice",
    "Notifier",
    "Order",
    "PayerDesk",
    "PaymentRefusedError",
    "PhonePlan",
    "PlantedDifference",
    "Plate",
    "PlateBook",
    "PlatformKey",
    "PlatformKeys",
    "RawRequest",
    "RefundBook",
    "RefundRecord",
    "Replier",
    "RequestGate",
    "Signer",
    "SwitchOver",
    "Switches",
    "Wallets",
    "WeChatPayFaults",
    "WeChatPayGateway",
    "failures",
    "generate_keys",
    "generate_merchant",
    "generate_platform",
    "load_gateway_material",
    "read_request",
    "save_gateway_material",
]
