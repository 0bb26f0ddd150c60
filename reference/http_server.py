"""How the reference's processes read HTTP."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocols.request_head import plain_head

__all__ = ["PlainProtocol"]


class PlainProtocol(HttpToolsProtocol):
    """uvicorn's protocol for clients in the field; `plain_head` says what differs."""

    def data_received(self, data: bytes) -> None:
        """Bytes of requests, whose heads are made plain."""
        if self.cycle is None or self.cycle.response_complete:
            data = plain_head(data)
        super().data_received(data)
