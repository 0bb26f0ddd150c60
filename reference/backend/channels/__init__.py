"""The ways to pay, by name: which are open for new payments, and which one an old payment went."""

from __future__ import annotations

from reference.backend.channels.channel import DEAD, PAID, Channel, Parts, Started, Wish
from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import AbnormalRefundGateway, RefundGateway

__all__ = ["DEAD", "PAID", "Channel", "Channels", "Parts", "Started", "Wish"]


class Channels:
    """All channels of an instance.

    Attributes:
        known: by name, for the payments that stand in the tables; new ones only over those of the settings' ``channels``.
        elsewhere: who can send an abnormal refund on to another account, by provider.
        refunders: who gives money back, by provider, where it is not the instance's gateway.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.known: dict[str, Channel] = {}
        self.refunders: dict[str, RefundGateway] = {}
        self.elsewhere: dict[str, AbnormalRefundGateway] = {}

    def add(self, *channels: Channel) -> None:
        """Make channels known."""
        self.known.update({channel.name: channel for channel in channels})

    def open(self, name: str) -> Channel:
        """The channel for a new payment. Raises `ApiError` 409 if the operator has not switched it on."""
        if name not in self.core.settings.channels:
            raise ApiError(409, "channel_unavailable", f"payments over {name} are not taken here", "channel")
        return self.known[name]

    def of(self, name: str) -> Channel:
        """The channel of an old payment. Raises `LookupError` if its credentials are gone: a person must look at it."""
        try:
            return self.known[name]
        except KeyError:
            raise LookupError(f"a payment went over {name}, which is not configured any more") from None

    def tender_of(self, pay_by: str | None) -> str:
        """What receipts call the money of an order, by its ``pay_by``."""
        return self.known[pay_by].tender if pay_by in self.known else pay_by or "wechatpay"

    def said_of(self, channel: str | None) -> str:
        """What the ledger keeps of money given back: its tender, unless it is the ordinary one."""
        tender = self.of(channel).tender if channel is not None else "wechatpay"
        return "{}" if tender == "wechatpay" else f'{{"tender":"{tender}"}}'

    def sender_on(self, channel: str | None) -> AbnormalRefundGateway | None:
        """Who can send an abnormal refund of what came over a channel on to another account; None if nobody can."""
        return self.elsewhere.get(self.of(channel).provider if channel is not None else "wechatpay")

    def refunder(self, channel: str | None) -> RefundGateway:
        """Who gives back what came over a channel."""
        provider = self.of(channel).provider if channel is not None else "wechatpay"
        return self.refunders.get(provider, self.core.gateway)
