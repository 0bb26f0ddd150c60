"""The vault over HTTP. No answer repeats anything of what was sent."""

from __future__ import annotations

import hmac
import random
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from protocols.cards import mask_private
from protocols.rsa_keys import load_private_key
from reference.vault.desk import CardDesk, RefusedError
from reference.vault.keys import KeyRing, VaultKeyError
from reference.vault.settings import ClientSettings, VaultSettings
from reference.vault.shapes import (
    BindingView,
    CardView,
    ErrorBody,
    HandIn,
    NewToken,
    RevealRequest,
    RevealView,
)
from reference.vault.store import Entry, Store, StoreError

__all__ = ["Vault", "create_vault"]

_MOST_BODY: Final = 4096
_NEVER: Final = frozenset(
    {"cvv", "cvv2", "cvc", "cvn", "cvn2", "pin", "pin_block", "track", "track1", "track2", "track3"}
)
_SECURED: Final[dict[str, Any]] = {"security": [{"bearer": []}]}
_Token = Annotated[str, Path(pattern=r"^ct_[a-z2-7]{32}$")]
_BindingName = Annotated[str, Path(pattern=r"^cb_[a-z2-7]{32}$")]


class Vault:
    """A vault and its application.

    Attributes:
        app: ASGI.
        desk: what it does.
    """

    def __init__(self, app: FastAPI, desk: CardDesk) -> None:
        self.app = app
        self.desk = desk

    def close(self) -> None:
        """Close the database."""
        self.desk.store.close()


def create_vault(
    settings: VaultSettings,
    *,
    clock_us: Callable[[], int] | None = None,
    rng: random.Random | None = None,
) -> Vault:
    """Open the database and put the service together.

    Args:
        settings: as read.
        clock_us: Unix microseconds; by default the machine's.
        rng: makes tokens and nonces repeatable in a simulation; None takes the operating system's randomness.

    Raises:
        StoreError: the database cannot be opened.
        VaultKeyError: a key is missing or unusable.
        ValueError: a key for sealed numbers is too weak.
    """
    random_bytes = secrets.token_bytes if rng is None else rng.randbytes
    unseal_keys = {
        client.merchant: load_private_key(
            client.unseal_file.read_text("ascii"), source=str(client.unseal_file)
        )
        for client in settings.clients
        if client.unseal_file is not None
    }
    keys = KeyRing(settings.raw_keys(), random_bytes)
    desk = CardDesk(
        Store(settings.database),
        keys,
        clock_us=clock_us or (lambda: time.time_ns() // 1000),
        random_bytes=random_bytes,
        unseal_keys=unseal_keys,
        tokens_per_minute=settings.tokens_per_minute,
        binding_ttl_s=settings.binding_ttl_s,
    )
    return Vault(_application(settings, desk), desk)


def _refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody} for status in (*statuses, 413, 422, 503)}


class _Application(FastAPI):
    """Refuses large bodies, and those that do not tell their length, before anything reads them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            told = headers.get(b"content-length", b"0")
            if b"transfer-encoding" in headers or not told.isdigit() or _number(told) > _MOST_BODY:
                words = f"a body of at most {_MOST_BODY} bytes, with its length, is taken"
                await _refusal(RefusedError(413, "too_large", words))(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _number(told: bytes) -> int:
    """A length that may have leading zeros; what has more than nine digits without them is too large for anybody."""
    return int(told.lstrip(b"0")[:10] or b"0")


def _application(settings: VaultSettings, desk: CardDesk) -> FastAPI:
    app = _Application(
        title="Forecourt card vault",
        description="Card numbers in, tokens out. Only the first six and the last four digits are ever told.",
        version="1",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for kind in (RefusedError, VaultKeyError, StoreError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _told)
    _token_routes(app, settings, desk)
    _binding_routes(app, settings, desk)

    @app.get("/healthz", responses=_refused())
    async def healthz() -> dict[str, str]:
        """200 when the database answers."""
        desk.store.key_ids()
        return {"status": "ok"}

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _token_routes(app: FastAPI, settings: VaultSettings, desk: CardDesk) -> None:
    @app.post(
        "/v1/tokens",
        status_code=201,
        response_model=CardView,
        responses={200: {"model": CardView}, **_refused(401, 409, 429)},
        openapi_extra=_SECURED,
    )
    async def tokenise(request: Request, body: NewToken) -> Response:
        """The merchant's token for a card number: 201 when it is new, 200 when it was known."""
        merchant = _client(settings, request).merchant
        if (body.card_number is None) == (body.sealed is None):
            raise RefusedError(422, "invalid", "give card_number or sealed", "card_number")
        if body.sealed is not None:
            is_new, entry = desk.tokenise_sealed(merchant, body.sealed)
        else:
            is_new, entry = desk.tokenise(merchant, body.card_number or "")
        return _answer(_view(entry), 201 if is_new else 200)

    @app.delete("/v1/tokens/{token}", status_code=204, responses=_refused(401, 404), openapi_extra=_SECURED)
    async def forget(request: Request, token: _Token) -> Response:
        """Forget a card."""
        if not desk.forget(_client(settings, request).merchant, token):
            raise RefusedError(404, "not_found", "there is no such token")
        return Response(status_code=204)

    @app.post(
        "/v1/reveals", response_model=RevealView, responses=_refused(401, 403, 404), openapi_extra=_SECURED
    )
    async def reveal(request: Request, body: RevealRequest) -> Response:
        """The number behind a token, for whoever may pass it on to a payment network. Each one is on record."""
        client = _client(settings, request)
        if not client.may_reveal:
            raise RefusedError(403, "forbidden", "this key may not ask for card numbers")
        number = desk.reveal(client.merchant, body.token, mask_private(body.reason))
        return _answer(RevealView(card_number=number), 200)


def _binding_routes(app: FastAPI, settings: VaultSettings, desk: CardDesk) -> None:
    @app.post(
        "/v1/bindings",
        status_code=201,
        response_model=BindingView,
        responses=_refused(401),
        openapi_extra=_SECURED,
    )
    async def announce(request: Request) -> Response:
        """A holder is about to hand a card in: its secret goes to the holder's phone, and no number to the merchant."""
        binding, secret = desk.announce(_client(settings, request).merchant)
        view = BindingView(binding=binding.binding, secret=secret, expires_us=binding.expires_us)
        return _answer(view, 201)

    @app.get(
        "/v1/bindings/{binding}",
        response_model=CardView,
        responses={204: {"description": "Nothing was handed in yet"}, **_refused(401, 404)},
        openapi_extra=_SECURED,
    )
    async def bound(request: Request, binding: _BindingName) -> Response:
        """What was handed in."""
        entry = desk.bound(_client(settings, request).merchant, binding)
        return _answer(None if entry is None else _view(entry), 204 if entry is None else 200)

    @app.post(
        "/v1/hand-in", response_model=CardView, responses=_refused(401, 409, 429), openapi_extra=_SECURED
    )
    async def hand_in(request: Request, body: HandIn) -> Response:
        """The holder's phone hands a number in; its bearer key is the binding's secret."""
        return _answer(_view(desk.hand_in(_bearer(request), body.card_number)), 200)


def _answer(body: BaseModel | None, status: int) -> Response:
    headers = {"Cache-Control": "no-store"}
    if body is None:
        return Response(status_code=status, headers=headers)
    return JSONResponse(body.model_dump(), status, headers)


def _view(entry: Entry) -> CardView:
    return CardView(token=entry.token, bin=entry.bin, last4=entry.last4, network=entry.network)


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise RefusedError(401, "unauthorised", "the bearer key is missing")
    return key


def _client(settings: VaultSettings, request: Request) -> ClientSettings:
    key = _bearer(request).encode()
    found = None
    for client in settings.clients:  # all of them, so that time does not tell which key was nearly right
        if hmac.compare_digest(client.key.encode(), key):
            found = client
    if found is None:
        raise RefusedError(401, "unauthorised", "the bearer key is wrong")
    return found


async def _told(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, RefusedError):
        return _refusal(error)
    if isinstance(error, VaultKeyError | StoreError):
        return _refusal(RefusedError(503, "unavailable", "the vault cannot read or write now"))
    if isinstance(error, RequestValidationError):
        return _refusal(_invalid(error))
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these classes only
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid")
    status = 422 if error.status_code == 400 else error.status_code
    return _refusal(RefusedError(status, code, "there is nothing here for this request"))


def _invalid(error: RequestValidationError) -> RefusedError:
    """Which field, but only if its name is ours: a number may stand in the place of a name."""
    known = {"card_number", "sealed", "token", "reason", "binding"}
    for problem in error.errors():
        name = str(problem["loc"][-1]).lower()
        if name in _NEVER:
            return RefusedError(422, "never_kept", "codes, PINs and tracks of cards are not taken here", name)
    field = next((str(part) for part in error.errors()[0]["loc"] if str(part) in known), None)
    return RefusedError(
        422, "invalid", "the request is malformed, or has fields that are not known here", field
    )


def _refusal(error: RefusedError) -> Response:
    body = {"code": error.code, "message": str(error), "field": error.field}
    return JSONResponse(body, error.status, {"Cache-Control": "no-store"})
