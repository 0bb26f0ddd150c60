"""A backend on either store, a clock that the test moves, and a gateway whose every answer the test decides."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from protocols.wechatpay import MerchantCredentials, PlatformTrust
from reference.backend import (
    Backend,
    BackendSettings,
    Database,
    PostgresDatabase,
    SqliteDatabase,
    create_backend,
)
from reference.backend.audit import audit
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    InvoiceReport,
    Notice,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)
from reference.backend.store.schema import metadata
from scenarios.processes.postgres import PostgresError, PostgresServer

STATION = "KM01"
STATION_KEY = "station-key-of-km01"
ADMIN_KEY = "admin-key-for-tests"
START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture(scope="session")
def platform_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def merchant(platform_key: rsa.RSAPrivateKey) -> MerchantCredentials:
    return MerchantCredentials(
        mchid="1900000001",
        appid="wx0000000000000001",
        serial_no="A" * 40,
        private_key=rsa.generate_private_key(public_exponent=65537, key_size=2048),
        apiv3_key="0123456789abcdef0123456789abcdef",
        trust=PlatformTrust({"B" * 40: platform_key.public_key()}),
        app_secret="app-secret",
    )


@pytest.fixture(scope="session")
def settings(merchant: MerchantCredentials) -> BackendSettings:
    return BackendSettings(
        station_keys={STATION: STATION_KEY, "KM02": "station-key-of-km02"},
        admin_key=ADMIN_KEY,
        service_secret="service-secret-for-tests",
    ).with_merchant(merchant)


@dataclass
class FakeGateway:
    """The gateway's side of the port. ``unknown`` lists calls whose answers get lost after they had their effect."""

    mchid: str
    appid: str
    trades: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    refuse: dict[str, GatewayRefusedError] = field(default_factory=dict)
    invoice_state: str = "ISSUED"
    invoice_reason: str | None = None
    refund_state: str = "SUCCESS"
    before_prepay_reply: Callable[[str], Awaitable[None]] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def _called(self, name: str, key: str) -> None:
        self.calls.append((name, key))
        if name in self.refuse:
            raise self.refuse[name]

    def _lost(self, name: str) -> None:
        if name in self.unknown:
            self.unknown.remove(name)
            raise GatewayUnknownError(f"{name}: no answer")

    def pay(self, number: str) -> TradeReport:
        trade = self.trades[number]
        if trade["state"] == "NOTPAY":
            trade.update(state="SUCCESS", transaction_id=f"42000000{next(self.numbers):020d}")
        return self.report(number)

    def report(self, number: str) -> TradeReport:
        trade = self.trades[number]
        return TradeReport(
            number, trade["state"], self.mchid, self.appid, trade.get("transaction_id"), trade["amount_fen"]
        )

    async def prepay(
        self, *, out_trade_no: str, amount_fen: int, openid: str, description: str, expires_us: int
    ) -> str:
        self._called("prepay", out_trade_no)
        known = self.trades.setdefault(out_trade_no, {"state": "NOTPAY", "amount_fen": amount_fen})
        assert known["amount_fen"] == amount_fen
        if self.before_prepay_reply is not None:
            await self.before_prepay_reply(out_trade_no)
        self._lost("prepay")
        return f"wx{out_trade_no}"

    async def query(self, out_trade_no: str) -> TradeReport | None:
        self._called("query", out_trade_no)
        self._lost("query")
        return self.report(out_trade_no) if out_trade_no in self.trades else None

    async def close(self, out_trade_no: str) -> None:
        self._called("close", out_trade_no)
        if self.trades[out_trade_no]["state"] != "NOTPAY":
            raise GatewayRefusedError(400, "ORDERPAID", "paid")
        self.trades[out_trade_no]["state"] = "CLOSED"
        self._lost("close")

    async def refund(
        self, *, out_trade_no: str, out_refund_no: str, amount_fen: int, total_fen: int, reason: str
    ) -> RefundReport:
        self._called("refund", out_refund_no)
        assert total_fen == self.trades[out_trade_no]["amount_fen"]
        self.refunds.setdefault(out_refund_no, {"amount_fen": amount_fen, "state": self.refund_state})
        self._lost("refund")
        return self._refund_report(out_refund_no)

    def _refund_report(self, number: str) -> RefundReport:
        return RefundReport(
            number, self.refunds[number]["state"], f"5{number[:20]}", self.refunds[number]["amount_fen"]
        )

    async def query_refund(self, out_refund_no: str) -> RefundReport | None:
        self._called("query_refund", out_refund_no)
        self._lost("query_refund")
        return self._refund_report(out_refund_no) if out_refund_no in self.refunds else None

    async def issue_invoice(self, application: Any) -> None:
        key = application["fapiao_apply_id"]
        self._called("issue_invoice", key)
        entry = self.invoices.setdefault(key, {"tries": [], "forms": []})
        fapiao_id = application["fapiao_information"][0]["fapiao_id"]
        if fapiao_id not in entry["tries"]:
            entry["tries"].append(fapiao_id)
        entry["forms"].append(application)
        self._lost("issue_invoice")

    async def query_invoice(self, fapiao_apply_id: str) -> InvoiceReport | None:
        self._called("query_invoice", fapiao_apply_id)
        self._lost("query_invoice")
        entry = self.invoices.get(fapiao_apply_id)
        if entry is None:
            return None
        number = (
            f"2653{sorted(self.invoices).index(fapiao_apply_id):016d}"
            if self.invoice_state == "ISSUED"
            else None
        )
        red = entry.get("red_number")
        state = "REVERSED" if red else self.invoice_state
        return InvoiceReport(
            fapiao_apply_id, entry["tries"][-1], state, number, self.invoice_reason, red_number=red
        )

    async def reverse_invoice(self, fapiao_apply_id: str, reason: str) -> None:
        self._called("reverse_invoice", fapiao_apply_id)
        self.invoices[fapiao_apply_id].setdefault("red_number", f"2653{next(self.numbers):016d}")
        self._lost("reverse_invoice")

    def pay_sign(self, prepay_id: str) -> dict[str, str]:
        return {"appId": self.appid, "package": f"prepay_id={prepay_id}", "paySign": "signed"}

    def open_notice(self, headers: Any, body: bytes) -> Notice:
        """The body is the number of a trade of ours; anything else is a forgery."""
        number = body.decode(errors="replace")
        if number not in self.trades:
            raise NoticeRefusedError("signature")
        return Notice(f"n-{number}", "TRANSACTION.SUCCESS", trade=self.report(number))


class World:
    """One or more instances over one store, and short words for what everybody does."""

    def __init__(self, settings: BackendSettings, database: Database, seed: int = 1) -> None:
        self.now_us = START_US
        self.settings = settings
        self.database = database
        self.gateway = FakeGateway(settings.merchant.mchid, settings.merchant.appid)
        self.backends: list[Backend] = []
        self.clients: list[httpx.AsyncClient] = []
        self.tokens = {"zhang": "zhang-token", "li": "li-token"}
        self._seed = seed
        self._sequence = itertools.count(1)

    async def add(self, **changes: Any) -> Backend:
        backend = create_backend(
            self.settings.model_copy(update=changes) if changes else self.settings,
            database=self.database,
            clock_us=lambda: self.now_us,
            rng=random.Random(f"{self._seed}/{len(self.backends)}"),
            http=lambda name: httpx.MockTransport(self.answer),
            instance=f"backend-{len(self.backends)}",
            gateway=self.gateway,
        )
        if changes:
            backend.core.settings._merchant = self.settings.merchant
        await backend.start()
        if not getattr(self, "background", False):
            await backend.core.outbox.stop()  # tests run tasks by hand
        self.backends.append(backend)
        transport = httpx.ASGITransport(backend.app)
        self.clients.append(httpx.AsyncClient(transport=transport, base_url="https://backend.station"))
        return backend

    def answer(self, request: httpx.Request) -> httpx.Response:
        code = request.url.params.get("js_code", "")
        if code.startswith("js-"):
            return httpx.Response(200, json={"openid": code[3:], "session_key": "k"})
        return httpx.Response(200, json={"errcode": 40029, "errmsg": "invalid code"})

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()
        for backend in self.backends:
            await backend.stop()

    @property
    def core(self) -> Any:
        return self.backends[0].core

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        status: int | None = None,
        on: int = 0,
        **more: Any,
    ) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        response = await self.clients[on].request(method, path, json=body, headers=headers, **more)
        if status is not None:
            assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def site(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return await self.call(method, f"/v1/stations/{STATION}{path}", body, key=STATION_KEY, **more)

    async def admin(self, path: str) -> Any:
        return await self.call("GET", f"/v1/admin/{path}", key=ADMIN_KEY, status=200)

    async def phone(self, method: str, path: str, body: Any = None, who: str = "zhang", **more: Any) -> Any:
        if f"{who}-real" not in self.tokens:
            got = await self.call("POST", "/v1/sessions", {"js_code": f"js-{who}"}, status=200)
            self.tokens[f"{who}-real"] = got["token"]
        return await self.call(method, f"/v1/orders{path}", body, key=self.tokens[f"{who}-real"], **more)

    async def declare(self) -> None:
        nozzles = [
            {
                "nozzle": n,
                "fuelling_point": (n + 1) // 2,
                "grade": "92" if n % 2 else "95",
                "price_fen_per_l": 781,
                "tank": 1,
            }
            for n in range(1, 9)
        ]
        setup = {
            "name": "昆明一号站",
            "taxpayer_id": None,
            "lift_policy": "authorise_on_lift",
            "nozzles": nozzles,
        }
        await self.site("PUT", "", setup, status=200)

    def sale(self, nozzle: int = 1, amount_fen: int = 9600, **changes: Any) -> dict[str, Any]:
        sequence = next(self._sequence)
        return {
            "nozzle": nozzle,
            "sequence": sequence,
            "fuelling_point": (nozzle + 1) // 2,
            "grade": "92" if nozzle % 2 else "95",
            "volume_ml": amount_fen * 1000 // 781 // 10 * 10,
            "amount_fen": amount_fen,
            "price_fen_per_l": 781,
            "started_us": self.now_us - 60_000_000,
            "ended_us": self.now_us,
            "end_total_volume_ml": 1_000_000 + sequence,
            "end_total_amount_fen": 781_000 + sequence,
            "order_id": None,
            "flags": [],
            **changes,
        }

    async def order(self, nozzle: int = 1, who: str = "zhang", status: int = 201, **changes: Any) -> Any:
        body = {
            "client_token": f"{who}-{nozzle}-{self.now_us:x}",
            "station": STATION,
            "nozzle": nozzle,
            "mode": "postpay",
            "preset_fen": None,
            "preset_ml": None,
            "invoice": None,
            **changes,
        }
        return await self.phone("POST", "", body, who=who, status=status)

    async def commands(self, after: int = 0) -> list[dict[str, Any]]:
        found = await self.site("GET", f"/commands?after={after}", status=200)
        return list(found["commands"])

    async def answer_command(self, kind: str, *, ok: bool = True) -> None:
        number = next(c["id"] for c in await self.commands() if c["kind"] == kind)
        await self.site("POST", f"/commands/{number}/result", {"ok": ok, "reason": None}, status=204)

    async def pay(self, order: Any, who: str = "zhang", status: int = 200) -> Any:
        return await self.phone(
            "POST", f"/{order['order_id']}/pay", {"channel": "wechatpay"}, who=who, status=status
        )

    async def notify(self, number: str, *, on: int = 0) -> int:
        response = await self.clients[on].post("/v1/notify/wechatpay", content=number.encode())
        return response.status_code

    async def show(self, order: Any, who: str = "zhang") -> Any:
        return await self.phone("GET", f"/{order['order_id']}", who=who, status=200)

    async def run_due(self, *, later_s: float = 0, on: int = 0) -> int:
        self.now_us += round(later_s * 1_000_000)
        return int(await self.backends[on].core.outbox.run_due())

    async def paid_order(self, nozzle: int = 1, **changes: Any) -> Any:
        """A postpay order, fuelled, paid, with its callback."""
        sale = self.sale(nozzle)
        await self.site("POST", "/sales", sale, status=201)
        order = await self.order(nozzle, **changes)
        asked = await self.pay(order)
        self.gateway.pay(asked["out_trade_no"])
        assert await self.notify(asked["out_trade_no"]) == 204
        return await self.show(order)

    async def violations(self) -> list[str]:
        return list(await self.database.run(audit))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    try:
        # What these tests prove does not depend on the disk, which several test processes may share.
        server = PostgresServer.start(settings={"fsync": "off"})
    except PostgresError as error:
        pytest.skip(str(error))
    with server:
        yield server


@contextlib.contextmanager
def _own_database(server_url: str) -> Iterator[str]:
    """A database of our own, migrated; also on a server that `FORECOURT_DATABASE_URL` names."""
    name = f"forecourt_test_{os.getpid()}"
    base, _, query = server_url.partition("?")
    url = base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")

    async def make() -> None:
        await _execute(server_url, f'CREATE DATABASE "{name}"')
        database = PostgresDatabase(url)
        await database.start()
        await database.stop()

    asyncio.run(make())
    yield url
    asyncio.run(_execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with _own_database(postgres_server.url) as url:
        yield url


@pytest.fixture(scope="session")
def container_url(postgres_container: Any) -> Iterator[str]:
    with _own_database(postgres_container.url) as url:
        yield url


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _empty(url: str) -> None:
    """Delete all rows. Only a superuser can silence the ledger's trigger, and only for its own session."""
    deletes = "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
    await _execute(url, f"SET session_replication_role = replica; {deletes}")


async def _emptied(url: str) -> Database:
    await _empty(url)
    return PostgresDatabase(url)


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> str:
    """The database that this process's tests share, without what an earlier test left in it."""
    asyncio.run(_empty(postgres_url))
    return postgres_url


Play = Callable[..., None]


def _player(settings: BackendSettings, make: Callable[[], Awaitable[Database]]) -> Play:
    def play(
        scene: Callable[[World], Awaitable[None]],
        *,
        instances: int = 1,
        background: bool = False,
        seed: int = 1,
        **changes: Any,
    ) -> None:
        async def run() -> None:
            world = World(settings, await make(), seed)
            world.background = background
            try:
                for _ in range(instances):
                    await world.add(**changes)
                await world.declare()
                await scene(world)
            finally:
                await world.close()

        asyncio.run(run())

    return play


@pytest.fixture
def play_sqlite(settings: BackendSettings) -> Play:
    async def make() -> Database:
        return SqliteDatabase()

    return _player(settings, make)


@pytest.fixture
def play_postgres(settings: BackendSettings, postgres_url: str) -> Play:
    return _player(settings, lambda: _emptied(postgres_url))


@pytest.fixture
def play_container(settings: BackendSettings, container_url: str) -> Play:
    return _player(settings, lambda: _emptied(container_url))


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("container", marks=pytest.mark.docker)])
def play(request: pytest.FixtureRequest) -> Play:
    """Every test of the store runs on each; `pytest -m docker` runs those on a PostgreSQL in a container."""
    names = {"sqlite": "play_sqlite", "postgresql": "play_postgres", "container": "play_container"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def make_world(settings: BackendSettings) -> Callable[[], World]:
    return lambda: World(settings, SqliteDatabase())
