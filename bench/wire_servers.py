"""Servers in a process of their own, for the measurements on sockets.

``python -m bench.wire_servers KIND [NUMBER]`` prints one JSON line with its ports on 127.0.0.1 and serves until it is
ended. The kinds:

- ``echo``: bare asyncio. For each request of so many bytes it writes a reply of so many bytes, and does nothing else;
- ``echo-tuned``: the same on asyncio's buffered protocol, which does without a new buffer of 256 KiB for each read;
- ``echo-fleet``: NUMBER of the tuned ones, each on a port of its own;
- ``modbus``: our dispenser behind Modbus TCP, as ``forecourt device`` serves it; nobody fuels;
- ``modbus-fuelling``: the same while fuel flows, so that each reply is worked out anew;
- ``pymodbus``: pymodbus's own server with as many registers;
- ``modbus-fleet`` and ``dart-fleet``: NUMBER dispensers, each on a port of its own; on Modbus every fourth one fuels.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psutil

from protocols.modbus import point_read
from sim.dispenser import DartDispenser, Dispenser, FuellingPoint, ModbusDispenser, Nozzle, Tank
from sim.kernel import Trace, WallKernel
from sim.wires import serve_line_tcp, serve_machine_tcp

__all__ = ["DART_POLL", "REPLY_BYTES", "REQUEST", "cpu_s", "main", "started"]

UNIT: Final = 1
DART_ADDRESS: Final = 0x50
DART_POLL: Final = b"\x50\x20\xfa"
ADDRESS, COUNT = point_read(1)
REQUEST: Final = struct.pack(">HHHBBHH", 1, 0, 6, UNIT, 3, ADDRESS, COUNT)
"""The read-only block of fuelling point 1: what a driver polls."""
REPLY_BYTES: Final = 9 + 2 * COUNT
"""MBAP header, function, length and the registers."""

_HOST: Final = "127.0.0.1"
_FLOW_ML_PER_MIN: Final = 4_000
"""Slow, so that no car is full before the measurement ends."""


def _dispenser(number: int = 1) -> Dispenser:
    nozzles = [
        Nozzle(
            logical=logical,
            nozzle_id=logical,
            grade=grade,
            tank=Tank(logical, grade),
            price_fen_per_l=700 + number % 100,
        )
        for logical, grade in enumerate(("92", "95"), start=1)
    ]
    return Dispenser([FuellingPoint(1, nozzles)])


def _begin_to_fuel(dispenser: Dispenser, now_us: int) -> None:
    point = dispenser.fuelling_points[1]
    point.lift(1, now_us)
    point.authorise(now_us)
    if not point.squeeze(now_us, _FLOW_ML_PER_MIN):
        raise AssertionError(f"nothing flows: {point.refusal}")


class _Echo(asyncio.Protocol):
    """Bytes in, as many out as a reply has."""

    def __init__(self) -> None:
        self._reply = bytes(REPLY_BYTES)
        self._write: Callable[[bytes], object] = bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - a TCP transport
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(self._reply if len(data) == len(REQUEST) else self._reply * (len(data) // len(REQUEST)))


class _TunedEcho(asyncio.BufferedProtocol):
    """The same, read into one buffer."""

    def __init__(self) -> None:
        self._echo = _Echo()
        self._read = memoryview(bytearray(8 * 1024))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._echo.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - named by asyncio
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self._echo.data_received(bytes(self._read[:nbytes]))


async def _serve_echo(protocol: Callable[[], asyncio.BaseProtocol]) -> int:
    server = await asyncio.get_running_loop().create_server(protocol, _HOST, 0)
    return int(server.sockets[0].getsockname()[1])


async def _serve_modbus(kernel: WallKernel, number: int = 1, *, fuelling: bool = False) -> int:
    dispenser = _dispenser(number)
    device = ModbusDispenser(dispenser, UNIT)
    if fuelling:
        _begin_to_fuel(dispenser, kernel.now_us)
    server = await serve_machine_tcp(device.connection, _HOST, 0, lambda: kernel.now_us)
    return int(server.port)


async def _serve_dart(kernel: WallKernel, number: int) -> int:
    dispenser = _dispenser(number)
    machine = DartDispenser(dispenser, {DART_ADDRESS: dispenser.fuelling_points[1]})
    server = await serve_line_tcp(machine, _HOST, 0, lambda: kernel.now_us)
    return server.port


async def _serve_pymodbus() -> list[int]:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    values = SimData(0, count=ADDRESS + COUNT + 10, values=7, datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(UNIT, simdata=[values]), address=(_HOST, 0))
    await server.serve_forever(background=True)
    listening = server.transport
    assert isinstance(listening, asyncio.Server)  # noqa: S101 - what pymodbus keeps there
    return [listening.sockets[0].getsockname()[1]]


async def _serve(kind: str, number: int) -> None:
    kernel = WallKernel("bench", trace=Trace(enabled=False))
    match kind:
        case "echo":
            ports = [await _serve_echo(_Echo)]
        case "echo-tuned" | "echo-fleet":
            ports = [await _serve_echo(_TunedEcho) for _ in range(number)]
        case "pymodbus":
            ports = await _serve_pymodbus()
        case "modbus" | "modbus-fuelling":
            ports = [await _serve_modbus(kernel, fuelling=kind == "modbus-fuelling")]
        case "modbus-fleet":
            ports = [await _serve_modbus(kernel, one, fuelling=one % 4 == 0) for one in range(number)]
        case "dart-fleet":
            ports = [await _serve_dart(kernel, one) for one in range(number)]
        case _:
            raise ValueError(f"no server is called {kind!r}")
    gc.collect()
    gc.freeze()  # thousands of dispensers that live as long as the process: not to be walked over and over
    print(json.dumps({"ports": ports}), flush=True)  # noqa: T201 - the parent reads it
    await kernel.run(3_600_000_000)


@contextmanager
def started(kind: str, number: int = 1) -> Iterator[tuple[psutil.Process, list[int]]]:
    """A server in a process of its own: the process, and the ports on which it listens."""
    command = [sys.executable, "-m", "bench.wire_servers", kind, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            yield psutil.Process(process.pid), json.loads(process.stdout.readline())["ports"]
        finally:
            process.kill()


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that a process has spent."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def main() -> None:
    """Serve until ended."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1))


if __name__ == "__main__":
    main()
