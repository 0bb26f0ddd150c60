"""RSA-SHA256 signatures of requests, replies, notifications and of the phone's payment call."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay.errors import SignatureRefusedError
from protocols.wechatpay.trust import PlatformTrust

__all__ = [
    "MAX_SKEW_S",
    "SCHEME",
    "SIGNATURE_PROBE_PREFIX",
    "Authorization",
    "SignedHeaders",
    "authorization_header",
    "parse_authorization",
    "pay_sign",
    "reply_message",
    "request_message",
    "sign",
    "sign_reply",
    "verify",
    "verify_pay_sign",
    "verify_reply",
]

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
MAX_SKEW_S: Final = 300
"""Clock window in both directions: the gateway refuses older requests, merchants refuse older replies."""
SIGNATURE_PROBE_PREFIX: Final = "WECHATPAY/SIGNTEST/"
"""WeChat sometimes sends a signature that begins so, to see that the merchant refuses it (WXDOC 4013053249)."""

_PADDING = PKCS1v15()
_HASH = SHA256()

SignedHeaders = dict[str, str]
"""The ``Wechatpay-*`` headers of one reply or notification."""


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """RSA-SHA256, PKCS#1 v1.5, base64 without line breaks. About 1 ms for 2048 bits."""
    return base64.b64encode(key.sign(message, _PADDING, _HASH)).decode("ascii")


def verify(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether a base64 signature fits; never raises for what a peer sent."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, message, _PADDING, _HASH)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def request_message(method: str, target: str, timestamp_s: int | str, nonce: str, body: bytes) -> bytes:
    r"""The five lines a request signs, each ended by ``\n`` (WXDOC 4012365342).

    Args:
        method: ``GET``, ``POST``, … in capitals.
        target: absolute path with the query string, exactly as sent on the wire.
        timestamp_s: Unix time in seconds.
        nonce: the request's ``nonce_str``.
        body: the raw bytes sent; empty for GET.
    """
    return f"{method}\n{target}\n{timestamp_s}\n{nonce}\n".encode() + body + b"\n"


def reply_message(timestamp_s: int | str, nonce: str, body: bytes) -> bytes:
    r"""The three lines a reply or a notification signs; an empty body (204) keeps its ``\n`` (WXDOC 4013053420)."""
    return f"{timestamp_s}\n{nonce}\n".encode() + body + b"\n"


@dataclass(frozen=True, slots=True)
class Authorization:
    """The five parameters of an ``Authorization`` header."""

    mchid: str
    serial_no: str
    nonce: str
    timestamp_s: int
    signature: str

    def message(self, method: str, target: str, body: bytes) -> bytes:
        """The lines this header claims to have signed."""
        return request_message(method, target, self.timestamp_s, self.nonce, body)


def authorization_header(
    *,
    mchid: str,
    serial_no: str,
    key: RSAPrivateKey,
    method: str,
    target: str,
    body: bytes,
    timestamp_s: int,
    nonce: str,
) -> str:
    """The whole value of the ``Authorization`` header of one request (WXDOC 4012365342)."""
    signature = sign(key, request_message(method, target, timestamp_s, nonce, body))
    return (
        f'{SCHEME} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",'
        f'timestamp="{timestamp_s}",serial_no="{serial_no}"'
    )


_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')
_PARAMETERS = frozenset({"mchid", "nonce_str", "signature", "timestamp", "serial_no"})
_MAX_HEADER_CHARS = (
    2048  # five short values and 344 characters of signature; more is not a header but an attack
)


def parse_authorization(header: str) -> Authorization:
    """Read an ``Authorization`` header; the order of its parameters is free (WXDOC 4012365344).

    Raises:
        RemoteProtocolError: another scheme, a blank after a comma, a key missing, doubled or unknown, odd values.
    """
    if len(header) > _MAX_HEADER_CHARS:
        raise RemoteProtocolError(f"the Authorization header has {len(header)} characters")
    scheme, _, rest = header.partition(" ")
    if scheme != SCHEME:
        raise RemoteProtocolError("the Authorization scheme is not " + SCHEME)
    values: dict[str, str] = {}
    for part in rest.split(","):
        match = _PARAMETER.fullmatch(part)
        if match is None or match[1] in values:
            raise RemoteProtocolError('the Authorization header is not a list of key="value" without blanks')
        values[match[1]] = match[2]
    if values.keys() != _PARAMETERS or not all(values.values()):
        raise RemoteProtocolError("the Authorization header must have its five keys, each with a value")
    timestamp = values["timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise RemoteProtocolError("the Authorization timestamp is not a number of seconds")
    return Authorization(
        values["mchid"], values["serial_no"], values["nonce_str"], int(timestamp), values["signature"]
    )


def sign_reply(
    key: RSAPrivateKey, *, serial: str, timestamp_s: int, nonce: str, body: bytes
) -> SignedHeaders:
    """The signature headers of a 2xx reply or of a notification (WXDOC 4013053420).

    Args:
        key: the platform's private key.
        serial: certificate serial in hex, or ``PUB_KEY_ID_…``.
        timestamp_s: Unix seconds of the reply.
        nonce: up to 32 characters.
        body: raw bytes; empty for 204.
    """
    return {
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": sign(key, reply_message(timestamp_s, nonce, body)),
        "Wechatpay-Timestamp": str(timestamp_s),
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature-Type": SCHEME,
    }


_REQUIRED = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature")


def verify_reply(trust: PlatformTrust, headers: Mapping[str, str], body: bytes, *, now_s: int) -> None:
    """Check a 2xx reply or a notification, over the raw bytes received, before believing a word of it.

    Stricter than most public clients, which each leave something out: all four headers, the signature type when it is
    given, the clock window, a known serial, the signature. An unknown serial never means "accept".

    Args:
        trust: the platform's known keys.
        headers: any mapping with the received headers; names are compared without case.
        body: raw body bytes; empty for 204.
        now_s: own Unix time in seconds.

    Raises:
        SignatureRefusedError: with the reason.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in _REQUIRED if not lower.get(name)]
    if missing:
        raise SignatureRefusedError("missing-header", f"no {', '.join(missing)}")
    timestamp, nonce, serial, signature = (lower[name] for name in _REQUIRED)
    if lower.get("wechatpay-signature-type", SCHEME) != SCHEME:
        raise SignatureRefusedError("signature-type", f"signature type is not {SCHEME}")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureRefusedError("timestamp", "the timestamp is not a number of seconds")
    if abs(now_s - int(timestamp)) >= MAX_SKEW_S:
        raise SignatureRefusedError("timestamp", f"the timestamp is {now_s - int(timestamp)} s old")
    key = trust.key(serial)
    if key is None:
        raise SignatureRefusedError("unknown-serial", f"no platform key has the serial {serial[:64]!r}")
    if verify(key, reply_message(timestamp, nonce, body), signature):
        return
    if signature.startswith(SIGNATURE_PROBE_PREFIX):
        raise SignatureRefusedError("probe", "a signature probe")
    raise SignatureRefusedError("signature", "the signature does not fit the body")


def _pay_message(app_id: str, timestamp: str, nonce: str, package: str) -> bytes:
    return f"{app_id}\n{timestamp}\n{nonce}\n{package}\n".encode()


def pay_sign(
    key: RSAPrivateKey, *, app_id: str, prepay_id: str, timestamp_s: int, nonce: str
) -> dict[str, str]:
    """What the mini-program hands to ``wx.requestPayment`` (WXDOC 4012365339).

    The merchant's key signs appId, timeStamp, nonceStr and package; ``signType`` is sent but not signed.
    """
    package = f"prepay_id={prepay_id}"
    return {
        "appId": app_id,
        "timeStamp": str(timestamp_s),
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": sign(key, _pay_message(app_id, str(timestamp_s), nonce, package)),
    }


def verify_pay_sign(key: RSAPublicKey, fields: Mapping[str, str]) -> bool:
    """Whether the phone's payment call was signed by this merchant key; False as well when a field is missing."""
    try:
        message = _pay_message(fields["appId"], fields["timeStamp"], fields["nonceStr"], fields["package"])
        return fields["signType"] == "RSA" and verify(key, message, fields["paySign"])
    except KeyError:
        return False
