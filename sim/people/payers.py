"""A driver's payment apps: the finger on the sheet that the station's page has opened, the code on the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx

from sim.people.api import HttpClient

__all__ = ["PAY_CODES", "Payers"]

PAY_CODES: Final = frozenset({"wechatpay-code", "unionpay-code"})
"""Ways to pay in which the attendant scans the driver's code."""

_TRIES: Final = 3
_PAUSE_S: Final = 0.5


class Payers:
    """All drivers' apps of a run.

    Args:
        wechat: client of the payers' control API of WeChat Pay.
        unionpay: client of UnionPay's; None where nobody pays over it.
    """

    def __init__(self, wechat: HttpClient, unionpay: HttpClient | None = None) -> None:
        self._wechat = wechat
        self._unionpay = unionpay

    async def confirm(self, openid: str, sheet: Mapping[str, Any]) -> bool:
        """Confirm what the backend's answer to "pay" has opened; the app's "ok", which proves nothing.

        Raises:
            ValueError: this answer opens nothing here.
        """
        if sheet.get("prepay_id"):
            return await self._act(
                self._wechat, f"/payers/{openid}/confirm", {"prepay_id": sheet["prepay_id"]}
            )
        if sheet.get("qr_code"):
            return await self._act(self._unionpay, f"/payers/{openid}/confirm", {"qr_code": sheet["qr_code"]})
        if sheet.get("jump"):
            path = {"union_path": sheet["jump"]["path"], "password": True, "sms_code": True}
            return await self._act(self._unionpay, f"/payers/{openid}/confirm", path)
        raise ValueError(f"nothing to confirm in {sorted(name for name in sheet if sheet[name] is not None)}")

    async def show_code(self, openid: str, way: str, *, password_us: int) -> str | None:
        """The code on the screen, for one charge; None when the app does not answer.

        Args:
            openid: whose.
            way: one of `PAY_CODES`.
            password_us: if WeChat wants the password, it is typed after this long.
        """
        if way == "wechatpay-code":
            wish = {"then": "confirm", "delay_us": password_us}
            shown = await self._post(self._wechat, f"/payers/{openid}/code", wish)
            return None if shown is None else str(shown["auth_code"])
        shown = await self._post(self._unionpay, f"/payers/{openid}/code", {})
        return None if shown is None else str(shown["qr_no"])

    async def sign(self, openid: str, contract: Mapping[str, Any]) -> bool:
        """Sign a contract for debits on WeChat's page; ``contract`` is what the backend told the phone of it."""
        wish = {
            "plan_id": contract["plan_id"],
            "out_contract_code": contract["contract_code"],
            "limit_fen": contract["limit_fen"],
        }
        return await self._act(self._wechat, f"/payers/{openid}/contracts", wish)

    async def _act(self, app: HttpClient | None, path: str, body: dict[str, Any]) -> bool:
        return await self._post(app, path, body) is not None

    async def _post(self, app: HttpClient | None, path: str, body: dict[str, Any]) -> Any:
        if app is None:
            raise ValueError("nobody pays over UnionPay in this run")
        for _ in range(_TRIES):
            try:
                reply = await app.post(path, json=body)
            except httpx.TransportError:
                await asyncio.sleep(_PAUSE_S)
                continue
            return reply.json() if reply.status_code < 400 else None
        return None
