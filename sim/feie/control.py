"""The control API of Feie's cloud: the hand at each printer, what came out, the orders and the callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sim.feie.device import CloudPrinter
from sim.webapi import ControlError, control_app

if TYPE_CHECKING:
    from sim.feie.server import Feie

__all__ = ["feie_control"]

_ACTS: Final[dict[str, Callable[[CloudPrinter], None]]] = {
    "paper-out": CloudPrinter.take_paper_out,
    "load-paper": CloudPrinter.load_paper,
    "open-cover": CloudPrinter.open_cover,
    "close-cover": CloudPrinter.close_cover,
    "disconnect": CloudPrinter.disconnect,
    "connect": CloudPrinter.connect,
    "power-off": CloudPrinter.power_off,
    "power-on": CloudPrinter.power_on,
}


def feie_control(feie: Feie) -> Starlette:
    """What there is beside the common part (`sim.webapi.control_app`).

    - ``GET /printers``; ``POST /printers/{sn}/{act}`` with paper-out, load-paper, open-cover, close-cover, disconnect, connect,
      power-off, power-on; ``GET /printers/{sn}/receipts``: what came out, as text.
    - ``GET /orders``, ``GET /notices``.
    """

    def found(request: Request) -> CloudPrinter:
        printer = feie.printers.get(request.path_params["sn"])
        if printer is None:
            raise ControlError("there is no such printer", 404)
        return printer

    async def printers(_request: Request) -> Response:
        return JSONResponse([_printer(feie, printer) for printer in feie.printers.values()])

    async def act(request: Request) -> Response:
        printer, name = found(request), request.path_params["act"]
        if name not in _ACTS:
            raise ControlError(f"a printer can be told {', '.join(_ACTS)}", 404)
        _ACTS[name](printer)
        return Response(status_code=204)

    async def receipts(request: Request) -> Response:
        shown = [{"text": paper.text, "whole": paper.whole} for paper in found(request).receipts]
        return JSONResponse(shown)

    async def orders(_request: Request) -> Response:
        return JSONResponse(
            [
                {"order": order.number, "sn": order.sn, "state": str(order.state), "times": order.times}
                for order in feie.orders.all()
            ]
        )

    async def notices(_request: Request) -> Response:
        return JSONResponse(
            [
                {"order": notice.order, "attempts": notice.attempts, "taken": notice.is_taken}
                for notice in feie.callbacks.notices
            ]
        )

    return control_app(
        feie.service,
        [
            Route("/printers", printers, methods=["GET"]),
            Route("/printers/{sn}/receipts", receipts, methods=["GET"]),
            Route("/printers/{sn}/{act}", act, methods=["POST"]),
            Route("/orders", orders, methods=["GET"]),
            Route("/notices", notices, methods=["GET"]),
        ],
    )


def _printer(feie: Feie, printer: CloudPrinter) -> dict[str, Any]:
    return {
        "sn": printer.sn,
        "model": printer.model,
        "status": str(feie.state_of(printer)),
        "waiting": feie.orders.waiting(printer.sn),
        "holds": printer.holds or None,
        "paper_left_mm": printer.printer.paper_left_mm,
        "receipts": len(printer.receipts),
    }
