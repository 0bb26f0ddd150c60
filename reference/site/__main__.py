"""``python -m reference.site --config FILE``: the site controller as a process of its own.

Prints one JSON line when it runs, and one more when it has stopped. SIGTERM and SIGINT stop it cleanly; kill -9
loses nothing that was captured. Exit codes: 0 stopped, 2 the configuration or the journal cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from reference.masked_log import log_masked
from reference.site.config import ConfigError, LineConfig, SiteConfig, load_config, split_host_port
from reference.site.controller import SiteController
from reference.site.gauge.reader import GaugeReader
from reference.site.journal import JournalError
from reference.site.pumps.driver import PumpDriver
from reference.site.pumps.ifsf.driver import IfsfDriver
from reference.site.pumps.ifsf.nodes import NodeHost
from reference.site.pumps.lines import MachineHost, monotonic_us, serial_host, tcp_host
from reference.site.pumps.twowire.driver import LOOP_BAUDS

_PARITY = {"dart": "O", "modbus": "N", "twowire": "N", "aaff": "N"}


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference.site", description="Site controller of one station."
    )
    parser.add_argument("--config", required=True, type=Path, help="JSON file that describes the station")
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args(arguments)
    log_masked(
        logging.INFO if options.verbose else logging.WARNING,
        layout="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = load_config(options.config)
        hosts_wanted(config)
        site = SiteController(
            config,
            clock_us=lambda: time.time_ns() // 1000,
            journal_path=str(options.config.parent / config.journal),
            base_urls=config.backend,
            station_key=config.station_key or os.environ.get("FORECOURT_STATION_KEY", ""),
        )
    except (ConfigError, JournalError) as error:
        print(f"reference.site: {error}", file=sys.stderr)
        return 2
    asyncio.run(_run(site))
    return 0


def hosts_wanted(config: SiteConfig) -> None:
    """Raises ConfigError if a line has no far end."""
    for number, line in enumerate(config.lines):
        if line.protocol == "ifsf":
            if line.ifsf.udp is None:
                raise ConfigError(f"lines.{number}.ifsf.udp: needs address:port of the heartbeats")
            continue
        if line.tcp is None and line.serial is None:
            raise ConfigError(f"lines.{number}: needs tcp (host:port) or serial (a device)")


async def _run(site: SiteController) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    hosts: list[MachineHost | NodeHost] = [
        _line_host(line, driver, f"{index}:{line.name or line.protocol}")
        for index, (line, driver) in enumerate(zip(site.config.lines, site.drivers, strict=True))
    ]
    hosts += printer_hosts(site)
    if site.gauge is not None:
        hosts += gauge_hosts(site.gauge.reader)
    await site.start()
    for host in hosts:
        host.start()
    _say({"ready": True, "station": site.config.station, "pid": os.getpid(), "lines": len(site.drivers)})
    await stopping.wait()
    for host in hosts:
        await host.stop()
    unsent = site.journal.count_unsent()
    await site.stop()
    _say({"stopped": True, "unsent_sales": unsent})


def _line_host(line: LineConfig, driver: PumpDriver, name: str) -> MachineHost | NodeHost:
    if isinstance(driver, IfsfDriver):
        if line.ifsf.udp is None:
            raise ConfigError(f"line {name} has no heartbeats")
        broadcast = split_host_port(line.ifsf.udp)
        return NodeHost(driver, monotonic_us, broadcast=broadcast, interface=line.ifsf.interface, name=name)
    if line.tcp is not None:
        return tcp_host(driver, line.tcp, name=name)
    if line.serial is None:
        raise ConfigError(f"line {name} has no far end")
    loop = line.protocol == "twowire" and line.baud in LOOP_BAUDS
    parity = "E" if loop else _PARITY[line.protocol]
    return serial_host(driver, line.serial, line.baud, parity=parity, name=name)


def printer_hosts(site: SiteController) -> list[MachineHost]:
    """The host of the receipt printer, if it hangs on a wire that is named."""
    config = site.config.printer
    if site.printer is None or config is None:
        return []
    if config.tcp is not None:
        return [tcp_host(site.printer, config.tcp, name="printer")]
    if config.serial is not None:
        return [serial_host(site.printer, config.serial, config.baud, parity="N", name="printer")]
    return []


def gauge_hosts(reader: GaugeReader) -> list[MachineHost]:
    """The host of the tank gauge's line, if it is named: TCP, or a serial device without parity."""
    config = reader.config
    if config.tcp is not None:
        return [tcp_host(reader, config.tcp, name="gauge")]
    if config.serial is not None:
        return [serial_host(reader, config.serial, config.baud, parity="N", name="gauge")]
    return []


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
