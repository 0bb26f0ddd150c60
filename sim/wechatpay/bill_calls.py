"""The calls that give bills: a link that lives five minutes, and the file behind it."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from protocols.wechatpay import Endpoint, bill_day, pack_bill, refusal, write_fund_bill
from sim.wechatpay.bill_files import write_trades
from sim.wechatpay.calls import Commit, Done, Route
from sim.wechatpay.gate import RawRequest
from sim.wechatpay.ids import Ids
from sim.wechatpay.material import MerchantAccount

if TYPE_CHECKING:
    from sim.wechatpay.gateway import WeChatPayGateway

__all__ = ["BillCalls"]

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LINK_LIFE_US: Final = 300_000_000
_KEPT_LINKS: Final = 1_000  # the oldest are forgotten, as if they had expired
_KEPT_DAYS: Final = 92
_ACCOUNTS: Final = ("BASIC", "OPERATION", "FEES")
_TYPES: Final = ("ALL", "SUCCESS", "REFUND")


@dataclass(frozen=True, slots=True)
class _Link:
    mchid: str
    file: bytes
    expire_us: int


class BillCalls:
    """Checks such requests and answers them from a gateway's `BillBook`."""

    def __init__(self, gateway: WeChatPayGateway) -> None:
        self._gateway = gateway
        self._tokens = Ids(gateway.kernel.streams.get(gateway.entity, "bill-links"))
        self._links: OrderedDict[str, _Link] = OrderedDict()

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route("/v3/bill/tradebill", "GET", Endpoint.TRADE_BILL, self._trade_bill),
            Route("/v3/bill/fundflowbill", "GET", Endpoint.FUND_BILL, self._fund_bill),
            Route("/v3/billdownload/file", "GET", Endpoint.BILL_FILE, self._file),
        )

    def _trade_bill(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        query = _query(request)
        wanted = _one_of(query, "bill_type", _TYPES, Endpoint.TRADE_BILL)
        bills = self._gateway.bills

        def make(day: dt.date) -> bytes | None:
            rows = bills.trades(account.mchid, day)
            return write_trades(rows, wanted, bills.refund_times(account.mchid, day))

        return self._link(account, query, Endpoint.TRADE_BILL, make)

    def _fund_bill(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        query = _query(request)
        wanted = _one_of(query, "account_type", _ACCOUNTS, Endpoint.FUND_BILL)

        def make(day: dt.date) -> bytes | None:
            # Payments and refunds move the basic account alone.
            rows = self._gateway.bills.funds(account.mchid, day) if wanted == "BASIC" else []
            return write_fund_bill(rows) if rows else None

        return self._link(account, query, Endpoint.FUND_BILL, make)

    def _link(
        self,
        account: MerchantAccount,
        query: dict[str, str],
        endpoint: Endpoint,
        make: Callable[[dt.date], bytes | None],
    ) -> Commit:
        gzipped = _one_of(query, "tar_type", ("", "GZIP"), endpoint) == "GZIP"
        day = _day(query, endpoint)

        def commit() -> Done:
            self._check_time(day, endpoint)
            content = make(day)
            if content is None:
                raise refusal(endpoint, "NO_STATEMENT_EXIST")
            file = pack_bill(content, gzipped=gzipped)
            hashed = file if self._gateway.switches.bill_hash == "file" else content
            token = self._tokens.nonce(64)
            self._links[token] = _Link(account.mchid, file, self._gateway.kernel.unix_us + _LINK_LIFE_US)
            while len(self._links) > _KEPT_LINKS:
                self._links.popitem(last=False)
            return Done(
                {
                    "hash_type": "SHA1",
                    "hash_value": hashlib.sha1(hashed, usedforsecurity=False).hexdigest(),
                    "download_url": f"https://api.mch.weixin.qq.com/v3/billdownload/file?token={token}",
                }
            )

        return commit

    def _check_time(self, day: dt.date, endpoint: Endpoint) -> None:
        unix_us = self._gateway.kernel.unix_us
        today = bill_day(unix_us)
        if not today - dt.timedelta(days=_KEPT_DAYS) <= day < today:
            raise refusal(endpoint, "INVALID_REQUEST", "账单日期只能是三个月内的日期，且不能是今天")
        if unix_us < self._gateway.bills.ready_us(day):
            raise refusal(endpoint, "STATEMENT_CREATING")

    def _file(self, account: MerchantAccount, request: RawRequest, _argument: str) -> Commit:
        token = _query(request).get("token", "")

        def commit() -> Done:
            link = self._links.get(token)
            if link is None or self._gateway.kernel.unix_us >= link.expire_us:
                raise refusal(Endpoint.BILL_FILE, "INVALID_REQUEST", "下载地址已失效，请重新申请账单")
            if link.mchid != account.mchid:
                raise refusal(Endpoint.BILL_FILE, "NO_AUTH")
            return Done(None, file=link.file)

        return commit


def _query(request: RawRequest) -> dict[str, str]:
    query = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
    return {name: values[0] for name, values in query.items()}


def _one_of(query: dict[str, str], name: str, words: Sequence[str], endpoint: Endpoint) -> str:
    value = query.get(name, words[0])
    if value not in words:
        detail: dict[str, object] = {"field": f"/{name}", "value": value[:32], "location": "query"}
        raise refusal(endpoint, "PARAM_ERROR", f"{name}参数错误", detail=detail)
    return value


def _day(query: dict[str, str], endpoint: Endpoint) -> dt.date:
    text = query.get("bill_date", "")
    try:
        # The pattern first: `fromisoformat` also takes 20260921.
        return dt.date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        detail: dict[str, object] = {"field": "/bill_date", "value": text[:32], "location": "query"}
        raise refusal(endpoint, "PARAM_ERROR", "账单日期格式错误", detail=detail) from None
