"""Fetching a day's bill from WeChat Pay: a signed reply with a link and a hash, then the file, which is not signed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Final, Protocol

import httpx
import msgspec

from protocols.wechatpay import unpack_bill
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError

__all__ = ["SignedGet", "fetch_bill"]

_PATHS: Final = {
    "trade": "/v3/bill/tradebill?bill_date={day}&bill_type=ALL&tar_type=GZIP",
    "fund": "/v3/bill/fundflowbill?bill_date={day}&account_type=BASIC&tar_type=GZIP",
}


class SignedGet(Protocol):
    """A GET with our signature; ``is_signed`` says whether the reply must carry one."""

    def __call__(self, path: str, *, is_signed: bool) -> Awaitable[bytes]:
        """The verified body. Raises `GatewayUnknownError` or `GatewayRefusedError`."""


class _Link(msgspec.Struct):
    hash_value: Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{40}$")]
    download_url: Annotated[str, msgspec.Meta(pattern="^https://[!-~]+$", max_length=2048)]


async def fetch_bill(get: SignedGet, bill: str, day: str) -> bytes | None:
    """The content of a day's bill, or None if the platform has none: nothing happened that day.

    Args:
        get: sends the requests.
        bill: ``trade`` (all payments and refunds) or ``fund`` (the basic account).
        day: like 2026-01-31, Beijing time.

    Raises:
        BillError: the file is not the one that was announced.
        GatewayUnknownError, GatewayRefusedError: it is not to be had, or is still being made.
    """
    try:
        raw = await get(_PATHS[bill].format(day=day), is_signed=True)
    except GatewayRefusedError as error:
        if error.code == "NO_STATEMENT_EXIST":
            return None
        raise
    try:
        link = msgspec.json.decode(raw, type=_Link)
    except msgspec.DecodeError as error:
        raise GatewayUnknownError(f"the gateway's answer has no link to a bill: {error}") from error
    # Of the link only path and query are taken: a signed request never goes to another host.
    target = httpx.URL(link.download_url).raw_path.decode("ascii")
    return unpack_bill(await get(target, is_signed=False), sha1=link.hash_value, gzipped=True)
