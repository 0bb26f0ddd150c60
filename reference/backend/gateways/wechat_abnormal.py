"""The merchant's side of WeChat Pay's abnormal refunds: the payer's card is void, so the money goes to another account (WX-OAPI).

A card's number and holder pass through here encrypted for the platform by whoever typed them in; this service has no key
that opens them, and keeps neither.
"""

from __future__ import annotations

from reference.backend.gateways.port import RefundReport, SealedCard
from reference.backend.gateways.wechat import WeChatClient
from reference.backend.gateways.wechat_answers import about, believed, refund_of

__all__ = ["WeChatAbnormalRefunds"]


class WeChatAbnormalRefunds:
    """Implements `reference.backend.gateways.port.AbnormalRefundGateway`.

    Args:
        client: signs, sends and verifies.
    """

    def __init__(self, client: WeChatClient) -> None:
        self._client = client

    async def pay_elsewhere(
        self, *, refund_id: str, out_refund_no: str, card: SealedCard | None
    ) -> RefundReport:
        """``apply-abnormal-refund``; a repeat while the bank is at it is answered with the refund as it stands.

        The header ``Wechatpay-Serial`` says which of the platform's keys the card is encrypted for (WXDOC 4013053257).
        """
        content = {"out_refund_no": out_refund_no, "type": "MERCHANT_BANK_CARD"}
        if card is not None:
            content |= {
                "type": "USER_BANK_CARD",
                "bank_type": card.bank_type,
                "bank_account": card.bank_account,
                "real_name": card.real_name,
            }
        raw = await self._client.call(
            "POST",
            f"/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund",
            content,
            sealed_for=None if card is None else card.serial,
        )
        return about(believed(refund_of, raw), out_refund_no)
