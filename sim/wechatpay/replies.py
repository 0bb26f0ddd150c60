"""What the platform sends: replies with all their headers, signatures, and signatures that must be refused."""

from __future__ import annotations

import random
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import Response

from protocols.wechatpay import (
    MAX_SKEW_S,
    SIGNATURE_PROBE_PREFIX,
    ApiError,
    SignedHeaders,
    encode_json,
    encrypt_resource,
    rfc3339,
    sign_reply,
)
from sim.kernel import Kernel
from sim.wechatpay.faults import Forgery
from sim.wechatpay.ids import Ids
from sim.wechatpay.material import MerchantAccount, PlatformKey, PlatformKeys

__all__ = ["Replier", "Signer", "certificate_list", "empty"]

_FIXED = {
    "Cache-Control": "no-cache, must-revalidate",
    "X-Content-Type-Options": "nosniff",
    "Content-Language": "zh-CN",
    "Keep-Alive": "timeout=8",
}
_CONTENT_TYPE = "application/json; charset=utf-8"


class Signer:
    """Signs for the platform, honestly or as a fault wants it.

    Attributes:
        active: the certificate that signs now.
    """

    def __init__(self, kernel: Kernel, keys: PlatformKeys, ids: Ids) -> None:
        self.keys = keys
        self.active = keys.certificates[0]
        self._kernel = kernel
        self._ids = ids
        self._stranger: rsa.RSAPrivateKey | None = None

    def rotate(self, serial: str) -> None:
        """Sign with another of the listed certificates from now on.

        Raises:
            ValueError: no certificate has this serial.
        """
        for key in self.keys.certificates:
            if key.serial == serial.upper():
                self.active = key
                return
        raise ValueError(f"no platform certificate has the serial {serial[:64]}")

    def add(self, key: PlatformKey) -> None:
        """List a further certificate, so that merchants can fetch it before it signs.

        Raises:
            ValueError: it has no certificate, or its serial is listed already.
        """
        if key.certificate_pem is None:
            raise ValueError("only a key with a certificate can be listed")
        if self.key(key.serial) is not None:
            raise ValueError(f"the serial {key.serial} is listed already")
        self.keys = replace(self.keys, certificates=(*self.keys.certificates, key))

    def retire(self, serial: str) -> None:
        """Take a certificate from the list.

        Raises:
            ValueError: no certificate has this serial, or it is the one that signs.
        """
        key = self.key(serial)
        if key is None or key.certificate_pem is None:
            raise ValueError(f"no platform certificate has the serial {serial[:64]}")
        if key is self.active:
            raise ValueError("this certificate signs; rotate to another first")
        kept = tuple(one for one in self.keys.certificates if one is not key)
        self.keys = replace(self.keys, certificates=kept)

    def key(self, serial: str) -> PlatformKey | None:
        """One of the platform's keys by its serial or public-key id; None if there is none."""
        public = self.keys.public
        if public is not None and serial == public.serial:
            return public
        wanted = serial.upper()
        return next((key for key in self.keys.certificates if key.serial == wanted), None)

    def pick(
        self,
        wanted: str | None,
        public_permille: int = 0,
        rng: random.Random | None = None,
        *,
        has_certificates: bool = True,
    ) -> PlatformKey:
        """The key to sign with.

        The public one when the request named it or the merchant has no other, and by chance during a switch-over;
        otherwise the active certificate, whichever certificate the request named.
        """
        public = self.keys.public
        if public is not None:
            if wanted == public.serial or not has_certificates:
                return public
            if public_permille and rng is not None and rng.randrange(1000) < public_permille:
                return public
        return self.active

    def headers(self, key: PlatformKey, body: bytes, forgery: str | None = None) -> SignedHeaders:
        """Signature headers over a body; with a forgery, headers the receiver must refuse."""
        now_s = self._kernel.unix_us // 1_000_000
        nonce = self._ids.nonce()
        if forgery == Forgery.NO_HEADERS:
            return {}
        if forgery == Forgery.STALE:
            now_s -= 2 * MAX_SKEW_S
        private = self._other_key() if forgery == Forgery.WRONG_KEY else key.private_key
        signed = body + b" " if forgery == Forgery.TAMPERED else body
        serial = "7" + "0" * 39 if forgery == Forgery.UNKNOWN_SERIAL else key.serial
        headers = sign_reply(private, serial=serial, timestamp_s=now_s, nonce=nonce, body=signed)
        if forgery == Forgery.PROBE:
            signature = headers["Wechatpay-Signature"]
            headers["Wechatpay-Signature"] = SIGNATURE_PROBE_PREFIX + signature[len(SIGNATURE_PROBE_PREFIX) :]
        elif forgery == Forgery.NO_TYPE:
            del headers["Wechatpay-Signature-Type"]
        return headers

    def _other_key(self) -> rsa.RSAPrivateKey:
        if self._stranger is None:
            self._stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._stranger


class Replier:
    """Builds replies with the headers of the live gateway (a sample is in WXDOC 4012081709)."""

    def __init__(self, signer: Signer, ids: Ids) -> None:
        self._signer = signer
        self._ids = ids

    def _headers(self, *, body: bytes, with_id: bool = True) -> dict[str, str]:
        headers = dict(_FIXED)
        if body:
            headers["Content-Type"] = _CONTENT_TYPE
        if with_id:
            headers["Request-ID"] = self._ids.request_id()
        return headers

    def ok(
        self,
        data: object | None,
        *,
        status: int = 200,
        wanted_serial: str | None = None,
        has_certificates: bool = True,
        forgery: str | None = None,
    ) -> Response:
        """A signed 2xx; None gives the empty 204, which is signed too."""
        body = encode_json(data) if data is not None else b""
        headers = self._headers(body=body)
        key = self._signer.pick(wanted_serial, has_certificates=has_certificates)
        headers |= self._signer.headers(key, body, forgery)
        return Response(body, 204 if data is None else status, headers)

    def file(self, content: bytes) -> Response:
        """A download: no JSON and no signature (WXDOC 4013071238)."""
        headers = self._headers(body=b"") | {"Content-Type": "application/octet-stream"}
        return Response(content, 200, headers)

    def refusal(self, error: ApiError, *, with_id: bool = True, signed_for: str | None = None) -> Response:
        """A refusal; unsigned, unless ``signed_for`` names a serial or is empty (then the active certificate signs)."""
        body = encode_json(error.body())
        headers = self._headers(body=body, with_id=with_id)
        if signed_for is not None:
            headers |= self._signer.headers(self._signer.pick(signed_for), body)
        return Response(body, error.status, headers)


def empty(status: int) -> Response:
    """Unknown path or wrong method: no body at all, so clients that parse JSON blindly fall over (probed)."""
    return Response(b"", status)


def certificate_list(
    keys: PlatformKeys, account: MerchantAccount, ids: Ids, *, times: str = "text"
) -> list[dict[str, object]]:
    """The ``data`` of ``/v3/certificates``: each certificate sealed with the merchant's APIv3 key (WXDOC 4012551764).

    Times are text, as in the page's sample, or integers, as its parameter table says (``times="integer"``).
    """
    listed: list[dict[str, object]] = []
    for key in keys.certificates:
        nonce = ids.nonce(12)
        sealed = encrypt_resource(
            (key.certificate_pem or "").encode(),
            apiv3_key=account.apiv3_key,
            nonce=nonce,
            associated_data="certificate",
        )
        listed.append(
            {
                "serial_no": key.serial,
                "effective_time": rfc3339(key.effective_s) if times == "text" else key.effective_s,
                "expire_time": rfc3339(key.expire_s) if times == "text" else key.expire_s,
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": nonce,
                    "associated_data": "certificate",
                    "ciphertext": sealed,
                },
            }
        )
    return listed
