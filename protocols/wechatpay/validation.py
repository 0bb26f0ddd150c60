"""The field rules of requests as data, and the PARAM_ERROR they lead to, with its JSON pointer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from protocols.wechatpay.errors import ApiError

__all__ = [
    "ABNORMAL_REFUND_FIELDS",
    "AUTH_CODE",
    "CLOSE_FIELDS",
    "CODEPAY_FIELDS",
    "COMBINE_CLOSE_FIELDS",
    "COMBINE_FIELDS",
    "COMBINE_NATIVE_FIELDS",
    "DEBIT_FIELDS",
    "NATIVE_FIELDS",
    "OUT_REFUND_NO",
    "OUT_TRADE_NO",
    "PARKING_DEBIT_FIELDS",
    "PARKING_ENTRY_FIELDS",
    "PREPAY_FIELDS",
    "REFUND_FIELDS",
    "REVERSE_FIELDS",
    "SUB_CLOSE_FIELDS",
    "SUB_ORDER_FIELDS",
    "TERMINATE_FIELDS",
    "Field",
    "parse_body",
    "validate",
    "validate_items",
]

OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
"""Merchant order number: 6 to 32 digits, letters, ``_ - | *`` (WX-OAPI)."""
OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
"""Merchant refund number: at most 64 digits, letters, ``_ - | * @`` (WX-OAPI)."""
AUTH_CODE = re.compile(r"1[0-5][0-9]{16}")
"""What a payer's phone shows at the pump: 18 digits beginning with 10 to 15 (WXDOC v2 4011937125)."""
_NOTIFY_URL = re.compile(r"https://[^\s?#]+")
_MAX_FEN = 10_000_000_000  # 100 million yuan: a bound of this package, far above any order; the platform's is not published
_MAX_BODY_BYTES = 64 * 1024  # a prepay with a long goods list is a few kilobytes


@dataclass(frozen=True, slots=True)
class Field:
    """One rule.

    Attributes:
        pointer: JSON pointer, ``/amount/total``.
        label: the Chinese name the gateway's message uses.
        kind: ``str``, ``int``, ``bool``, ``dict`` or ``list``.
        required: whether it must be there.
        low: least length of a text, least value of a number.
        high: greatest length or value.
        pattern: what a text must match in full.
    """

    pointer: str
    label: str
    kind: type = str
    required: bool = False
    low: int = 1
    high: int = 1 << 30
    pattern: re.Pattern[str] | None = None


_ORDER = (
    Field("/appid", "应用ID", required=True, high=32),
    Field("/mchid", "直连商户号", required=True, high=32),
    Field("/description", "商品描述", required=True, high=127),
    Field("/out_trade_no", "商户订单号", required=True, low=6, high=32, pattern=OUT_TRADE_NO),
)
_NOTIFY = Field("/notify_url", "通知地址", required=True, high=255, pattern=_NOTIFY_URL)
_AMOUNT = (
    Field("/amount", "订单金额", dict, required=True),
    Field("/amount/total", "总金额", int, required=True, low=1, high=_MAX_FEN),
    Field("/amount/currency", "货币类型", pattern=re.compile("CNY")),
)
_TIME_EXPIRE = Field("/time_expire", "交易结束时间", high=64)
_EXTRAS = (
    Field("/attach", "附加数据", low=0, high=128),
    Field("/goods_tag", "订单优惠标记", low=0, high=32),
    Field("/support_fapiao", "电子发票入口开放标识", bool),
    Field("/detail", "优惠功能", dict),
)
_SETTLE = (Field("/settle_info", "结算信息", dict), Field("/limit_pay", "指定支付方式", list))

PREPAY_FIELDS: tuple[Field, ...] = (
    *_ORDER,
    _NOTIFY,
    *_AMOUNT,
    Field("/payer", "支付者", dict, required=True),
    Field("/payer/openid", "用户标识", required=True, high=128),
    _TIME_EXPIRE,
    *_EXTRAS,
    Field("/scene_info", "场景信息", dict),
    *_SETTLE,
)
"""JSAPI prepay (WX-OAPI). ``notify_url`` is https and has no query string."""

NATIVE_FIELDS: tuple[Field, ...] = (
    *_ORDER,
    _NOTIFY,
    *_AMOUNT,
    _TIME_EXPIRE,
    *_EXTRAS,
    Field("/scene_info", "场景信息", dict),
    *_SETTLE,
)
"""Native prepay, a code for the payer to scan (WX-OAPI): JSAPI without a payer."""

CODEPAY_FIELDS: tuple[Field, ...] = (
    *_ORDER,
    *_AMOUNT,
    Field("/payer", "支付者", dict, required=True),
    Field("/payer/auth_code", "授权码", required=True, high=32),
    Field("/scene_info", "场景信息", dict, required=True),
    Field("/scene_info/store_info", "商户门店信息", dict, required=True),
    Field("/scene_info/store_info/id", "门店编号", high=32),
    Field("/scene_info/store_info/out_id", "商家自定义编码", high=32),
    Field("/scene_info/device_id", "商户端设备号", low=0, high=32),
    Field("/scene_info/device_ip", "商户端设备IP", low=0, high=45),
    *_EXTRAS,
    _SETTLE[0],
)
"""Pay code (WX-OAPI): no ``notify_url``, for this product sends no notice; the store must have one of its two ids."""

REVERSE_FIELDS: tuple[Field, ...] = _ORDER[:2]
"""Reverse of a pay-code order (WX-OAPI)."""

DEBIT_FIELDS: tuple[Field, ...] = (
    _ORDER[0],
    *_ORDER[2:],
    Field("/transaction_notify_url", "通知地址", required=True, high=255, pattern=_NOTIFY_URL),
    Field("/contract_id", "委托代扣协议ID", required=True, high=32),
    *_AMOUNT,
    *_EXTRAS[:2],
)
"""Debit by a contract (WX-OAPI); the merchant is the signer, its number is not in the body."""

_PLATE = re.compile(r"[\u4e00-\u9fa5][A-Z0-9\u4e00-\u9fa5]{5,8}")
_COLOR = re.compile("BLUE|GREEN|YELLOW|BLACK|WHITE|LIMEGREEN")


def _plate_fields(at: str) -> tuple[Field, ...]:
    return (
        Field(f"{at}/plate_number", "车牌号", required=True, high=32, pattern=_PLATE),
        Field(f"{at}/plate_color", "车牌颜色", required=True, high=32, pattern=_COLOR),
        Field(f"{at}/start_time", "入场时间", required=True, high=64),
        Field(f"{at}/parking_name", "停车场名称", required=True, high=128),
    )


PARKING_ENTRY_FIELDS: tuple[Field, ...] = (
    Field("/out_parking_no", "商户入场id", required=True, high=32),
    *_plate_fields(""),
    _NOTIFY,
    Field("/free_duration", "免费时长", int, required=True, low=0, high=_MAX_FEN),
)
"""A car comes in (WX-OAPI ``vehicle/parking/parkings``)."""

PARKING_DEBIT_FIELDS: tuple[Field, ...] = (
    _ORDER[0],
    *_ORDER[2:],
    Field("/trade_scene", "交易场景", required=True, pattern=re.compile("PARKING")),
    _NOTIFY,
    *_AMOUNT,
    Field("/profit_sharing", "分账标识", pattern=re.compile("[YN]")),
    *_EXTRAS[:2],
    Field("/parking_info", "停车场景信息", dict, required=True),
    Field("/parking_info/parking_id", "停车入场id", required=True, high=32),
    *_plate_fields("/parking_info"),
    Field("/parking_info/end_time", "出场时间", required=True, high=64),
    Field("/parking_info/charging_duration", "计费时长", int, required=True, low=0, high=_MAX_FEN),
    Field("/parking_info/device_id", "停车场设备id", required=True, high=32),
)
"""Debit by number plate (WX-OAPI ``vehicle/transactions/parking``)."""

TERMINATE_FIELDS: tuple[Field, ...] = (
    Field("/contract_termination_remark", "解约备注", required=True, high=256),
)
"""End of a contract by the merchant (WX-OAPI)."""

CLOSE_FIELDS: tuple[Field, ...] = (Field("/mchid", "直连商户号", required=True, high=32),)
"""Close (WX-OAPI)."""

REFUND_FIELDS: tuple[Field, ...] = (
    Field("/transaction_id", "微信支付订单号", high=32),
    Field("/out_trade_no", "商户订单号", low=6, high=32, pattern=OUT_TRADE_NO),
    Field("/out_refund_no", "商户退款单号", required=True, high=64, pattern=OUT_REFUND_NO),
    Field("/reason", "退款原因", low=0, high=80),
    Field("/notify_url", "退款结果回调url", high=256, pattern=_NOTIFY_URL),
    Field("/funds_account", "退款资金来源", high=32),
    Field("/amount", "金额信息", dict, required=True),
    Field("/amount/refund", "退款金额", int, required=True, low=1, high=_MAX_FEN),
    Field("/amount/total", "原订单金额", int, required=True, low=1, high=_MAX_FEN),
    Field("/amount/currency", "退款币种", required=True, pattern=re.compile("CNY")),
    Field("/goods_detail", "退款商品", list),
)
"""Refund (WX-OAPI); one of ``transaction_id`` and ``out_trade_no`` must be there as well."""

ABNORMAL_REFUND_FIELDS: tuple[Field, ...] = (
    Field("/out_refund_no", "商户退款单号", required=True, high=64, pattern=OUT_REFUND_NO),
    Field(
        "/type",
        "异常退款处理方式",
        required=True,
        high=32,
        pattern=re.compile("USER_BANK_CARD|MERCHANT_BANK_CARD"),
    ),
    Field("/bank_type", "开户银行", high=16, pattern=re.compile(r"[A-Z]{2,10}_DEBIT")),
    Field("/bank_account", "收款银行卡号", high=1024),
    Field("/real_name", "收款用户姓名", high=1024),
)
"""Abnormal refund (WX-OAPI); the last three must be there for ``USER_BANK_CARD``, the last two encrypted."""

COMBINE_NATIVE_FIELDS: tuple[Field, ...] = (
    Field("/combine_appid", "合单商户appid", required=True, high=32),
    Field("/combine_mchid", "合单商户号", required=True, high=32),
    Field(
        "/combine_out_trade_no",
        "合单商户订单号",
        required=True,
        low=2,
        high=32,
        pattern=re.compile(r"[0-9A-Za-z_\-|*]{2,32}"),
    ),
    Field("/scene_info", "场景信息", dict),
    Field("/scene_info/device_id", "商户端设备号", low=0, high=32),
    Field("/sub_orders", "子单信息", list, required=True),
    Field("/time_start", "交易起始时间", high=64),
    _TIME_EXPIRE,
    _NOTIFY,
    _SETTLE[1],
)
"""Combined order with a code to scan (WX-OAPI); its ``sub_orders`` have `SUB_ORDER_FIELDS`."""

COMBINE_FIELDS: tuple[Field, ...] = (
    *COMBINE_NATIVE_FIELDS,
    Field("/combine_payer_info", "支付者", dict, required=True),
    Field("/combine_payer_info/openid", "用户标识", required=True, high=128),
)
"""Combined order of a mini-program (WX-OAPI)."""

SUB_ORDER_FIELDS: tuple[Field, ...] = (
    Field("/mchid", "子单商户号", required=True, high=32),
    Field("/attach", "附加数据", required=True, high=128),
    Field("/amount", "订单金额", dict, required=True),
    Field("/amount/total_amount", "标价金额", int, required=True, low=1, high=_MAX_FEN),
    Field("/amount/currency", "标价币种", required=True, pattern=re.compile("CNY")),
    _ORDER[3],
    _ORDER[2],
    Field("/detail", "商品详情", high=6000),
    _EXTRAS[1],
    _SETTLE[0],
)
"""One order of a combination (WX-OAPI)."""

COMBINE_CLOSE_FIELDS: tuple[Field, ...] = (
    COMBINE_NATIVE_FIELDS[0],
    Field("/sub_orders", "子单信息", list),
)
"""Close of a combination (WX-OAPI)."""

SUB_CLOSE_FIELDS: tuple[Field, ...] = (SUB_ORDER_FIELDS[0], _ORDER[3])
"""One order named by a close (WX-OAPI)."""

_KIND_TEXT = {str: "字符串", int: "数值", bool: "布尔", dict: "对象", list: "数组"}


def _refuse(field: Field, value: object, issue: str, location: str = "body") -> ApiError:
    # The wording for /amount/total = 0 is the documented one; the others follow its pattern.
    message = f"输入源“/{location}{field.pointer}”映射到{_KIND_TEXT[field.kind]}字段“{field.label}”规则校验失败，{issue}"
    detail: dict[str, object] = {"field": field.pointer, "issue": issue, "location": location}
    if isinstance(value, str | int):
        detail["value"] = value if isinstance(value, int) else value[:128]
    return ApiError(400, "PARAM_ERROR", message, detail)


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a request body.

    Raises:
        ApiError: 400 PARAM_ERROR: not UTF-8 JSON, not an object, null values, characters of four bytes (emoji),
            or larger than any real request.
    """
    if len(raw) > _MAX_BODY_BYTES:
        raise ApiError(400, "PARAM_ERROR", "请求报文过长")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, "PARAM_ERROR", "请求报文不是合法的JSON") from None
    if not isinstance(value, dict):
        raise ApiError(400, "PARAM_ERROR", "请求报文不是JSON对象")
    _refuse_null_and_wide(value, "")
    return value


def _refuse_null_and_wide(value: object, pointer: str) -> None:
    if value is None:
        detail: dict[str, object] = {"field": pointer, "issue": "值不允许为null", "location": "body"}
        raise ApiError(400, "PARAM_ERROR", f"输入源“/body{pointer}”的值不允许为null", detail)
    if isinstance(value, str):
        if not value.isascii() and any(ord(char) > 0xFFFF for char in value):
            detail = {"field": pointer, "issue": "只支持1至3字节的UTF-8字符", "location": "body"}
            raise ApiError(400, "PARAM_ERROR", f"输入源“/body{pointer}”含有4字节字符", detail)
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_null_and_wide(item, f"{pointer}/{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_null_and_wide(item, f"{pointer}/{number}")


def _look_up(body: Mapping[str, Any], pointer: str) -> Any:
    value: Any = body
    for name in pointer.split("/")[1:]:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def validate(body: Mapping[str, Any], fields: Sequence[Field], *, at: str = "") -> None:
    """Check a request body against its rules, in their order; ``at`` is where the body itself is, if it is a part.

    Raises:
        ApiError: 400 PARAM_ERROR for the first rule that is broken; ``detail.field`` is its JSON pointer.
    """
    for field in fields:
        value = _look_up(body, field.pointer[len(at) :])
        if value is None:
            if field.required:
                raise _refuse(field, None, "必填字段缺失")
            continue
        # bool is an int in Python; the platform does not take true for 1.
        if not isinstance(value, field.kind) or (field.kind is int and isinstance(value, bool)):
            raise _refuse(field, None, "类型不正确")
        if isinstance(value, str):
            _validate_text(field, value)
        elif isinstance(value, int) and not isinstance(value, bool):
            if value < field.low:
                raise _refuse(field, value, f"值低于最小值 {field.low}")
            if value > field.high:
                raise _refuse(field, value, f"值高于最大值 {field.high}")


def _validate_text(field: Field, value: str) -> None:
    if len(value) < field.low:
        raise _refuse(field, value, f"字符串长度小于最小长度 {field.low}")
    if len(value) > field.high:
        raise _refuse(field, value, f"字符串长度大于最大长度 {field.high}")
    if field.pattern is not None and field.pattern.fullmatch(value) is None:
        raise _refuse(field, value, "字符串不符合格式要求")


def validate_items(body: Mapping[str, Any], pointer: str, fields: Sequence[Field], *, most: int) -> None:
    """Check each object of a list against its rules.

    Args:
        body: the request.
        pointer: JSON pointer of the list, ``/sub_orders``; it has been checked to be one.
        fields: rules of an object, their pointers seen from the object.
        most: how many there may be.

    Raises:
        ApiError: 400 PARAM_ERROR: none, too many, not objects, or the first rule that is broken
            (``/sub_orders/0/amount/total_amount``).
    """
    items = _look_up(body, pointer)
    whole = Field(pointer, "列表", list)
    if not 0 < len(items) <= most:
        raise _refuse(whole, len(items), f"数组长度必须为1至{most}")
    for number, item in enumerate(items):
        here = f"{pointer}/{number}"
        if not isinstance(item, Mapping):
            raise _refuse(Field(here, "列表项", dict), None, "类型不正确")
        validate(item, [replace(field, pointer=f"{here}{field.pointer}") for field in fields], at=here)
