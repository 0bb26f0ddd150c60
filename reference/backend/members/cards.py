"""Members' cards: announced to the vault, handed in there by the phone, kept here as a token with six and four digits.

The number goes from the phone to the vault and nowhere else. This service's key may make tokens and forget them; it may not
ask for numbers.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, select

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import GatewayUnknownError
from reference.backend.members.card_schema import card_bindings, cards
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction

__all__ = ["Cards", "VaultClient"]

_MINE = select(cards).where(cards.c.openid == bindparam("of")).order_by(cards.c.created_us, cards.c.card_id)
_ONE = select(cards).where(cards.c.openid == bindparam("of"), cards.c.card_id == bindparam("wanted"))
_SAME = select(cards).where(cards.c.openid == bindparam("of"), cards.c.token == bindparam("wanted"))
_OTHERS = select(cards.c.card_id).where(cards.c.token == bindparam("wanted")).limit(1)
_BINDING = select(card_bindings).where(
    card_bindings.c.openid == bindparam("of"), card_bindings.c.binding == bindparam("wanted")
)
_EXPIRED = delete(card_bindings).where(card_bindings.c.expires_us < bindparam("now_us"))
_GONE = delete(cards).where(cards.c.card_id == bindparam("wanted"))
_MOST: Final = 20
_RETRY_US: Final = 60_000_000
_CARD: Final = re.compile(r"ct_[a-z2-7]{32} [0-9]{6} [0-9]{4} [a-z]{0,16}")
_BINDING_NAME: Final = re.compile(r"cb_[a-z2-7]{32}")


class _Announced(msgspec.Struct):
    binding: str
    secret: str
    expires_us: int


class _Handed(msgspec.Struct):
    token: str
    bin: str
    last4: str
    network: str


class VaultClient:
    """Calls the vault.

    Args:
        outgoing: carries the calls.
        url: where it answers, without a path.
        key: this service's key there.
    """

    def __init__(self, outgoing: Outgoing, url: str, key: str) -> None:
        self._outgoing = outgoing
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}

    async def announce(self) -> _Announced:
        """A member is about to hand a card in.

        Raises:
            GatewayUnknownError: no usable answer.
        """
        answer = await self._call("POST", "/v1/bindings", 201)
        announced: _Announced = _read(answer, _Announced)
        if _BINDING_NAME.fullmatch(announced.binding) is None:
            raise GatewayUnknownError("the vault's answer is not understood")
        return announced

    async def handed_in(self, binding: str) -> _Handed | None:
        """What was handed in; None so far.

        Raises:
            GatewayUnknownError: no usable answer, one that shows more of a card than may be shown among them.
        """
        answer = await self._call("GET", f"/v1/bindings/{binding}", 200, 204, 404)
        if not answer:
            return None
        card: _Handed = _read(answer, _Handed)
        if _CARD.fullmatch(f"{card.token} {card.bin} {card.last4} {card.network}") is None:
            raise GatewayUnknownError("the vault's answer is not understood")
        return card

    async def forget(self, token: str) -> None:
        """Nobody holds the card any more. Raises `GatewayUnknownError` without an answer."""
        await self._call("DELETE", f"/v1/tokens/{token}", 204, 404)

    async def _call(self, method: str, path: str, *good: int) -> bytes:
        response = await self._outgoing.send(method, f"{self.url}{path}", b"", self._headers)
        if response.status_code not in good:
            raise GatewayUnknownError(f"the vault answers {response.status_code}")
        return response.content if response.status_code < 300 else b""


def _read(answer: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError:
        raise GatewayUnknownError("the vault's answer is not understood") from None


class Cards:
    """Binds, lists and forgets cards.

    Args:
        vault: None where the service has none; then nobody can bind a card.
    """

    def __init__(self, core: Core, vault: VaultClient | None) -> None:
        self.core = core
        self.vault = vault
        core.outbox.handlers["card.forget"] = self._forget

    def _vault(self) -> VaultClient:
        if self.vault is None:
            raise ApiError(409, "no_vault", "this service takes no cards")
        return self.vault

    async def announce(self, openid: str) -> dict[str, Any]:
        """Where and with which secret the phone hands the number in.

        Raises:
            ApiError: 409 without a vault, or with too many cards; 503 if it does not answer.
        """
        vault = self._vault()
        if len(await self.mine(openid)) >= _MOST:
            raise ApiError(409, "too_many_cards", f"at most {_MOST} cards can be bound")
        try:
            announced = await vault.announce()
        except GatewayUnknownError as error:
            raise ApiError(503, "vault_unavailable", "cards cannot be bound now") from error
        row = {"binding": announced.binding, "openid": openid, "expires_us": announced.expires_us}

        async def work(tx: Transaction) -> None:
            await tx.execute(_EXPIRED, {"now_us": self.core.clock_us()})
            await tx.insert(card_bindings, row)

        await self.core.db.run(work)
        return {
            "binding": announced.binding,
            "url": f"{vault.url}/v1/hand-in",
            "secret": announced.secret,
            "expires_us": announced.expires_us,
        }

    async def confirm(self, openid: str, binding: str) -> tuple[bool, dict[str, Any]]:
        """The phone has handed its number in: whether the card is new here, and the card.

        Raises:
            ApiError: 404 for a binding of somebody else; 409 if nothing was handed in; 503 without an answer.
        """
        vault = self._vault()
        if not await self.core.db.single(_BINDING, {"of": openid, "wanted": binding}):
            raise ApiError(404, "not_found", "there is no such binding")
        try:
            handed = await vault.handed_in(binding)
        except GatewayUnknownError as error:
            raise ApiError(503, "vault_unavailable", "cards cannot be bound now") from error
        if handed is None:
            raise ApiError(409, "not_handed_in", "the vault has no card for this binding")

        async def work(tx: Transaction) -> tuple[bool, Any]:
            row = {
                "card_id": self.core.ids.make("card"),
                "openid": openid,
                "token": handed.token,
                "bin": handed.bin,
                "last4": handed.last4,
                "network": handed.network,
                "created_us": self.core.clock_us(),
            }
            is_new = await tx.insert_new(cards, row)
            return is_new, await tx.first(_SAME, {"of": openid, "wanted": handed.token})

        is_new, card = await self.core.db.run(work)
        return is_new, _view(card)

    async def mine(self, openid: str) -> list[dict[str, Any]]:
        """A member's cards, oldest first."""
        return [_view(row) for row in await self.core.db.single(_MINE, {"of": openid})]

    async def remove(self, openid: str, card_id: str) -> None:
        """Forget a card, and let the vault forget its number when nobody else holds it.

        Raises:
            ApiError: 404.
        """

        async def work(tx: Transaction) -> None:
            card = await tx.first(_ONE, {"of": openid, "wanted": card_id})
            if card is None:
                raise ApiError(404, "not_found", "there is no such card")
            await tx.execute(_GONE, {"wanted": card_id})
            await self.core.outbox.put(tx, "card.forget", card.token, key=f"card.forget/{card_id}")

        await self.core.db.run(work)

    async def _forget(self, task: Task) -> int | None:
        if self.vault is None:
            return None
        if not await self.core.db.single(_OTHERS, {"wanted": task.subject}):
            try:
                await self.vault.forget(task.subject)
            except GatewayUnknownError:
                return self.core.clock_us() + _RETRY_US
        return None


def _view(row: Any) -> dict[str, Any]:
    return {"card_id": row.card_id, "bin": row.bin, "last4": row.last4, "network": row.network}
