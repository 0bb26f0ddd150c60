"""Foreign programs: tests that need one skip where it is missing, and fail where `FORECOURT_REQUIRE_FOREIGN` is 1."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sim.kernel import VirtualKernel

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


@pytest.fixture(autouse=True)
def _close_loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that leaves a virtual kernel open gives its sockets back here, not in whichever test collects them."""
    made: list[weakref.ref[VirtualKernel]] = []
    build = VirtualKernel.__init__

    def noted(kernel: VirtualKernel, *arguments: Any, **more: Any) -> None:
        build(kernel, *arguments, **more)
        made.append(weakref.ref(kernel))

    monkeypatch.setattr(VirtualKernel, "__init__", noted)
    yield
    for reference in made:
        kernel = reference()
        if kernel is not None and not kernel.loop.is_closed():
            kernel.loop.close()
