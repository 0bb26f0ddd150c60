"""RSA keys as payment platforms use them: read from PEM, written to it, and refused when too weak."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["MIN_RSA_BITS", "check_rsa_key", "load_private_key", "private_pem"]

MIN_RSA_BITS: Final = 2048


def check_rsa_key(key: object) -> None:
    """Refuse anything but RSA of at least `MIN_RSA_BITS`.

    Raises:
        ValueError: another kind of key, or a shorter one.
    """
    if not isinstance(key, RSAPrivateKey | RSAPublicKey):
        raise ValueError(f"the platform signs with RSA; this key is {type(key).__name__}")  # noqa: TRY004 - a bad value, whatever its type
    if key.key_size < MIN_RSA_BITS:
        raise ValueError(f"the RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed")


def load_private_key(pem: str) -> RSAPrivateKey:
    """An RSA private key from unencrypted PEM text.

    Raises:
        ValueError: not such a key, or too short. The message does not contain the key.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    check_rsa_key(key)
    assert isinstance(key, RSAPrivateKey)  # noqa: S101 - check_rsa_key has just said so
    return key


def private_pem(key: RSAPrivateKey) -> str:
    """PKCS#8 PEM without a password, as merchant platforms hand it out."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
