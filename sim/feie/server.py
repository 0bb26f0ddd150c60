"""Feie's cloud: ``POST /Api/Open/`` for accounts that own printers, and the queues in between.

Facts: the vendor's demo code (names, replies, limits), the document at help.feieyun.com as quoted by open clients, and what
these met on the real platform: an order for a printer that is away is taken with ``ret`` 0, waits in the cloud, and comes out
by itself when the printer is back. What is not published is in `FeieSwitches` or marked unproven beside its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from starlette.types import ASGIApp

from protocols.feie import (
    CONTENT_MOST_BYTES,
    PATH,
    PRINTERS_AT_ONCE,
    TIMES_MOST,
    Api,
    PrinterState,
    Reply,
    Ret,
    encode_reply,
    parse_printer_lines,
    signature_fits,
)
from sim.feie.callbacks import Callbacks
from sim.feie.control import feie_control
from sim.feie.device import CloudPrinter
from sim.feie.forms import FormService
from sim.feie.orders import Order, OrderBook
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.webapi import Call, CallFault, Route

__all__ = ["Feie", "FeieAccount", "FeieError", "FeieSwitches"]

_AT_ONCE: Final = LatencyProfile.constant(0)
_SN: Final = re.compile(r"[0-9A-Za-z]{6,20}")
_NO_TEXT: Final = ("", "null", "undefined")
_BUSY: Final = -1
_TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        _BUSY: "系统繁忙 : 请稍后再试.",  # unproven
        Ret.PARAMETER: "参数错误 : 该帐号未注册.",
        Ret.SIGNATURE: "验证失败 : 签名错误.",
        Ret.NUMBER: "验证失败 : 打印机编号不合法。",
        Ret.NOT_YOURS: "验证失败 : 打印机编号和用户不匹配.",
    }
)
_EMPTY: Final = '参数错误 : 参数值不能传空字符，""、"null"、"undefined".'


class FeieError(Exception):
    """A refusal."""

    def __init__(self, ret: int, text: str = "") -> None:
        super().__init__(text or _TEXTS[ret])
        self.ret = ret


@dataclass(frozen=True, slots=True)
class FeieAccount:
    """A developer's account and the numbers of the printers that it owns from the start."""

    user: str
    ukey: str
    printers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FeieSwitches:
    """What is not published. All unproven.

    Attributes:
        clock_window_s: how far ``stime`` may be off before the signature counts as wrong (clients report that there is a
            window, none says how wide); None: any time is taken.
        hands_over_again: an order over which the printer lost power is handed over anew, whole and unmarked; otherwise it
            is never printed and never counts as printed.
        calls_per_s: of an account, beyond that ``ret`` -1; None: no limit.
    """

    clock_window_s: int | None = 3600
    hands_over_again: bool = False
    calls_per_s: int | None = None


class Feie:
    """The platform.

    Args:
        kernel: clock, streams and trace.
        accounts: who may call.
        printers: all that were ever made; an account gets one by its number and key.
        callback_key: signs what a ``backurl`` is told; None sends nothing.
        notify_client: carries it; None sends nothing.
        switches: what is not published.
        latency: its own share of a call's time; an assumption.
        faults: its schedule of faults.
        entity: its name in streams and trace.

    Attributes:
        orders, printers: the books and the devices by number.
        callbacks: what was told to whom.
        app: the host's application. control_app: faults, printers, orders.
    """

    def __init__(
        self,
        kernel: Kernel,
        accounts: Iterable[FeieAccount],
        printers: Iterable[CloudPrinter],
        *,
        callback_key: RSAPrivateKey | None = None,
        notify_client: httpx.AsyncClient | None = None,
        switches: FeieSwitches | None = None,
        latency: LatencyProfile = _AT_ONCE,
        faults: Iterable[CallFault] = (),
        entity: str = "feie",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self.printers = {printer.sn: printer for printer in printers}
        self.orders = OrderBook(kernel, entity)
        self.callbacks = Callbacks(kernel, entity, callback_key, notify_client)
        self._switches = switches or FeieSwitches()
        self._accounts: dict[str, FeieAccount] = {}
        self._owner: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._out: dict[str, str] = {}  # printer -> the order that it was handed
        self._calls: dict[str, tuple[int, int]] = {}
        for account in accounts:
            self._accounts[account.user] = account
            self._owner.update(dict.fromkeys(account.printers, account.user))
        for printer in self.printers.values():
            printer.on_change = lambda printer=printer: self._serve(printer)
        works: dict[Api, Callable[[str, Call], Any]] = {
            Api.ADD: self._add,
            Api.DELETE: self._delete,
            Api.EDIT: self._edit,
            Api.INFO: self._info,
            Api.PRINT: self._print,
            Api.PRINT_LABEL: self._label,
            Api.CLEAR_QUEUE: self._clear,
            Api.ORDER_STATE: self._order_state,
            Api.ORDERS_BY_DATE: self._by_date,
            Api.PRINTER_STATUS: self._status,
        }
        self.service = FormService(
            kernel,
            entity,
            [Route(f"{PATH}{api}", ("POST",), str(api), self._guarded(work)) for api, work in works.items()],
            stranger=Route(PATH, ("POST",), "unknown", self._guarded(self._unknown)),
            refuse=self._refused,
            unknown=lambda _path, _methods: (404, None),
            latency=latency,
            faults=faults,
        )
        self.faults = self.service.faults
        self.app: ASGIApp = self.service
        self.control_app: ASGIApp = feie_control(self)

    # -- one call -----------------------------------------------------------------------------------------------

    def _guarded(self, work: Callable[[str, Call], Any]) -> Callable[[Call], dict[str, Any]]:
        def done(call: Call) -> dict[str, Any]:
            try:
                user = self._admit(call.query)
                reply = Reply(Ret.OK, "ok", work(user, call))
            except FeieError as error:
                self.kernel.trace.emit("feie.refused", self.entity, call=call.name, ret=error.ret)
                reply = Reply(error.ret, str(error))
            return encode_reply(reply, 1)

        return done

    def _refused(self, ret: int) -> dict[str, Any]:
        ret = ret or _BUSY
        return encode_reply(Reply(ret, _TEXTS.get(ret, _TEXTS[_BUSY])), 1)

    def _admit(self, form: Mapping[str, str]) -> str:
        user, stime, sig = (form.get(name, "") for name in ("user", "stime", "sig"))
        account = self._accounts.get(user)
        if account is None:
            raise FeieError(Ret.PARAMETER)
        if not signature_fits(user, account.ukey, stime, sig) or not self._is_timely(stime):
            raise FeieError(Ret.SIGNATURE)
        second = self.kernel.unix_us // 1_000_000
        begun, count = self._calls.get(user, (second, 0))
        self._calls[user] = (second, count + 1 if begun == second else 1)
        limit = self._switches.calls_per_s
        if limit is not None and self._calls[user][1] > limit:
            raise FeieError(_BUSY)
        return user

    def _is_timely(self, stime: str) -> bool:
        window_s = self._switches.clock_window_s
        if window_s is None:
            return True
        if not (stime.isascii() and stime.isdigit() and len(stime) <= 10):
            return False
        return abs(int(stime) - self.kernel.unix_us // 1_000_000) <= window_s

    @staticmethod
    def _field(call: Call, name: str) -> str:
        value = call.query.get(name, "")
        if value in _NO_TEXT:
            raise FeieError(Ret.PARAMETER, _EMPTY)
        return value

    def _printer(self, user: str, call: Call) -> CloudPrinter:
        if "sn" not in call.query:
            raise FeieError(Ret.NUMBER, "参数错误 : 打印机编号和用户uid不能为空.")
        sn = self._field(call, "sn")
        if not _SN.fullmatch(sn):
            raise FeieError(Ret.NUMBER)
        if self._owner.get(sn) != user:
            raise FeieError(Ret.NOT_YOURS)
        return self.printers[sn]

    # -- the calls ----------------------------------------------------------------------------------------------

    def _unknown(self, _user: str, _call: Call) -> Any:
        raise FeieError(Ret.PARAMETER, "参数错误 : 接口名称不存在.")  # unproven

    def _add(self, user: str, call: Call) -> dict[str, list[str]]:
        lines = parse_printer_lines(self._field(call, "printerContent"))
        if len(lines) > PRINTERS_AT_ONCE:
            raise FeieError(Ret.PARAMETER, f"参数错误 : 每次最多添加{PRINTERS_AT_ONCE}台.")  # unproven
        ok, no = [], []
        for line in lines:
            printer = self.printers.get(line.sn)
            if printer is None or printer.key != line.key:
                no.append(f"{line.raw}  （错误：识别码不正确）")
            elif line.sn in self._owner:
                no.append(f"{line.raw}  （错误：已被添加过）")  # unproven
            else:
                self._owner[line.sn] = user
                self._names[line.sn] = line.name
                ok.append(line.raw)
        return {"ok": ok, "no": no}

    def _delete(self, user: str, call: Call) -> dict[str, list[str]]:
        ok, no = [], []
        for sn in self._field(call, "snlist").split("-"):
            if sn not in self._owner:
                no.append(f"{sn}打印机不存在")
            elif self._owner[sn] != user:
                no.append(f"{sn}用户UID不匹配")
            else:
                del self._owner[sn]
                ok.append(f"{sn}成功")
        return {"ok": ok, "no": no}

    def _edit(self, user: str, call: Call) -> bool:
        printer = self._printer(user, call)
        self._names[printer.sn] = self._field(call, "name")
        if "phonenum" in call.query:  # may be left out, but not empty
            self._field(call, "phonenum")
        return True

    def _info(self, user: str, call: Call) -> dict[str, Any]:
        """Clients read ``model``, ``status``, ``printlogo``, ``scanSwitch`` and ``waiting``; how their values look is unproven."""
        printer = self._printer(user, call)
        return {
            "sn": printer.sn,
            "name": self._names.get(printer.sn, ""),
            "model": printer.model,
            "status": str(self.state_of(printer)),
            "printlogo": False,
            "scanSwitch": False,
            "waiting": self.orders.waiting(printer.sn),
        }

    def _print(self, user: str, call: Call) -> str:
        printer = self._printer(user, call)
        content = self._field(call, "content")
        if len(content.encode("utf-8", "replace")) > CONTENT_MOST_BYTES:
            raise FeieError(
                Ret.PARAMETER, f"参数错误 : 打印内容不能超过{CONTENT_MOST_BYTES}字节."
            )  # unproven
        times = call.query.get("times", "1")
        # All of it is looked at: 0001000000 begins as a small number does.
        if not (times.isascii() and times.isdigit() and len(times) <= 4 and 1 <= int(times) <= TIMES_MOST):
            raise FeieError(Ret.PARAMETER, f"参数错误 : 打印次数为1到{TIMES_MOST}.")  # unproven
        expired = call.query.get("expired", "")
        expires_us = int(expired) * 1_000_000 if re.fullmatch(r"[0-9]{10}", expired) else None
        order = self.orders.add(
            printer.sn,
            content,
            int(times),
            backurl=call.query.get("backurl", ""),
            expires_us=expires_us,
        )
        self._serve(printer)
        return order.number

    def _label(self, user: str, call: Call) -> str:
        """Only printers for receipts are simulated, and these are not for labels."""
        self._printer(user, call)
        raise FeieError(Ret.NUMBER, "验证失败 : 该打印机不是标签机.")  # unproven

    def _clear(self, user: str, call: Call) -> bool:
        self.orders.clear(self._printer(user, call).sn)
        return True

    def _order_state(self, user: str, call: Call) -> bool:
        order = self.orders.find(self._field(call, "orderid"))
        if order is None or self._owner.get(order.sn) != user:
            raise FeieError(Ret.NUMBER, "参数错误 : 订单ID错误.")
        return order.printed_us is not None

    def _by_date(self, user: str, call: Call) -> dict[str, int]:
        printer = self._printer(user, call)
        try:
            day = date.fromisoformat(self._field(call, "date"))
        except ValueError:
            raise FeieError(Ret.PARAMETER, "参数错误 : 日期格式错误.") from None  # unproven
        return self.orders.counts(printer.sn, day)

    def _status(self, user: str, call: Call) -> str:
        return str(self.state_of(self._printer(user, call)))

    # -- between cloud and printer ------------------------------------------------------------------------------

    def state_of(self, printer: CloudPrinter) -> PrinterState:
        """What the cloud believes of a printer: a lost one counts as it was for two minutes more."""
        if not printer.is_online:
            return PrinterState.OFFLINE
        return PrinterState.FAULT if printer.has_fault else PrinterState.READY

    def _serve(self, printer: CloudPrinter) -> None:
        for number in printer.take_reports():
            self._out.pop(printer.sn, None)
            self.callbacks.printed(self.orders.printed(number))
        out = self._out.get(printer.sn)
        if out is not None and not printer.holds and printer.is_reachable:
            del self._out[printer.sn]
            self._power_was_lost(out)
        if printer.takes_orders and printer.sn not in self._out:
            order: Order | None = self.orders.next_for(printer.sn)
            if order is not None:
                self._out[printer.sn] = order.number
                printer.hand_over(order.number, order.content, order.times)

    def _power_was_lost(self, number: str) -> None:
        if self._switches.hands_over_again:
            self.orders.put_back(number)
        else:
            self.orders.lose(number)
