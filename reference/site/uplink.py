"""The line to the backend: sales, live readings, commands, results, over any of several instances.

Everything sent twice carries the same key, so that a time-out, which says nothing about what happened, is
answered by sending again, to whichever instance answers (requirements FC-SALE-02/07, HA-03, HA-14).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import httpx

from reference.site.config import BackendConfig
from reference.site.courier import Answer, Courier, commands_of
from reference.site.journal import Journal, JournalError, Sale
from reference.site.livefeed import LiveFeed

__all__ = ["BackendAway", "Uplink", "UplinkOwner"]

log = logging.getLogger(__name__)

_REFUSED = frozenset({400, 409, 413, 422})  # answers that a repetition would not change
_READINGS_MOST = 480  # rounds of the gauge, two a minute
_CAUSE_MOST_US = 60_000_000
"""How long a sale waits for the result of its authorisation while the backend answers: money goes before order."""


class BackendAway(Exception):  # noqa: N818 - a state of the world, not a defect
    """No instance gave an answer. Whether one of them acted is unknown."""


class UplinkOwner(Protocol):
    """What the uplink asks of the controller."""

    def station_setup(self) -> dict[str, Any]:
        """The body of the station's declaration."""

    def live_readings(self) -> list[dict[str, Any]]:
        """The state of every nozzle, always in the same order."""

    def on_command(self, command: dict[str, Any]) -> bool:
        """Carry out a command; its result goes through the journal. False: it could not be noted, and must come again."""

    def on_backend(self, up: bool) -> None:
        """The backend came or went."""


class Uplink:
    """Four loops on one transport.

    Args:
        station: station id.
        key: the station's key.
        base_urls: instances of the backend; any of them will do.
        transport: what carries the requests; None for real sockets.
        config: times.
        journal: sales and results to send.
        owner: the controller.
        clock_us: unix time, µs.
    """

    def __init__(
        self,
        *,
        station: str,
        key: str,
        base_urls: Sequence[str],
        transport: httpx.AsyncBaseTransport | None,
        config: BackendConfig,
        journal: Journal,
        owner: UplinkOwner,
        clock_us: Callable[[], int],
    ) -> None:
        self._path = f"/v1/stations/{station}"
        self._urls = [url.rstrip("/") for url in base_urls]
        self._config = config
        self._journal = journal
        self._owner = owner
        self._clock_us = clock_us
        self._headers = {"Authorization": f"Bearer {key}"}
        self._transport = transport
        self._courier: Courier | None = None
        self._current = 0
        self._moved = asyncio.Event()
        self._polled: int | None = None
        """The instance on which the long poll for commands is out."""
        self._tasks: list[asyncio.Task[None]] = []
        self._sales = asyncio.Event()
        self._results = asyncio.Event()
        self._live = LiveFeed(
            owner.live_readings,
            self._post_live,
            refresh_us=config.live_refresh_us,
            gap_us=config.live_gap_us,
        )
        self._declare = asyncio.Event()
        self._tanks = asyncio.Event()
        self._readings: deque[dict[str, Any]] = deque(maxlen=_READINGS_MOST)
        self._sends_tanks = False
        self._causes: dict[int, int] = {}
        """Sale -> the command that it came of: its result goes first."""
        self._old_results: list[int] = []
        """Results that waited when this process began: which of its sales came of which is not known any more."""
        self.up: bool | None = None
        """Whether the backend answers; None before the first try."""
        self._answers = 0
        self.trouble = ""
        """Why it does not, or the last refusal; for the status page."""

    def start(self) -> None:
        """Start the loops on the running event loop."""
        if not self._urls:
            self._owner.on_backend(False)
            return
        self._courier = Courier(self._transport, self._headers)
        self._old_results = [row[0] for row in self._journal.unposted_results()]
        self._declare.set()
        self._sales.set()
        self._results.set()
        self._live.changed()
        for loop, name in (
            (self._declare_loop(), "declare"),
            (self._sales_loop(), "sales"),
            (self._results_loop(), "results"),
            (self._live.run(), "live"),
            (self._command_loop(), "commands"),
        ):
            self._tasks.append(asyncio.create_task(loop, name=f"site-uplink-{name}"))

    async def stop(self) -> None:
        """End the loops. What was not acknowledged stays in the journal."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._courier is not None:
            await self._courier.aclose()
            self._courier = None
        for result in results:
            if isinstance(result, Exception):
                raise result

    # -- news from the controller -------------------------------------------------------------------------------

    def sale_stored(self, sale_id: int = 0, command_id: int | None = None) -> None:
        """There is a sale to send; if it came of a command, after the result of that."""
        if command_id is not None:
            self._causes[sale_id] = command_id
        self._sales.set()

    def result_stored(self) -> None:
        """There is a command's result to send."""
        self._results.set()

    def live_changed(self) -> None:
        """Some nozzle's state or amount changed."""
        self._live.changed()

    def setup_changed(self) -> None:
        """Prices or the like changed: declare the station again."""
        self._declare.set()

    def tanks_read(self, body: dict[str, Any]) -> None:
        """The gauge was read: send it, after what waits already. Beyond four hours of outage the oldest are left out."""
        self._readings.append(body)
        self._tanks.set()
        if self._courier is not None and not self._sends_tanks:
            self._sends_tanks = True
            self._tasks.append(asyncio.create_task(self._tanks_loop(), name="site-uplink-tanks"))

    # -- the loops ----------------------------------------------------------------------------------------------

    async def _declare_loop(self) -> None:
        while True:
            await self._declare.wait()
            self._declare.clear()
            response = await self._patiently("PUT", "", self._owner.station_setup)
            if response.status_code >= 300:
                self._complain("station", response)
                if response.status_code not in _REFUSED:
                    self._declare.set()
                    await self._sleep(self._config.retry_most_us)

    async def _sales_loop(self) -> None:
        while True:
            await self._sales.wait()
            self._sales.clear()
            try:
                for sale in self._journal.unsent_sales():
                    await self._send_sale(sale)
                    self._sales.set()  # look for more before waiting
            except JournalError as error:
                # A full disk may have room again: what is owed is sent then, with the same key.
                await self._journal_failed("sales", error)
                self._sales.set()

    async def _send_sale(self, sale: Sale) -> None:
        body = sale.as_json()
        await self._after_its_cause(sale)
        while True:
            response = await self._patiently("POST", "/sales", lambda: body)
            if response.status_code in (200, 201):
                self._journal.uploaded(sale.sale_id)
                return
            self._complain(f"sale {sale.nozzle}/{sale.sequence}", response)
            if response.status_code in _REFUSED:
                # Another sale has this key, or the backend cannot take this one: never overwrite, tell a person.
                self._journal.refused(sale.sale_id, response.status_code, response.text)
                return
            if response.status_code == 404:
                self._declare.set()  # a backend that forgot the station
            await self._sleep(self._config.retry_most_us)

    async def _after_its_cause(self, sale: Sale) -> None:
        """A sale is not told before the authorisation that it came of."""
        cause = self._causes.get(sale.sale_id)
        for command_id in self._old_results if cause is None else (cause,):
            waited_us, before = 0, self._answers
            while self._journal.owes_result(command_id) and waited_us < _CAUSE_MOST_US:
                self._results.set()
                await self._sleep(self._config.retry_first_us)
                if self._answers != before:  # away altogether is no reason to turn the order round
                    waited_us += self._config.retry_first_us
        if cause is None:
            self._old_results.clear()
        self._causes.pop(sale.sale_id, None)

    async def _journal_failed(self, what: str, error: JournalError) -> None:
        log.warning("%s wait: %s", what, error)
        self.trouble = f"{what} wait: {error}"
        await self._sleep(self._config.retry_most_us)

    async def _results_loop(self) -> None:
        while True:
            await self._results.wait()
            self._results.clear()
            try:
                await self._send_results()
            except JournalError as error:
                await self._journal_failed("results", error)
                self._results.set()

    async def _send_results(self) -> None:
        for command_id, ok, reason, version in self._journal.unposted_results():
            body = {"ok": ok, "reason": reason[:200] or None}
            path = f"/commands/{command_id}/result"
            response = await self._patiently("POST", path, lambda body=body: body)  # type: ignore[misc]
            if response.status_code in (401, 403):
                self._complain("result", response)
                await self._sleep(self._config.retry_most_us)
                self._results.set()
                return
            if response.status_code >= 300:
                self._complain(f"result of command {command_id}", response)
            self._journal.result_posted(command_id, version)

    async def _post_live(self, readings: list[dict[str, Any]]) -> bool:
        try:
            await self._request("POST", "/nozzles/live", {"at_us": self._clock_us(), "nozzles": readings})
        except BackendAway:
            return False
        return True

    async def _tanks_loop(self) -> None:
        while True:
            await self._tanks.wait()
            self._tanks.clear()
            while self._readings:
                body = self._readings[0]
                response = await self._patiently("POST", "/tanks", lambda body=body: body)  # type: ignore[misc]
                if response.status_code >= 300:
                    self._complain("tanks", response)
                    if response.status_code not in _REFUSED:
                        await self._sleep(self._config.retry_most_us)
                        continue
                # While it was sent, the oldest may have been left out already.
                if self._readings and self._readings[0] is body:
                    self._readings.popleft()

    async def _command_loop(self) -> None:
        after = 0  # from the start: what is still open there may have been lost here
        wait_us = self._config.command_wait_us
        while True:
            path = f"/commands?after={after}&wait_ms={wait_us // 1000}"
            response = await self._poll(path, wait_us + self._config.request_timeout_us)
            if response is None:
                continue
            if response.status_code != 200:
                self._complain("commands", response)
                await self._sleep(self._config.retry_most_us)
                continue
            for command in commands_of(response):
                if not self._owner.on_command(command):
                    await self._sleep(self._config.retry_most_us)
                    break  # it comes again, and so does what follows it
                after = max(after, command["id"])

    async def _poll(self, path: str, timeout_us: int) -> Answer | None:
        """A long poll; None when another request found its instance dead: its rest is not sat out there."""
        asking = asyncio.ensure_future(
            self._patiently("GET", path, lambda: None, timeout_us=timeout_us, polls=True)
        )
        try:
            while not asking.done():
                self._moved.clear()
                moved = asyncio.ensure_future(self._moved.wait())
                try:
                    await asyncio.wait((asking, moved), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    moved.cancel()
                    await asyncio.gather(moved, return_exceptions=True)
                # Its own failure moves on, too, and so does one while it waits to try again: that is no news to it.
                if not asking.done() and self._polled not in {None, self._current}:
                    return None
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def send(self, path: str, body: dict[str, Any]) -> Answer:
        """Post something of another part of the site, patiently; the key in it makes repeating it harmless."""
        response = await self._patiently("POST", path, lambda: body)
        if response.status_code >= 300:
            self._complain(path, response)
        return response

    # -- requests -----------------------------------------------------------------------------------------------

    async def _patiently(
        self,
        method: str,
        path: str,
        body: Callable[[], dict[str, Any] | None],
        *,
        timeout_us: int | None = None,
        polls: bool = False,
    ) -> Answer:
        """Ask until someone answers; ``polls`` for the long poll."""
        wait_us = self._config.retry_first_us
        while True:
            try:
                return await self._request(method, path, body(), timeout_us=timeout_us, polls=polls)
            except BackendAway:
                await self._sleep(wait_us)
                wait_us = min(2 * wait_us, self._config.retry_most_us)

    async def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        *,
        timeout_us: int | None = None,
        polls: bool = False,
    ) -> Answer:
        """Ask each instance once, beginning with the one that answered last. Raises BackendAway."""
        courier = self._courier
        if courier is None:
            raise BackendAway("the uplink is not started")
        limit_s = (timeout_us or self._config.request_timeout_us) / 1e6
        for _ in self._urls:
            used = self._current
            if polls:
                self._polled = used
            try:
                response = await courier.request(
                    method, self._urls[used], self._path + path, body, timeout_s=limit_s
                )
            except (httpx.HTTPError, TimeoutError) as error:
                self.trouble = f"{self._urls[used]}: {type(error).__name__} {error}".rstrip()
            else:
                if response.status_code < 500 and response.status_code != 429:
                    self._answers += 1
                    self._presence(True)
                    return response
                self.trouble = f"{self._urls[used]}: HTTP {response.status_code}"
            finally:
                if polls:
                    self._polled = None
            if self._current == used:
                self._current = (used + 1) % len(self._urls)
                if len(self._urls) > 1:
                    self._moved.set()
        self._presence(False)
        raise BackendAway(self.trouble)

    def _presence(self, up: bool) -> None:
        if self.up is not up:
            self.up = up
            if up:
                self.trouble = ""
            else:
                log.warning("backend is away: %s", self.trouble)
            self._owner.on_backend(up)

    def _complain(self, what: str, response: Answer) -> None:
        self.trouble = f"{what}: HTTP {response.status_code} {response.text[:200]}"
        log.warning("backend refuses %s", self.trouble)

    @staticmethod
    def _sleep(duration_us: int) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(duration_us / 1e6)
