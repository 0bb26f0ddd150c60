"""What must be known to measure somebody else's backend: the keys it was set up with, and the ports it calls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scenarios.measured.system import Foreign
from scenarios.world.keys import load_run_keys

__all__ = ["KEYS_VARIABLE", "PORTS_VARIABLE", "ForeignError", "foreign_backend"]

KEYS_VARIABLE: Final = "FORECOURT_KEYS"
"""Environment variable: folder of keys (`scenarios.world.keys.save_run_keys`)."""

PORTS_VARIABLE: Final = "FORECOURT_PORTS"
"""Environment variable: ports of the world, ``gateway=18080,platform=18081,callbacks=18082``; the rest are any free ones."""


class ForeignError(ValueError):
    """The set-up for a foreign backend is missing or wrong."""


def foreign_backend(urls: Sequence[str], environment: Mapping[str, str] | None = None) -> Foreign:
    """Read how a foreign backend was set up, from environment variables.

    Such a backend must trust the simulated gateway's keys and call it at known ports, so both are agreed on beforehand.

    Raises:
        ForeignError: a variable is missing or cannot be used; the message says what to do.
    """
    environment = os.environ if environment is None else environment
    folder = environment.get(KEYS_VARIABLE)
    if not folder:
        raise ForeignError(
            f"--backend needs {KEYS_VARIABLE}: the folder with the keys that the backend was set up with "
            f"(merchant.json, gateway.json, secrets.json), and {PORTS_VARIABLE} with the ports where it expects the gateway"
        )
    try:
        keys = load_run_keys(Path(folder))
    except ValueError as error:
        raise ForeignError(f"{KEYS_VARIABLE}: {error}") from error
    return Foreign(urls=tuple(urls), keys=keys, ports=_ports(environment.get(PORTS_VARIABLE, "")))


def _ports(text: str) -> dict[str, int]:
    ports = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, number = part.partition("=")
        if not equals or not number.isdecimal() or not 1 <= int(number) <= 65_535:
            raise ForeignError(f"{PORTS_VARIABLE}: {part!r} is not name=port")
        ports[name.strip()] = int(number)
    return ports
