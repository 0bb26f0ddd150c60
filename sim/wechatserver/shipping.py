"""Shipping information: what a trading mini-program must upload for each payment, or its money stays frozen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sim.latency import LatencyProfile
from sim.wechatserver.errors import WeChatError

__all__ = ["FindOrder", "PaidOrder", "Shipment", "ShippingBook"]

_EXPRESS, _SELF_PICK_UP = 1, 4  # kinds of logistics; 2 is a city courier, 3 a virtual good
_UNIFIED, _SPLIT = 1, 2
_MAX_FINISHED: Final = 2
_MAX_PARCELS: Final = 15
_MAX_DESCRIPTION: Final = 120
_TO_SHIP, _SHIPPED, _REFUNDED = 1, 2, 5


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order as the payment platform knows it.

    Attributes:
        success_us: when it was paid, Unix microseconds.
        is_refunded: all its money went back.
    """

    mchid: str
    appid: str
    out_trade_no: str
    transaction_id: str
    openid: str
    paid_fen: int
    success_us: int
    is_refunded: bool = False


FindOrder = Callable[[str, str, str], PaidOrder | None]
"""(mchid, out_trade_no, transaction_id) → a paid order or None; either the last is given, or the first two are."""


@dataclass(slots=True)
class Shipment:
    """What was uploaded for one order. Times are Unix microseconds."""

    order: PaidOrder
    logistics_type: int
    delivery_mode: int
    parcels: list[dict[str, Any]]
    is_finished: bool
    upload_time_us: int
    finished_count: int = 0
    uploads_us: list[int] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """The ``shipping`` of ``get_order``."""
        return {
            "delivery_mode": self.delivery_mode,
            "logistics_type": self.logistics_type,
            "finish_shipping": self.is_finished,
            "finish_shipping_count": self.finished_count,
            "goods_desc": ";".join(str(parcel.get("item_desc", "")) for parcel in self.parcels),
            "shipping_list": self.parcels,
        }


class ShippingBook:
    """All shipments.

    Args:
        find: looks an order up at the payment platform.
        knows_after: how long after the payment this service knows of it: uploads right after the callback are told that the
            order does not exist (community reports: seconds, at times minutes).
        rng: draws those delays.
        unix_us: the clock.
    """

    def __init__(
        self,
        find: FindOrder,
        *,
        knows_after: LatencyProfile,
        rng: random.Random,
        unix_us: Callable[[], int],
    ) -> None:
        self._find = find
        self._knows_after = knows_after
        self._rng = rng
        self._unix_us = unix_us
        self._known_us: dict[str, int] = {}
        self.shipments: dict[str, Shipment] = {}

    def look(self, appid: str, mchid: str, number: str, transaction_id: str) -> PaidOrder:
        """An order of this mini-program that the service knows already.

        Raises:
            WeChatError: 10060001.
        """
        order = self._find(mchid, number, transaction_id)
        if order is None or order.appid != appid:
            raise WeChatError(10060001)
        known_us = self._known_us.get(order.transaction_id)
        if known_us is None:
            known_us = order.success_us + self._knows_after.draw(self._rng)
            self._known_us[order.transaction_id] = known_us
        if self._unix_us() < known_us:
            raise WeChatError(10060001)
        return order

    def upload(self, appid: str, body: Mapping[str, Any]) -> Shipment:
        """Take an upload. A finished one may be replaced once; the same again changes nothing and is told so (10060023).

        Raises:
            WeChatError: as uploadShippingInfo's page lists them (developers.weixin.qq.com). An ``upload_time`` that is not later
                than the one before is 10060014; that number is *unproven*.
        """
        mchid, number, transaction_id = _order_key(body.get("order_key"))
        kind, mode, parcels, is_finished = _content(body)
        uploaded_us = _moment_us(body.get("upload_time"))
        payer = body.get("payer")
        openid = payer.get("openid") if isinstance(payer, dict) else None
        if not isinstance(openid, str) or not openid:
            raise WeChatError(10060014, "payer.openid")
        order = self.look(appid, mchid, number, transaction_id)
        if openid != order.openid:
            raise WeChatError(10060031)
        if order.is_refunded:
            raise WeChatError(10060004)
        shipment = self.shipments.get(order.transaction_id)
        if shipment is None:
            shipment = Shipment(order, kind, mode, parcels, is_finished=False, upload_time_us=uploaded_us)
            self.shipments[order.transaction_id] = shipment
        else:
            if (kind, mode, parcels) == (shipment.logistics_type, shipment.delivery_mode, shipment.parcels):
                raise WeChatError(10060023)
            if uploaded_us <= shipment.upload_time_us:
                raise WeChatError(10060014, "upload_time")
            if shipment.finished_count >= _MAX_FINISHED:
                raise WeChatError(10060003)
            shipment.logistics_type, shipment.delivery_mode, shipment.parcels = kind, mode, parcels
            shipment.upload_time_us = uploaded_us
        if is_finished:
            shipment.is_finished = True
            shipment.finished_count += 1
        shipment.uploads_us.append(self._unix_us())
        return shipment

    def state(self, order: PaidOrder) -> int:
        """``order_state``: 1 to be shipped, 2 shipped, 5 refunded."""
        if order.is_refunded:
            return _REFUNDED
        shipment = self.shipments.get(order.transaction_id)
        return _SHIPPED if shipment is not None and shipment.is_finished else _TO_SHIP


def _order_key(key: object) -> tuple[str, str, str]:
    """mchid, out_trade_no and transaction_id; either the last is empty or the other two are."""
    if not isinstance(key, dict) or key.get("order_number_type") not in (1, 2):
        raise WeChatError(268485194)
    if key["order_number_type"] == 2:
        return "", "", _filled(key, "transaction_id", 268485195)
    return _filled(key, "mchid", 268485196), _filled(key, "out_trade_no", 268485197), ""


def _filled(data: Mapping[str, Any], name: str, code: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise WeChatError(code)
    return value


def _content(body: Mapping[str, Any]) -> tuple[int, int, list[dict[str, Any]], bool]:
    """Logistics type, delivery mode, parcels, and whether that is all of them."""
    kind, mode = body.get("logistics_type"), body.get("delivery_mode")
    if mode == "UNIFIED_DELIVERY":  # the page's own sample has the name where its table has the number
        mode = _UNIFIED
    if not isinstance(kind, int) or isinstance(kind, bool) or not _EXPRESS <= kind <= _SELF_PICK_UP:
        raise WeChatError(10060005)
    if not isinstance(mode, int) or mode not in (_UNIFIED, _SPLIT):
        raise WeChatError(268485224)
    parcels = _parcels(body.get("shipping_list"), is_express=kind == _EXPRESS)
    is_all = body.get("is_all_delivered")
    if mode == _UNIFIED:
        if len(parcels) != 1:
            raise WeChatError(268485228)
        is_all = True
    elif kind != _EXPRESS:
        raise WeChatError(10060006)
    elif not isinstance(is_all, bool):
        raise WeChatError(10060007)
    return kind, mode, parcels, is_all


def _parcels(parcels: object, *, is_express: bool) -> list[dict[str, Any]]:
    if not isinstance(parcels, list) or not parcels or not all(isinstance(one, dict) for one in parcels):
        raise WeChatError(10060014, "shipping_list")
    if len(parcels) > _MAX_PARCELS:
        raise WeChatError(10060024)
    for parcel in parcels:
        if len(_filled(parcel, "item_desc", 10060008)) > _MAX_DESCRIPTION:
            raise WeChatError(10060009)
        if is_express:
            _filled(parcel, "tracking_no", 268485226)
            _filled(parcel, "express_company", 268485227)
    return parcels


def _moment_us(text: object) -> int:
    """RFC 3339 with an offset as Unix microseconds."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise WeChatError(268485216)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
