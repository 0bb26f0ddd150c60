"""A backend, the payment gateway and all three tax platforms on one bureau, in virtual time; and words for what people do."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterable
from typing import Any

import httpx
from starlette.responses import Response

from protocols.fapiao import PETROL_TAX_CODE
from reference.backend import BackendSettings, SqliteDatabase, create_backend
from reference.backend.audit import audit
from reference.backend.tax.settings import BaiwangSettings, NuonuoSettings, TaxSettings
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.net import Network
from sim.taxplatform import (
    BaiwangApp,
    BaiwangPlatform,
    InvoiceBook,
    NuonuoApp,
    NuonuoPlatform,
    Seller,
    TaxBureau,
    TaxFault,
    Taxpayer,
    tax_platform_behind,
)
from sim.wechatpay import GatewayFault, WeChatPayGateway

EPOCH_US = 1_767_571_200_000_000  # 2026-01-05 08:00 in China
SECOND = 1_000_000
HOUR_S = 3600
SELLER = "91530100MA6K00001X"
PERSON = {"title_type": "INDIVIDUAL", "name": "张三"}
COMPANY = {"title_type": "ORGANIZATION", "name": "云南某运输公司", "taxpayer_id": "91530100MA6K000013"}
STATION_KEY = {"Authorization": "Bearer station-key-of-km01"}
ADMIN_KEY = {"Authorization": "Bearer admin-key-for-tests"}
PLATFORMS = ("wechat", "nuonuo", "baiwang")

NUONUO = NuonuoSettings(app_key="KEY1", app_secret="SECRET1", taxpayer_id=SELLER)
BAIWANG = BaiwangSettings(
    app_key="BW1",
    app_secret="BWSECRET",
    username="issuer",
    password="pass-word",
    salt="salt",
    taxpayer_id=SELLER,
)


class InvoiceRig:
    """One run.

    Args:
        keys: (platform keys, merchant) of `sim.wechatpay`.
        platform: over which invoices are issued.
        faults: of the bureau.
        seed: of the run.
        issue_latency: accepted to issued.
        tax: changes of `TaxSettings`.
        instances: of the backend, on one store.
        gateway_faults: of the payment gateway.
        settings: changes of `BackendSettings`.
    """

    def __init__(
        self,
        keys: Any,
        platform: str = "wechat",
        *faults: TaxFault,
        seed: str = "invoices",
        issue_latency: LatencyProfile | None = None,
        tax: dict[str, Any] | None = None,
        instances: int = 1,
        gateway_faults: Iterable[GatewayFault] = (),
        **settings: Any,
    ) -> None:
        platform_keys, merchant = keys
        self.kernel = kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.events: list[dict[str, Any]] = []
        kernel.trace.listen(self.events.append)
        self.network = network = Network(kernel)
        self.bureau = TaxBureau(kernel, faults=faults)
        self.stock: dict[str, int] = {}
        latency = issue_latency or LatencyProfile.constant(600_000)
        self.gateway = WeChatPayGateway(
            kernel,
            [merchant.account],
            platform_keys,
            notify_client=httpx.AsyncClient(transport=network.transport("wechatpay")),
            faults=gateway_faults,
        )
        seller = Seller(
            merchant.credentials.mchid,
            "昆明石油",
            SELLER,
            "https://backend.station/v1/notify/fapiao",
            self.stock,
        )
        self.wechat = tax_platform_behind(self.gateway, [seller], latency=latency, bureau=self.bureau)
        self.book = InvoiceBook(
            self.bureau, [Taxpayer(SELLER, "昆明石油", self.stock)], issue_latency=latency
        )
        self.nuonuo = NuonuoPlatform(
            self.book,
            [NuonuoApp("KEY1", "SECRET1", SELLER)],
            push=httpx.AsyncClient(transport=network.transport("nuonuo")),
        )
        self.baiwang = BaiwangPlatform(
            self.book, [BaiwangApp("BW1", "BWSECRET", SELLER, "issuer", "pass-word", "salt")]
        )
        self.settings = BackendSettings(
            station_keys={"KM01": "station-key-of-km01"},
            admin_key="admin-key-for-tests",
            service_secret="service-secret-for-tests",
            tax=TaxSettings(
                **{
                    "platform": platform,
                    "nuonuo": NUONUO,
                    "baiwang": BAIWANG,
                    "delivery_urls": {
                        "mail": "https://courier.sim/mail",
                        "message": "https://courier.sim/message",
                    },
                    **(tax or {}),
                }
            ),
            **settings,
        ).with_merchant(merchant.credentials)
        self.database = SqliteDatabase()
        self.backends = [
            create_backend(
                self.settings,
                database=self.database,
                clock_us=lambda: kernel.unix_us,
                rng=random.Random(f"{seed}/{number}"),
                http=network.transport,
                instance=f"backend-{number}",
            )
            for number in range(instances)
        ]
        self.mail: list[tuple[int, str, dict[str, Any]]] = []
        self.refuse_mail: dict[str, int] = {}
        for host, app in {
            "api.mch.weixin.qq.com": self.gateway.app,
            "api.weixin.qq.com": self.gateway.jscode_app,
            "payer.sim": self.gateway.payer_app,
            "backend.station": self.backends[0].app,
            "sdk.nuonuo.com": self.nuonuo.app,
            "open.nuonuo.com": self.nuonuo.app,
            "openapi.baiwang.com": self.baiwang.app,
            "courier.sim": self._courier,
        }.items():
            network.register(host, app)
        self.phone_key: dict[str, str] = {}
        self._sequence = itertools.count(1)
        self.site = httpx.AsyncClient(transport=network.transport("site"), base_url="https://backend.station")
        self.payer = httpx.AsyncClient(transport=network.transport("phone"), base_url="https://payer.sim")

    async def _courier(self, scope: Any, receive: Any, send: Any) -> None:
        """Takes mails and messages, after it has bounced as many as it was told to."""
        body = json.loads((await receive())["body"])
        channel = scope["path"][1:]
        left = self.refuse_mail.get(channel, 0)
        if left:
            self.refuse_mail[channel] = left - 1
        else:
            self.mail.append((self.kernel.now_us, channel, body))
        await Response(b"", 550 if left else 204)(scope, receive, send)

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, play: Any, *, until_s: int = 600) -> Any:
        """Play a story; at its end the service's own audit finds nothing."""

        async def whole() -> Any:
            for backend in self.backends:
                await backend.start()
            nozzles = [
                {"nozzle": n, "fuelling_point": n, "grade": grade, "price_fen_per_l": 781}
                for n, grade in enumerate(("92", "95", "98", "diesel"), 1)
            ]
            setup = {"name": "昆明一号站", "lift_policy": "authorise", "nozzles": nozzles}
            assert (await self.site.put("/v1/stations/KM01", json=setup, headers=STATION_KEY)).is_success
            await self.log_in("zhang")
            result = await play(self)
            assert await self.database.run(audit) == []
            for backend in self.backends:
                await backend.stop()
            await self.site.aclose()
            await self.payer.aclose()
            return result

        done = self.kernel.task(whole())
        self.kernel.run(until_us=until_s * SECOND)
        assert done.triggered, f"the story did not end within {until_s} virtual seconds"
        assert list(self.network.app_errors) == []
        self.kernel.close()
        return done.value

    async def until(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    # -- people ------------------------------------------------------------------------------------------------------

    async def log_in(self, who: str) -> None:
        session = (await self.site.post("/v1/sessions", json={"js_code": f"js-{who}"})).json()
        self.phone_key = {"Authorization": f"Bearer {session['token']}"}
        self.openid = session["openid"]

    async def call(self, method: str, path: str, body: Any = None, *, status: int, key: Any = None) -> Any:
        reply = await self.site.request(method, f"/v1{path}", json=body, headers=key or self.phone_key)
        assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    async def admin(self, path: str) -> list[dict[str, Any]]:
        return list((await self.call("GET", f"/admin/{path}?limit=1000", status=200, key=ADMIN_KEY))["rows"])

    async def fuel(self, nozzle: int = 1, volume_ml: int = 12_290, amount_fen: int = 9598) -> dict[str, Any]:
        grade = ("92", "95", "98", "diesel")[nozzle - 1]
        sale = {
            "nozzle": nozzle,
            "sequence": next(self._sequence),
            "fuelling_point": nozzle,
            "grade": grade,
            "volume_ml": volume_ml,
            "amount_fen": amount_fen,
            "price_fen_per_l": 781,
            "started_us": self.kernel.unix_us - 60 * SECOND,
            "ended_us": self.kernel.unix_us,
            "end_total_volume_ml": volume_ml,
            "end_total_amount_fen": amount_fen,
        }
        return dict(await self.call("POST", "/stations/KM01/sales", sale, status=201, key=STATION_KEY))

    async def buy(self, invoice: Any = PERSON, nozzle: int = 1, parts: Any = None, **fuel: int) -> str:
        """Fuel, pay with the phone (and with ``parts`` of points, balance, coupon), wait for PAID; gives the order."""
        await self.fuel(nozzle, **fuel)
        body = {
            "client_token": f"t{next(self._sequence)}",
            "station": "KM01",
            "nozzle": nozzle,
            "mode": "postpay",
            "invoice": invoice,
        }
        order = await self.call("POST", "/orders", body, status=201)
        wish = {"channel": "wechatpay", **({"parts": parts} if parts else {})}
        asked = await self.call("POST", f"/orders/{order['order_id']}/pay", wish, status=200)
        reply = await self.payer.post(f"/payers/{self.openid}/confirm", json=asked)
        assert reply.json()["err_msg"] == "requestPayment:ok", reply.text
        step_s = 0.02
        while (await self.order(order["order_id"]))["state"] != "PAID":
            await self.until(step_s)
            step_s = min(0.2, step_s * 1.2)
        return str(order["order_id"])

    async def order(self, order_id: str) -> dict[str, Any]:
        return dict(await self.call("GET", f"/orders/{order_id}", status=200))

    async def invoices(self, order_id: str) -> list[dict[str, Any]]:
        return list((await self.call("GET", f"/orders/{order_id}/invoice", status=200))["invoices"])

    async def invoice(self, order_id: str) -> dict[str, Any]:
        (found,) = await self.invoices(order_id)
        return dict(found)

    async def invoiced(self, order_id: str, state: str = "issued", *, within_s: float = 60) -> dict[str, Any]:
        """Wait until the order's latest invoice is in a state."""
        end_us, step_s = self.kernel.now_us + round(within_s * SECOND), 0.2
        while True:
            found = (await self.invoices(order_id))[-1]
            if found["state"] == state:
                return dict(found)
            assert self.kernel.now_us < end_us, f"still {found['state']} after {within_s} s: {found}"
            await self.until(step_s)
            step_s = min(15.0, step_s * 1.5)

    async def refund(self, order_id: str, amount_fen: int) -> dict[str, Any]:
        body = {
            "client_token": f"r{next(self._sequence)}",
            "amount_fen": amount_fen,
            "operator": "a cashier",
            "reason": "a complaint",
        }
        return dict(
            await self.call("POST", f"/admin/orders/{order_id}/refunds", body, status=201, key=ADMIN_KEY)
        )

    # -- what the bureau has ------------------------------------------------------------------------------------------

    def platform_blues(self) -> list[tuple[str, str, int]]:
        """(serial, number, total) of every blue invoice that any platform has issued."""
        behind = [
            (fapiao.request.fapiao_apply_id, fapiao.number, fapiao.request.gross_fen)
            for application in self.wechat.applications.values()
            for fapiao in application.fapiaos.values()
            if fapiao.number
        ]
        booked = [
            (invoice.draft.serial, invoice.number, invoice.draft.gross_fen)
            for invoice in self.book.numbers.values()
            if not invoice.draft.is_red
        ]
        return behind + booked

    def platform_reds(self) -> list[tuple[str, int]]:
        """(number, total) of every red letter, totals positive."""
        behind = [
            (fapiao.red_number, fapiao.request.gross_fen)
            for application in self.wechat.applications.values()
            for fapiao in application.fapiaos.values()
            if fapiao.red_number
        ]
        booked = [
            (invoice.number, -invoice.draft.gross_fen)
            for invoice in self.book.numbers.values()
            if invoice.draft.is_red
        ]
        return behind + booked

    def shorten_stock(self, litres: int) -> None:
        self.stock[PETROL_TAX_CODE] = litres * 10**8
