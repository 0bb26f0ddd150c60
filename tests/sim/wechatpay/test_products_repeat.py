"""A seed repeats a run of all products, whatever its keys and its process's hash seed are."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

STORY = Path(__file__).with_name("test_products_repeat.py")
ROOT = STORY.parents[3]


def tell(seed: str) -> str:
    """The trace of a small day: every product, a rough gateway, a bill."""
    import httpx

    from protocols.wechatpay import authorization_header, encode_json
    from sim.kernel import Trace, VirtualKernel
    from sim.wechatpay import (
        WeChatPayGateway,
        failures,
        generate_merchant,
        generate_platform,
    )

    epoch_s = 1_790_000_000
    trace, events = Trace(), []
    trace.listen(events.append)
    kernel = VirtualKernel(seed, epoch_us=epoch_s * 1_000_000, trace=trace)
    platform = generate_platform(valid_from_unix_s=epoch_s)
    merchant = generate_merchant(platform, valid_from_unix_s=epoch_s)
    own = merchant.credentials

    async def shop(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gateway = WeChatPayGateway(
        kernel,
        [merchant.account],
        platform,
        notify_client=httpx.AsyncClient(transport=httpx.ASGITransport(app=shop)),
        faults=failures("rough"),
    )
    wechat = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=gateway.app), base_url="https://api.mch.weixin.qq.com"
    )
    phone = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=gateway.payer_app), base_url="https://payer.sim/payers/o1"
    )

    async def ask(method: str, target: str, data=None):
        body = encode_json(data) if data is not None else b""
        header = authorization_header(
            mchid=own.mchid,
            serial_no=own.serial_no,
            key=own.private_key,
            method=method,
            target=target,
            body=body,
            timestamp_s=kernel.unix_us // 1_000_000,
            nonce="n",
        )
        headers = {"Authorization": header, "Accept": "*/*", "User-Agent": "t"}
        return await wechat.request(method, target, content=body, headers=headers)

    async def pump(number: int) -> None:
        plan = {"then": "confirm", "delay_us": 3_000_000, "password": number % 3 == 0}
        code = (await phone.post("/code", json=plan)).json()["auth_code"]
        base = {"appid": own.appid, "description": "92#", "amount": {"total": 100 + number}}
        store = {"scene_info": {"store_info": {"id": "1"}}}
        charge = {**base, **store, "mchid": own.mchid, "payer": {"auth_code": code}}
        await ask("POST", "/v3/pay/transactions/codepay", {**charge, "out_trade_no": f"CODE{number:04}"})
        debit = {**base, "contract_id": contract_id, "transaction_notify_url": "https://shop.test/n"}
        await ask("POST", "/v3/papay/pay/transactions/apply", {**debit, "out_trade_no": f"DEBIT{number:04}"})
        amount = {"refund": 50, "total": 100 + number, "currency": "CNY"}
        refund = {"out_trade_no": f"DEBIT{number:04}", "out_refund_no": f"R{number}", "amount": amount}
        await asyncio.sleep(60)
        await ask("POST", "/v3/refund/domestic/refunds", refund)

    contract_id = ""

    async def story() -> None:
        nonlocal contract_id
        signed = {"plan_id": 1, "out_contract_code": "K", "limit_fen": 1_000}
        contract_id = (await phone.post("/contracts", json=signed)).json()["contract_id"]
        await asyncio.gather(*(pump(number) for number in range(9)))
        await asyncio.sleep(50_000)
        linked = (await ask("GET", "/v3/bill/tradebill?bill_date=2026-09-21")).json()
        events.append({"bill": linked.get("download_url"), "hash": linked.get("hash_value")})

    kernel.task(story(), "story")
    kernel.run(until_us=86_400_000_000)
    kernel.close()
    return json.dumps(events)


def test_two_processes_tell_the_same_story() -> None:
    told = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(STORY), "seed"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    kinds = {event.get("kind") for event in told[0]}
    assert {"wechatpay.order", "wechatpay.refund", "wechatpay.payer", "wechatpay.fault"} <= kinds
    assert told[0][-1]["hash"]


if __name__ == "__main__":
    print(tell(sys.argv[1]))
