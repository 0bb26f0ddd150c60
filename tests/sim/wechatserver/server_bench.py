"""WeChat's server in virtual time, a mini program and a client of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from sim.kernel import Trace, VirtualKernel
from sim.webapi import CallFault
from sim.wechatserver import MiniProgram, PaidOrder, Template, WeChatServer

EPOCH_US = 1_790_000_000_000_000
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
APP = MiniProgram(
    "wx2421b1c4370ec43b",
    "0123456789abcdef",
    templates=(Template("T-paid", ("thing1", "amount2", "date3")),),
    pages=("pages/order/order",),
)
PAID = PaidOrder("1900000109", APP.appid, "KM01-1", "4200001", OPENID, 20_000, EPOCH_US)
RECEIPT = {
    "thing1": {"value": "92号汽油"},
    "amount2": {"value": "200.00元"},
    "date3": {"value": "2026年1月5日 08:00"},
}


class Bench:
    """A server in virtual time and a client of it."""

    def __init__(self, *faults: CallFault, trace: Trace | None = None, **more: Any) -> None:
        self.kernel = VirtualKernel("w", epoch_us=EPOCH_US, trace=trace)
        self.orders = [PAID]

        def find(mchid: str, number: str, transaction_id: str) -> PaidOrder | None:
            for order in self.orders:
                if order.transaction_id == transaction_id or (order.mchid, order.out_trade_no) == (
                    mchid,
                    number,
                ):
                    return order
            return None

        self.server = WeChatServer(self.kernel, [APP], find_order=find, faults=faults, **more)
        base = "https://api.weixin.qq.com"
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.server.app), base_url=base)
        self.control = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.server.control_app), base_url="http://control"
        )

    def run(self, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        done = self.kernel.task(story())
        self.kernel.run(until_us=200_000 * 1_000_000)
        assert done.triggered, "the story never ended"
        return done.value

    async def token(self) -> str:
        return str((await self.fetch())["access_token"])

    async def fetch(self) -> dict[str, Any]:
        query = {"grant_type": "client_credential", "appid": APP.appid, "secret": APP.secret}
        return (await self.http.get("/cgi-bin/token", params=query)).json()

    async def stable(self, *, force: bool = False) -> dict[str, Any]:
        body = {
            "grant_type": "client_credential",
            "appid": APP.appid,
            "secret": APP.secret,
            "force_refresh": force,
        }
        return (await self.http.post("/cgi-bin/stable_token", json=body)).json()

    async def login(self, code: str, **other: str) -> dict[str, Any]:
        query = {
            "appid": APP.appid,
            "secret": APP.secret,
            "js_code": code,
            "grant_type": "authorization_code",
            **other,
        }
        return (await self.http.get("/sns/jscode2session", params=query)).json()

    async def call(self, path: str, token: str, body: Any) -> dict[str, Any]:
        return (await self.http.post(path, params={"access_token": token}, json=body)).json()

    async def send(self, token: str, **other: Any) -> dict[str, Any]:
        message = {
            "touser": OPENID,
            "template_id": "T-paid",
            "page": "pages/order/order?id=1",
            "data": RECEIPT,
            **other,
        }
        return await self.call("/cgi-bin/message/subscribe/send", token, message)

    async def upload(self, token: str, **other: Any) -> dict[str, Any]:
        body = {
            "order_key": {"order_number_type": 2, "transaction_id": PAID.transaction_id},
            "logistics_type": 4,
            "delivery_mode": 1,
            "shipping_list": [{"item_desc": "92号汽油 26.32升"}],
            "upload_time": "2026-09-21T22:00:00.000+08:00",
            "payer": {"openid": OPENID},
            **other,
        }
        return await self.call("/wxa/sec/order/upload_shipping_info", token, body)
