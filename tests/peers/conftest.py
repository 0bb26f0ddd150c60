"""Peers in processes of their own, on sockets and ptys; nothing of theirs is patched."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sim.dispenser import FuellingPoint, Nozzle, Tank

HERE = Path(__file__).parent
PATIENCE_S = 20


class NodePeer:
    """A Node script that answers one line of JSON with one line of JSON (see requests.cjs)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self, request: Any) -> dict[str, Any]:
        """Send a request; returns ``{"ok": …}`` or ``{"error": …}``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)
        assert line, "the script ended; its words are on standard error"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, request: Any) -> Any:
        """Send a request that must succeed."""
        answer = await self.answer(request)
        assert "error" not in answer, answer
        return answer.get("ok")


StartNode = Callable[..., AbstractAsyncContextManager[NodePeer]]


@pytest.fixture
def start_node(foreign) -> StartNode:
    """Starts a script with a package that it needs: ``start_node(package, script, *arguments, **environment)``."""

    @asynccontextmanager
    async def start(
        package: str, script: str, *arguments: object, options: tuple[str, ...] = (), **environment: str
    ) -> AsyncIterator[NodePeer]:
        node = foreign.node(package)
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        process = await asyncio.create_subprocess_exec(
            node, *options, str(HERE / script), *map(str, arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**clean, **environment},
        )  # fmt: skip
        try:
            yield NodePeer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_S)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise

    return start


@pytest.fixture
def point() -> FuellingPoint:
    """Fuelling point 1 with nozzles 1 (92, 7.60) and 2 (95, 8.12)."""
    nozzles = [
        Nozzle(
            logical=logical,
            nozzle_id=10 + logical,
            grade=grade,
            tank=Tank(10 + logical, grade),
            price_fen_per_l=price,
        )
        for logical, grade, price in ((1, "92", 760), (2, "95", 812))
    ]
    return FuellingPoint(1, nozzles)
