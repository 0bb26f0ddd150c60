"""The platform's keys that a merchant believes, and how it comes to know new ones.

A certificate that nobody has heard of is asked for in the platform's own list (``GET /v3/certificates``). Its entries are
sealed with the merchant's APIv3 key, so only the platform can have written them; the list itself must be signed by a key
that is known then. A forger can make us ask, once a minute at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import MerchantCredentials, PlatformTrust, decrypt_resource, verify_reply
from protocols.wechatpay.trust import load_public_key
from reference.backend.gateways.port import GatewayRefusedError, GatewayUnknownError

__all__ = ["CERTIFICATES_PATH", "PlatformKeys"]

CERTIFICATES_PATH: Final = "/v3/certificates"
_GAP_US: Final = 60_000_000


class _Sealed(msgspec.Struct):
    nonce: str
    ciphertext: str
    associated_data: str = ""


class _Entry(msgspec.Struct):
    serial_no: str
    encrypt_certificate: _Sealed


class _List(msgspec.Struct):
    data: list[_Entry]


class PlatformKeys:
    """One instance's knowledge.

    Args:
        merchant: opens the list; its trust is what is known from the start.
        clock_us: Unix time in microseconds.
        fetch: asks for the list; the answer as it came.

    Attributes:
        trust: what is believed now.
        learned: how many downloads were made.
    """

    def __init__(
        self,
        merchant: MerchantCredentials,
        clock_us: Callable[[], int],
        fetch: Callable[[], Awaitable[httpx.Response]],
    ) -> None:
        self.trust: PlatformTrust = merchant.trust
        self.learned = 0
        self._apiv3_key = merchant.apiv3_key
        self._clock_us = clock_us
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._asked_us: int | None = None

    async def learn(self) -> None:
        """Ask for the list, unless that was done within the last minute; whoever asks at the same time waits for it.

        What cannot be believed changes nothing.
        """
        async with self._lock:
            now_us = self._clock_us()
            # A clock that was set back is no reason to learn nothing until it has caught up.
            if self._asked_us is not None and 0 <= now_us - self._asked_us < _GAP_US:
                return
            self._asked_us = now_us
            self.learned += 1
            try:
                response = await self._fetch()
                self.trust = self._read(response)
            except (GatewayUnknownError, GatewayRefusedError, RemoteProtocolError, ValueError):
                return  # a list that is damaged, forged or not given teaches nothing

    def _read(self, response: httpx.Response) -> PlatformTrust:
        keys: dict[str, RSAPublicKey] = {}
        for entry in msgspec.json.decode(response.content, type=_List).data:
            sealed = entry.encrypt_certificate
            pem = decrypt_resource(
                sealed.ciphertext,
                apiv3_key=self._apiv3_key,
                nonce=sealed.nonce,
                associated_data=sealed.associated_data,
            )
            keys[entry.serial_no] = load_public_key(pem.decode())
        trust = self.trust.with_keys(keys)
        verify_reply(trust, response.headers, response.content, now_s=self._clock_us() // 1_000_000)
        return trust
