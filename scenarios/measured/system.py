"""The system under measurement as real processes: PostgreSQL, the world, two backends, the site controller."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from scenarios.loadgen.payments import station_id
from scenarios.model import Scenario
from scenarios.processes.broom import release, sweep_when_killed
from scenarios.processes.child import ChildError, ChildProcess
from scenarios.processes.postgres import PostgresServer
from scenarios.world.keys import MERCHANT_FILE, RunKeys, save_run_keys
from scenarios.world.real import NOTIFY_URL, Endpoints
from scenarios.world.translate import site_config

__all__ = ["BackendProcess", "Foreign", "MeasuredSystem"]

_HOST: Final = "127.0.0.1"
_BACKENDS: Final = ("backend-a", "backend-b")
SITE_JOURNAL: Final = "site.sqlite3"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody else's backend: where it answers, and what it was set up with.

    It has the merchant's keys and calls the gateway at fixed ports, so both are given: the folder of
    `scenarios.world.keys.save_run_keys`, and the ports of `scenarios.world.real.RealWorld`.
    """

    urls: Sequence[str]
    keys: RunKeys
    ports: Mapping[str, int] = field(default_factory=dict)


class BackendProcess:
    """One backend of ours: killed and started again, it keeps its port.

    Attributes:
        name: ``backend-a`` and so on. url: where it answers, after the first start.
    """

    def __init__(self, name: str, settings: dict[str, Any], *, private: Path, log: Path) -> None:
        self.name = name
        self.url = ""
        self._settings = settings
        self._config = private / f"{name}.json"
        arguments = ["-m", "reference.backend", "--config", str(self._config)]
        self._child = ChildProcess(name, arguments, log=log)

    @property
    def pid(self) -> int:
        """Process id. Raises ChildError before the first start."""
        return self._child.pid

    async def start(self) -> None:
        """Start it; returns when it serves. Raises ChildError."""
        self._config.write_text(json.dumps(self._settings), encoding="utf-8")
        ready = await self._child.start()
        self.url = ready["url"]
        self._settings["port"] = ready["port"]

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._child.alive

    async def kill(self) -> None:
        """Kill -9."""
        await self._child.kill()

    async def stop(self) -> None:
        """Stop it cleanly; harmless when it does not run."""
        await self._child.stop()


class MeasuredSystem:
    """Starts everything that a measured run needs, and leaves nothing of it behind.

    Configuration files hold keys, so they live in a private temporary folder that `stop` removes; only logs go to ``folder``.

    Args:
        scenario: the scenario.
        seed: the run's seed.
        keys: the run's keys (a foreign backend's own ones).
        folder: where logs go.
        foreign: somebody else's backend in the place of ours.
        ports: port by name, of the world (`scenarios.world.real.RealWorld`) and of ``backend-a`` and ``backend-b``; what is
            not named takes any free one.
        devices_only: start the world alone, without site controller, backends and database.

    Attributes:
        endpoints: the world's ports, after `start`.
        backends: our backends; empty with a foreign one.
        urls: base URLs of the backends, ours or not.
        database: what the backends store in, for the report.
        site_journal: the site controller's journal; gone after `stop`.
    """

    endpoints: Endpoints

    def __init__(
        self,
        scenario: Scenario,
        seed: str | int,
        keys: RunKeys,
        *,
        folder: Path,
        foreign: Foreign | None = None,
        ports: Mapping[str, int] | None = None,
        devices_only: bool = False,
    ) -> None:
        self.scenario = scenario
        self.seed = str(seed)
        self.keys = keys
        self.backends: list[BackendProcess] = []
        self.urls: tuple[str, ...] = tuple(foreign.urls) if foreign is not None else ()
        self.database = "foreign" if foreign is not None else "none"
        self._foreign = foreign
        self._ports = {**(foreign.ports if foreign is not None else {}), **(ports or {})}
        self._devices_only = devices_only
        self._logs = folder
        self._stack = AsyncExitStack()
        self._private = Path()
        self.site: ChildProcess | None = None
        self._world: ChildProcess | None = None

    async def start(self, progress: Callable[[str, float], None]) -> None:
        """Start all processes, in the order of their needs; on failure nothing is left running.

        Raises:
            ChildError: a process does not come up.
            PostgresError: no PostgreSQL server can be had.
            OSError: a folder cannot be written.
        """
        try:
            await self._start(progress)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, progress: Callable[[str, float], None]) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._private = Path(tempfile.mkdtemp(prefix="forecourt-"))
        self._stack.callback(release, self._private)
        self._stack.callback(shutil.rmtree, self._private, ignore_errors=True)
        sweep_when_killed(self._private)
        save_run_keys(self._private / "keys", self.keys)
        progress("starting the world", 0.1)
        await self._start_world()
        if self._devices_only:
            progress("all processes run", 1.0)
            return
        if self._foreign is None:
            progress("starting the database", 0.3)
            database_url = self._start_database()
            progress("starting the backends", 0.5)
            await self._start_backends(database_url)
        async with httpx.AsyncClient(base_url=self.endpoints.control, trust_env=False) as control:
            (await control.put("/backends", json={"urls": list(self.urls)})).raise_for_status()
        progress("starting the site controller", 0.8)
        await self._start_site()
        progress("all processes run", 1.0)

    def _child(self, name: str, module: str, config: Mapping[str, Any] | str) -> ChildProcess:
        path = self._private / f"{name}.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
        child = ChildProcess(name, ["-m", module, "--config", str(path)], log=self._logs / f"{name}.log")
        self._stack.push_async_callback(child.stop)
        return child

    async def _start_world(self) -> None:
        config = {
            "scenario": self.scenario.model_dump(mode="json"),
            "seed": self.seed,
            "keys": "keys",
            "ports": {name: port for name, port in self._ports.items() if name not in _BACKENDS},
        }
        self._world = self._child("world", "scenarios.processes.world", config)
        self.endpoints = Endpoints.from_dict(await self._world.start())

    def _start_database(self) -> str:
        if self.scenario.backend.wall_storage == "sqlite":
            self.database = "SQLite"
            return f"sqlite:///{self._private / 'backend.sqlite3'}"
        # In this thread on purpose: the server lives as long as the thread that started it.
        server = PostgresServer.start()
        self._stack.callback(server.stop)
        self.database = server.version
        return server.url

    async def _start_backends(self, database_url: str) -> None:
        stations = self.scenario.wall.stations if self.scenario.wall is not None else 1
        ids = [self.scenario.station.id, *(station_id(index) for index in range(stations))]
        common = {
            "database_url": database_url,
            "station_keys": dict.fromkeys(ids, self.keys.station_key),
            "admin_key": self.keys.admin_key,
            "service_secret": self.keys.service_secret,
            "merchant_file": f"keys/{MERCHANT_FILE}",
            "pay_url": self.endpoints.gateway,
            "wechat_url": self.endpoints.platform,
            "notify_url": NOTIFY_URL,
            "host": _HOST,
        }
        for name in _BACKENDS:
            settings = {**common, "instance": name, "port": self._ports.get(name, 0)}
            backend = BackendProcess(name, settings, private=self._private, log=self._logs / f"{name}.log")
            self._stack.push_async_callback(backend.stop)
            self.backends.append(backend)
            await backend.start()
        self.urls = tuple(backend.url for backend in self.backends)

    async def _start_site(self) -> None:
        config = site_config(
            self.scenario.station,
            dict(self.endpoints.lines),
            printer={"tcp": self.endpoints.printer},
            backend=self.urls,
            station_key=self.keys.station_key,
            journal=SITE_JOURNAL,
        )
        self.site = self._child("site", "reference.site", config.model_dump_json())
        await self.site.start()

    def check(self) -> None:
        """Raises ChildError when a process has ended that nobody stopped."""
        for part in (*self.backends, self.site):
            if part is not None and not part.alive:
                raise ChildError(f"{part.name} has ended; its log is {self._logs / part.name}.log")

    async def stop_world(self) -> None:
        """Stop the site controller and the world, and free their ports; the backends go on (somebody else may measure them)."""
        for child in (self.site, self._world):
            if child is not None:
                await child.stop()

    async def stop(self) -> None:
        """Stop everything in the reverse order and remove the private folder. Harmless when called again."""
        await self._stack.aclose()
