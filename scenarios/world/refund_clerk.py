"""Who sees to refunds that bounced: somebody of the station looks now and then, sends one on to another account, pays the next in cash."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from scenarios.record import PaidOut
from sim.people.api import ApiClient, ApiError, Unreachable

if TYPE_CHECKING:
    from simpy.events import Event

    from scenarios.world.virtual import VirtualWorld

__all__ = ["RefundClerk"]

_ROUND_US: Final = 900_000_000
_PAGE: Final = 1_000
_NAME: Final = "站长"


class RefundClerk:
    """Works through the backend's refunds every quarter of an hour, as the station's operator.

    Every other one that bounced is sent on to the merchant's own account, so that it can be transferred by hand, and so are
    those that there is not cash enough for; the others, and what bounces again, are paid out at the till. Money leaves the till
    when the backend says that it counts as paid in cash, and then once.

    Args:
        world: whose station it is.
        holds: whether there is so much in the till.
        take: takes so many fen out of it.

    Attributes:
        paid_out: what was paid out, for the oracles.
    """

    def __init__(
        self, world: VirtualWorld, *, holds: Callable[[int], bool], take: Callable[[int], None]
    ) -> None:
        self._world = world
        self._holds = holds
        self._take = take
        hosts = [f"{instance.name}.station" for instance in world.instances]
        self._api = ApiClient(
            [world.network.client("operator", host) for host in hosts], token=world.keys.admin_key
        )
        self._sent_on: dict[str, int] = {}
        self._asked: dict[str, None] = {}
        self._turns: dict[str, int] = {}
        self.paid_out: list[PaidOut] = []
        world.kernel.process(self._rounds())

    def _rounds(self) -> Generator[Event, Any, None]:
        while True:
            yield self._world.kernel.env.timeout(_ROUND_US)
            yield self._world.kernel.task(self._look(), "refund clerk")

    async def _look(self) -> None:
        after: int | None = 0
        try:
            while after is not None:
                page = await self._api.call(
                    "GET", "/v1/admin/refunds", params={"after": str(after), "limit": str(_PAGE)}
                )
                for row in page["rows"]:
                    await self._see_to(row["out_refund_no"], row["state"], row["amount_fen"])
                after = page["next"]
        except Unreachable:
            return  # the next round is soon

    async def _see_to(self, number: str, state: str, fen: int) -> None:
        # The answer was lost: it counts as paid in cash, and nobody has paid it out.
        is_lost = state == "CASH" and number in self._asked
        if state not in {"ABNORMAL", "HELD"} and not is_lost:
            return
        turn = self._turns.setdefault(number, len(self._turns))
        times = self._sent_on.get(number, 0)
        try:
            if is_lost or (self._holds(fen) and not (state == "ABNORMAL" and turn % 2 and not times)):
                await self._pay(number, fen)
            elif state == "ABNORMAL":
                self._sent_on[number] = times + 1
                await self._post(number, "elsewhere", f"{times}", to="MERCHANT_BANK_CARD")
        except (ApiError, Unreachable):
            return  # it has changed meanwhile, or is not settled yet: the next round shows

    async def _pay(self, number: str, fen: int) -> None:
        self._asked[number] = None
        shown = await self._post(number, "cash")
        if shown["state"] != "CASH":
            return
        del self._asked[number]
        self._take(fen)
        now_us = self._world.kernel.now_us
        self.paid_out.append(PaidOut(out_refund_no=number, amount_fen=fen, at_us=now_us))
        self._world.kernel.trace.emit("refund.paid_in_cash", _NAME, amount_fen=fen)

    async def _post(self, number: str, what: str, time: str = "", **more: str) -> dict[str, Any]:
        body = {
            "client_token": f"{what}{time}-{number}",
            "operator": _NAME,
            "reason": "退款未到账",
            **more,
        }
        shown: dict[str, Any] = await self._api.call("POST", f"/v1/admin/refunds/{number}/{what}", json=body)
        return shown
