"""What the gateway refuses, with which status and code; and why a merchant refuses what it receives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from protocols.sansio import RemoteProtocolError

__all__ = [
    "REFUSALS",
    "ApiError",
    "Endpoint",
    "RefusalRow",
    "SignatureRefusedError",
    "refusal",
    "refusal_table",
]


class Endpoint(StrEnum):
    """The calls this package knows. The same error code has other statuses on other endpoints."""

    PREPAY = "prepay"
    QUERY = "query"
    CLOSE = "close"
    REFUND = "refund"
    REFUND_QUERY = "refund-query"
    CERTIFICATES = "certificates"
    FAPIAO = "fapiao"
    NATIVE = "native"
    CODEPAY = "codepay"
    REVERSE = "reverse"
    CONTRACT = "contract"
    DEBIT = "debit"
    PARKING = "parking"
    ABNORMAL_REFUND = "abnormal-refund"
    TRADE_BILL = "trade-bill"
    FUND_BILL = "fund-bill"
    BILL_FILE = "bill-file"
    COMBINE = "combine"
    COMBINE_QUERY = "combine-query"
    COMBINE_CLOSE = "combine-close"

    @property
    def is_trade(self) -> bool:
        """Whether the path is under ``/v3/pay/transactions``, where several refusals read differently (probed)."""
        return self in _TRADE


_TRADE = frozenset(
    {
        Endpoint.PREPAY,
        Endpoint.NATIVE,
        Endpoint.CODEPAY,
        Endpoint.QUERY,
        Endpoint.CLOSE,
        Endpoint.REVERSE,
    }
)


@dataclass(eq=False)
class ApiError(Exception):
    """A refusal as it goes over the wire: ``{"code": …, "message": …, "detail": {…}}`` with an HTTP status (WXDOC 4012081709).

    Attributes:
        status: HTTP status.
        code: the machine word; the only field to branch on.
        message: Chinese text for people.
        detail: ``{"field": JSON pointer, "value": …, "issue": …, "location": "body"|"query"|…}``, or None.
    """

    status: int
    code: str
    message: str
    detail: dict[str, object] | None = field(default=None)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def body(self) -> dict[str, object]:
        """The JSON body of the refusal."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            body["detail"] = self.detail
        return body


class SignatureRefusedError(RemoteProtocolError):
    """A merchant must treat this reply or notification as forged.

    Attributes:
        reason: ``missing-header``, ``signature-type``, ``timestamp``, ``unknown-serial``, ``probe``
            or ``signature``. ``unknown-serial`` is worth one refresh of the platform certificates.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """One row of the refusal table.

    Attributes:
        endpoint: where.
        code: the error code.
        status: its HTTP status there.
        message: default text.
        proof: ``doc`` (the endpoint's documentation page), ``probed`` (seen from the live gateway) or ``unproven``.
    """

    endpoint: Endpoint
    code: str
    status: int
    message: str
    proof: str = "doc"


_PREPAY = (Endpoint.PREPAY, Endpoint.NATIVE)
_TOUCH = (Endpoint.QUERY, Endpoint.CLOSE, Endpoint.COMBINE_QUERY, Endpoint.COMBINE_CLOSE)
_REFUND = (Endpoint.REFUND, Endpoint.REFUND_QUERY, Endpoint.ABNORMAL_REFUND)
_BILL = (Endpoint.TRADE_BILL, Endpoint.FUND_BILL)
_FRICTIONLESS = (Endpoint.CONTRACT, Endpoint.DEBIT, Endpoint.PARKING)


def _rows(
    endpoints: Iterable[Endpoint], code: str, status: int, message: str, proof: str = "doc"
) -> list[RefusalRow]:
    return [RefusalRow(endpoint, code, status, message, proof) for endpoint in endpoints]


REFUSALS: tuple[RefusalRow, ...] = (
    *_rows(Endpoint, "PARAM_ERROR", 400, "参数错误"),
    *_rows(Endpoint, "INVALID_REQUEST", 400, "请求参数符合参数格式，但不符合业务规则"),
    *_rows(Endpoint, "SIGN_ERROR", 401, "签名错误", "probed"),
    *_rows(Endpoint, "FREQUENCY_LIMITED", 429, "请求频率过高，请降低频率后重试"),
    *_rows(Endpoint, "RATELIMIT_EXCEEDED", 429, "请求频率过高，请降低频率后重试"),
    *_rows(Endpoint, "SYSTEM_ERROR", 500, "系统异常，请用相同参数重新调用"),
    *_rows(Endpoint, "SERVICE_UNAVAILABLE", 503, "服务不可用，请稍后重试"),
    *_rows(_PREPAY, "APPID_MCHID_NOT_MATCH", 400, "appid和mch_id不匹配"),
    *_rows((*_PREPAY, Endpoint.QUERY, Endpoint.CLOSE), "MCH_NOT_EXISTS", 400, "商户号不存在"),
    *_rows(_REFUND, "MCH_NOT_EXISTS", 404, "商户号不存在"),
    *_rows(_PREPAY, "NO_AUTH", 403, "商户无权限"),
    *_rows(_PREPAY, "OUT_TRADE_NO_USED", 403, "商户订单号重复"),
    *_rows(_TOUCH, "RULE_LIMIT", 403, "业务规则限制"),
    *_rows(_TOUCH, "TRADE_ERROR", 403, "交易错误"),
    RefusalRow(Endpoint.QUERY, "ORDER_NOT_EXIST", 404, "订单不存在"),
    RefusalRow(Endpoint.CLOSE, "ORDER_NOT_EXIST", 404, "订单不存在", "unproven"),
    RefusalRow(Endpoint.NATIVE, "ORDER_CLOSED", 400, "订单已关闭"),
    RefusalRow(Endpoint.PREPAY, "ORDER_CLOSED", 400, "订单已关闭", "unproven"),
    RefusalRow(Endpoint.CLOSE, "ORDER_CLOSED", 400, "订单已关闭", "unproven"),
    *_rows(_REFUND, "NOT_ENOUGH", 403, "基本账户余额不足，请充值后重新发起"),
    *_rows(_REFUND, "USER_ACCOUNT_ABNORMAL", 403, "退款请求失败，用户账户异常"),
    *_rows(_REFUND, "NO_AUTH", 403, "没有退款权限"),
    *_rows(_REFUND, "RESOURCE_NOT_EXISTS", 404, "订单不存在"),
    RefusalRow(Endpoint.REFUND, "TRADE_OVERDUE", 403, "订单已经超过退款期限", "unproven"),
    RefusalRow(
        Endpoint.CERTIFICATES,
        "RESOURCE_NOT_EXISTS",
        404,
        "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。",
    ),
    # Pay codes: no public table of the v3 page; names and texts are those of v2 (WXDOC v2 4011937125), statuses a guess.
    RefusalRow(
        Endpoint.CODEPAY, "AUTH_CODE_INVALID", 400, "101 每个二维码仅限使用一次，请刷新再试", "unproven"
    ),
    RefusalRow(Endpoint.CODEPAY, "AUTHCODEEXPIRE", 400, "101 付款码已过期，请退出重试", "unproven"),
    RefusalRow(
        Endpoint.CODEPAY, "NOTENOUGH", 403, "用户帐号余额不足，请用户充值或更换支付卡后再支付", "unproven"
    ),
    RefusalRow(Endpoint.CODEPAY, "BANKERROR", 500, "银行系统异常，请立即查询订单结果", "unproven"),
    RefusalRow(Endpoint.CODEPAY, "TRADE_ERROR", 403, "交易错误", "unproven"),
    RefusalRow(Endpoint.CODEPAY, "ORDERREVERSED", 400, "当前订单已经被撤销", "unproven"),
    RefusalRow(Endpoint.REVERSE, "USERPAYING", 403, "正在支付中不能发起撤销", "unproven"),
    RefusalRow(Endpoint.REVERSE, "REVERSE_EXPIRE", 403, "订单超过7天，不能撤销", "unproven"),
    RefusalRow(Endpoint.REVERSE, "ORDER_NOT_EXIST", 404, "订单不存在", "unproven"),
    RefusalRow(Endpoint.REVERSE, "TRADE_ERROR", 403, "订单的支付场景不支持该请求", "unproven"),
    *_rows((Endpoint.CODEPAY, Endpoint.COMBINE), "NO_AUTH", 403, "商户无权限", "unproven"),
    *_rows((Endpoint.CODEPAY, Endpoint.COMBINE), "OUT_TRADE_NO_USED", 403, "商户订单号重复", "unproven"),
    *_rows(
        (Endpoint.CODEPAY, Endpoint.REVERSE, Endpoint.COMBINE, *_FRICTIONLESS),
        "APPID_MCHID_NOT_MATCH",
        400,
        "appid和mch_id不匹配",
        "unproven",
    ),
    # Contracts: the pages' tables are not public.
    *_rows(_FRICTIONLESS, "NO_AUTH", 403, "商户无权限", "unproven"),
    *_rows(_FRICTIONLESS, "RESOURCE_NOT_EXISTS", 404, "协议不存在", "unproven"),
    *_rows((Endpoint.DEBIT, Endpoint.PARKING), "RULE_LIMIT", 403, "扣款金额超过限额", "unproven"),
    *_rows((Endpoint.DEBIT, Endpoint.PARKING), "OUT_TRADE_NO_USED", 403, "商户订单号重复", "unproven"),
    *_rows((Endpoint.DEBIT, Endpoint.PARKING), "ORDER_CLOSED", 400, "订单已关闭", "unproven"),
    RefusalRow(Endpoint.PARKING, "ORDER_NOT_EXIST", 404, "订单不存在", "unproven"),
    *_rows(_BILL, "NO_STATEMENT_EXIST", 400, "账单文件不存在"),
    *_rows(_BILL, "STATEMENT_CREATING", 400, "账单生成中"),
    RefusalRow(Endpoint.BILL_FILE, "NO_AUTH", 403, "下载账单的商户号与申请账单的商户号不一致"),
    RefusalRow(Endpoint.COMBINE, "ORDER_CLOSED", 400, "订单已关闭", "unproven"),
    *_rows(
        (Endpoint.COMBINE_QUERY, Endpoint.COMBINE_CLOSE), "ORDER_NOT_EXIST", 404, "订单不存在", "unproven"
    ),
)
"""(endpoint, code) → status, from the API pages (WXDOC, WX-OAPI); texts are defaults and may change at any time."""

_INDEX = {(row.endpoint, row.code): row for row in REFUSALS}


def refusal(
    endpoint: Endpoint, code: str, message: str | None = None, *, detail: dict[str, object] | None = None
) -> ApiError:
    """The refusal of one endpoint by its code.

    Raises:
        KeyError: this endpoint has no such code; the table is the only source of statuses.
    """
    row = _INDEX[endpoint, code]
    return ApiError(row.status, code, message if message is not None else row.message, detail)


def refusal_table() -> list[dict[str, object]]:
    """The table as plain data, for documents and conformance automata."""
    return [
        {
            "endpoint": str(row.endpoint),
            "code": row.code,
            "status": row.status,
            "message": row.message,
            "proof": row.proof,
        }
        for row in REFUSALS
    ]
