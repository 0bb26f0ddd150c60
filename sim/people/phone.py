"""A driver's phone: the mini-program against the backend's API, and the payer's finger on the payment sheet.

What it sees goes into the trace as ``phone.*`` events of the entity ``car/<number>``; latencies are computed from them:

====================  ================================================================================================
``phone.order``       an order was accepted: order_id, nozzle, state, ``auto_pay`` if it is to be debited
``phone.live``        a live amount was shown: nozzle, volume_ml, amount_fen, ``age_us``
``phone.stale``       the figures of running fuel were marked as old: the stream has broken off
``phone.fresh``       the mark was taken away: the backend is heard again
``phone.state``       the order changed its state: state, volume_ml, amount_fen
``phone.pay_tapped``  the driver taps "pay" (intended start)
``phone.sheet``       the payment sheet is up
``phone.confirmed``   the payer has confirmed; what came between is human time
``phone.paid``        PAID is on the screen
``phone.parts``       points, coupon and balance that the driver puts towards the bill
``phone.invoice``     the invoice's state on the screen: requested, issuing, issued, failed
``phone.trouble``     something did not work; ``what`` says it
====================  ================================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from sim.kernel import Kernel
from sim.people.api import ApiClient, ApiError, Unreachable
from sim.people.members import BY_CONTRACT, MembersDesk, parts_towards, sign_contract
from sim.people.names import Identity
from sim.people.payers import Payers
from sim.people.plan import CarPlan
from sim.people.sse import ServerSentEvent, SseReader

__all__ = ["DEAD", "PAID", "PhoneApp"]

PAID = frozenset({"PAID", "COMPLETED", "REFUNDING", "REFUNDED"})
"""States of an order whose money has come."""
DEAD = frozenset({"CANCELLED", "CLOSED"})
"""States of an order that nobody will pay any more."""
_UNFUELLED = frozenset({"CREATED", "AUTHORISED"})
_FUELLED = frozenset({"FUELLING", "PAYABLE", "PAYING"}) | PAID
# A stream is quiet while nothing happens; the backend sends a sign of life at least every 15 s.
_STREAM_TIMEOUT = httpx.Timeout(5.0, read=40.0)
_INVOICE_DONE = frozenset({"none", "issued", "failed"})
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class PhoneApp:
    """One phone.

    Args:
        kernel: clock and trace.
        api: client of the backend for this phone.
        payers: the drivers' payment apps.
        plan, who: the driver.
        station: station id.
        desk: gives members what they hold; None where nobody is one.
    """

    def __init__(
        self,
        kernel: Kernel,
        api: ApiClient,
        payers: Payers,
        plan: CarPlan,
        who: Identity,
        station: str,
        desk: MembersDesk | None = None,
    ) -> None:
        self._kernel = kernel
        self._api = api
        self._payers = payers
        self._plan = plan
        self._who = who
        self._station = station
        self._entity = f"car/{plan.number}"
        self._watcher: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._tries = 0
        self._paid_order = ""
        self._desk = desk if plan.wallet is not None else None
        self._by_contract: bool | None = None if plan.channel == BY_CONTRACT else False
        self._channel = "wechatpay" if plan.channel == BY_CONTRACT else plan.channel
        self.order: dict[str, Any] = {}
        self._is_settled = False
        """Whether there is nothing more to watch for."""
        self._is_stale = False
        """Whether the screen says that its running figures are old."""

    def tell(self, kind: str, **fields: Any) -> None:
        """Put ``phone.<kind>`` into the trace."""
        self._kernel.trace.emit(f"phone.{kind}", self._entity, **fields)

    @property
    def state(self) -> str:
        """State of the order as the phone shows it."""
        return str(self.order.get("state", ""))

    @property
    def pays_by_itself(self) -> bool:
        """Whether the order is debited by contract when the pump has finished."""
        return bool(self._by_contract)

    async def sign_in(self) -> None:
        """Log in with a js_code of the mini-program platform."""
        for attempt in range(4):
            if self._api.token:
                return
            # A log-in code works once: when an answer was lost, the platform gives a new one.
            js_code = f"js-{self._who.openid}" + (f".{attempt}" if attempt else "")
            try:
                session = await self._api.call("POST", "/v1/sessions", json={"js_code": js_code}, tries=1)
            except (ApiError, Unreachable) as error:
                if attempt == 3:
                    raise
                self.tell("trouble", what=f"log-in: {type(error).__name__}")
                await asyncio.sleep(0.5 * 2**attempt)
                continue
            self._api.token = session["token"]

    async def place_order(self, nozzle: int, *, prepaid: bool) -> None:
        """Order at a nozzle: before fuelling it asks for authorisation, after fuelling it binds the unpaid sale."""
        await self.sign_in()
        await self._prepare()
        # Prices and live state of the station: the screen on which the driver picks the nozzle.
        await self._api.call("GET", f"/v1/stations/{self._station}")
        self._tries += 1
        plan = self._plan
        before = plan.pay_by == "order_first"
        more = {"auto_pay": True} if self._by_contract else {}
        order = await self._api.call(
            "POST",
            "/v1/orders",
            json={
                **more,
                "client_token": f"car-{plan.number}-{self._tries}-{self._who.openid[:8]}",
                "station": self._station,
                "nozzle": nozzle,
                "mode": "prepay" if prepaid else "postpay",
                "preset_fen": plan.preset_fen if before else None,
                "preset_ml": plan.preset_ml if before else None,
                "invoice": self._invoice(),
            },
        )
        self._show(order)
        self.tell("order", order_id=order["order_id"], nozzle=nozzle, state=order["state"], **more)
        await self.stop_watching()
        self._watcher = self._kernel.loop.create_task(self._watch(), name=f"{self._entity} phone")

    async def _prepare(self) -> None:
        """What a member has seen to long before this visit. Without it the driver pays like any other."""
        try:
            if self._by_contract is None:
                self._by_contract = await sign_contract(self._api, self._payers, self._who.openid)
            if self._desk is not None and self._plan.wallet is not None:
                await self._desk.give(self._who.openid, self._plan.wallet)
        except (ApiError, Unreachable) as error:
            self.tell("trouble", what=f"membership: {error}")

    def _invoice(self) -> dict[str, Any] | None:
        match self._plan.invoice:
            case "organisation":
                return {
                    "title_type": "ORGANIZATION",
                    "name": self._who.company,
                    "taxpayer_id": self._who.taxpayer_id,
                }
            case "individual":
                return {"title_type": "INDIVIDUAL", "name": self._who.name, "taxpayer_id": None}
            case _:
                return None

    async def cancel(self, *, within_us: int = 120_000_000) -> bool:
        """Give the order up. False if it is too late for that (fuel has flowed, or it is paid): it is still this driver's.

        Whether fuel has flowed, only the station knows: until its answer has come the order is neither given up nor kept.
        """
        waits = self.state in _UNFUELLED
        try:
            self._show(await self._api.call("POST", f"/v1/orders/{self.order['order_id']}/cancel", json={}))
        except (ApiError, Unreachable) as error:
            self.tell("trouble", what=f"cancel: {error}")
            if isinstance(error, ApiError) and error.status == 409:
                return False
        else:
            if waits and not self._plan.prepaid:
                await self.wait_until(_FUELLED | DEAD, within_us)
                if self.state in _FUELLED:
                    return False
        await self.stop_watching()
        return True

    async def wait_until(self, states: frozenset[str], within_us: int) -> bool:
        """Wait until the order is in one of the states, on the screen; polls now and then beside the stream."""
        await self._wait(lambda: self.state in states, within_us)
        return self.state in states

    async def _wait(self, is_over: Callable[[], bool], within_us: int) -> None:
        deadline_us = self._kernel.now_us + within_us
        while not is_over():
            left_us = deadline_us - self._kernel.now_us
            if left_us <= 0 or self.state in DEAD:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left_us, 5_000_000) / 1e6)
            except TimeoutError:
                await self.refresh()

    async def refresh(self) -> None:
        """Fetch the order (the driver pulls the screen down)."""
        try:
            self._show(await self._api.call("GET", f"/v1/orders/{self.order['order_id']}"))
        except (ApiError, Unreachable) as error:
            self.tell("trouble", what=f"refresh: {type(error).__name__}")

    async def pay(self, *, within_us: int = 180_000_000) -> bool:
        """Tap, confirm, and wait for PAID on the screen. The phone's own "ok" proves nothing, so it is not believed here either."""
        if self._by_contract:
            if await self._is_debited(within_us):
                return True
            self._by_contract = False
        order_id = self.order["order_id"]
        wish: dict[str, Any] = {"channel": self._channel}
        if self._desk is not None:
            parts = await parts_towards(self._api, self.order["payable_fen"])
            if parts is not None:
                wish["parts"] = parts
                self.tell("parts", order_id=order_id, **parts)
        self.tell("pay_tapped", order_id=order_id)
        try:
            sheet = await self._api.call("POST", f"/v1/orders/{order_id}/pay", json=wish)
            if sheet.get("out_trade_no") is None:
                return await self.wait_until(PAID, within_us)  # the parts have paid it
            self.tell("sheet", order_id=order_id, out_trade_no=sheet["out_trade_no"])
            await asyncio.sleep(self._plan.phone_pay_us / 1e6)
            self.tell("confirmed", order_id=order_id)
            result = "ok" if await self._payers.confirm(self._who.openid, sheet) else "fail"
            # In the background: PAID comes by the callback; this only makes the backend ask in case none comes.
            report = self._api.call("POST", f"/v1/orders/{order_id}/client-result", json={"result": result})
            self._background(report, "client-result")
        except (ApiError, Unreachable) as error:
            await self.refresh()
            if self.state not in PAID:
                self.tell("trouble", what=f"pay: {error}")
                return False
        paid = await self.wait_until(PAID, within_us)
        if not paid:
            self.tell("trouble", what=f"pay: still {self.state}")
        return paid

    async def _is_debited(self, within_us: int) -> bool:
        """Nobody taps: the debit comes by itself, or the phone says that it did not work."""
        order_id = self.order["order_id"]

        def is_over() -> bool:
            return self.state in PAID or (self.state == "PAYABLE" and "notice" in self.order)

        await self._wait(is_over, within_us)
        if self.state in PAID:
            return True
        self.tell("trouble", what=f"debit of {order_id}: {self.order.get('notice', self.state)}")
        return False

    def _background(self, coro: Any, what: str) -> None:
        async def run() -> None:
            try:
                await coro
            except (ApiError, Unreachable) as error:
                self.tell("trouble", what=f"{what}: {type(error).__name__}")

        self._kernel.task(run(), f"{self._entity} {what}")

    # --- the stream ------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        path = f"/v1/orders/{self.order['order_id']}/events"
        pause_s = 0.5
        while not self._settled():
            reader = SseReader()
            since_us = self._kernel.now_us
            try:
                async with self._api.current.stream(
                    "GET", path, headers=self._api.headers, timeout=_STREAM_TIMEOUT
                ) as reply:
                    if reply.status_code >= 400:
                        raise httpx.RemoteProtocolError(f"HTTP {reply.status_code}")
                    async for chunk in reply.aiter_bytes():
                        for event in reader.feed(chunk):
                            self._heard(event)
                        if self._settled():
                            return
            except (httpx.HTTPError, OSError) as error:
                self.tell("trouble", what=f"stream: {type(error).__name__}")
                self._api.next_instance()
            if self.state == "FUELLING" and not self._is_stale:
                self._is_stale = True
                self.tell("stale", order_id=self.order["order_id"])
            if self._kernel.now_us - since_us > 5_000_000:
                pause_s = 0.5  # it had worked for a while
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 8.0)

    def _heard(self, event: ServerSentEvent) -> None:
        try:
            body = _decode(event.data)
        except msgspec.DecodeError:
            self.tell("trouble", what="stream: not JSON")
            return
        if self._is_stale and event.event in ("order", "live"):
            self._is_stale = False
            self.tell("fresh", order_id=self.order["order_id"])
        if event.event == "order":
            self._show(body)
        elif event.event == "live":
            age_us = max(0, self._kernel.unix_us - int(body["at_us"]))
            self.tell(
                "live",
                nozzle=body["nozzle"],
                volume_ml=body["volume_ml"],
                amount_fen=body["amount_fen"],
                age_us=age_us,
                order_id=self.order.get("order_id"),
            )

    def _show(self, order: dict[str, Any]) -> None:
        before, self.order = self.order, order
        if before.get("updated_us", 0) > order.get("updated_us", 0):
            self.order = before  # an older answer that was overtaken
            return
        self._is_settled = self._says_all()
        order_id = order["order_id"]
        if order["state"] != before.get("state") or order_id != before.get("order_id"):
            self.tell(
                "state",
                order_id=order_id,
                state=order["state"],
                volume_ml=order.get("volume_ml", 0),
                amount_fen=order.get("amount_fen", 0),
            )
            # Once an order: a pre-paid one goes on from PAID to fuelling and comes back to a paid state at its end.
            if order["state"] in PAID and order_id != self._paid_order:
                self._paid_order = order_id
                self.tell("paid", order_id=order_id, amount_fen=order.get("paid_fen"))
        invoice = (order.get("invoice") or {}).get("state", "none")
        if invoice != (before.get("invoice") or {}).get("state", "none"):
            self.tell("invoice", order_id=order_id, state=invoice)
        self._changed.set()

    def _settled(self) -> bool:
        return self._is_settled

    def _says_all(self) -> bool:
        invoice = (self.order.get("invoice") or {}).get("state", "none")
        if self.state in DEAD:
            return True
        finished = self.state in ({"COMPLETED", "REFUNDED"} if self._plan.prepaid else PAID)
        return finished and invoice in _INVOICE_DONE and not (self._plan.invoice and invoice == "none")

    async def stop_watching(self) -> None:
        """Close the event stream."""
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._watcher = None
