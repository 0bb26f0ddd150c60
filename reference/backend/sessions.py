"""Who calls: stations, phones and the operator, by bearer key."""

from __future__ import annotations

import hashlib
import hmac

from fastapi import Request
from sqlalchemy import bindparam, select

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.gateways.wechat import SessionRefusedError, WeChatClient
from reference.backend.private_numbers import refuse_numbers
from reference.backend.store.schema import sessions

__all__ = ["Sessions"]

_BY_TOKEN = select(sessions).where(sessions.c.token_digest == bindparam("digest"))
_CACHE_LIMIT = 10_000


class Sessions:
    """Checks bearer keys and logs phones in. Only digests of tokens are stored."""

    def __init__(self, core: Core, wechat: WeChatClient) -> None:
        self.core = core
        self._wechat = wechat
        self._cache: dict[str, tuple[str, int]] = {}

    async def log_in(self, js_code: str) -> tuple[str, str]:
        """Exchange the mini-program's code: (token, openid).

        Raises:
            ApiError: 401 if the platform refuses the code, 503 if it does not answer.
        """
        try:
            openid = await self._wechat.openid_of(js_code)
        except SessionRefusedError as error:
            raise ApiError(
                401, "code_refused", f"the platform refused the code ({error.errcode})", "js_code"
            ) from error
        except GatewayUnknownError as error:
            raise ApiError(503, "login_unavailable", "the mini-program platform does not answer") from error
        try:
            refuse_numbers([("openid", openid)])
        except ValueError as error:
            raise ApiError(401, "code_refused", f"the platform's {error}", "js_code") from None
        token = self.core.ids.text(48)
        digest = _digest(token)
        expires_us = self.core.clock_us() + self.core.settings.session_ttl_s * 1_000_000
        row = {"token_digest": digest, "openid": openid, "expires_us": expires_us}
        await self.core.db.run(lambda tx: tx.insert(sessions, row))
        self._remember(digest, openid, expires_us)
        return token, openid

    async def phone(self, request: Request) -> str:
        """The openid behind a request's token. Raises `ApiError` 401."""
        digest = _digest(bearer(request))
        known = self._cache.get(digest)
        if known is None:
            rows = await self.core.db.single(_BY_TOKEN, {"digest": digest})
            if not rows:
                raise ApiError(401, "unauthorised", "log in first")
            known = (rows[0].openid, rows[0].expires_us)
            self._remember(digest, *known)
        if known[1] <= self.core.clock_us():
            raise ApiError(401, "unauthorised", "the session has ended: log in again")
        return known[0]

    def station(self, request: Request, station: str) -> None:
        """Check a station's key. Raises `ApiError` 401."""
        self.check_station(station, request.headers.get("authorization", ""))

    def check_station(self, station: str, authorization: str) -> None:
        """Check a station's key in the header of that name. Raises `ApiError` 401."""
        key = self.core.settings.station_keys.get(station)
        if key is None or not hmac.compare_digest(_bearer(authorization).encode(), key.encode()):
            raise ApiError(401, "unauthorised", f"this key is not that of station {station}")

    async def till(self, request: Request, station: str) -> tuple[str, str]:
        """Who works at a till: ``("", "station")`` for the station's key, else (attendant, role). Raises `ApiError` 401."""
        authorization = request.headers.get("authorization", "")
        try:
            self.check_station(station, authorization)
        except ApiError:
            _bearer(authorization)
            return await self.core.attendants.member(station, authorization)
        return "", "station"

    def admin(self, request: Request) -> None:
        """Check the operator's key. Raises `ApiError` 401."""
        self.check_admin(request.headers.get("authorization", ""))

    def check_admin(self, authorization: str) -> None:
        """Check the operator's key in the header of that name. Raises `ApiError` 401."""
        if not hmac.compare_digest(_bearer(authorization).encode(), self.core.settings.admin_key.encode()):
            raise ApiError(401, "unauthorised", "this is not the admin key")

    def _remember(self, digest: str, openid: str, expires_us: int) -> None:
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.pop(next(iter(self._cache)))
        self._cache[digest] = (openid, expires_us)


def bearer(request: Request) -> str:
    """The bearer key of a request. Raises `ApiError` 401."""
    return _bearer(request.headers.get("authorization", ""))


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise ApiError(401, "unauthorised", "Authorization: Bearer <key> is missing")
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
