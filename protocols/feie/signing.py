"""Feie's two signatures: SHA-1 over the account on requests, RSA with SHA-256 on the callbacks of the platform.

Source: the vendor's demo code for requests (``sha1(USER.UKEY.$time)``, forty small hexadecimal digits); for callbacks the
vendor's document as quoted in ``github.com/houseme/feie`` (``AsyncPrinterResult``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["callback_text", "request_signature", "sign_callback", "signature_fits", "verify_callback"]


def request_signature(user: str, ukey: str, stime: str) -> str:
    """``sig`` of a request: SHA-1 of account, key and time in seconds, joined without anything between."""
    return hashlib.sha1((user + ukey + stime).encode()).hexdigest()  # noqa: S324 - the platform's choice


def signature_fits(user: str, ukey: str, stime: str, sig: str) -> bool:
    """Whether a request's ``sig`` is the one of this account."""
    return hmac.compare_digest(request_signature(user, ukey, stime).encode(), sig.encode("utf-8", "replace"))


def callback_text(fields: Mapping[str, str]) -> str:
    """What a callback's ``sign`` is over: all other fields that are not empty, by name, as ``name=value`` joined by ``&``."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "sign" and fields[name])


def sign_callback(key: RSAPrivateKey, fields: Mapping[str, str]) -> str:
    """``sign`` of a callback, in Base64."""
    signature = key.sign(callback_text(fields).encode(), PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode("ascii")


def verify_callback(key: RSAPublicKey, fields: Mapping[str, str]) -> bool:
    """Whether a callback comes from the platform. Never raises: a forged field is simply not genuine."""
    try:
        signature = base64.b64decode(fields.get("sign", ""), validate=True)
        key.verify(signature, callback_text(fields).encode(), PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
