"""Canaries in what a payment platform tells by itself: notices, sealed and signed as the platform does, one field after the other."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from protocols.wechatpay import build_notification, rfc3339, sign_reply
from scenarios.leaks.plant import Basket, Planted

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["plant_notices"]


def _transaction(mchid: str, appid: str, number: str, amount_fen: int, now_s: int) -> dict[str, Any]:
    """A payment notice's resource (WeChat Pay, payment-notice page)."""
    return {
        "mchid": mchid,
        "appid": appid,
        "out_trade_no": number,
        "transaction_id": f"4200{int.from_bytes(number.encode()) % 10**24:024d}",
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": "",
        "success_time": rfc3339(now_s),
        "payer": {"openid": "leak-drill"},
        "amount": {
            "total": amount_fen,
            "payer_total": amount_fen,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
        "scene_info": {"device_id": "d1"},
        "promotion_detail": [
            {"coupon_id": "c1", "name": "满减", "amount": 1, "goods_detail": [{"goods_id": "92"}]}
        ],
    }


def _leaves(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*steps, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*steps, place))
    else:
        yield steps


def _changed(resource: dict[str, Any], steps: tuple[str | int, ...], value: str) -> dict[str, Any]:
    made: Any = copy.deepcopy(resource)
    place = made
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = int(value) if isinstance(place[steps[-1]], int) else value
    return dict(made)


class _Platform:
    """Seals and signs whatever it is given, and counts what the backend says to it."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world
        self.merchant = world.keys.merchant.credentials
        self._client = world.client("gateway", "backend.station")
        self.planted = Planted("notices of the gateway")

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self._world.kernel.unix_us // 1_000_000

    async def tell(
        self, path: str, event: str, original: str | None, resource: dict[str, Any], envelope: dict[str, str]
    ) -> None:
        """Send one notice."""
        key = self._world.keys.platform.certificates[0]
        number = self.planted.taken + self.planted.refused
        body = build_notification(
            notice_id=envelope.get("id", "leak-drill") + f"-{number:08d}",
            create_time=rfc3339(self.now_s),
            event_type=event,
            summary=envelope.get("summary", "支付成功"),
            resource=resource,
            apiv3_key=self.merchant.apiv3_key,
            nonce=f"{number:012d}",
            associated_data=original or "",
            original_type=original,
        )
        signed = sign_reply(
            key.private_key, serial=key.serial, timestamp_s=self.now_s, nonce=f"{number:032d}", body=body
        )
        headers = {"Content-Type": "application/json", **signed}
        reply = await self._client.post(path, content=body, headers=headers, timeout=30)
        if 200 <= reply.status_code < 300:
            self.planted.taken += 1
        elif reply.status_code < 500:
            self.planted.refused += 1
        else:
            self.planted.failed.append(f"{event}: {reply.status_code}")

    async def each(
        self,
        basket: Basket,
        path: str,
        event: str,
        original: str | None,
        make: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        """Numbers in each field of a notice, one after the other, and in its envelope."""
        for steps in _leaves(await make()):
            self.planted.inputs += 1
            for kind in basket.kinds:
                resource = await make()
                await self.tell(
                    path, event, original, _changed(resource, steps, basket.next(kind).digits), {}
                )
        for field in ("id", "summary"):
            self.planted.inputs += 1
            for kind in basket.kinds:
                await self.tell(path, event, original, await make(), {field: basket.next(kind).digits})


async def plant_notices(
    world: VirtualWorld,
    basket: Basket,
    new_payment: Callable[[], Awaitable[tuple[str, int]]],
    *,
    refunds: list[dict[str, Any]],
    invoices: list[dict[str, Any]],
) -> Planted:
    """Plant through every field of payment notices about open payments, of their envelope, and of refund and invoice notices.

    Args:
        world: where.
        basket: the canaries.
        new_payment: opens a payment: its number and amount in fen.
        refunds: the backend's, to send notices about.
        invoices: likewise.
    """
    platform = _Platform(world)
    merchant = platform.merchant

    async def transaction() -> dict[str, Any]:
        number, amount_fen = await new_payment()
        return _transaction(merchant.mchid, merchant.appid, number, amount_fen, platform.now_s)

    async def refund() -> dict[str, Any]:
        row = refunds[0] if refunds else {}
        return {
            "mchid": merchant.mchid,
            "out_trade_no": row.get("out_trade_no", "unknown"),
            "transaction_id": "4200000000000000000000000000",
            "out_refund_no": row.get("out_refund_no", "unknown"),
            "refund_id": "50000000382019052709732678859",
            "refund_status": "SUCCESS",
            "success_time": rfc3339(platform.now_s),
            "user_received_account": "招商银行信用卡0403",
            "amount": {"total": 100, "refund": 100, "payer_total": 100, "payer_refund": 100},
        }

    async def invoice() -> dict[str, Any]:
        row = invoices[0] if invoices else {}
        told = {
            "fapiao_id": row.get("fapiao_id", "unknown"),
            "fapiao_status": "ISSUED",
            "card_status": "INSERTED",
        }
        return {
            "mchid": merchant.mchid,
            "fapiao_apply_id": row.get("fapiao_apply_id", "unknown"),
            "fapiao_information": [told],
        }

    await platform.each(basket, "/v1/notify/wechatpay", "TRANSACTION.SUCCESS", "transaction", transaction)
    await platform.each(basket, "/v1/notify/wechatpay", "REFUND.SUCCESS", "refund", refund)
    await platform.each(basket, "/v1/notify/fapiao", "FAPIAO.ISSUED", None, invoice)
    return platform.planted
