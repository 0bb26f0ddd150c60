"""The pages a payer's browser sees: the cashier after a front request, the way back to the shop, and a refusal."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import auto_post_page, decode_form
from sim.unionpay.ledger import PaymentRefusedError, Trade

if TYPE_CHECKING:
    from sim.unionpay.gateway import UnionPayGateway

__all__ = ["Cashier", "problem_page"]

_PATH = re.compile(r"/gateway/cashier/([0-9]{24})")


def _html(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="UTF-8"/><title>{escape(title)}</title></head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def problem_page(code: str, message: str) -> str:
    """What the browser shows when the front request was refused; nothing goes back to the shop.

    Clients that post the request themselves cut the message out behind ``end_error">`` (lipingruan/node-unionpay-sdk).
    """
    return _html(
        "交易失败",
        f'<p id="message" class="end_error">{escape(message)}</p>\n<p>respCode=<b id="code">{escape(code)}</b></p>',
    )


class Cashier:
    """Cashier pages of one gateway.

    A front request is answered by a redirection (302, no body) to ``GET /gateway/cashier/{page}``, as two public clients have
    it from the real platform: lipingruan/node-unionpay-sdk takes ``Location`` and nothing else for an order, and
    node-unionpaysdk shows the address that it was sent to. There it is a host of its own, ``cashier.95516.com``. ``POST`` with ``action=pay`` or ``action=cancel`` is the payer's button.
    After payment the answer is a page that posts the signed result to the shop's ``frontUrl`` by itself. The shop may show
    it; it proves nothing about the money, since it passes through the payer's hands and need not come at all.
    """

    def __init__(self, gateway: UnionPayGateway) -> None:
        self._gateway = gateway

    def page_of(self, path: str) -> str | None:
        """The number of the page a path leads to; None if it leads elsewhere."""
        match = _PATH.fullmatch(path)
        return match[1] if match is not None else None

    def page(self, page: str, trade: Trade) -> str:
        """The page with the amount and two buttons."""
        yuan = f"{trade.amount_fen // 100}.{trade.amount_fen % 100:02d}"
        return _html(
            "云闪付收银台",
            f'<p>订单 <span id="order">{escape(trade.order_id)}</span>：¥<span id="amount">{yuan}</span></p>\n'
            f'<form id="cashier" action="/gateway/cashier/{page}" method="post">\n'
            '<button name="action" value="pay">确认支付</button>\n'
            '<button name="action" value="cancel">返回商户</button>\n</form>',
        )

    @staticmethod
    def way_to(page: str, origin: str) -> Response:
        """Send the browser to a page; ``origin`` is scheme and host of the gateway as the browser knows it."""
        return Response(status_code=302, headers={"Location": f"{origin}/gateway/cashier/{page}"})

    def show(self, page: str) -> Response:
        """The page, as long as it can be paid."""
        try:
            trade = self._gateway.ledger.payable("page", page, self._gateway.kernel.unix_us)
        except PaymentRefusedError as refused:
            return _refused(refused)
        return HTMLResponse(self.page(page, trade))

    async def act(self, page: str, body: bytes) -> Response:
        """The payer pressed a button."""
        try:
            action = decode_form(body).get("action")
        except RemoteProtocolError:
            action = None
        if action not in {"pay", "cancel"}:
            return HTMLResponse(problem_page("10", "action=pay or action=cancel"), 400)
        gateway = self._gateway
        try:
            trade = gateway.ledger.payable("page", page, gateway.kernel.unix_us)
            if action == "cancel":
                return HTMLResponse(_html("支付已取消", f'<p id="order">{escape(trade.order_id)}</p>'))
            await gateway.payers.pay(trade, "browser")
        except PaymentRefusedError as refused:
            return _refused(refused)
        if trade.front_url is None:
            return HTMLResponse(_html("支付成功", f'<p id="order">{escape(trade.order_id)}</p>'))
        signed = gateway.signer.sign(gateway.notice_fields(trade), gateway.accounts[trade.mer_id])
        return HTMLResponse(auto_post_page(trade.front_url, signed, title="支付成功"))


def _refused(refused: PaymentRefusedError) -> Response:
    status = 404 if refused.reason == "unknown-order" else 409
    return HTMLResponse(_html("无法支付", f'<p id="reason">{escape(refused.reason)}</p>'), status)
