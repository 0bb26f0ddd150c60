"""``python -m scenarios.processes.world --config FILE``: the world of a scenario as a process.

The configuration is JSON: ``scenario`` (the scenario as its model dumps it), ``seed``, ``keys`` (folder with key files), and
optionally ``ports`` (by name, see `scenarios.world.real.HTTP_PORTS`) and ``backends`` (URLs that callbacks go to). When all ports
are open it prints one line of JSON: ``ready``, ``pid`` and all endpoints. SIGTERM and SIGINT stop it. Exit codes: 0 stopped, 2 bad
configuration or a port in use, 4 a part of the world crashed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scenarios.model import Scenario
from scenarios.world.keys import load_run_keys
from scenarios.world.real import RealWorld
from sim.kernel import KernelError

__all__ = ["WorldConfig", "main"]


class WorldConfig(BaseModel):
    """The configuration file."""

    model_config = ConfigDict(extra="forbid")

    scenario: Scenario
    seed: str
    keys: Path
    ports: dict[str, Annotated[int, Field(ge=0, le=65_535)]] = {}
    backends: list[str] = []


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(world: RealWorld) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    endpoints = await world.start()
    ended = asyncio.create_task(world.wait())
    sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid(), **endpoints.as_dict()}) + "\n")
    sys.stdout.flush()
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            await ended
    except KernelError as error:
        sys.stderr.write(f"the world crashed: {error}\n")
        return 4
    finally:
        stopped.cancel()
        await world.stop()
        await asyncio.gather(ended, stopped, return_exceptions=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scenarios.processes.world", description="The world of a scenario, on loopback ports."
    )
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="JSON file, see the module's text"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = WorldConfig.model_validate_json(options.config.read_bytes())
        keys = load_run_keys(options.config.parent / config.keys)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(file)"
        sys.stderr.write(f"{options.config}: {field}: {first['msg']}\n")
        return 2
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(
                _serve(
                    RealWorld(
                        config.scenario, config.seed, keys, ports=config.ports, backends=config.backends
                    )
                )
            )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the world cannot start: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
