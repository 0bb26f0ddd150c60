"""Who may come in: the checks of a request before anything else looks at it, in the live gateway's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.types import Receive, Scope

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay import (
    MAX_SKEW_S,
    ApiError,
    Authorization,
    Endpoint,
    parse_authorization,
    refusal,
    verify,
)
from sim.wechatpay.material import MerchantAccount

__all__ = ["RawRequest", "RequestGate", "read_request"]

_MAX_BODY_BYTES = 1 << 20  # far above any JSON of this API; a sender that goes on is cut off
_PATH_SAFE = "/%:@!$&'()*+,;=-._~|"


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as received: the signature covers these very bytes.

    Attributes:
        method: in capitals.
        target: raw path and query string, exactly as sent.
        headers: names in lower case.
        body: raw bytes.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


async def read_request(scope: Scope, receive: Receive) -> RawRequest:
    """The whole request of an ASGI call; a body beyond 1 MiB is dropped, and then fails its signature."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= _MAX_BODY_BYTES:
            chunks.append(chunk)
        more = message.get("more_body", False)
    raw_path: bytes | None = scope.get("raw_path")
    path = raw_path.split(b"?", 1)[0].decode("latin-1") if raw_path else quote(scope["path"], safe=_PATH_SAFE)
    query: bytes = scope.get("query_string", b"")
    target = f"{path}?{query.decode('latin-1')}" if query else path
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return RawRequest(scope["method"], target, headers, b"".join(chunks))


@dataclass(slots=True)
class RequestGate:
    """Checks the signature of requests; the tax platform behind the same host uses it as well.

    The order is the live gateway's: header format, then the clock, then the signature (probed 2026-09-11). What a
    refusal reads depends on the path, which was probed too.

    Attributes:
        accounts: merchants by mchid.
        refused: how many requests each message has turned away.
    """

    accounts: Mapping[str, MerchantAccount]
    refused: dict[str, int] = field(default_factory=dict)

    def admit(self, request: RawRequest, endpoint: Endpoint, now_s: int) -> MerchantAccount:
        """The merchant who signed this request.

        Raises:
            ApiError: 400 INVALID_REQUEST for a missing Accept or User-Agent (not on trade paths), 401 SIGN_ERROR for
                everything about the signature.
        """
        try:
            return self._admit(request, endpoint, now_s)
        except ApiError as error:
            self.refused[error.message] = self.refused.get(error.message, 0) + 1
            raise

    def _admit(self, request: RawRequest, endpoint: Endpoint, now_s: int) -> MerchantAccount:
        headers = request.headers
        if not endpoint.is_trade and not (headers.get("accept") and headers.get("user-agent")):
            raise refusal(endpoint, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")
        header = headers.get("authorization", "")
        try:
            authorization = parse_authorization(header)
        except RemoteProtocolError:
            raise refusal(endpoint, "SIGN_ERROR", self._format_message(endpoint)) from None
        if abs(now_s - authorization.timestamp_s) > MAX_SKEW_S:
            message = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
            raise refusal(endpoint, "SIGN_ERROR", message)
        account = self.accounts.get(authorization.mchid)
        if account is None or not self._is_signed(account, authorization, request, endpoint):
            raise refusal(endpoint, "SIGN_ERROR", "签名错误")
        return account

    @staticmethod
    def _format_message(endpoint: Endpoint) -> str:
        if endpoint.is_trade:
            return "签名信息错误，验签失败"
        return "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"

    @staticmethod
    def _is_signed(
        account: MerchantAccount, authorization: Authorization, request: RawRequest, endpoint: Endpoint
    ) -> bool:
        key = account.certificates.get(authorization.serial_no.upper())
        if key is None:
            message = "商户证书序列号有误。请使用签名私钥匹配的证书序列号"  # WXDOC 4012365345
            raise refusal(endpoint, "SIGN_ERROR", message)
        message_bytes = authorization.message(request.method, request.target, request.body)
        return verify(key, message_bytes, authorization.signature)

    @staticmethod
    def check_mchid(
        account: MerchantAccount,
        mchid: object,
        endpoint: Endpoint,
        location: str,
        *,
        field: str = "/mchid",
    ) -> None:
        """The merchant number in the body or query must be the signer's.

        Raises:
            ApiError: 400 PARAM_ERROR (WXDOC 4012791869).
        """
        if mchid != account.mchid:
            detail: dict[str, object] = {
                "field": field,
                "value": str(mchid)[:32],
                "issue": "与签名的商户号不一致",
                "location": location,
            }
            message = "http header中的mchid与post payload中的mchid不匹配"
            raise refusal(endpoint, "PARAM_ERROR", message, detail=detail)
