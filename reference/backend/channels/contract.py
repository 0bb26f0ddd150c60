"""WeChat Pay's debit by contract: accepted at once, decided later."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from reference.backend.channels.channel import Started, Wish
from reference.backend.channels.wechat import DESCRIPTION, WeChatChannel
from reference.backend.core import Core
from reference.backend.gateways.port import ContractGateway, GatewayRefusedError

__all__ = ["ContractChannel"]


class ContractChannel(WeChatChannel):
    """``wechatpay-contract``: nobody is asked. A debit that failed could be tried again for ever, so it is closed."""

    name = "wechatpay-contract"
    # The same number with the same content is the same debit.
    is_repeatable = True

    def __init__(self, core: Core, gateway: ContractGateway) -> None:
        super().__init__(core)
        self._gateway = gateway

    async def start(self, payment: Row[Any], wish: Wish) -> Started:
        """Ask for the debit."""
        del wish
        contract = await self.core.contracts.active(payment.openid)
        if contract is None or payment.amount_fen > contract.limit_fen:
            raise GatewayRefusedError(0, "NO_CONTRACT", "there is no contract for so much")
        await self._gateway.debit(
            out_trade_no=payment.out_trade_no,
            amount_fen=payment.amount_fen,
            contract_id=contract.contract_id,
            description=DESCRIPTION,
        )
        return Started({"accepted": True})
