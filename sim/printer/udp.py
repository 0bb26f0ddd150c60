"""The control port of an Epson network board (UDP 3289): what a host does when the print port is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from protocols.escpos import EnpcFunction, EnpcRequest, EnpcResult, enpc_reply, read_enpc_request
from sim.printer.tcp import PrinterServer

__all__ = ["PrinterControlPort", "serve_printer_udp"]


class PrinterControlPort(asyncio.DatagramProtocol):
    """Answers datagrams. Made by `serve_printer_udp`.

    Attributes:
        port: where it listens.
    """

    def __init__(self, server: PrinterServer, clock: Callable[[], int]) -> None:
        self._server = server
        self._clock = clock
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: the port is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From asyncio: somebody asks. Without power nobody answers."""
        request = read_enpc_request(data)
        if request is None or self._transport is None or not self._server.printer.powered:
            return
        if not request.is_for_printer:
            answer = enpc_reply(request, EnpcResult.NO_DEVICE)
        else:
            result, said = self._obey(request)
            answer = enpc_reply(request, result, said)
        self._transport.sendto(answer, addr)
        self._server.pump()

    def _obey(self, request: EnpcRequest) -> tuple[EnpcResult, bytes]:
        printer, now_us = self._server.printer, self._clock()
        data = request.data
        if request.kind != "C":
            return EnpcResult.UNSUPPORTED, b""
        if request.function == EnpcFunction.FORCED_TRANSMISSION:
            return self._force(data, now_us)
        if request.function == EnpcFunction.FORCED_MODE and len(data) == 1:
            printer.forced_transmission(data[0] == 1, now_us)
            return EnpcResult.NORMAL, data
        if request.function == EnpcFunction.RESET:
            printer.power_off(now_us)
            printer.power_on(now_us)
            return EnpcResult.NORMAL, b"\0"
        if request.function == EnpcFunction.FLUSH:
            printer.clear_buffers(now_us)
            return EnpcResult.NORMAL, b"\0"
        if request.function == EnpcFunction.CLEAR_TIMER:
            self._server.touch()
            return EnpcResult.NORMAL, b"\0"
        return EnpcResult.UNSUPPORTED, b""

    def _force(self, data: bytes, now_us: int) -> tuple[EnpcResult, bytes]:
        """Flow control (0: with, 1: without), length, bytes; the answer: 0, length, what the printer said."""
        length = int.from_bytes(data[1:3], "big")
        payload = data[3 : 3 + length]
        printer = self._server.printer
        if len(data) < 3 or len(payload) < length or not 0 < length <= 255:
            return EnpcResult.NORMAL, b"\x01\0\0"
        if data[0] == 0 and printer.busy:
            return EnpcResult.NORMAL, b"\x01\0\0"
        said = printer.force(payload, now_us)[:255]
        return EnpcResult.NORMAL, b"\0" + len(said).to_bytes(2, "big") + said

    async def aclose(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)


async def serve_printer_udp(
    server: PrinterServer, host: str, port: int, clock: Callable[[], int]
) -> PrinterControlPort:
    """Open the control port beside a printer's TCP port.

    Args:
        server: the printer's TCP port.
        host: address to listen on; 127.0.0.1 unless a peer on another machine is meant.
        port: 3289 by custom; 0 takes any free one, see `PrinterControlPort.port`.
        clock: the run's clock, microseconds.

    Raises:
        OSError: the port is in use or not allowed.
    """
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: PrinterControlPort(server, clock), local_addr=(host, port)
    )
    return protocol
