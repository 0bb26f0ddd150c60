"""``forecourt gateways``: every simulated platform by its real host name, behind one proxy port, until Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

import typer
from rich.table import Table
from rich.text import Text

from forecourt.console import err, out
from forecourt.exit_codes import exit_codes
from forecourt.guard import BadInput, stops_by
from forecourt.seeds import checked_seed

if TYPE_CHECKING:
    from scenarios.gateways import GatewayHouse

__all__ = ["EPILOG", "gateways"]

EPILOG: Final = exit_codes(
    "stopped by Ctrl-C, SIGTERM or SIGHUP", usage="a port in use", broken="a part broke down", stays=True
)


def gateways(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the proxy; 0 is any free one.")] = 0,
    control_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the control API; 0 is any free one.")
    ] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A new folder for the test authority, the merchant's test keys and env.sh; it stays. Without it they are in a "
            "temporary one, removed at the end.",
        ),
    ] = None,
    callbacks: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where your program takes callbacks on this machine, for example http://127.0.0.1:8000; the path of each "
            "notify URL is kept.",
        ),
    ] = None,
    seed: Annotated[str, typer.Option(help="Decides latencies and drawn words.")] = "1",
    instant: Annotated[bool, typer.Option("--instant", help="No service takes any time of its own.")] = False,
    trust: Annotated[
        Literal["both", "certificates", "public-key"],
        typer.Option(
            help="What WeChat Pay signs with for this merchant. With both, callbacks come by certificate until the switch-over."
        ),
    ] = "both",
) -> None:
    """Serve the simulated platforms by their real host names: payment, tax, WeChat, WeCom, maps; Ctrl-C ends it.

    Any client that takes proxy and authority from its environment reaches them unchanged.
    Run `. DIR/env.sh` in its shell, or copy the lines that are printed.
    """
    checked_seed(seed)
    base = None if callbacks is None else _loopback_url(callbacks)
    from scenarios.gateways import FolderError, GatewayFolder, GatewayHouse, WeChatTrust
    from scenarios.processes.broom import release, sweep_when_killed

    try:
        made = GatewayFolder(folder)
    except FolderError as error:
        raise BadInput(f"--folder {error}") from None
    with ExitStack() as stack:
        stack.callback(release, made.path)
        stack.callback(made.remove)
        if folder is None:
            sweep_when_killed(made.path)
        house = GatewayHouse(
            made,
            seed=seed,
            port=port,
            control_port=control_port,
            callbacks=base,
            is_instant=instant,
            trust=WeChatTrust(trust),
        )
        asyncio.run(_serve(house, port=port, control_port=control_port))


def _loopback_url(text: str) -> str:
    """Check ``--callbacks``: plain HTTP on this machine, without a path."""
    parts = urlsplit(text)
    try:
        port = parts.port
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local, port = False, None
    if parts.scheme != "http" or not local or port is None or parts.path not in {"", "/"} or parts.query:
        raise BadInput(
            f"--callbacks {text!r}: expected a place on this machine, for example http://127.0.0.1:8000"
        )
    return (
        f"http://{parts.hostname}:{port}"
        if ":" not in (parts.hostname or "")
        else f"http://[{parts.hostname}]:{port}"
    )


async def _serve(house: GatewayHouse, *, port: int, control_port: int) -> None:
    from sim.proxy import ProxyError

    asked_to_stop = asyncio.Event()
    is_up = False
    loop = asyncio.get_running_loop()
    for number in stops_by(signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    stop = asyncio.create_task(asked_to_stop.wait())
    try:
        try:
            await house.start()
        except ProxyError as error:
            raise BadInput(f"{error}{f' (--port {port})' if port else ''}") from error
        except OSError as error:
            option = f" (--control-port {control_port})" if control_port else ""
            raise BadInput(f"{error.strerror or error}{option}") from error
        is_up = True
        _print_places(house)
        lives = asyncio.create_task(house.wait())
        await asyncio.wait({lives, stop}, return_when=asyncio.FIRST_COMPLETED)
        if lives.done():
            await lives
        lives.cancel()
        await asyncio.gather(lives, return_exceptions=True)
    finally:
        stop.cancel()
        await house.stop()
        if is_up or asked_to_stop.is_set():
            err().print("stopped")


def _print_places(house: GatewayHouse) -> None:
    """What listens where, and the lines that point a client at it."""
    from scenarios.gateways import export_lines

    console = out()
    table = Table(title="gateways", title_justify="left", title_style="bold")
    for column in ("what", "where", "more"):
        table.add_column(column, overflow="fold")
    rows = [("proxy", house.proxy_url, "refuses every other host")]
    rows += [
        ("control", house.control_url, "payers, users, faults and states, each below its service's name")
    ]
    for service in house.services:
        places = [f"https://{host}" for host in service.hosts] or [f"{house.control_url}/{service.name}"]
        rows += [(service.name, place, service.title) for place in places]
    rows += [("folder", str(house.folder.path), "test authority, test keys, gateways.json, env.sh")]
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for line in export_lines(house.variables):
        console.print(Text(line), soft_wrap=True)
    console.print("Ctrl-C stops it.")
