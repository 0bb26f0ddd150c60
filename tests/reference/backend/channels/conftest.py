"""A whole shop in virtual time: backends over one store, WeChat Pay and UnionPay as they are simulated, phones, a pump."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from protocols.wechatpay import PlatformTrust
from reference.backend import Backend, BackendSettings, SqliteDatabase, audit, create_backend
from sim import unionpay, wechatpay
from sim.kernel import VirtualKernel
from sim.net import Network

EPOCH_US = 1_767_225_600_000_000  # 2026-01-01 08:00:00 in China
SITE = {"Authorization": "Bearer station-key-of-km01"}
ADMIN = {"Authorization": "Bearer admin-key-for-tests"}
ALL = (
    "wechatpay",
    "wechatpay-code",
    "wechatpay-contract",
    "unionpay-qr",
    "unionpay-code",
    "unionpay-jump",
    "unionpay-page",
)
PAY = "api.mch.weixin.qq.com"
UNION = "gateway.95516.com"


class Switch:
    """An application that can be told to have trouble: answers this status, or (0) hangs; counts what came to it."""

    def __init__(self, app: Any, clock: Callable[[], int]) -> None:
        self.app = app
        self.status: int | None = None
        self.seen: list[tuple[int, str]] = []
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((self._clock(), scope["path"]))
        if self.status is None:
            await self.app(scope, receive, send)
            return
        if self.status == 0:
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": self.status or 504, "headers": []})
        await send({"type": "http.response.body", "body": b'{"code":"SYSTEM_ERROR","message":"-"}'})


class Turns:
    """A host with several instances behind it, one call each in turn."""

    def __init__(self) -> None:
        self.apps: list[Any] = []
        self._next = itertools.count()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.apps[next(self._next) % len(self.apps)](scope, receive, send)


class Shop:
    """Everybody, and short words for what they do."""

    def __init__(self, keys: Any, *, seed: str = "shop", instances: int = 1, **more: Any) -> None:
        more_database = more.pop("database", None) or SqliteDatabase()
        (w_platform, self.w_merchant), (u_platform, self.u_merchant) = keys
        self.kernel = kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.network = Network(kernel, faults=more.pop("http_faults", ()))
        self.seed = seed
        self.wechat = wechatpay.WeChatPayGateway(
            kernel,
            [self.w_merchant.account],
            w_platform,
            notify_client=self._client("wechatpay", "https://backend.station"),
            faults=more.pop("wechat_faults", ()),
            **more.pop("wechat", {}),
        )
        self.union = unionpay.UnionPayGateway(
            kernel,
            [self.u_merchant.account],
            u_platform,
            notify_client=self._client("unionpay", "https://backend.station"),
            faults=more.pop("union_faults", ()),
            **more.pop("union", {}),
        )
        self.pay_host = Switch(self.wechat.app, lambda: kernel.now_us)
        self.union_host = Switch(self.union.app, lambda: kernel.now_us)
        self.settings = (
            BackendSettings(
                **{
                    "station_keys": {"KM01": "station-key-of-km01"},
                    "admin_key": "admin-key-for-tests",
                    "service_secret": "service-secret-for-tests",
                    "channels": ALL,
                    "contract_plan_id": 12535,
                    "unionpay_acquirer_url": "https://acquirer.sim/v1/jump",
                    **more,
                }
            )
            .with_merchant(self.w_merchant.credentials)
            .with_unionpay(self.u_merchant.credentials)
        )
        self.database = more_database
        self.backends: list[Backend] = []
        self._turns = Turns()
        for _ in range(instances):
            self.add()
        for host, app in {
            PAY: self.pay_host,
            "api.weixin.qq.com": self.wechat.jscode_app,
            "payer.sim": self.wechat.payer_app,
            UNION: self.union_host,
            "acquirer.sim": self.union.acquirer_app,
            "filedownload.95516.com": self.union.file_app,
            "unionpay-payer.sim": self.union.payer_app,
            "backend.station": self._turns,
        }.items():
            self.network.register(host, app)
        self.client = self._client("site", "https://backend.station")
        self.payer = self._client("phone", "https://payer.sim")
        self.union_payer = self._client("phone", "https://unionpay-payer.sim")
        self.browser = self._client("browser", f"https://{UNION}")
        self._sequence = itertools.count(1)
        self._tokens = itertools.count(1)
        self._phones: dict[str, dict[str, str]] = {}

    def _client(self, name: str, url: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self.network.transport(name), base_url=url, timeout=None)

    def add(self) -> Backend:
        """One more instance; the drill that kills one takes its application out as well."""
        number = len(self.backends)
        backend = create_backend(
            self.settings,
            database=self.database,
            clock_us=lambda: self.kernel.unix_us,
            rng=random.Random(f"{self.seed}/{number}"),
            http=self.network.transport,
            instance=f"backend-{number}",
        )
        self.backends.append(backend)
        self._turns.apps.append(backend.app)
        return backend

    async def kill(self, number: int = -1) -> None:
        """Kill -9 of an instance, with the requests that it was serving, and another one in its place."""
        dead = self.backends[number]
        if len(self._turns.apps) == 1:
            self.network.kill("backend.station")
        dead.kill()
        self._turns.apps.remove(dead.app)
        await self.add().start()
        if self.network.is_down("backend.station"):
            self.network.restore("backend.station", self._turns)

    def run(self, scene: Callable[[Shop], Awaitable[Any]], *, until_s: float = 600) -> Any:
        """Play a scene to its end within so much virtual time; the books must be in order after it."""

        async def play() -> Any:
            for backend in self.backends:
                await backend.start()
            nozzles = [
                {"nozzle": n, "fuelling_point": n, "grade": "92", "price_fen_per_l": 781}
                for n in range(1, 41)
            ]
            await self.call(
                "PUT",
                "/v1/stations/KM01",
                {"name": "昆明一号站", "lift_policy": "authorise", "nozzles": nozzles},
            )
            result = await scene(self)
            assert await self.database.run(audit) == []
            for backend in self.backends:
                backend.kill()
            return result

        done = self.kernel.task(play())
        self.kernel.run(until_us=round(until_s * 1_000_000))
        assert done.triggered, f"the scene did not end within {until_s} virtual seconds"
        if not done.ok:
            raise done.value
        assert list(self.network.app_errors) == []
        self.kernel.close()
        return done.value

    # Words

    async def call(
        self, method: str, path: str, body: Any = None, headers: Any = None, status: int | None = None
    ) -> Any:
        response = await self.client.request(method, path, json=body, headers=headers or SITE)
        if status is not None:
            assert response.status_code == status, (response.status_code, response.text)
        else:
            assert response.status_code < 300, (response.status_code, response.text)
        return response.json() if response.content else None

    async def rows(self, table: str) -> list[dict[str, Any]]:
        return list((await self.call("GET", f"/v1/admin/{table}?limit=1000", headers=ADMIN))["rows"])

    async def alarms(self) -> list[str]:
        return [row["kind"] for row in await self.rows("alarms")]

    async def phone(self, who: str = "zhang") -> dict[str, str]:
        if who not in self._phones:
            session = await self.call("POST", "/v1/sessions", {"js_code": f"js-{who}"}, {})
            self._phones[who] = {"Authorization": f"Bearer {session['token']}"}
            self._phones[f"{who}/openid"] = session["openid"]
        return self._phones[who]

    async def openid(self, who: str = "zhang") -> str:
        await self.phone(who)
        return str(self._phones[f"{who}/openid"])

    async def sale(self, amount_fen: int = 9600, nozzle: int = 1, **more: Any) -> str:
        now_us = self.kernel.unix_us
        sequence = next(self._sequence)
        body = {
            "nozzle": nozzle,
            "sequence": sequence,
            "fuelling_point": nozzle,
            "grade": "92",
            "volume_ml": amount_fen * 1000 // 781 // 10 * 10,
            "amount_fen": amount_fen,
            "price_fen_per_l": 781,
            "started_us": now_us - 60_000_000,
            "ended_us": now_us,
            "end_total_volume_ml": sequence * 1_000_000,
            "end_total_amount_fen": sequence * 781_000,
            **more,
        }
        return str((await self.call("POST", "/v1/stations/KM01/sales", body))["sale_id"])

    async def order(self, who: str = "zhang", amount_fen: int = 9600, nozzle: int = 1, **more: Any) -> str:
        """A finished sale and this phone's order for it."""
        await self.sale(amount_fen, nozzle)
        return await self.order_for(who, nozzle, **more)

    async def order_for(self, who: str = "zhang", nozzle: int = 1, **more: Any) -> str:
        body = {
            "client_token": f"{who}-{nozzle}-order{next(self._tokens)}",
            "station": "KM01",
            "nozzle": nozzle,
            "mode": "postpay",
            **more,
        }
        return str((await self.call("POST", "/v1/orders", body, await self.phone(who)))["order_id"])

    async def pay(
        self,
        order_id: str,
        channel: str = "wechatpay",
        *,
        who: str = "zhang",
        parts: Any = None,
        status: int = 200,
    ) -> Any:
        body = {"channel": channel, **({"parts": parts} if parts is not None else {})}
        return await self.call("POST", f"/v1/orders/{order_id}/pay", body, await self.phone(who), status)

    async def confirm(self, sheet: Any, who: str = "zhang", status: int = 200) -> None:
        """The payer's finger in WeChat's cashier."""
        reply = await self.payer.post(
            f"/payers/{await self.openid(who)}/confirm", json={"prepay_id": sheet["prepay_id"]}
        )
        assert reply.status_code == status, reply.text

    async def union_confirm(self, status: int = 200, who: str = "zhang", **handle: Any) -> None:
        """The payer's finger in the 云闪付 app."""
        reply = await self.union_payer.post(f"/payers/{who}/confirm", json=handle)
        assert reply.status_code == status, reply.text

    async def code(self, who: str = "zhang", **plan: Any) -> str:
        """The phone shows its WeChat code; the plan is what it does when it is asked for the password."""
        reply = await self.payer.post(f"/payers/{await self.openid(who)}/code", json=plan)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["auth_code"])

    async def union_code(self, who: str = "zhang") -> str:
        return str((await self.union_payer.post(f"/payers/{who}/code", json={})).json()["qr_no"])

    async def scan(self, sale_id: str, code: str, *, token: str = "scan-1", status: int = 200) -> Any:
        """The attendant scans a code for a sale."""
        body = {"client_token": token, "auth_code": code}
        return await self.call("POST", f"/v1/stations/KM01/sales/{sale_id}/pay-code", body, SITE, status)

    async def show(self, order_id: str) -> Any:
        return await self.call("GET", f"/v1/stations/KM01/orders/{order_id}")

    async def until(self, order_id: str, *states: str, within_s: float = 120, every_s: float = 0.5) -> Any:
        """Look now and then until the order is in one of the states."""
        end_us = self.kernel.now_us + within_s * 1e6
        while True:
            with contextlib.suppress(httpx.TransportError):  # somebody has just been killed
                order = await self.show(order_id)
                if order["state"] in states:
                    return order
            assert self.kernel.now_us < end_us, f"still not {states} after {within_s} s"
            await asyncio.sleep(every_s)

    async def grant(
        self, points: int = 0, balance_fen: int = 0, who: str = "zhang", token: str = "g"
    ) -> None:
        body = {
            "client_token": f"{token}-{who}",
            "openid": await self.openid(who),
            "points": points,
            "balance_fen": balance_fen,
            "reason": "opening",
        }
        await self.call("POST", "/v1/admin/grants", body, ADMIN)

    async def coupon(self, coupon_id: str, worth_fen: int, who: str = "zhang", **more: Any) -> None:
        body = {
            "coupon_id": coupon_id,
            "openid": await self.openid(who),
            "worth_fen": worth_fen,
            "expires_us": self.kernel.unix_us + 86_400_000_000,
            **more,
        }
        await self.call("POST", "/v1/admin/coupons", body, ADMIN)

    async def me(self, who: str = "zhang") -> Any:
        return await self.call("GET", "/v1/me", headers=await self.phone(who))

    def trade_of(self, who: str) -> Any:
        """The one order that WeChat Pay knows of a person."""
        (found,) = [
            order for order in self.wechat.ledger.orders if order.openid == self._phones.get(f"{who}/openid")
        ]
        return found

    def charged(self, who: str | None = None) -> int:
        """What payers (or one, at WeChat Pay) are out of pocket at the two gateways."""
        w = sum(
            order.total_fen - order.refunded_fen
            for order in self.wechat.ledger.orders
            if order.success_us is not None
            and (who is None or order.openid == self._phones.get(f"{who}/openid"))
        )
        if who is not None:
            return w
        u = sum(
            trade.amount_fen - trade.reserved_fen
            for trade in self.union.ledger.trades
            if trade.txn_type == "01"
            and trade.state is unionpay.TradeState.SUCCESS
            and not trade.is_cancelled
        )
        return w + u


@pytest.fixture(scope="session")
def gateway_keys() -> Any:
    start_s = EPOCH_US // 1_000_000 - 86_400
    w_platform = wechatpay.generate_platform(valid_from_unix_s=start_s)
    u_platform = unionpay.generate_platform(valid_from_s=start_s)
    return (
        (w_platform, wechatpay.generate_merchant(w_platform)),
        (u_platform, unionpay.generate_merchant(u_platform)),
    )


@pytest.fixture
def shop(gateway_keys: Any) -> Callable[..., Shop]:
    return lambda keys=None, **more: Shop(keys or gateway_keys, **more)


@pytest.fixture(scope="session")
def rotating_keys(gateway_keys: Any) -> Any:
    """WeChat Pay has three certificates; the merchant has heard of the first."""
    start_s = EPOCH_US // 1_000_000 - 86_400
    platform = wechatpay.generate_platform(certificates=3, valid_from_unix_s=start_s)
    merchant = wechatpay.generate_merchant(platform)
    first = platform.certificates[0]
    trust = PlatformTrust({first.serial: first.private_key.public_key()})
    merchant = dataclasses.replace(merchant, credentials=merchant.credentials.with_trust(trust))
    return (platform, merchant), gateway_keys[1]
