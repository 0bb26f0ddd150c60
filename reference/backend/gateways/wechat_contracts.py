"""The merchant's side of WeChat Pay's contracts (``/v3/papay``, WX-OAPI)."""

from __future__ import annotations

from typing import Any

import msgspec

from reference.backend.gateways.port import ContractReport, GatewayRefusedError, GatewayUnknownError
from reference.backend.gateways.wechat import WeChatClient
from reference.backend.settings import BackendSettings

__all__ = ["WeChatContracts"]


class _Shown(msgspec.Struct):
    contract_id: str
    contract_state: str
    openid: str
    plan_id: int
    out_contract_code: str


class WeChatContracts:
    """Implements `reference.backend.gateways.port.ContractGateway`.

    Args:
        client: signs, sends and verifies.
        settings: with the plan that contracts are signed by.
    """

    def __init__(self, client: WeChatClient, settings: BackendSettings) -> None:
        self._client = client
        self._settings = settings

    def _path(self, contract_code: str) -> str:
        plan_id = self._settings.contract_plan_id
        return f"/v3/papay/sign/contracts/plan-id/{plan_id}/out-contract-code/{contract_code}"

    async def contract(self, contract_code: str) -> ContractReport | None:
        """Query by our code."""
        try:
            raw = await self._client.call("GET", self._path(contract_code))
        except GatewayRefusedError as error:
            if error.status == 404:
                return None
            raise
        try:
            shown = msgspec.json.decode(raw, type=_Shown)
        except msgspec.DecodeError as error:
            raise GatewayUnknownError(f"the contract cannot be read: {error}") from error
        if (shown.plan_id, shown.out_contract_code) != (self._settings.contract_plan_id, contract_code):
            raise GatewayUnknownError("the answer is about another contract")
        return ContractReport(shown.contract_id, shown.contract_state, shown.openid)

    async def end_contract(self, contract_code: str) -> None:
        """End it by our side."""
        body = {"contract_termination_remark": "用户在小程序内关闭"}
        await self._client.call("POST", f"{self._path(contract_code)}/terminate", body)

    async def debit(self, *, out_trade_no: str, amount_fen: int, contract_id: str, description: str) -> None:
        """Accepted; the end comes by a notice (TRANSACTION.SUCCESS, TRANSACTION.FAIL) or a query."""
        merchant = self._settings.merchant
        body: dict[str, Any] = {
            "appid": merchant.appid,
            "description": description,
            "out_trade_no": out_trade_no,
            "transaction_notify_url": f"{self._settings.notify_url}/v1/notify/wechatpay",
            "contract_id": contract_id,
            "amount": {"total": amount_fen, "currency": "CNY"},
        }
        await self._client.call("POST", "/v3/papay/pay/transactions/apply", body)
