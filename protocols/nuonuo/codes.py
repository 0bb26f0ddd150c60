"""Statuses of an order and the codes of replies, as data."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["CODES", "NuonuoCode", "NuonuoError", "NuonuoStatus"]


class NuonuoStatus(StrEnum):
    """``status`` of queryInvoiceResult. 2 and 20 were seen live; the others come from vendor texts."""

    ISSUED = "2"
    ISSUING = "20"
    SEALING = "21"
    FAILED = "22"
    SEAL_FAILED = "24"

    @property
    def message(self) -> str:
        """``statusMsg``."""
        return _STATUS_TEXTS[self]


_STATUS_TEXTS: Final = {
    NuonuoStatus.ISSUED: "开票完成（最终状态）",
    NuonuoStatus.ISSUING: "开票中",
    NuonuoStatus.SEALING: "开票成功签章中",
    NuonuoStatus.FAILED: "开票失败",
    NuonuoStatus.SEAL_FAILED: "开票成功签章失败",
}


class NuonuoCode(StrEnum):
    """``code`` of a reply: six digits from the gateway, E and four digits from the business."""

    OK = "E0000"
    APP_KEY = "070101"
    CREDENTIALS = "070304"
    TOKEN_CALLS = "070306"  # noqa: S105 # a code
    TOKEN = "070312"  # noqa: S105 # a code
    SIGNATURE = "070601"
    METHOD = "070401"
    RED_REPEATED = "E9103"
    CONTENT = "E9105"
    ORDER_EXISTS = "E9106"
    NOT_FOUND = "E9500"
    RETRY_LIMIT = "E9613"
    OTHER = "E9999"


CODES: Final = MappingProxyType(
    {
        NuonuoCode.OK: "成功",
        NuonuoCode.APP_KEY: "获取app密钥失败或appkey无效",
        NuonuoCode.CREDENTIALS: "应用凭据不正确",
        NuonuoCode.TOKEN_CALLS: "获取令牌次数已达上限",
        NuonuoCode.TOKEN: "accessToken无效或已过期",
        NuonuoCode.SIGNATURE: "签名验证失败",
        NuonuoCode.METHOD: "方法不存在或未授权",
        NuonuoCode.RED_REPEATED: "该发票不能重复冲红",
        NuonuoCode.CONTENT: "开票信息不正确",
        NuonuoCode.ORDER_EXISTS: "订单编号或流水号不能重复",
        NuonuoCode.NOT_FOUND: "未查询到发票信息",
        NuonuoCode.RETRY_LIMIT: "同一流水号(订单号)单日最多重试20次",
        NuonuoCode.OTHER: "业务处理失败",
    }
)
"""Default texts. Public records bear out E0000, E9103, E9105, E9106, E9500, E9613, 070101, 070304, 070306 and 070601; `TOKEN`
and `METHOD` are guesses, and so is E9999 wherever it stands for something in particular."""


class NuonuoError(Exception):
    """A reply that says no.

    Attributes:
        code: as in `CODES`.
        describe: the text of the reply.
    """

    def __init__(self, code: NuonuoCode, describe: str = "") -> None:
        self.code = code
        self.describe = describe or CODES[code]
        super().__init__(f"{code}: {self.describe}")
