"""Error numbers of WeChat's own servers, with the words they come with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ERRORS", "WeChatError"]

ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1: "system error",
        40001: "invalid credential, access_token is invalid or not latest",
        40002: "invalid grant_type",
        40003: "invalid openid",
        40013: "invalid appid",
        40029: "invalid code",
        40037: "invalid template_id",
        40066: "invalid url",
        40125: "invalid appsecret",
        40226: "code blocked",
        41001: "access_token missing",
        41002: "appid missing",
        41004: "appsecret missing",
        41008: "missing code",
        41030: "invalid page",
        42001: "access_token expired",
        43001: "require GET method",
        43002: "require POST method",
        43101: "user refuse to accept the msg",
        45009: "reach max api daily quota limit",
        45011: "api minute-quota reach limit  mustslower  retry next minute",
        47001: "data format error",
        47003: "argument invalid!",
        10060001: "支付单不存在",
        10060003: "支付单已使用重新发货机会",
        10060004: "支付单处于不可发货的状态",
        10060005: "物流类型有误",
        10060006: "非快递发货时不允许分拆发货",
        10060007: "分拆发货模式下必须填写 is_all_delivered 字段",
        10060008: "商品描述 item_desc 字段不能为空",
        10060009: "商品描述 item_desc 字段太长",
        10060014: "参数错误",
        10060023: "发货信息未更新",
        10060024: "物流信息列表太长",
        10060031: "该笔支付单不属于 openid 所指定的用户",
        268485194: "订单单号类型非法",
        268485195: "微信支付单号形式下 transaction_id 字段不能为空",
        268485196: "商户侧单号形式下 mchid 字段不能为空",
        268485197: "商户侧单号形式下 out_trade_no 字段不能为空",
        268485216: "上传时间非法，请按照 RFC 3339 格式填写",
        268485224: "发货模式非法",
        268485226: "物流单号不能为空",
        268485227: "物流公司编码不能为空",
        268485228: "统一发货模式下物流信息列表长度必须为 1",
    }
)
"""developers.weixin.qq.com: the global return codes and those of each call (uploadShippingInfo for the long ones)."""


class WeChatError(Exception):
    """A refusal.

    Attributes:
        code: one of `ERRORS`.
        detail: further words, after the usual ones.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code} {ERRORS[code]} {detail}".rstrip())
        self.code = code
        self.detail = detail
