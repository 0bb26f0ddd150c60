"""What members of a station do on their phones beside paying: sign a contract for debits once, put points, coupon and balance to work.

What a member holds was given beforehand; a `MembersDesk` does that as the station's operator would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sim.people.api import ApiClient, ApiError, Unreachable
from sim.people.payers import Payers

__all__ = ["BY_CONTRACT", "MembersDesk", "Wallet", "parts_towards", "sign_contract"]

BY_CONTRACT: Final = "wechatpay-contract"
"""The channel of drivers whose finished sales are debited without asking them."""

_FOR_EVER_US: Final = 4_102_444_800_000_000
"""2100: no coupon of a run expires."""
_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """What a member was given: points, balance, and a coupon that is good for orders of ``coupon_from_fen`` and more."""

    points: int = 0
    coupon_fen: int = 0
    coupon_from_fen: int = 0
    balance_fen: int = 0

    def __bool__(self) -> bool:
        return bool(self.points or self.coupon_fen or self.balance_fen)


class MembersDesk:
    """The operator's way to give members what they hold.

    Args:
        api: client of the backend with the operator's key.

    Attributes:
        given: by openid, what was asked to be given: nobody has more.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self.given: dict[str, Wallet] = {}
        self._sure: set[str] = set()

    async def give(self, openid: str, wallet: Wallet) -> None:
        """Give a member all of it, once however often it is asked.

        Raises:
            ApiError, Unreachable: the backend did not take it; part of it may have been given.
        """
        if openid in self._sure:
            return
        self.given[openid] = wallet
        # Letters only: eleven digits of a digest in a row may read as a phone number, which a backend refuses.
        token = f"welcome-{hashlib.sha256(openid.encode()).hexdigest()[:24].translate(_LETTERS)}"
        if wallet.points or wallet.balance_fen:
            grant: dict[str, Any] = {"client_token": token, "openid": openid, "reason": "welcome"}
            grant |= {"points": wallet.points, "balance_fen": wallet.balance_fen}
            await self._api.call("POST", "/v1/admin/grants", json=grant)
        if wallet.coupon_fen:
            coupon = {
                "coupon_id": token,
                "openid": openid,
                "worth_fen": wallet.coupon_fen,
                "min_fen": wallet.coupon_from_fen,
                "expires_us": _FOR_EVER_US,
            }
            try:
                await self._api.call("POST", "/v1/admin/coupons", json=coupon)
            except ApiError as error:
                if error.code != "coupon_known":  # an answer was lost, and it was asked again
                    raise
        self._sure.add(openid)


async def sign_contract(api: ApiClient, payers: Payers, openid: str) -> bool:
    """Sign that finished sales may be debited, unless it is signed; whether a contract stands.

    Raises:
        ApiError, Unreachable: the backend did not answer, or has no contracts.
    """
    contract = await api.call("POST", "/v1/me/contract")
    if contract["state"] != "active":
        await payers.sign(openid, contract)
        contract = await api.call("GET", "/v1/me/contract")
    return bool(contract["state"] == "active")


async def parts_towards(api: ApiClient, payable_fen: int) -> dict[str, Any] | None:
    """What a member puts towards a sum: the first coupon that is good for it, then points, then balance. None: nothing."""
    try:
        held = await api.call("GET", "/v1/me")
    except (ApiError, Unreachable):
        return None
    return _parts(held, payable_fen)


def _parts(held: Mapping[str, Any], payable_fen: int) -> dict[str, Any] | None:
    left_fen, coupon_id = payable_fen, None
    for coupon in held["coupons"]:
        if coupon["min_fen"] <= payable_fen:
            coupon_id = coupon["coupon_id"]
            left_fen -= min(left_fen, coupon["worth_fen"])
            break
    points_fen = min(held["points"] // held["points_per_fen"], left_fen)
    balance_fen = min(held["balance_fen"], left_fen - points_fen)
    if coupon_id is None and not points_fen and not balance_fen:
        return None
    points = points_fen * held["points_per_fen"]
    return {"points": points, "coupon_id": coupon_id, "balance_fen": balance_fen}
