"""The refined-oil invoice of WeChat Pay: paths, request rules, query reply and event, for both sides.

Source: WeChat Pay merchant documentation 4016760559 (2025-12-03) and the webhook list of wechatpay-openapi. The
spellings ``LETER`` and ``SERVICE_SUSPENTION`` are the platform's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from protocols.wechatpay.errors import ApiError
from protocols.wechatpay.validation import Field, validate

__all__ = [
    "APPLICATIONS_PATH",
    "DIESEL_TAX_CODE",
    "EVENT_ISSUED",
    "EVENT_REVERSED",
    "FUEL_TAX_CODES",
    "ISSUE_PATH",
    "LITRES_PER_TON",
    "MAX_TRIES",
    "PETROL_TAX_CODE",
    "REVERSE_REASONS",
    "Buyer",
    "FuelLine",
    "IssueRequest",
    "parse_issue_request",
    "parse_reverse_request",
]

APPLICATIONS_PATH: Final = "/v3/new-tax-control-fapiao/fapiao-applications"
ISSUE_PATH: Final = f"{APPLICATIONS_PATH}/issue-refined-oil"

EVENT_ISSUED: Final = "FAPIAO.ISSUED"
EVENT_REVERSED: Final = "FAPIAO.REVERSED"

PETROL_TAX_CODE: Final = "1070101010100000000"
DIESEL_TAX_CODE: Final = "1070101030100000000"
FUEL_TAX_CODES: Final = {
    "92": PETROL_TAX_CODE,
    "95": PETROL_TAX_CODE,
    "98": PETROL_TAX_CODE,
    "diesel": DIESEL_TAX_CODE,
}
"""Grade -> 19-digit tax code. One ERP calls ...0101... aviation petrol, so stations may configure another."""

LITRES_PER_TON: Final = {PETROL_TAX_CODE: 1388, DIESEL_TAX_CODE: 1176}
"""Conversion the tax administration uses for its fuel stock."""

MAX_TRIES: Final = 4
"""An apply id may be tried with at most so many ``fapiao_id`` after failures."""

REVERSE_REASONS: Final = frozenset({"ISSUE_ERROR", "SALES_RETURN", "SERVICE_SUSPENTION", "SALES_DISCOUNT"})

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_TAXPAYER_ID: Final = re.compile(r"[0-9A-HJ-NPQRTUWXY]{15,20}")
_ID: Final = re.compile(r"[0-9A-Za-z_\-|*]{1,32}")

_TOP: Final = (
    Field("/sub_mchid", "子商户号", high=32),
    Field("/fapiao_apply_id", "发票申请单号", required=True, high=32, pattern=_ID),
    Field("/buyer_information", "购买方信息", dict, required=True),
    Field(
        "/buyer_information/type", "购买方类型", required=True, pattern=re.compile("INDIVIDUAL|ORGANIZATION")
    ),
    Field("/buyer_information/name", "购买方名称", required=True, high=100),
    Field("/buyer_information/taxpayer_id", "纳税人识别号", high=20, pattern=_TAXPAYER_ID),
    Field("/buyer_information/phone", "手机号", high=1024),
    Field("/buyer_information/email", "邮箱", high=1024),
    Field("/fapiao_information", "发票信息", list, required=True),
    Field("/transaction_information", "交易信息", list),
)
_FAPIAO: Final = (
    Field("/fapiao_id", "商户发票单号", required=True, high=32, pattern=_ID),
    Field("/total_amount", "总价税合计", int, required=True, high=10**10),
    Field("/items", "发票行信息", list, required=True),
    Field("/billing_person_id", "开票人标识", high=64),
    Field("/fapiao_bill_type", "发票票种", pattern=re.compile("COMM_FAPIAO|VAT_FAPIAO")),
    Field("/remark", "备注", low=0, high=200),
)
_ITEM: Final = (
    Field("/tax_code", "税局侧规定的税收分类编码", required=True, pattern=re.compile(r"\d{19}")),
    Field("/goods_name", "货物名称", required=True, high=100),
    Field("/specification", "规格型号", low=0, high=40),
    Field("/unit", "单位", required=True, pattern=re.compile("TON|LETER")),
    Field("/quantity", "数量", int, required=True, high=10**13),
    Field("/total_amount", "单行金额合计", int, required=True, high=10**10),
    Field("/tax_rate", "税率", int, required=True, low=1300, high=1300),
    Field("/discount", "是否折扣行", bool),
    Field("/refined_oil_information", "成品油信息", dict, required=True),
    Field("/refined_oil_information/station", "加油站", required=True, high=100),
    Field("/refined_oil_information/trade_time", "交易时间", required=True, high=64, pattern=_RFC3339),
    Field("/refined_oil_information/gun_number", "油枪号", required=True, high=20),
)
_TRANSACTION: Final = (
    Field("/pay_channel", "支付渠道", required=True, pattern=re.compile("WECHAT_PAY")),
    Field("/transaction_id", "微信支付订单号", required=True, high=32),
    Field("/amount", "交易金额", int, required=True, high=10**10),
)
_MAX_FAPIAOS: Final = 5
_MAX_ITEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who the invoice is for; ``taxpayer_id`` is needed for an ORGANIZATION. Phone and mail stay encrypted."""

    type: str
    name: str = field(repr=False)
    taxpayer_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FuelLine:
    """One line of a refined-oil invoice; ``quantity_e8`` in ``unit`` (LETER or TON) x 10^8, ``gross_fen`` with tax."""

    tax_code: str
    goods_name: str
    unit: str
    quantity_e8: int
    gross_fen: int
    station: str
    trade_time: str
    gun_number: str
    specification: str = ""
    tax_rate_e4: int = 1300

    def body(self) -> dict[str, object]:
        """The line as the API wants it."""
        body: dict[str, object] = {"tax_code": self.tax_code, "goods_name": self.goods_name}
        if self.specification:
            body["specification"] = self.specification
        body |= {
            "unit": self.unit,
            "quantity": self.quantity_e8,
            "total_amount": self.gross_fen,
            "tax_rate": self.tax_rate_e4,
            "refined_oil_information": {
                "station": self.station,
                "trade_time": self.trade_time,
                "gun_number": self.gun_number,
            },
        }
        return body


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """One application for one invoice, as a merchant sends it (`body`) and as the platform reads it.

    Attributes:
        fapiao_apply_id: idempotency key; in the pay scene the WeChat transaction id.
        fapiao_id: number of this try; a new one after a failure, at most `MAX_TRIES`.
        buyer: for whom.
        lines: at least one.
        transactions: (transaction id, amount in fen) pairs the invoice stands for.
        bill_type: COMM_FAPIAO or VAT_FAPIAO (special, ORGANIZATION only).
        sub_mchid: in service-provider mode.
        remark: free text.
    """

    fapiao_apply_id: str
    fapiao_id: str
    buyer: Buyer
    lines: tuple[FuelLine, ...]
    transactions: tuple[tuple[str, int], ...] = ()
    bill_type: str = "COMM_FAPIAO"
    sub_mchid: str = ""
    remark: str = ""

    @property
    def gross_fen(self) -> int:
        """Sum of the lines."""
        return sum(line.gross_fen for line in self.lines)

    def body(self) -> dict[str, object]:
        """The JSON object to POST to `ISSUE_PATH`."""
        buyer: dict[str, object] = {"type": self.buyer.type, "name": self.buyer.name}
        if self.buyer.taxpayer_id:
            buyer["taxpayer_id"] = self.buyer.taxpayer_id
        fapiao: dict[str, object] = {
            "fapiao_id": self.fapiao_id,
            "total_amount": self.gross_fen,
            "items": [line.body() for line in self.lines],
            "fapiao_bill_type": self.bill_type,
        }
        if self.remark:
            fapiao["remark"] = self.remark
        body: dict[str, object] = {"fapiao_apply_id": self.fapiao_apply_id, "buyer_information": buyer}
        if self.sub_mchid:
            body["sub_mchid"] = self.sub_mchid
        body["fapiao_information"] = [fapiao]
        if self.transactions:
            body["transaction_information"] = [
                {"pay_channel": "WECHAT_PAY", "transaction_id": number, "amount": amount}
                for number, amount in self.transactions
            ]
        return body


def _param_error(pointer: str, issue: str, value: object = None) -> ApiError:
    detail: dict[str, object] = {"field": pointer, "issue": issue, "location": "body"}
    if isinstance(value, str | int):
        detail["value"] = value if isinstance(value, int) else value[:128]
    return ApiError(400, "PARAM_ERROR", f"输入源“/body{pointer}”校验失败，{issue}", detail)


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_REQUEST", message)


def _validate_at(prefix: str, value: object, rules: Sequence[Field]) -> Mapping[str, Any]:
    """Check one element of a list; the refusal names its full JSON pointer."""
    if not isinstance(value, Mapping):
        raise _param_error(prefix, "类型不正确")
    try:
        validate(value, rules)
    except ApiError as error:
        detail = dict(error.detail or {})
        pointer = str(detail.get("field", ""))
        detail["field"] = prefix + pointer
        message = error.message.replace(f"/body{pointer}", f"/body{prefix}{pointer}")
        raise ApiError(error.status, error.code, message, detail) from None
    return value


def _list(body: Mapping[str, Any], name: str, prefix: str, most: int) -> list[Any]:
    values = body.get(name, [])
    if not 1 <= len(values) <= most:
        raise _param_error(f"{prefix}/{name}", f"元素个数须为1至{most}")
    return list(values)


def parse_issue_request(body: Mapping[str, Any]) -> tuple[IssueRequest, ...]:
    """Check an issue request and read it: one `IssueRequest` for each invoice in it.

    Raises:
        ApiError: 400 PARAM_ERROR with the field's JSON pointer, or 400 INVALID_REQUEST for what is well-formed and wrong.
    """
    validate(body, _TOP)
    raw = body["buyer_information"]
    buyer = Buyer(raw["type"], raw["name"], raw.get("taxpayer_id", ""))
    if buyer.type == "ORGANIZATION" and not buyer.taxpayer_id:
        raise _param_error("/buyer_information/taxpayer_id", "购买方类型为ORGANIZATION时必填")
    transactions = _transactions(body)
    requests = []
    seen: set[str] = set()
    for number, value in enumerate(_list(body, "fapiao_information", "", _MAX_FAPIAOS)):
        prefix = f"/fapiao_information/{number}"
        fapiao = _validate_at(prefix, value, _FAPIAO)
        lines = _lines(fapiao, prefix)
        if fapiao["fapiao_id"] in seen:
            raise _param_error(f"{prefix}/fapiao_id", "同一申请单内重复", fapiao["fapiao_id"])
        seen.add(fapiao["fapiao_id"])
        bill_type = fapiao.get("fapiao_bill_type", "COMM_FAPIAO")
        if bill_type == "VAT_FAPIAO" and buyer.type != "ORGANIZATION":
            raise _invalid("专用发票的购买方必须为企业")
        request = IssueRequest(
            body["fapiao_apply_id"],
            fapiao["fapiao_id"],
            buyer,
            lines,
            transactions,
            bill_type,
            body.get("sub_mchid", ""),
            fapiao.get("remark", ""),
        )
        if request.gross_fen != fapiao["total_amount"]:
            raise _param_error(f"{prefix}/total_amount", "与发票行金额合计不一致", fapiao["total_amount"])
        requests.append(request)
    total_fen = sum(request.gross_fen for request in requests)
    if transactions and total_fen > sum(amount for _, amount in transactions):
        raise _invalid("开票金额大于交易金额")
    return tuple(requests)


def _transactions(body: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    if "transaction_information" not in body:
        return ()
    found = []
    for number, value in enumerate(_list(body, "transaction_information", "", _MAX_ITEMS)):
        checked = _validate_at(f"/transaction_information/{number}", value, _TRANSACTION)
        found.append((checked["transaction_id"], checked["amount"]))
    return tuple(found)


def _lines(fapiao: Mapping[str, Any], prefix: str) -> tuple[FuelLine, ...]:
    lines = []
    for number, value in enumerate(_list(fapiao, "items", prefix, _MAX_ITEMS)):
        here = f"{prefix}/items/{number}"
        item = _validate_at(here, value, _ITEM)
        if item["tax_code"] not in LITRES_PER_TON:
            raise _param_error(f"{here}/tax_code", "不是成品油的税收分类编码", item["tax_code"])
        if item.get("discount"):
            # How discount lines are signed is not documented for this endpoint; a discount belongs in the amount.
            raise _param_error(f"{here}/discount", "不支持折扣行")
        oil = item["refined_oil_information"]
        try:
            datetime.fromisoformat(oil["trade_time"])
        except ValueError:
            pointer = f"{here}/refined_oil_information/trade_time"
            raise _param_error(pointer, "不是存在的时间", oil["trade_time"]) from None
        lines.append(
            FuelLine(
                item["tax_code"],
                item["goods_name"],
                item["unit"],
                item["quantity"],
                item["total_amount"],
                oil["station"],
                oil["trade_time"],
                oil["gun_number"],
                item.get("specification", ""),
                item["tax_rate"],
            )
        )
    return tuple(lines)


def parse_reverse_request(body: Mapping[str, Any]) -> str:
    """Check a reverse (red letter) request and return its reason.

    Raises:
        ApiError: 400 PARAM_ERROR.
    """
    reason = body.get("reverse_reason")
    if not isinstance(reason, str) or reason not in REVERSE_REASONS:
        raise _param_error("/reverse_reason", f"须为{'、'.join(sorted(REVERSE_REASONS))}之一", reason)
    return reason
