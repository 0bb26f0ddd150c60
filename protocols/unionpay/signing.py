"""The signature of ACP messages: RSA over the hexadecimal text of a hash, or a hash with a shared key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from protocols.rsa_keys import check_rsa_key
from protocols.unionpay.keys import MerchantCredentials, SignatureRefusedError, UnionPayTrust
from protocols.unionpay.wire import Fields

__all__ = [
    "VERSION",
    "canonical",
    "digest_text",
    "keyed_signature",
    "sign_request",
    "sign_rsa",
    "verify_keyed",
    "verify_received",
    "verify_rsa",
]

VERSION: Final = "5.1.0"
_OLD_VERSION: Final = "5.0.0"
_PADDING: Final = PKCS1v15()


def canonical(fields: Mapping[str, str]) -> str:
    """What is signed: all fields but ``signature`` and empty ones, sorted by name, ``k=v`` joined by ``&``.

    Names sort by their characters' codes; values are raw, not URL-encoded (UP-GO, the official demonstration code,
    omnipay-unionpay and egzosn/pay agree, and replies of the test gateway printed in yansongda/pay's tests verify so).
    """
    return "&".join(
        f"{name}={value}" for name, value in sorted(fields.items()) if value and name != "signature"
    )


def digest_text(fields: Mapping[str, str]) -> bytes:
    """The first hash as lower-case hexadecimal text: SHA-256 for 5.1.0, SHA-1 for 5.0.0 (by the field ``version``)."""
    text = canonical(fields).encode()
    if fields.get("version") == _OLD_VERSION:
        return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
    return hashlib.sha256(text).hexdigest().encode()


def _hash(fields: Mapping[str, str]) -> hashes.HashAlgorithm:
    if fields.get("version") == _OLD_VERSION:
        return hashes.SHA1()  # noqa: S303 - the old version's formula; refused unless a switch allows it
    return hashes.SHA256()


def sign_rsa(key: RSAPrivateKey, fields: Mapping[str, str]) -> str:
    """Sign method 01: the *double hash*, RSA (PKCS#1 v1.5) over the hexadecimal text, in base64.

    Raises:
        ValueError: the key is weak.
    """
    check_rsa_key(key)
    return base64.b64encode(key.sign(digest_text(fields), _PADDING, _hash(fields))).decode("ascii")


def verify_rsa(key: RSAPublicKey, fields: Mapping[str, str]) -> bool:
    """Whether the ``signature`` among the fields fits them; never raises for what a peer sent."""
    try:
        raw = base64.b64decode(fields.get("signature", ""), validate=True)
        key.verify(raw, digest_text(fields), _PADDING, _hash(fields))
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def _hex(method: str, data: bytes) -> str:
    if method == "12":
        # hashlib has SM3 only where OpenSSL was built with it; cryptography says clearly when it has not.
        sm3 = hashes.Hash(hashes.SM3())
        sm3.update(data)
        return sm3.finalize().hex()
    return hashlib.sha256(data).hexdigest()


def keyed_signature(method: str, secure_key: str, fields: Mapping[str, str]) -> str:
    """Sign methods 11 (SHA-256) and 12 (SM3): hash of the canonical text, ``&`` and the hexadecimal hash of the key.

    Raises:
        ValueError: another method, or no key.
    """
    if method not in {"11", "12"}:
        raise ValueError(f"sign method {method[:8]!r} has no shared key")
    if not secure_key:
        raise ValueError(f"sign method {method} needs the merchant's shared key")
    return _hex(method, f"{canonical(fields)}&{_hex(method, secure_key.encode())}".encode())


def verify_keyed(method: str, secure_key: str, fields: Mapping[str, str]) -> bool:
    """Whether a signature of method 11 or 12 fits; False as well without a key."""
    if not secure_key or method not in {"11", "12"}:
        return False
    wanted = keyed_signature(method, secure_key, fields)
    return hmac.compare_digest(wanted.encode(), fields.get("signature", "").encode())


def sign_request(credentials: MerchantCredentials, fields: Mapping[str, str]) -> Fields:
    """A request ready to be sent: ``certId`` (method 01) and ``signature`` put in.

    Args:
        credentials: the merchant's.
        fields: all other fields; ``signMethod`` decides how it is signed and is 01 when absent, ``version`` is 5.1.0
            when absent.

    Raises:
        ValueError: an unknown sign method, or one whose key the merchant lacks.
    """
    signed: Fields = {"version": VERSION, "signMethod": "01", **fields}
    signed.pop("signature", None)
    if signed["signMethod"] == "01":
        signed["certId"] = credentials.cert_id
        signed["signature"] = sign_rsa(credentials.private_key, signed)
    else:
        signed.pop("certId", None)
        signed["signature"] = keyed_signature(signed["signMethod"], credentials.secure_key, signed)
    return signed


def verify_received(
    fields: Mapping[str, str],
    *,
    trust: UnionPayTrust,
    now_s: int,
    sign_method: str = "01",
    secure_key: str = "",
) -> None:
    """Check a reply or a notice before believing a word of it.

    The expected sign method is the receiver's, never the sender's: a forger would choose the weaker one. Version 5.0.0
    (SHA-1) is refused.

    Args:
        fields: all fields received, from the body alone (not from the query of the back URL).
        trust: whom to believe.
        now_s: own Unix time in seconds.
        sign_method: the one agreed with UnionPay.
        secure_key: shared key of methods 11 and 12.

    Raises:
        SignatureRefusedError: with the reason.
    """
    if not fields.get("signature"):
        raise SignatureRefusedError("missing", "no signature")
    if fields.get("signMethod") != sign_method or fields.get("version") != VERSION:
        raise SignatureRefusedError("method", f"not signed by method {sign_method} of version {VERSION}")
    if sign_method != "01":
        if not verify_keyed(sign_method, secure_key, fields):
            raise SignatureRefusedError("signature", "the signature does not fit the fields")
        return
    pem = fields.get("signPubKeyCert")
    if not pem:
        raise SignatureRefusedError("missing", "no signPubKeyCert")
    if not verify_rsa(trust.signer_key(pem, now_s=now_s), fields):
        raise SignatureRefusedError("signature", "the signature does not fit the fields")
