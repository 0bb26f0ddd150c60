"""The vault's keys: how a number is sealed for the disk, and how the same number is found again without unsealing any.

A card number has so few values (nine or ten unknown digits behind a known prefix) that a plain hash of it is as good as the
number (PCI DSS 4.0.1, 3.5.1.1 wants a keyed hash). So the index is an HMAC, and the tokens are random: nothing can be computed
from them, with or without the keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["KEY_BYTES", "KeyRing", "Sealed", "VaultKeyError"]

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class VaultKeyError(ValueError):
    """A key cannot be used, or does not open what it should. The message shows no key and no number."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A number as it lies on the disk.

    Attributes:
        key_id: of the key that sealed it.
        nonce: 12 bytes, never used twice with one key.
        ciphertext: AES-256-GCM, tag at its end.
    """

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    cipher: AESGCM
    index_key: bytes


class KeyRing:
    """The vault's keys by their ids; the first seals, all unseal.

    Args:
        keys: id -> 32 random bytes, the active one first.
        random_bytes: ``random_bytes(n)`` gives n of them (`secrets.token_bytes` outside simulations).

    Raises:
        VaultKeyError: no key, or one of another length.
    """

    def __init__(self, keys: Mapping[str, bytes], random_bytes: Callable[[int], bytes]) -> None:
        if not keys:
            raise VaultKeyError("the vault has no key")
        self._keys: dict[str, _Key] = {}
        self._random_bytes = random_bytes
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise VaultKeyError(f"key {key_id} has {len(key) * 8} bits; the vault needs {KEY_BYTES * 8}")
            if len(set(key)) < 8:
                raise VaultKeyError(f"key {key_id} is no random one")
            self._keys[key_id] = _Key(AESGCM(_derived(key, b"seal")), _derived(key, b"index"))
        if len({entry.index_key for entry in self._keys.values()}) != len(self._keys):
            raise VaultKeyError(
                "two ids name one key: what was sealed under the old one would never be sealed anew"
            )
        self.active = next(iter(self._keys))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, the active one first."""
        return tuple(self._keys)

    def indexes(self, merchant: str, number: str) -> list[bytes]:
        """What a number of a merchant may be found under: one value a key, the active key's first; 32 bytes each."""
        text = f"{len(merchant)}:{merchant}/{number}".encode()
        return [hmac.new(key.index_key, text, hashlib.sha256).digest() for key in self._keys.values()]

    def seal(self, number: str, *, bound_to: str) -> Sealed:
        """Encrypt a number under the active key; it opens only together with ``bound_to`` (its token and merchant)."""
        nonce = self._random_bytes(_NONCE_BYTES)
        cipher = self._keys[self.active].cipher
        return Sealed(self.active, nonce, cipher.encrypt(nonce, number.encode("ascii"), bound_to.encode()))

    def unseal(self, sealed: Sealed, *, bound_to: str) -> str:
        """The number.

        Raises:
            VaultKeyError: its key is not here, or what lies on the disk was changed or moved to another token.
        """
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise VaultKeyError(f"key {sealed.key_id} sealed this entry and is not in the settings")
        try:
            return key.cipher.decrypt(sealed.nonce, sealed.ciphertext, bound_to.encode()).decode("ascii")
        except InvalidTag:
            raise VaultKeyError("an entry does not open: it was changed, or its key was") from None


def _derived(key: bytes, purpose: bytes) -> bytes:
    """One configured key gives two that tell nothing of each other (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"forecourt vault " + purpose).derive(
        key
    )


def key_of(text: str) -> bytes:
    """A key out of its base64 text. Raises `VaultKeyError` without showing it."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VaultKeyError("a key is not base64") from None
