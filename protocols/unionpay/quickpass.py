"""The three ways in which a payer in a WeChat mini-program comes to pay by QuickPass (云闪付), as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs

from protocols.sansio import RemoteProtocolError
from protocols.unionpay.wire import Fields

__all__ = ["ROUTES", "JumpTicket", "QuickPassRoute", "Route", "jump_ticket", "tn_of_path"]


class Route(StrEnum):
    """Which way."""

    CASHIER = "wechat-cashier"
    JUMP = "jump-mini-program"
    QR = "qr-at-the-pump"


@dataclass(frozen=True, slots=True)
class QuickPassRoute:
    """One way.

    Attributes:
        route: its name.
        summary: what happens.
        calls: UnionPay transactions it needs, ``txnType``/``txnSubType``.
        result: where the truth about the money comes from.
        sources: how many independent public sources describe it.
    """

    route: Route
    summary: str
    calls: tuple[str, ...]
    result: str
    sources: int


ROUTES: Final[tuple[QuickPassRoute, ...]] = (
    QuickPassRoute(
        Route.CASHIER,
        "The merchant switches QuickPass on in the WeChat merchant platform; the order is an ordinary JSAPI order and the "
        "payer picks QuickPass in WeChat's cashier. Nothing of UnionPay is called; only bank_type differs, and its value "
        "is not published.",
        (),
        "WeChat Pay's notice or query",
        1,
    ),
    QuickPassRoute(
        Route.JUMP,
        "The server gets pay_info, union_app_id and union_path from an acquirer; the page calls "
        "wx.navigateToMiniProgram, and the payer gives password and SMS code each time.",
        ("01/01",),
        "the acquirer's notice or query; what onAppShow brings back proves nothing",
        2,
    ),
    QuickPassRoute(
        Route.QR,
        "A code at the pump (01/07) or the payer's own code scanned there (01/06).",
        ("01/06", "01/07"),
        "UnionPay's notice or query",
        2,
    ),
)


@dataclass(frozen=True, slots=True)
class JumpTicket:
    """What the page hands to ``wx.navigateToMiniProgram``.

    Attributes:
        app_id: UnionPay's mini-program.
        path: page and query in it.
        pay_info: opaque text for the mini-program's ``extraData``.
    """

    app_id: str
    path: str
    pay_info: str

    def arguments(self) -> dict[str, object]:
        """The argument of ``wx.navigateToMiniProgram``."""
        return {"appId": self.app_id, "path": self.path, "extraData": {"pay_info": self.pay_info}}


def jump_ticket(fields: Fields) -> JumpTicket:
    """Read the three names out of a verified reply.

    Raises:
        RemoteProtocolError: one is missing.
    """
    for name in ("union_app_id", "union_path", "pay_info"):
        if not fields.get(name):
            raise RemoteProtocolError(f"the reply has no {name}")
    return JumpTicket(fields["union_app_id"], fields["union_path"], fields["pay_info"])


def tn_of_path(path: str) -> str | None:
    """The order a jump path of the simulated acquirer opens; None if it is none of its paths."""
    values = parse_qs(path.partition("?")[2]).get("tn", [])
    return values[0] if len(values) == 1 else None
