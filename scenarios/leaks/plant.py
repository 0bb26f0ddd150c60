"""Plants canaries through every input that an OpenAPI document tells of, and counts what was taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from scenarios.leaks.canaries import Canary
from scenarios.leaks.inputs import Draft, Known, Operation, inputs_of, operations_of, plain_request

__all__ = ["Basket", "Planted", "Planter"]

_PATIENCE_S: Final = 40.0


@dataclass(slots=True)
class Planted:
    """What was planted through one kind of input.

    Attributes:
        through: what it is, for people.
        inputs: how many different places.
        taken: numbers that were accepted (2xx).
        refused: numbers that were refused.
        failed: what answered with an error of its own (5xx) or not at all: places, without numbers.
        closed: operations that did not accept a request without a number either, so that nothing got far into them.
    """

    through: str
    inputs: int = 0
    taken: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


class Basket:
    """Hands out canaries, each once before any comes again.

    Args:
        canaries: all of them.

    Attributes:
        used: those that were handed out.
    """

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self._kinds = {kind: [one for one in canaries if one.kind == kind] for kind in ("card", "phone")}
        self._turns = {kind: self._round(kind) for kind in self._kinds if self._kinds[kind]}
        self.used: dict[str, Canary] = {}

    def _round(self, kind: str) -> Iterator[Canary]:
        while True:
            yield from self._kinds[kind]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of which there are any."""
        return tuple(self._turns)

    def next(self, kind: str) -> Canary:
        """The next canary of a kind."""
        canary = next(self._turns[kind])
        self.used[canary.digits] = canary
        return canary

    @property
    def unused(self) -> list[Canary]:
        """What nobody has got yet."""
        return [one for kind in self._kinds.values() for one in kind if one.digits not in self.used]


class Planter:
    """Plants through one service.

    Args:
        through: what to call it.
        document: its OpenAPI document.
        client: reaches it.
        keys: bearer keys to try, in order; the first that a plain request is let in with is kept for its operation.
        known: values that it accepts.
        special: keys of operations that need another one each time, by the operation's name.
        before: called before an operation's first request, so that there is something for it to act on.
    """

    def __init__(
        self,
        through: str,
        document: Mapping[str, Any],
        client: httpx.AsyncClient,
        *,
        keys: Sequence[str],
        known: Known,
        special: Mapping[str, Callable[[], Awaitable[str]]] | None = None,
        before: Callable[[Operation], Awaitable[None]] | None = None,
    ) -> None:
        self._operations = operations_of(document)
        self._client = client
        self._keys = keys
        self._known = known
        self._special = special or {}
        self._before = before
        self.planted = Planted(through)

    async def plant(self, basket: Basket) -> Planted:
        """One number of each kind through each input; then again until every canary has been planted once."""
        inputs = []
        for operation in self._operations:
            key = await self._open(operation)
            for one in inputs_of(operation, self._known):
                self.planted.inputs += 1
                inputs.append((operation, key, one))
                for kind in basket.kinds:
                    if kind == "card" or not one.is_count:
                        await self._put(operation, key, one.name, one.planted(basket.next(kind).digits))
        texts = [each for each in inputs if not each[2].is_count]
        for place, canary in enumerate(basket.unused):
            operation, key, one = texts[place % len(texts)]
            await self._put(operation, key, one.name, one.planted(basket.next(canary.kind).digits))
        return self.planted

    async def _open(self, operation: Operation) -> str:
        """The key that lets a request without a number in."""
        if self._before is not None:
            await self._before(operation)
        best, status = self._keys[0], 0
        for key in self._keys:
            status = await self._send(operation, key, plain_request(operation, self._known))
            if status not in {401, 403}:
                best = key
                break
        if not 200 <= status < 300:
            self.planted.closed.append(f"{operation.name}: {status or 'no answer'}")
        return best

    async def _put(self, operation: Operation, key: str, place: str, draft: Draft) -> None:
        status = await self._send(operation, key, draft)
        if 200 <= status < 300:
            self.planted.taken += 1
        elif 400 <= status < 500:
            self.planted.refused += 1
        else:
            self.planted.failed.append(f"{place}: {status or 'no answer'}")

    async def _send(self, operation: Operation, key: str, draft: Draft) -> int:
        if operation.name in self._special:
            key = await self._special[operation.name]()
        headers = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json")]
        headers += [(name, value) for name, value in draft.headers.items()]
        request = self._client.build_request(
            operation.method, draft.target, content=draft.content, headers=headers, timeout=_PATIENCE_S
        )
        try:
            reply = await self._client.send(request, stream=True)
            try:
                if not operation.is_stream:
                    await reply.aread()
            finally:
                await reply.aclose()
        except httpx.HTTPError:
            return 0
        return reply.status_code
