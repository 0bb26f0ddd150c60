"""Error numbers of WeCom, with the words they come with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ERRORS", "WeComError"]

ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1: "system busy",
        40001: "invalid credential",
        40003: "invalid userid",
        40013: "invalid corpid",
        40014: "invalid access_token",
        40035: "invalid parameter",
        40058: "invalid Request Parameter",
        40068: "invalid tagid",
        40071: "tag name already existed",
        40072: "invalid tag name length",
        40096: "invalid external userid",
        41001: "access_token missing",
        41002: "corpid missing",
        41004: "secret missing",
        42001: "access_token expired",
        45009: "api freq out of limit",
        84061: "not external contact",
    }
)
"""developer.work.weixin.qq.com/document/path/90313 and 90455 (global return codes), 92117 and 92118 (customer tags)."""


class WeComError(Exception):
    """A refusal.

    Attributes:
        code: one of `ERRORS`.
        detail: further words, after the usual ones.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code} {ERRORS[code]} {detail}".rstrip())
        self.code = code
        self.detail = detail
