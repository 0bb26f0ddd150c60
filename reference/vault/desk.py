"""What the vault does: numbers in, tokens out; the number itself only to whom it may be told, and on record."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from protocols.cards import is_card_number, network_of
from reference.vault.keys import KeyRing, VaultKeyError
from reference.vault.store import Binding, Entry, Store

__all__ = ["CardDesk", "RefusedError"]

_TOKEN_BYTES: Final = 20
_BATCH: Final = 200
_MINUTE_US: Final = 60_000_000


class RefusedError(Exception):
    """A refusal that the caller can act on; it shows nothing of what was sent.

    Attributes:
        status: of HTTP.
        code: a word that never changes.
        field: the field that is wrong, if one is.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class CardDesk:
    """Tokens, bindings and reveals over one store.

    Args:
        store: the database.
        keys: the key ring; each of the store's entries must have been sealed by one of them.
        clock_us: Unix microseconds.
        random_bytes: ``random_bytes(n)`` gives n of them.
        unseal_keys: merchant -> RSA key that opens numbers which a gateway encrypted for it.
        tokens_per_minute, binding_ttl_s: see `VaultSettings`.

    Raises:
        VaultKeyError: an entry was sealed with a key that is not here.
    """

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        *,
        clock_us: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        unseal_keys: dict[str, RSAPrivateKey],
        tokens_per_minute: int,
        binding_ttl_s: int,
    ) -> None:
        missing = sorted(store.key_ids() - set(keys.ids))
        if missing:
            raise VaultKeyError(
                f"keys.{missing[0]}: entries of the database were sealed with it; it is not in the settings"
            )
        self.store = store
        self._keys = keys
        self._clock_us = clock_us
        self._random_bytes = random_bytes
        self._unseal_keys = unseal_keys
        self._rate = tokens_per_minute
        self._ttl_us = binding_ttl_s * 1_000_000
        self._spent: dict[str, tuple[int, float]] = {}

    def tokenise(self, merchant: str, number: str) -> tuple[bool, Entry]:
        """The merchant's token for a card number, and whether it is new. The same number always has the same one.

        Raises:
            RefusedError: no card number, or too many of them lately.
        """
        self._check(number)
        self._charge(merchant)
        with self.store.transaction():
            return self._entry_for(merchant, number)

    def tokenise_sealed(self, merchant: str, sealed: str) -> tuple[bool, Entry]:
        """As `tokenise`, for a number that a gateway encrypted to the merchant's RSA key (UnionPay: ``accNo``, PKCS #1 v1.5).

        Raises:
            RefusedError: as there; no key for it, or it does not open. All that does not open is refused alike.
        """
        key = self._unseal_keys.get(merchant)
        if key is None:
            raise RefusedError(409, "no_unseal_key", "this merchant has no key for encrypted numbers")
        self._charge(merchant)
        try:
            number = key.decrypt(base64.b64decode(sealed, validate=True), padding.PKCS1v15()).decode("ascii")
            self._check(number)
        except (ValueError, RefusedError):
            raise RefusedError(
                422, "not_sealed", "this is no card number encrypted for this merchant", "sealed"
            ) from None
        with self.store.transaction():
            return self._entry_for(merchant, number)

    def announce(self, merchant: str) -> tuple[Binding, str]:
        """A card is about to be handed in by its holder, past the merchant: the binding, and its secret for the holder."""
        now_us = self._clock_us()
        name = self._text("cb_")
        secret = self._text("cs_")
        binding = Binding(name, merchant, None, now_us + self._ttl_us)
        with self.store.transaction():
            self.store.announce(binding, _digest(secret), now_us)
        return binding, secret

    def hand_in(self, secret: str, number: str) -> Entry:
        """The holder hands the number in, once.

        Raises:
            RefusedError: unknown or expired secret, no card number, another number before, too many lately.
        """
        binding = self.store.binding(secret_digest=_digest(secret))
        if binding is None or binding.expires_us <= self._clock_us():
            raise RefusedError(401, "unauthorised", "this binding is unknown, or it has expired")
        self._check(number)
        self._charge(binding.merchant)
        with self.store.transaction():
            binding = self.store.binding(secret_digest=_digest(secret)) or binding
            known = self.store.find(binding.merchant, self._keys.indexes(binding.merchant, number))
            if binding.token is not None and (known is None or known.token != binding.token):
                raise RefusedError(409, "bound", "another card was handed in for this binding")
            _, entry = self._entry_for(binding.merchant, number)
            self.store.bind(binding.binding, entry.token)
        return entry

    def bound(self, merchant: str, name: str) -> Entry | None:
        """What was handed in for a merchant's binding; None as long as nothing was.

        Raises:
            RefusedError: no such binding.
        """
        binding = self.store.binding(name=name)
        if binding is None or binding.merchant != merchant:
            raise RefusedError(404, "not_found", "there is no such binding")
        return None if binding.token is None else self.store.of_token(merchant, binding.token)

    def reveal(self, merchant: str, token: str, reason: str) -> str:
        """The number behind a token. It is put on record before it is told.

        Raises:
            RefusedError: no such token of this merchant.
            VaultKeyError: the entry does not open.
        """
        with self.store.transaction():
            entry = self.store.of_token(merchant, token)
            self.store.act(
                self._clock_us(), merchant, "reveal" if entry else "reveal refused", token[:40], reason
            )
        if entry is None:
            raise RefusedError(404, "not_found", "there is no such token")
        return self._keys.unseal(entry.sealed, bound_to=_bound(merchant, token))

    def forget(self, merchant: str, token: str) -> bool:
        """Delete a card; tells whether it was there."""
        with self.store.transaction():
            was_there = self.store.forget(merchant, token)
            if was_there:
                self.store.act(self._clock_us(), merchant, "forget", token[:40], "asked for")
        return was_there

    def rotate(self) -> int:
        """Seal everything anew under the active key; how many entries. May be stopped and begun again at any time."""
        count = 0
        while True:
            with self.store.transaction():
                batch = self.store.under_other_keys(self._keys.active, _BATCH)
                for entry in batch:
                    bound = _bound(entry.merchant, entry.token)
                    number = self._keys.unseal(entry.sealed, bound_to=bound)
                    self.store.put(
                        replace(
                            entry,
                            sealed=self._keys.seal(number, bound_to=bound),
                            found_by=self._keys.indexes(entry.merchant, number)[0],
                        )
                    )
            count += len(batch)
            if not batch:
                return count

    def _entry_for(self, merchant: str, number: str) -> tuple[bool, Entry]:
        indexes = self._keys.indexes(merchant, number)
        known = self.store.find(merchant, indexes)
        if known is not None:
            return False, known
        token = self._text("ct_")
        entry = Entry(
            token,
            merchant,
            indexes[0],
            self._keys.seal(number, bound_to=_bound(merchant, token)),
            number[:6],
            number[-4:],
            network_of(number) or "",
            self._clock_us(),
        )
        self.store.put(entry)
        return True, entry

    def _check(self, number: str) -> None:
        if not (number.isascii() and number.isdecimal() and is_card_number(number)):
            raise RefusedError(422, "not_a_card", "this is no card number of a known network", "card_number")

    def _charge(self, merchant: str) -> None:
        """A bucket of one minute's worth that fills evenly."""
        now_us = self._clock_us()
        last_us, left = self._spent.get(merchant, (now_us, float(self._rate)))
        left = min(float(self._rate), left + max(0, now_us - last_us) * self._rate / _MINUTE_US)
        if left < 1:
            self._spent[merchant] = (now_us, left)
            raise RefusedError(429, "too_many", f"more than {self._rate} numbers in a minute")
        self._spent[merchant] = (now_us, left - 1)

    def _text(self, prefix: str) -> str:
        return prefix + base64.b32encode(self._random_bytes(_TOKEN_BYTES)).decode("ascii").lower()


def _bound(merchant: str, token: str) -> str:
    return f"{token}/{merchant}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
