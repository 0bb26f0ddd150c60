"""The control API of the tax bureau that all invoice platforms share: what is in its books, the buyer's hand, and faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocols.sansio import LocalProtocolError
from sim.faults import FaultError
from sim.taxplatform import BookError, Invoice, InvoiceBook, RedForm, TaxFault, TaxPlatform
from sim.webapi import ControlError, json_object, refuse_control

__all__ = ["tax_control"]


def tax_control(book: InvoiceBook, wechat: TaxPlatform) -> Starlette:
    """The bureau's control API.

    - ``GET /invoices``, ``GET /applications`` (WeChat's), ``GET /forms`` (confirmation forms of red letters), ``GET /session``.
    - ``POST /invoices/{number}/take-up``: the buyer deducts it, so that a red letter needs a confirmation.
    - ``POST /forms/{number}/confirm|deny`` ``{"by": "buyer"}`` or ``{"by": "seller"}``.
    - ``GET /faults``, ``POST /faults`` (a `TaxFault` with a name); ``DELETE /faults/{name}`` releases what it holds.
    """
    control = _Control(book, wechat)
    return Starlette(
        routes=[
            Route("/invoices", control.invoices, methods=["GET"]),
            Route("/invoices/{number}/take-up", control.take_up, methods=["POST"]),
            Route("/applications", control.applications, methods=["GET"]),
            Route("/forms", control.forms, methods=["GET"]),
            Route("/forms/{number}/{answer}", control.answer, methods=["POST"]),
            Route("/session", control.session, methods=["GET"]),
            Route("/faults", control.faults, methods=["GET"]),
            Route("/faults", control.arm, methods=["POST"]),
            Route("/faults/{name}", control.disarm, methods=["DELETE"]),
        ],
        exception_handlers={ControlError: refuse_control},
    )


class _Control:
    def __init__(self, book: InvoiceBook, wechat: TaxPlatform) -> None:
        self._book = book
        self._bureau = book.bureau
        self._wechat = wechat

    async def invoices(self, _request: Request) -> Response:
        return JSONResponse([_shown(invoice) for invoice in self._book.invoices.values()])

    async def applications(self, _request: Request) -> Response:
        shown = [
            {
                "mchid": mchid,
                "fapiao_apply_id": apply_id,
                "fapiaos": [
                    {
                        "fapiao_id": fapiao.request.fapiao_id,
                        "state": str(fapiao.state),
                        "number": fapiao.number,
                    }
                    for fapiao in application.fapiaos.values()
                ],
            }
            for (mchid, apply_id), application in self._wechat.applications.items()
        ]
        return JSONResponse(shown)

    async def forms(self, _request: Request) -> Response:
        return JSONResponse([_form(form) for form in self._book.forms.values()])

    async def take_up(self, request: Request) -> Response:
        self._done(lambda: self._book.take_up(request.path_params["number"]))
        return Response(status_code=204)

    async def answer(self, request: Request) -> Response:
        number, answer = request.path_params["number"], request.path_params["answer"]
        by = (await json_object(request)).get("by", "buyer")
        if answer not in {"confirm", "deny"} or by not in ("buyer", "seller"):
            raise ControlError("a form is confirmed or denied, by the buyer or the seller", 404)
        form = next((form for form in self._book.forms.values() if form.number == number), None)
        if form is None:
            raise ControlError("there is no such form", 404)
        act = self._book.confirm if answer == "confirm" else self._book.deny
        self._done(lambda: act(form, by_seller=by == "seller"))
        return JSONResponse(_form(form))

    @staticmethod
    def _done(work: Callable[[], object]) -> None:
        try:
            work()
        except KeyError:
            raise ControlError("there is no such invoice", 404) from None
        except (BookError, LocalProtocolError) as error:
            raise ControlError(str(error), 409) from None

    async def session(self, _request: Request) -> Response:
        return JSONResponse({"session": str(self._bureau.session())})

    async def faults(self, _request: Request) -> Response:
        return JSONResponse({"faults": self._bureau.fault_report()})

    async def arm(self, request: Request) -> Response:
        try:
            self._bureau.arm(TaxFault.from_dict(await json_object(request)))
        except (FaultError, TypeError) as error:
            raise ControlError(str(error)) from None
        return Response(status_code=204)

    async def disarm(self, request: Request) -> Response:
        try:
            self._bureau.disarm(request.path_params["name"])
        except KeyError as error:
            raise ControlError(f"no fault {error} is at work", 404) from None
        return Response(status_code=204)


def _shown(invoice: Invoice) -> dict[str, Any]:
    draft = invoice.draft
    return {
        "platform": draft.platform,
        "serial": draft.serial,
        "state": str(invoice.state),
        "number": invoice.number,
        "blue_number": draft.blue_number,
        "gross_fen": draft.gross_fen,
        "reason": invoice.reason,
        "red_numbers": list(invoice.red_numbers),
    }


def _form(form: RedForm) -> dict[str, Any]:
    return {
        "number": form.number,
        "serial": form.serial,
        "platform": form.platform,
        "blue_number": form.blue.number,
        "state": str(form.state),
    }
