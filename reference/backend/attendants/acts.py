"""The record of privileged acts: who did what, told before it is done and again how it ended. Nothing in it is ever changed."""

from __future__ import annotations

import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocols.cards import mask_private
from reference.backend.attendants.schema import acts
from reference.backend.core import Core
from reference.backend.errors import refusal_of
from reference.backend.sessions import Sessions
from reference.backend.store.database import StoreUnavailableError, Transaction

__all__ = ["ActLog", "note_act"]

_ADMIN = "/v1/admin/"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPERATOR = b"x-operator"
_WHO_MOST = 40


async def note_act(
    core: Core,
    tx: Transaction,
    *,
    role: str,
    who: str,
    action: str,
    subject: str,
    station: str | None = None,
    status: int = 200,
) -> None:
    """Put an act on record in the transaction that does it."""
    row = {
        "role": role,
        "who": mask_private(_plain(who)[:_WHO_MOST]),
        "station": station,
        "action": action[:120],
        "subject": mask_private(_plain(subject)[:200]),
        "status": status,
        "at_us": core.clock_us(),
    }
    await tx.insert(acts, row)


class ActLog:
    """Writes down what the operator does over HTTP.

    A request that changes something goes on record before it is answered, so that no crash hides it; if that cannot be written, the
    act is refused. The operator's key is one, so who it is stands in the header ``X-Operator``.
    """

    def __init__(self, core: Core, sessions: Sessions) -> None:
        self._core = core
        self._sessions = sessions

    def wants(self, scope: Scope) -> bool:
        """Whether a request is a privileged act (or tries to be one)."""
        return scope["type"] == "http" and scope["path"].startswith(_ADMIN) and scope["method"] not in _READS

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, with a line before and one after."""
        try:
            self._sessions.check_admin(str(_first(scope, b"authorization"), "latin-1"))
        except Exception:  # noqa: BLE001 - the application refuses it in its own words
            await app(scope, receive, send)
            return
        who = str(_first(scope, _OPERATOR), "utf-8", "replace").strip()
        ended = [500]

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                ended[0] = message["status"]
            await send(message)

        try:
            await self._note(who, scope, 0)
        except Exception as error:
            response = refusal_of(error)
            if response is None:
                raise
            await response(scope, receive, send)
            return
        try:
            await app(scope, receive, watched)
        finally:
            with contextlib.suppress(StoreUnavailableError):  # that it was begun stands there
                await self._note(who, scope, ended[0])

    async def _note(self, who: str, scope: Scope, status: int) -> None:
        # The path names whom it concerns; bodies may hold what must not be kept.
        action, subject = scope["method"], scope["path"]
        await self._core.db.run(
            lambda tx: note_act(
                self._core,
                tx,
                role="operator",
                who=who or "operator",
                action=action,
                subject=subject,
                status=status,
            )
        )


def _first(scope: Scope, name: bytes) -> bytes:
    """A header as the routes read it: where it is sent twice, the first one counts."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for known, value in headers if known == name), b"")


def _plain(text: str) -> str:
    """Text that every store takes: a path may hold NUL, which PostgreSQL refuses, and a name what steers a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
