"""Mixed tenders and debits by contract: parts and rest make the sum, nobody spends what he has not, nobody is debited unasked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from scenarios.member_record import MemberRecord, TenderPart
from scenarios.oracles.answer import answer, nothing_seen
from scenarios.record import Order, RunRecord
from scenarios.verdicts import CheckResult, Verdict

__all__ = ["debits_agreed", "tender_adds_up"]

_PAID: Final = frozenset({"PAID", "COMPLETED", "REFUNDING", "REFUNDED"})


def _no_members(slug: str, record: RunRecord, what: str) -> CheckResult:
    return CheckResult(slug, Verdict.NOT_APPLICABLE, f"no driver here {what}", {}, record.clock)


def _fates(parts: Iterable[TenderPart], pending: frozenset[str]) -> Iterable[str]:
    for part in parts:
        name = f"{part.kind} of {part.out_trade_no}"
        if part.state == "held" and part.out_trade_no not in pending:
            yield f"{name}: {part.amount_fen} fen are held for a payment that is over"
        booked_fen = part.amount_fen if part.is_spent else 0
        if part.booked_fen != booked_fen:
            yield f"{name}: {booked_fen} fen are {part.state}, {part.booked_fen} in the ledger"
        if part.booked_back_fen != part.returned_fen:
            yield f"{name}: {part.returned_fen} fen were given back, {part.booked_back_fen} in the ledger"
        if part.kind != "coupon" and part.units != part.amount_fen:
            yield f"{name}: {part.units} of them pay {part.amount_fen} fen; each is worth one"
        if not 0 <= part.returned_fen <= part.amount_fen:
            yield f"{name}: {part.returned_fen} fen were given back of {part.amount_fen}"


def _sums(record: RunRecord, members: MemberRecord) -> Iterable[str]:
    """Where what parts and channel took together is not what the order came to."""
    orders = {order.order_id: order for order in record.orders}
    paid = {transaction.out_trade_no: transaction.paid_fen for transaction in record.gateway}
    spent: defaultdict[tuple[str, str], int] = defaultdict(int)
    for part in members.parts:
        if part.is_spent:
            spent[part.order_id, part.out_trade_no] += part.amount_fen
    for (order_id, number), parts_fen in spent.items():
        order = orders.get(order_id)
        if order is None:
            yield f"parts of {number} went towards order {order_id}, which there is not"
        elif order.state not in _PAID:
            yield f"parts of {number} went towards order {order_id}, which is {order.state}"
        elif parts_fen + paid.get(number, 0) != order.payable_fen:
            yield (
                f"order {order_id} of {order.payable_fen} fen: {parts_fen} fen by parts and {paid.get(number, 0)} at the "
                f"gateway ({number})"
            )


def _overspent(members: MemberRecord, orders: Mapping[str, Order]) -> Iterable[str]:
    """What drivers put in beyond what they were given."""
    of_car = {order_id: holding for holding in members.holdings for order_id in holding.order_ids}
    units: Counter[tuple[int, str]] = Counter()
    for part in members.parts:
        if part.state not in {"held", "taken", "returned"}:
            continue
        holding = of_car.get(part.order_id)
        if holding is None:
            yield f"{part.kind} of {part.out_trade_no} belongs to nobody who was given any"
            continue
        if part.state != "returned":
            back = part.returned_fen * part.units // part.amount_fen if part.amount_fen else 0
            units[holding.car, part.kind] += part.units - back
        if part.kind == "coupon" and part.amount_fen > holding.coupon_fen:
            yield f"the coupon of car {holding.car} is worth {holding.coupon_fen} fen, {part.amount_fen} were taken by it"
        order = orders.get(part.order_id)
        if part.kind == "coupon" and order is not None and order.payable_fen < holding.coupon_from_fen:
            yield f"order {part.order_id} of {order.payable_fen} fen is too small for the coupon of car {holding.car}"
    for holding in members.holdings:
        held = {
            "points": holding.points,
            "coupon": int(bool(holding.coupon_fen)),
            "balance": holding.balance_fen,
        }
        for kind, most in held.items():
            if units[holding.car, kind] > most:
                yield f"car {holding.car} was given {most} of {kind} and spent {units[holding.car, kind]}"


def _accounts(members: MemberRecord) -> Iterable[str]:
    """Where what was given, less what went towards orders, is not what the accounts still hold."""
    if members.left is None:
        return
    due: Counter[str] = Counter()
    for holding in members.holdings:
        due["points"] += holding.points
        due["balance"] += holding.balance_fen
        due["coupon"] += bool(holding.coupon_fen)
    for part in members.parts:
        if part.state in {"held", "taken"}:
            back = part.returned_fen * part.units // part.amount_fen if part.amount_fen else 0
            due[part.kind] -= part.units - back
    for kind in ("points", "coupon", "balance"):
        if members.left.get(kind, 0) != due[kind]:
            yield f"the accounts hold {members.left.get(kind, 0)} of {kind}, by what was given and spent it is {due[kind]}"


def tender_adds_up(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Parts and channel make exactly the payable; parts share the fate of their payment; nobody spends what was not given."""
    slug = "money.tender-adds-up"
    members = record.members
    if members is None or not members.has_parts:
        return _no_members(slug, record, "holds points, coupons or balance")
    spent = [part for part in members.parts if part.is_spent]
    pending = frozenset(payment.out_trade_no for payment in record.payments if payment.pending)
    problems = [
        *_fates(members.parts, pending),
        *_sums(record, members),
        *_overspent(members, {order.order_id: order for order in record.orders}),
        *_accounts(members),
    ]
    if not spent and not problems:
        return nothing_seen(slug, record, "nobody put points, a coupon or balance towards an order")
    by_kind = Counter(part.kind for part in spent)
    whole = {part.out_trade_no for part in spent} - {t.out_trade_no for t in record.gateway if t.paid_fen}
    figures = {
        "orders": len({part.order_id for part in spent}),
        "paid_by_parts_alone": len(whole),
        **{kind: by_kind[kind] for kind in ("points", "coupon", "balance")},
        "parts_fen": sum(part.amount_fen for part in spent),
    }
    good = (
        f"{figures['orders']:,} orders paid in part ({len(whole)} wholly) by {by_kind['points']} times points, "
        f"{by_kind['coupon']} coupons and {by_kind['balance']} times balance, {figures['parts_fen']:,} fen; each adds up"
    )
    return answer(slug, record, problems, good, figures)


def debits_agreed(record: RunRecord, _limits: Mapping[str, int]) -> CheckResult:
    """Each debit is for an order whose phone asked for it, by a signed contract and within its limit; one an order, for its sum."""
    slug = "money.debits-agreed"
    members = record.members
    if members is None or not members.has_debits:
        return _no_members(slug, record, "has signed a contract")
    order_of = {payment.out_trade_no: payment.order_id for payment in record.payments}
    orders = {order.order_id: order for order in record.orders}
    taken: Counter[str] = Counter()
    problems = []
    for debit in members.debits:
        name = f"debit {debit.out_trade_no}"
        order = orders.get(order_of.get(debit.out_trade_no) or "")
        if not debit.is_signed:
            problems.append(f"{name} of {debit.amount_fen} fen: its payer had signed nothing")
        elif debit.amount_fen > debit.limit_fen:
            problems.append(f"{name} of {debit.amount_fen} fen is above the contract's {debit.limit_fen}")
        if order is None:
            problems.append(f"{name} is for no order of ours")
            continue
        if order.order_id not in members.by_contract:
            problems.append(f"{name}: the phone of order {order.order_id} asked for no debit")
        if debit.amount_fen != order.payable_fen:
            problems.append(
                f"{name} is of {debit.amount_fen} fen, order {order.order_id} of {order.payable_fen}"
            )
        taken[order.order_id] += debit.paid_fen > 0
    problems += [
        f"order {order_id} was debited {times} times" for order_id, times in taken.items() if times > 1
    ]
    if not taken.total() and not problems:
        return nothing_seen(slug, record, "nothing was debited by contract")
    asked = sum(order_id in orders for order_id in members.by_contract)
    figures = {"asked": asked, "tried": len(members.debits), "debited": taken.total()}
    good = f"{taken.total():,} of {asked:,} orders that asked for it debited once, within a signed contract"
    return answer(slug, record, problems, good, figures)
