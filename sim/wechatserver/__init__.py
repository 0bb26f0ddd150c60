"""WeChat's own server (``api.weixin.qq.com``) to test against: stateful, on the run's own clock, with faults as data."""

from __future__ import annotations

from sim.wechatserver.errors import ERRORS, WeChatError
from sim.wechatserver.orders import orders_of
from sim.wechatserver.server import MiniProgram, SentMessage, WeChatServer
from sim.wechatserver.shipping import FindOrder, PaidOrder, Shipment, ShippingBook
from sim.wechatserver.templates import FIELD_RULES, Template
from sim.wechatserver.tokens import AccessTokens, TokenRules
from sim.wechatserver.users import Consents, OneTimeCodes

__all__ = [
    "ERRORS",
    "FIELD_RULES",
    "AccessTokens",
    "Consents",
    "FindOrder",
    "MiniProgram",
    "OneTimeCodes",
    "PaidOrder",
    "SentMessage",
    "Shipment",
    "ShippingBook",
    "Template",
    "TokenRules",
    "WeChatError",
    "WeChatServer",
    "orders_of",
]
