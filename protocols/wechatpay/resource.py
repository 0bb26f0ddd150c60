"""Encrypted parts: AES-256-GCM resources of notifications and certificates, RSA-OAEP fields."""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from protocols.sansio import RemoteProtocolError

__all__ = [
    "OaepHash",
    "ResourceError",
    "check_apiv3_key",
    "decrypt_resource",
    "decrypt_sensitive",
    "encrypt_resource",
    "encrypt_sensitive",
]

_TAG_BYTES = 16
_NONCE_BYTES = 12


class ResourceError(RemoteProtocolError):
    """The encrypted part cannot be opened: wrong APIv3 key, or changed on the way."""


def check_apiv3_key(key: str) -> str:
    """The key itself, if it is 32 ASCII characters (they are the AES-256 key as they stand, WXDOC 4012071382).

    Raises:
        ValueError: it is not. The message does not contain the key.
    """
    if len(key) != 32 or not key.isascii():
        raise ValueError(f"an APIv3 key is 32 ASCII characters; this one has {len(key)}")
    return key


@functools.lru_cache(maxsize=64)
def _cipher(apiv3_key: str) -> AESGCM:
    return AESGCM(check_apiv3_key(apiv3_key).encode("ascii"))


def encrypt_resource(plaintext: bytes, *, apiv3_key: str, nonce: str, associated_data: str) -> str:
    """AES-256-GCM; base64 of the ciphertext with its 16-byte tag at the end (WXDOC 4012071382).

    Args:
        plaintext: what to hide.
        apiv3_key: 32 ASCII characters.
        nonce: 12 ASCII characters, never used twice with one key.
        associated_data: authenticated, not hidden; may be empty.

    Raises:
        ValueError: the key or the nonce has the wrong length.
    """
    raw_nonce = nonce.encode("ascii")
    if len(raw_nonce) != _NONCE_BYTES:
        raise ValueError(f"the nonce has {len(raw_nonce)} bytes, not {_NONCE_BYTES}")
    sealed = _cipher(apiv3_key).encrypt(raw_nonce, plaintext, associated_data.encode())
    return base64.b64encode(sealed).decode("ascii")


def decrypt_resource(ciphertext: str, *, apiv3_key: str, nonce: str, associated_data: str | None) -> bytes:
    """Open what `encrypt_resource` sealed.

    Raises:
        ResourceError: not base64, too short, wrong key, wrong nonce, or changed.
        ValueError: the APIv3 key itself has the wrong shape (our fault, not the sender's).
    """
    cipher = _cipher(apiv3_key)
    try:
        sealed = base64.b64decode(ciphertext, validate=True)
        raw_nonce = nonce.encode("ascii")
    except (binascii.Error, ValueError) as error:
        raise ResourceError(f"the resource is not base64 with an ASCII nonce: {error}") from None
    if len(sealed) < _TAG_BYTES or len(raw_nonce) != _NONCE_BYTES:
        raise ResourceError(f"the resource has {len(sealed)} bytes and a nonce of {len(raw_nonce)}")
    try:
        return cipher.decrypt(raw_nonce, sealed, (associated_data or "").encode())
    except InvalidTag:
        raise ResourceError("the resource does not open with this APIv3 key, or was changed") from None


OaepHash = Literal["SHA1", "SHA256"]
"""SHA-1 is what the guide (WXDOC 4013053257) and the official SDKs use; one FAQ page says SHA-256 (conflict)."""

_OAEP: Final[dict[OaepHash, OAEP]] = {
    "SHA1": OAEP(mgf=MGF1(algorithm=SHA1()), algorithm=SHA1(), label=None),  # noqa: S303 - the platform's choice
    "SHA256": OAEP(mgf=MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None),
}


def encrypt_sensitive(text: str, key: RSAPublicKey, oaep_hash: OaepHash = "SHA1") -> str:
    """RSA-OAEP of a field that names a person (phone, e-mail), base64 (WXDOC 4013053257).

    Raises:
        ValueError: the text is longer than the key can take (214 bytes for 2048 bits with SHA-1).
    """
    return base64.b64encode(key.encrypt(text.encode(), _OAEP[oaep_hash])).decode("ascii")


def decrypt_sensitive(ciphertext: str, key: RSAPrivateKey, oaep_hash: OaepHash = "SHA1") -> str:
    """Open what `encrypt_sensitive` sealed.

    Raises:
        ResourceError: not base64, not for this key, another hash, or not UTF-8.
    """
    try:
        return key.decrypt(base64.b64decode(ciphertext, validate=True), _OAEP[oaep_hash]).decode()
    except (binascii.Error, ValueError) as error:
        raise ResourceError(f"the field does not open with this key: {error}") from None
