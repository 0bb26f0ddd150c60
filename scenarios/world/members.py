"""Members in a virtual run: who gives them what they hold, and what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scenarios.member_record import Debit, Holding, MemberRecord, TenderPart
from scenarios.model import Scenario
from sim.net import Network
from sim.people import BY_CONTRACT, ApiClient, MembersDesk, identity

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["build_desk", "member_record"]

Tables = Mapping[str, list[dict[str, Any]]]

_DEBIT = "PAP"
"""``trade_type`` of a debit by contract."""


def build_desk(*, scenario: Scenario, network: Network, admin_key: str) -> MembersDesk | None:
    """The operator's desk, where some driver holds something."""
    if scenario.demand.members is None:
        return None
    names = [f"backend-{chr(ord('a') + number)}.station" for number in range(scenario.backend.instances)]
    return MembersDesk(ApiClient([network.client("operator", name) for name in names], token=admin_key))


def member_record(world: VirtualWorld, tables: Tables) -> MemberRecord | None:
    """Ask phones, gateway and backend; None where nobody is a member.

    Args:
        world: a finished run.
        tables: the admin API's ledger.
    """
    demand = world.scenario.demand
    has_debits = BY_CONTRACT in demand.channels()
    if demand.members is None and not has_debits:
        return None
    return MemberRecord(
        has_parts=demand.members is not None,
        has_debits=has_debits,
        parts=() if demand.members is None else tuple(_parts(world, tables)),
        holdings=tuple(_holdings(world)),
        debits=tuple(_debits(world)),
        by_contract=frozenset(
            event["order_id"]
            for events in world.witness.cars.phone.values()
            for _, kind, event in events
            if kind == "phone.order" and event.get("auto_pay")
        ),
        left=None if demand.members is None else _left(world),
    )


def _parts(world: VirtualWorld, tables: Tables) -> Iterable[TenderPart]:
    booked: Counter[tuple[str, str, str]] = Counter()
    for row in tables["ledger"]:
        if row["kind"] in {"payment", "refund"}:
            # payment/<number>/<part>, and refund/<number>/<part>/<what was given back before>
            words: list[str] = [*row["entry_key"].split("/"), ""]
            booked[row["kind"], words[1], words[2]] += row["amount_fen"]
    for row in world.read_admin("tender-parts"):
        number, kind = row["out_trade_no"], row["kind"]
        names = ("out_trade_no", "order_id", "kind", "units", "amount_fen", "returned_fen", "state")
        yield TenderPart(
            booked_fen=booked["payment", number, kind],
            booked_back_fen=booked["refund", number, kind],
            **{name: row[name] for name in names},
        )


def _left(world: VirtualWorld) -> dict[str, int]:
    """What the backend's accounts hold, all together."""
    accounts = world.read_admin("members")
    return {
        "points": sum(row["points"] for row in accounts),
        "balance": sum(row["balance_fen"] for row in accounts),
        "coupon": sum(row["state"] == "free" for row in world.read_admin("coupons")),
    }


def _holdings(world: VirtualWorld) -> Iterable[Holding]:
    if world.desk is None:
        return
    orders: defaultdict[str, tuple[int, list[str]]] = defaultdict(lambda: (0, []))
    for car, events in world.witness.cars.phone.items():
        mine = [event["order_id"] for _, kind, event in events if kind == "phone.order"]
        orders[identity(world.seed, car).openid] = (car, mine)
    for openid, wallet in world.desk.given.items():
        car, mine = orders[openid]
        yield Holding(
            car=car,
            order_ids=tuple(mine),
            points=wallet.points,
            coupon_fen=wallet.coupon_fen,
            coupon_from_fen=wallet.coupon_from_fen,
            balance_fen=wallet.balance_fen,
        )


def _debits(world: VirtualWorld) -> Iterable[Debit]:
    gateway = world.services.gateway
    signed = {contract.openid: contract for contract in gateway.contracts.contracts}
    for order in gateway.ledger.orders:
        if order.trade_type == _DEBIT:
            contract = signed.get(order.openid)
            yield Debit(
                out_trade_no=order.out_trade_no,
                amount_fen=order.total_fen,
                is_signed=contract is not None and contract.signed_us <= order.created_us,
                limit_fen=0 if contract is None else contract.limit_fen,
                paid_fen=order.total_fen if order.success_us is not None else 0,
            )
