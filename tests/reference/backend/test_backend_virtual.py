"""The backend inside virtual time, against the simulated gateway and tax platform, over the simulated network."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
import pytest

from reference.backend import BackendSettings, PostgresDatabase, SqliteDatabase, audit, create_backend
from sim.kernel import VirtualKernel
from sim.net import Network
from sim.taxplatform import Seller, tax_platform_behind
from sim.wechatpay import WeChatPayGateway, generate_merchant, generate_platform

EPOCH_US = 1_767_225_600_000_000
KEY = {"Authorization": "Bearer station-key-of-km01"}


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


def story(keys, seed, *, postgres_url=None):
    """One car from the nozzle to the invoice; gives (what the phone saw, the trace's hash)."""
    platform, merchant = keys
    kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
    network = Network(kernel)
    gateway = WeChatPayGateway(
        kernel,
        [merchant.account],
        platform,
        notify_client=httpx.AsyncClient(transport=network.transport("wechatpay")),
    )
    mchid = merchant.credentials.mchid
    seller = Seller(mchid, "昆明石油", "91530100MA6K00001X", "https://backend.station/v1/notify/fapiao")
    tax_platform_behind(gateway, [seller])
    settings = BackendSettings(
        station_keys={"KM01": "station-key-of-km01"},
        admin_key="admin-key-for-tests",
        service_secret="service-secret-for-tests",
    ).with_merchant(merchant.credentials)
    database = SqliteDatabase()
    if postgres_url is not None:
        database = PostgresDatabase(postgres_url, real_io=kernel.real_io)
    backend = create_backend(
        settings,
        database=database,
        clock_us=lambda: kernel.unix_us,
        rng=random.Random(seed),
        http=network.transport,
        instance="backend-a",
    )
    for host, app in {
        "api.mch.weixin.qq.com": gateway.app,
        "api.weixin.qq.com": gateway.jscode_app,
        "payer.sim": gateway.payer_app,
        "backend.station": backend.app,
    }.items():
        network.register(host, app)
    seen = []

    async def stream(client, order_id, headers):
        async with client.stream("GET", f"/v1/orders/{order_id}/events", headers=headers) as reply:
            lines = reply.aiter_lines()
            seen.extend(
                [(kernel.now_us, json.loads(line[6:])) async for line in lines if line.startswith("data: ")]
            )

    async def play():
        await backend.start()
        client = httpx.AsyncClient(transport=network.transport("site"), base_url="https://backend.station")
        payer = httpx.AsyncClient(transport=network.transport("phone"), base_url="https://payer.sim")
        nozzle = {"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781}
        setup = {"name": "昆明一号站", "lift_policy": "authorise", "nozzles": [nozzle]}
        assert (await client.put("/v1/stations/KM01", json=setup, headers=KEY)).status_code == 200
        session = (await client.post("/v1/sessions", json={"js_code": "js-zhang"})).json()
        phone = {"Authorization": f"Bearer {session['token']}"}
        sale = {
            "nozzle": 1,
            "sequence": 1,
            "fuelling_point": 1,
            "grade": "92",
            "volume_ml": 12_290,
            "amount_fen": 9598,
            "price_fen_per_l": 781,
            "started_us": kernel.unix_us,
            "ended_us": kernel.unix_us,
            "end_total_volume_ml": 12_290,
            "end_total_amount_fen": 9598,
        }
        assert (await client.post("/v1/stations/KM01/sales", json=sale, headers=KEY)).status_code == 201
        title = {"title_type": "INDIVIDUAL", "name": "张三"}
        body = {"client_token": "t", "station": "KM01", "nozzle": 1, "mode": "postpay", "invoice": title}
        order = (await client.post("/v1/orders", json=body, headers=phone)).json()
        watching = asyncio.create_task(stream(client, order["order_id"], phone))
        asked = await client.post(
            f"/v1/orders/{order['order_id']}/pay", json={"channel": "wechatpay"}, headers=phone
        )
        assert asked.status_code == 200, asked.text
        paid = await payer.post(f"/payers/{session['openid']}/confirm", json=asked.json())
        assert paid.json()["err_msg"] == "requestPayment:ok"
        await watching
        assert await database.run(audit) == []
        await client.aclose()
        await payer.aclose()
        await backend.stop()

    done = kernel.task(play())
    kernel.run(until_us=60_000_000)
    assert done.triggered, "the story did not end within a virtual minute"
    assert done.ok, done.value
    assert list(network.app_errors) == []
    kernel.close()
    return seen


@pytest.mark.requirement("inv.issued-and-pushed-in-three-seconds")
def test_paid_through_the_simulated_gateway_and_invoiced_by_push(keys):
    seen = story(keys, "virtual")
    last_us, last = seen[-1]
    assert (last["state"], last["invoice"]["state"], last["paid_fen"]) == ("PAID", "issued", 9598)
    assert len(last["invoice"]["number"]) == 20
    paid_us = next(at_us for at_us, order in seen if order["state"] == "PAID")
    assert last_us - paid_us < 3_000_000


def test_the_same_seed_gives_the_same_story_to_the_microsecond(keys):
    assert story(keys, "s1") == story(keys, "s1")
    assert story(keys, "s1") != story(keys, "s2")


def test_virtual_time_stands_still_while_a_real_postgresql_works(keys, empty_postgres_url):
    """The same story on a real server: the instants are those of the run in which the store takes no time at all."""

    def instants(seen):
        return [(at_us, order["state"], order["invoice"]["state"]) for at_us, order in seen]

    assert instants(story(keys, "s1", postgres_url=empty_postgres_url)) == instants(story(keys, "s1"))
