"""A backend that does nothing as fast as it can, and may freeze once: what the load harness is measured against.

``python -m bench.stub_backend [ORDER:MS]`` prints its port on 127.0.0.1 and serves until it is ended. With ORDER:MS the
whole process stands still for MS milliseconds when order number ORDER is to be paid. It answers the routes that
`bench.locustfile` calls, the payer's control API among them.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import uvicorn

__all__ = ["StubBackend"]

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


async def _body(receive: _Receive) -> Any:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body", False):
            return json.loads(content) if content else None


class StubBackend:
    """The ASGI application.

    Args:
        freeze_at: number of the order (1, 2, …) whose payment stops everything; 0 for none.
        freeze_s: for how long.
    """

    def __init__(self, freeze_at: int = 0, freeze_s: float = 0.0) -> None:
        self._freeze_at = freeze_at
        self._freeze_s = freeze_s
        self._orders = count(1)
        self._sales: set[tuple[str, int, int]] = set()
        self._paid: dict[str, bool] = {}

    async def __call__(self, scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        status, reply = self._answer(scope["method"], scope["path"].strip("/").split("/"), body)
        content = json.dumps(reply).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        match method, parts:
            case "PUT", ["v1", "stations", _]:
                return 200, {}
            case "POST", ["v1", "sessions"]:
                return 200, {"openid": body["js_code"][3:], "token": body["js_code"]}
            case "POST", ["v1", "stations", station, "sales"]:
                return self._sale((station, body["nozzle"], body["sequence"]))
            case "POST", ["v1", "orders"]:
                number = str(next(self._orders))
                self._paid[number] = False
                return 201, {"order_id": number, "state": "PAYABLE"}
            case "POST", ["v1", "orders", number, "pay"]:
                if int(number) == self._freeze_at:
                    time.sleep(self._freeze_s)  # not asyncio's: nobody is served meanwhile
                return 200, {"out_trade_no": number, "prepay_id": number}
            case "POST", ["payers", _, "confirm"]:
                self._paid[body["prepay_id"]] = True
                return 200, {}
            case "GET", ["v1", "orders", number]:
                return 200, {"order_id": number, "state": "PAID" if self._paid[number] else "PAYING"}
            case "GET", ["stub"]:
                return 200, {"sales": len(self._sales), "paid": sum(self._paid.values())}
            case _:
                return 404, {"code": "NOT_FOUND", "message": "/".join(parts)}

    def _sale(self, key: tuple[str, int, int]) -> tuple[int, Any]:
        if key in self._sales:
            return 409, {"code": "SALE_KNOWN", "message": "this delivery has been uploaded"}
        self._sales.add(key)
        return 201, {"sale_id": f"s{len(self._sales)}", "state": "payable"}


def main(arguments: Sequence[str]) -> None:
    """Serve until ended."""
    at, _, freeze_ms = (arguments[0] if arguments else "0:0").partition(":")
    app = StubBackend(int(at), int(freeze_ms) / 1000)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or bodies wait 40 ms behind their heads
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - a command; from now on connections queue
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1:])
