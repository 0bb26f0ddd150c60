"""A real backend process on PostgreSQL, killed with signal 9 again and again while it takes money and gives it back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys

import httpx
import pytest
import uvicorn

from sim.kernel import WallKernel
from sim.wechatpay import GatewayFault, WeChatPayGateway, generate_merchant, generate_platform

STATION = {"Authorization": "Bearer station-key-of-km01"}
ADMIN = {"Authorization": "Bearer admin-key-for-tests"}
ROUNDS = 5
ORDERS = 4


class Backend:
    """One process after the other, on one store and one configuration."""

    def __init__(self, config, env):
        self.config, self.env = config, env
        self.process = None
        self.url = ""

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reference.backend", "--config", str(self.config),
            stdout=asyncio.subprocess.PIPE, env=self.env,
        )  # fmt: skip
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        self.url = json.loads(line)["url"]

    async def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def call(self, client, method, path, body, headers):
        """The reply, or None."""
        try:
            return await client.request(method, self.url + path, json=body, headers=headers)
        except httpx.HTTPError:
            return None


class ToWhoeverLives(httpx.AsyncBaseTransport):
    """Callbacks go to the process that is alive now."""

    def __init__(self, backend):
        self.backend = backend
        self.transport = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request):
        target = httpx.URL(self.backend.url or "http://127.0.0.1:9")
        request.url = request.url.copy_with(scheme="http", host=target.host, port=target.port)
        return await self.transport.handle_async_request(request)

    async def aclose(self):
        await self.transport.aclose()


@contextlib.asynccontextmanager
async def gateway_for(backend, platform, merchant):
    """The simulated gateway on a real port: (its URL, the gateway)."""
    kernel = WallKernel("killed")
    client = httpx.AsyncClient(transport=ToWhoeverLives(backend))
    gateway = WeChatPayGateway(kernel, [merchant.account], platform, notify_client=client)

    async def app(scope, receive, send):
        path = scope.get("path", "")
        part = gateway.app
        if path.startswith("/payers"):
            part = gateway.payer_app
        elif path.startswith("/sns"):
            part = gateway.jscode_app
        await part(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", gateway
    finally:
        server.should_exit = True
        await serving
        await kernel.close()
        await client.aclose()


def sale(sequence):
    return {
        "nozzle": 1,
        "sequence": sequence,
        "fuelling_point": 1,
        "grade": "92",
        "volume_ml": 10_000,
        "amount_fen": 7810,
        "price_fen_per_l": 781,
        "started_us": 1,
        "ended_us": 2_000_000_000_000_000 + sequence,
        "end_total_volume_ml": 10_000 * sequence,
        "end_total_amount_fen": 7810 * sequence,
    }


async def customer(backend, client, gateway_url, phone, number, refund_fen):
    """Scans, pays and complains; gives up where nobody answers, as people do, and comes back with the same tokens."""
    openid, headers = phone
    body = {"client_token": f"t{number}", "station": "KM01", "nozzle": 1, "mode": "postpay"}
    order = await backend.call(client, "POST", "/v1/orders", body, headers)
    if order is None or order.status_code not in {200, 201}:
        return
    path = f"/v1/orders/{order.json()['order_id']}"
    asked = await backend.call(client, "POST", f"{path}/pay", {"channel": "wechatpay"}, headers)
    if asked is not None and asked.status_code == 200:
        await client.post(f"{gateway_url}/payers/{openid}/confirm", json=asked.json())
        await asyncio.sleep(0.3)
    refund = {"client_token": f"r{number}", "amount_fen": refund_fen, "operator": "王站长", "reason": "drill"}
    path = f"/v1/admin/orders/{order.json()['order_id']}/refunds"
    await backend.call(client, "POST", path, refund, ADMIN)


async def rows(backend, client, name):
    reply = await backend.call(client, "GET", f"/v1/admin/{name}?limit=1000", None, ADMIN)
    return reply.json()["rows"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("rfd.refunds-never-exceed-paid", "pay.duplicate-callbacks-have-one-effect")
def test_a_backend_that_is_killed_all_the_time_doubles_and_loses_no_fen(tmp_path, empty_postgres_url):
    platform = generate_platform()
    merchant = generate_merchant(platform)
    (tmp_path / "merchant.json").write_text(merchant.credentials.to_json())
    chance = random.Random(4)

    async def drill():
        backend = Backend(tmp_path / "config.json", dict(os.environ))
        async with (
            gateway_for(backend, platform, merchant) as (url, gateway),
            httpx.AsyncClient(trust_env=False, timeout=8) as client,
        ):
            config = {
                "station_keys": {"KM01": "station-key-of-km01"},
                "admin_key": "admin-key-for-tests",
                "service_secret": "service-secret-for-tests",
                "merchant_file": "merchant.json",
                "database_url": empty_postgres_url,
                "pay_url": url,
                "wechat_url": url,
                "lease_s": 1,
                "query_schedule_s": [2, 2, 5],
                "refund_schedule_s": [2, 2, 5],
            }
            backend.config.write_text(json.dumps(config))
            gateway.faults.arm(GatewayFault(kind="callback-lost", name="lost", probability=0.5, attempts=0))
            gateway.faults.arm(
                GatewayFault(
                    kind="callback-duplicate", name="twice", probability=0.5, copies=3, delay_us=900_000
                )
            )
            gateway.faults.arm(
                GatewayFault(
                    kind="timeout", name="silent", probability=0.1, after_commit=True, at=("prepay", "refund")
                )
            )
            await backend.start()
            nozzle = {"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781}
            setup = {"name": "一号站", "lift_policy": "authorise", "nozzles": [nozzle]}
            await backend.call(client, "PUT", "/v1/stations/KM01", setup, STATION)
            reply = await backend.call(client, "POST", "/v1/sessions", {"js_code": "js-zhang"}, {})
            phone = reply.json()["openid"], {"Authorization": f"Bearer {reply.json()['token']}"}
            kills = 0
            for turn in range(ROUNDS):
                numbers = range(turn * ORDERS + 1, (turn + 1) * ORDERS + 1)
                for number in numbers:
                    await backend.call(client, "POST", "/v1/stations/KM01/sales", sale(number), STATION)
                at_work = [
                    asyncio.create_task(
                        customer(backend, client, url, phone, number, 100 * chance.randint(1, 78))
                    )
                    for number in numbers
                ]
                await asyncio.sleep(chance.uniform(0.05, 1.2))
                await backend.kill()
                kills += 1
                await backend.start()
                # They come back, with the same tokens.
                await asyncio.gather(*at_work)
                for number in numbers:
                    await backend.call(client, "POST", "/v1/stations/KM01/sales", sale(number), STATION)
                    await customer(backend, client, url, phone, number, 500)
            gateway.faults.disarm("silent")
            for _ in range(90):
                open_ = [row for row in await rows(backend, client, "refunds") if row["state"] != "SUCCESS"]
                known = {
                    row["out_trade_no"] for row in await rows(backend, client, "payments") if row["paid_us"]
                }
                paid = {order.out_trade_no for order in gateway.ledger.orders if order.success_us is not None}
                if not open_ and paid <= known:
                    break
                await asyncio.sleep(1)
            await judge(backend, client, gateway)
            await backend.kill()
            return kills

    assert asyncio.run(drill()) == ROUNDS


async def judge(backend, client, gateway):
    reply = await backend.call(client, "GET", "/v1/admin/audit", None, ADMIN)
    assert reply.json()["violations"] == []
    payments = {row["out_trade_no"]: row for row in await rows(backend, client, "payments")}
    refunds = {row["out_refund_no"]: row for row in await rows(backend, client, "refunds")}
    paid_orders = []
    for order in gateway.ledger.orders:
        ours = payments[order.out_trade_no]
        assert (order.success_us is not None) == (ours["state"] == "SUCCESS"), ours
        assert order.refunded_fen <= order.total_fen
        if order.success_us is not None:
            paid_orders.append(ours["order_id"])
    assert len(paid_orders) == len(set(paid_orders)) > ROUNDS
    theirs = {
        record.out_refund_no: (str(record.state), record.refund_fen) for record in gateway.refunds.refunds
    }
    assert theirs == {number: (row["state"], row["amount_fen"]) for number, row in refunds.items()}
    assert len(theirs) > ROUNDS
