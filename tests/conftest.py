"""Foreign programs: tests that need one skip where it is missing, and fail where `FORECOURT_REQUIRE_FOREIGN` is 1."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pytest

from sim.kernel.guest_loop import GuestLoop

PEERS = Path(__file__).parent / "peers"


def pytest_collection() -> None:
    """Collecting makes a heap that stays: collections of garbage on the way there find nothing and cost seconds."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on leave that heap out of them."""
    gc.enable()
    gc.collect()
    gc.freeze()


class Foreign:
    """Finds what pip cannot bring. Used by tests marked ``foreign``."""

    def program(self, name: str, *, install: str) -> str:
        """The path of a program; ``install`` is the command that brings it."""
        return shutil.which(name) or self._missing(f"{name} is not installed: {install}")

    def node(self, package: str) -> str:
        """The path of ``node``, once an npm package of tests/peers/package.json is there as well."""
        node = self.program("node", install="apt-get install nodejs npm")
        if not (PEERS / "node_modules" / package / "package.json").is_file():
            self._missing(
                f"npm package {package} is not installed: npm ci --ignore-scripts --prefix tests/peers"
            )
        return node

    @staticmethod
    def _missing(reason: str) -> NoReturn:
        if os.environ.get("FORECOURT_REQUIRE_FOREIGN") == "1":
            pytest.fail(f"{reason} (FORECOURT_REQUIRE_FOREIGN=1)", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def foreign() -> Foreign:
    return Foreign()


Loops: TypeAlias = "list[GuestLoop]"


@pytest.fixture(scope="session", autouse=True)
def _loops() -> Iterator[Loops]:
    """Every loop inside a simulation that anything has made; kept, so that none is collected open in mid-test."""
    made: Loops = []
    build = GuestLoop.__init__

    def noted(loop: GuestLoop, *arguments: Any, **more: Any) -> None:
        build(loop, *arguments, **more)
        made.append(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GuestLoop, "__init__", noted)
        yield made


def _close_since(made: Loops, count: int) -> None:
    for loop in made[count:]:
        if not loop.is_closed():
            loop.close()
    del made[count:]


@pytest.fixture(scope="module", autouse=True)
def _close_loops_of_a_module(_loops: Loops) -> Iterator[None]:
    """Those that its fixtures have left open."""
    count = len(_loops)
    yield
    _close_since(_loops, count)


@pytest.fixture(autouse=True)
def _close_loops(_loops: Loops) -> Iterator[None]:
    """A test that leaves a loop open gives its sockets back here, not in whichever test collects them."""
    count = len(_loops)
    yield
    _close_since(_loops, count)
