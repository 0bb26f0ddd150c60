"""Build a PostgreSQL image out of this machine's own Debian files; no registry and no package mirror is asked.

    python tests/containers/build_image.py [--postgresql FOLDER] [--rebuild]

The engine that ``DOCKER_HOST`` names takes the image in as one layer (what ``docker import`` does): the server's
programs and libraries, every shared library that they need (`ldd` says which), dash, and an entry point that honours
``POSTGRES_USER``, ``POSTGRES_PASSWORD``, ``POSTGRES_DB`` and ``PGDATA`` as the official image's does. The tag carries
a digest of this file and of the server's version, so an image from an older recipe is never taken for a new one.

Prints the tag as its last line. Exit codes: 0 built or already there, 2 this machine cannot build it, 3 no engine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

INSTALL = "apt-get install -y --no-install-recommends postgresql"
REPOSITORY = "forecourt-postgres"
USER_ID = 999  # what Debian and the official image give to `postgres`
_DASH = Path("/bin/dash")

# JIT needs libLLVM (100 MB) and the server does without it when the file is absent; the rest is for build machines.
_LEFT_OUT = re.compile(r"/(llvmjit\.so|llvmjit_types\.bc|bitcode/|pgxs/|pkgconfig/|man/|doc/)")

ENTRY_POINT = """\
#!/bin/sh
# First start: make the cluster, and the database in single-user mode, so that no half-made server ever listens.
set -eu
: "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}" "${POSTGRES_USER:=postgres}" "${PGDATA:=/var/lib/postgresql/data}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf '%s\\n' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 \\
        --encoding=UTF8 --locale=C --no-sync
    : >/tmp/password
    if [ "$POSTGRES_DB" != postgres ]; then
        printf 'CREATE DATABASE "%s"\\n' "$POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
    fi
    printf 'host all all all scram-sha-256\\n' >>"$PGDATA/pg_hba.conf"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c timezone=UTC "$@"
"""


class CannotBuildError(Exception):
    """This machine lacks something; the message says what helps."""


def newest_postgresql() -> Path:
    """The newest of Debian's server folders, such as ``/usr/lib/postgresql/15``."""
    found = [folder for folder in Path("/usr/lib/postgresql").glob("*") if (folder / "bin/postgres").exists()]
    if not found:
        raise CannotBuildError(f"there is no Debian PostgreSQL here to copy: {INSTALL}")
    return max(found, key=lambda folder: int(folder.name))


def version_of(postgresql: Path) -> str:
    """Such as ``15.18``."""
    done = subprocess.run(
        [postgresql / "bin/postgres", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    if found is None:
        raise CannotBuildError(f"{postgresql}/bin/postgres does not run: {done.stderr.strip()}")
    return found.group()


def tag_of(postgresql: Path) -> str:
    """The image's name: version and digest of the recipe."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return f"{REPOSITORY}:{version_of(postgresql)}-{recipe}"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _LEFT_OUT.search(str(path)):
            yield path


def _libraries(programs: Iterable[Path]) -> list[Path]:
    """Every shared library that the programs load, under the path by which the loader finds it."""
    command = ["ldd", *map(str, programs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    if missing := re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE):
        raise CannotBuildError(
            f"libraries that the server needs are missing here: {', '.join(sorted(set(missing)))}"
        )
    paths = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE)
    if not paths:
        raise CannotBuildError(f"ldd said nothing of use: {done.stderr.strip()[:300]}")
    return [Path(path) for path in sorted(set(paths))]


class _Layer:
    """A tar archive with fixed owners and times, so that one machine's files give one image."""

    def __init__(self, target: io.BufferedIOBase | tempfile.SpooledTemporaryFile[bytes]) -> None:
        self._tar = tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT)  # type: ignore[arg-type]  # noqa: SIM115
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._tar.close()

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        name = path.strip("/")
        if not name or name in self._seen:
            return
        self.folder(str(Path(name).parent) if "/" in name else "")
        self._seen.add(name)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(entry)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        name = path.strip("/")
        if name in self._seen:
            return
        self.folder(str(Path(name).parent))
        self._seen.add(name)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        self._tar.addfile(entry, io.BytesIO(content))

    def copy(self, source: Path, to: str | None = None) -> None:
        self.file(to or str(source), source.read_bytes(), source.stat().st_mode & 0o777 | 0o444)


def write_layer(postgresql: Path, target: tempfile.SpooledTemporaryFile[bytes]) -> None:
    """Write the root file system of the image as a tar archive."""
    share = Path("/usr/share/postgresql") / postgresql.name
    own = [*_files(postgresql / "bin"), *_files(postgresql / "lib")]
    needed = [path for path in own if path.parent.name == "bin" or path.suffix == ".so"]
    with _Layer(target) as layer:
        for path in (*own, *_files(share), *_libraries([*needed, _DASH])):
            layer.copy(path)
        layer.copy(_DASH, "/bin/sh")
        for zone in (Path("/usr/share/zoneinfo") / name for name in ("UTC", "Asia/Shanghai")):
            if zone.exists():
                layer.copy(zone)
        layer.file(
            "/etc/passwd", f"root:x:0:0::/:/bin/sh\npostgres:x:{USER_ID}:{USER_ID}::/:/bin/sh\n".encode()
        )
        layer.file("/etc/group", f"root:x:0:\npostgres:x:{USER_ID}:\n".encode())
        layer.file("/entry.sh", ENTRY_POINT.encode(), 0o755)
        layer.folder("/tmp", 0o1777)
        layer.folder("/var/run/postgresql", 0o2775, USER_ID)
        layer.folder("/var/lib/postgresql", 0o755, USER_ID)
        layer.folder("/var/lib/postgresql/data", 0o700, USER_ID)


def changes(postgresql: Path) -> list[str]:
    """The image's settings, as `docker import --change` takes them."""
    return [
        f"ENV PATH={postgresql}/bin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "EXPOSE 5432",
        f"USER {USER_ID}:{USER_ID}",
        'ENTRYPOINT ["/entry.sh"]',
    ]


def build(postgresql: Path, *, rebuild: bool = False) -> str:
    """Make sure that the engine has the image; returns its tag.

    Raises:
        CannotBuildError: files are missing here.
        docker.errors.DockerException: the engine does not answer or refuses.
    """
    import docker
    from docker.errors import ImageNotFound

    tag = tag_of(postgresql)
    with contextlib.closing(docker.from_env(timeout=60)) as client:
        if not rebuild:
            try:
                client.images.get(tag)
            except ImageNotFound:
                pass
            else:
                print(f"{tag} is there already")
                return tag
        started = time.monotonic()
        repository, _, version = tag.partition(":")
        with tempfile.SpooledTemporaryFile(max_size=1 << 28) as layer:
            write_layer(postgresql, layer)
            size = layer.tell()
            layer.seek(0)
            client.api.import_image_from_data(
                layer, repository=repository, tag=version, changes=changes(postgresql)
            )
        print(f"{size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")
    return tag


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--postgresql", type=Path, help="a Debian server folder; default: the newest there is"
    )
    parser.add_argument("--rebuild", action="store_true", help="build even if the engine has the image")
    options = parser.parse_args(arguments)
    try:
        from docker.errors import DockerException
    except ImportError:
        print("the Docker client is missing: pip install 'forecourt[docker]'", file=sys.stderr)
        return 2
    try:
        print(build(options.postgresql or newest_postgresql(), rebuild=options.rebuild))
    except CannotBuildError as error:
        print(error, file=sys.stderr)
        return 2
    except DockerException as error:
        print(f"no Docker engine took the image: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
