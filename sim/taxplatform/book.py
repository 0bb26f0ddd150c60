"""The book of invoices and red letters that the platforms of one tax bureau share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial

from protocols.fapiao import (
    RED_FORM_LIFE_US,
    FapiaoEvent,
    FapiaoState,
    InvoiceLine,
    LineError,
    RedFormEvent,
    RedFormState,
    move_red_form,
)
from protocols.sansio import LocalProtocolError
from sim.latency import LatencyProfile
from sim.taxplatform.bureau import TaxAccount, TaxBureau
from sim.taxplatform.entries import Draft, Invoice, RedForm
from sim.taxplatform.platform import ISSUE_LATENCY, REVERSE_LATENCY

__all__ = ["BookError", "BookProblem", "InvoiceBook"]

_CREDIT_SHORT = "授信额度不足，请联系主管税务机关"


class BookProblem(StrEnum):
    """Why the book says no; each platform has its own code for it."""

    EXISTS = "exists"
    NOT_FOUND = "not-found"
    NOT_ISSUED = "not-issued"
    ALREADY_RED = "already-red"
    FORM_STATE = "form-state"
    AMOUNT = "amount"


class BookError(Exception):
    """The book says no.

    Attributes:
        problem: why.
        message: for the person who reads it.
    """

    def __init__(self, problem: BookProblem, message: str) -> None:
        self.problem = problem
        self.message = message
        super().__init__(f"{problem}: {message}")


class InvoiceBook:
    """Blue invoices, red letters and their confirmation forms.

    A red letter of an invoice whose buyer has not taken it up (for deduction or into the books) needs no confirmation;
    otherwise the other side has 72 hours. `take_up`, `confirm` and `deny` are the buyer's hand.

    Args:
        bureau: numbers, stock, credit line, faults.
        accounts: who may issue.
        issue_latency: accepted to issued.
        red_latency: form ready to red letter issued.
        entity: name of its random streams.

    Attributes:
        accounts: taxpayer id -> account.
        invoices: (platform, taxpayer id, serial) -> invoice, blue and red, in order of arrival.
        numbers: 20 digits -> invoice.
        forms: (taxpayer id of the seller, serial) -> form, in order of arrival.

    Raises:
        ValueError: two accounts of one taxpayer.
    """

    def __init__(
        self,
        bureau: TaxBureau,
        accounts: Iterable[TaxAccount],
        *,
        issue_latency: LatencyProfile = ISSUE_LATENCY,
        red_latency: LatencyProfile = REVERSE_LATENCY,
        entity: str = "invoicebook",
    ) -> None:
        self.bureau = bureau
        self._kernel = bureau.kernel
        self._issue_latency = issue_latency
        self._red_latency = red_latency
        self._issue_rng: random.Random = self._kernel.streams.get(entity, "issue")
        self._red_rng: random.Random = self._kernel.streams.get(entity, "red")
        self.accounts: dict[str, TaxAccount] = {}
        for account in accounts:
            if account.taxpayer_id in self.accounts:
                raise ValueError(f"two accounts have the taxpayer id {account.taxpayer_id}")
            self.accounts[account.taxpayer_id] = account
        self.invoices: dict[tuple[str, str, str], Invoice] = {}
        self.numbers: dict[str, Invoice] = {}
        self.forms: dict[tuple[str, str], RedForm] = {}
        self._form_count = 0

    # -- blue invoices ----------------------------------------------------------------------------------------------

    def submit(self, draft: Draft, ended: Callable[[Invoice], object]) -> Invoice:
        """Accept a blue invoice; ``ended(invoice)`` is called when it is issued or has failed.

        Raises:
            BookError: the serial is taken (`BookProblem.EXISTS`): the one that has it is in `invoices`.
        """
        if draft.key in self.invoices:
            raise BookError(BookProblem.EXISTS, "订单编号已存在，请查询开票结果")
        invoice = self.invoices[draft.key] = Invoice(draft, self._kernel.now_us, on_end=ended)
        self.bureau.emit("fapiao.accepted", serial=draft.serial, gross_fen=draft.gross_fen)
        self._kernel.call_later(self._issue_latency.draw(self._issue_rng), self._issue, invoice)
        return invoice

    def retry(self, invoice: Invoice) -> None:
        """Try a failed invoice again, under the same serial.

        Raises:
            BookError: it has not failed.
        """
        if invoice.state is not FapiaoState.ISSUE_FAILED:
            raise BookError(BookProblem.EXISTS, "开票未失败，无需重试")
        invoice.state, invoice.reason, invoice.ended_us = FapiaoState.ISSUE_ACCEPTED, "", None
        self.bureau.emit("fapiao.accepted", serial=invoice.draft.serial, gross_fen=invoice.draft.gross_fen)
        self._kernel.call_later(self._issue_latency.draw(self._issue_rng), self._issue, invoice)

    def find(self, platform: str, taxpayer_id: str, serial: str) -> Invoice | None:
        """An invoice by its merchant's number."""
        return self.invoices.get((platform, taxpayer_id, serial))

    def issued(self, taxpayer_id: str, number: str) -> Invoice:
        """A blue invoice of a seller by its 20 digits; which platform issued it does not matter.

        Raises:
            BookError: there is none.
        """
        invoice = self.numbers.get(number)
        if invoice is None or invoice.draft.taxpayer_id != taxpayer_id or invoice.draft.is_red:
            raise BookError(BookProblem.NOT_FOUND, "未查询到对应的蓝字发票")
        return invoice

    def _issue(self, invoice: Invoice) -> None:
        draft = invoice.draft
        if self.bureau.hold(draft.serial, partial(self._issue, invoice)):
            return
        account = self.accounts[draft.taxpayer_id]
        reason = "" if self.bureau.take_credit(account, draft.gross_fen, draft.serial) else _CREDIT_SHORT
        if not reason:
            reason = self.bureau.take_stock(account, self._litres(draft.lines), draft.serial)
            if reason:
                self.bureau.give_credit(account, draft.gross_fen)
        if reason:
            invoice.reason = reason
            invoice.move(FapiaoEvent.REFUSE)
            self.bureau.emit("fapiao.failed", serial=draft.serial, reason=reason)
        else:
            self._number(invoice)
            waited_us = self._kernel.now_us - invoice.accepted_us
            self.bureau.emit(
                "fapiao.issued", serial=draft.serial, numbers=[invoice.number], after_us=waited_us
            )
        invoice.end(self._kernel.now_us)

    def _number(self, invoice: Invoice) -> None:
        invoice.number = self.bureau.next_number()
        invoice.issued_unix_us = self._kernel.unix_us
        invoice.move(FapiaoEvent.ISSUE)
        self.numbers[invoice.number] = invoice

    def _litres(self, lines: Iterable[InvoiceLine]) -> dict[str, int]:
        litres: dict[str, int] = {}
        for line in lines:
            if line.tax_code in self.bureau.litres_per_ton:
                litres[line.tax_code] = litres.get(line.tax_code, 0) + abs(
                    line.litres_e8(self.bureau.litres_per_ton)
                )
        return litres

    # -- the buyer's hand -------------------------------------------------------------------------------------------

    def take_up(self, number: str) -> None:
        """The buyer deducts the invoice or enters it in the books: from now on a red letter needs confirmation.

        Raises:
            KeyError: no such invoice.
        """
        self.numbers[number].taken_up = True

    def declare_abnormal(self, number: str) -> None:
        """The bureau declares an invoice an abnormal voucher: its open forms become void.

        Raises:
            KeyError: no such invoice.
        """
        invoice = self.numbers[number]
        for form in self.forms.values():
            if form.blue is invoice and form.red is None and not form.state.is_void:
                self._move(form, RedFormEvent.ABNORMAL)

    # -- red letters ------------------------------------------------------------------------------------------------

    def apply_red(
        self,
        blue: Invoice,
        *,
        platform: str,
        serial: str,
        by_seller: bool,
        reason: str,
        parts: Mapping[int, tuple[int, int, int]] | None = None,
        auto_issue: bool = True,
        red_serial: str = "",
        callback_url: str = "",
        ended: Callable[[Invoice], object] | None = None,
    ) -> RedForm:
        """Enter a form for all of an invoice or ``parts`` of it: line index -> (quantity_e8, net_fen, tax_fen).

        Raises:
            BookError: the serial is taken, the invoice is not issued or is red already, or the amounts do not fit.
        """
        key = (blue.draft.taxpayer_id, serial)
        if key in self.forms:
            raise BookError(BookProblem.EXISTS, "红字确认单申请号不能重复")
        if blue.state is not FapiaoState.ISSUED:
            already = blue.state in {FapiaoState.REVERSED, FapiaoState.REVERSE_ACCEPTED}
            raise BookError(
                BookProblem.ALREADY_RED if already else BookProblem.NOT_ISSUED,
                "该发票已全额冲红" if already else "蓝字发票未开具成功",
            )
        lines = self._red_lines(blue, parts or {})
        self._form_count += 1
        state = RedFormState.NONE_NEEDED
        if not by_seller:
            state = RedFormState.WAITS_FOR_SELLER
        elif blue.taken_up:
            state = RedFormState.WAITS_FOR_BUYER
        form = RedForm(
            blue=blue,
            serial=serial,
            platform=platform,
            sequence=self._form_count,
            by_seller=by_seller,
            reason=reason,
            lines=lines,
            auto_issue=auto_issue,
            red_serial=red_serial or serial,
            entered_unix_us=self._kernel.unix_us,
            state=state,
            on_red=ended,
            callback_url=callback_url,
        )
        self.forms[key] = form
        blue.red_claims.append(form)
        self.bureau.emit("redform.entered", serial=serial, number=blue.number, state=str(state))
        if state.is_waiting:
            self._kernel.call_later(RED_FORM_LIFE_US, self._expire, form)
        else:
            self._ready(form)
        return form

    def _red_lines(self, blue: Invoice, parts: Mapping[int, tuple[int, int, int]]) -> tuple[InvoiceLine, ...]:
        """The lines of the red letter; with what other live forms claim they do not exceed the blue ones."""
        live = [form for form in blue.red_claims if not form.state.is_void]
        if live and not parts:
            raise BookError(BookProblem.ALREADY_RED, "该发票不能重复冲红")
        try:
            if not parts:
                return tuple(line.red() for line in blue.draft.lines)
            lines = [blue.draft.lines[place].red(part) for place, part in sorted(parts.items())]
        except IndexError:
            raise BookError(BookProblem.AMOUNT, "明细序号不存在") from None
        except LineError as error:
            raise BookError(BookProblem.AMOUNT, str(error)) from None
        claimed = sum(form.gross_fen for form in live) + sum(line.figures.gross_fen for line in lines)
        if -claimed > blue.draft.gross_fen:
            raise BookError(BookProblem.AMOUNT, "累计红字金额超过原蓝票金额")
        return tuple(lines)

    def confirm(self, form: RedForm, *, by_seller: bool) -> None:
        """The other side agrees.

        Raises:
            BookError: it is not that side's turn.
        """
        self._other_side(form, by_seller, RedFormEvent.CONFIRM)
        form.confirmed_unix_us = self._kernel.unix_us
        self._ready(form)

    def deny(self, form: RedForm, *, by_seller: bool) -> None:
        """The other side does not agree.

        Raises:
            BookError: it is not that side's turn.
        """
        self._other_side(form, by_seller, RedFormEvent.DENY)

    def revoke(self, form: RedForm, *, by_seller: bool) -> None:
        """Who entered the form takes it back; possible until the red letter exists.

        Raises:
            BookError: by the wrong side, or too late.
        """
        if form.by_seller is not by_seller or form.red is not None:
            raise BookError(BookProblem.FORM_STATE, "当前状态不允许撤销红字确认单")
        self._move(form, RedFormEvent.REVOKE)

    def issue_red(self, form: RedForm) -> Invoice:
        """Issue the red letter of a form that allows it; asking again gives the same one.

        Raises:
            BookError: the form does not allow it.
        """
        if form.red is not None:
            return form.red
        if not form.state.allows_red:
            raise BookError(BookProblem.FORM_STATE, "红字确认单未确认或已作废，不能开具红票")
        blue = form.blue.draft
        draft = Draft(
            platform=form.platform,
            taxpayer_id=blue.taxpayer_id,
            serial=form.red_serial,
            kind=blue.kind,
            buyer_name=blue.buyer_name,
            buyer_tax_id=blue.buyer_tax_id,
            lines=form.lines,
            blue_number=form.blue.number,
            callback_url=form.callback_url or blue.callback_url,
            red_form_number=form.number,
        )
        if draft.key in self.invoices:
            raise BookError(BookProblem.EXISTS, "红票订单编号已存在")
        red = form.red = self.invoices[draft.key] = Invoice(draft, self._kernel.now_us, on_end=form.on_red)
        if form.is_full:
            form.blue.move(FapiaoEvent.REVERSE)
        self.bureau.emit("fapiao.reverse-accepted", serial=form.serial, reason=form.reason)
        self._kernel.call_later(self._red_latency.draw(self._red_rng), self._finish_red, form)
        return red

    def forms_of(self, taxpayer_id: str, *, as_seller: bool) -> list[RedForm]:
        """All forms in which a taxpayer is the seller, or the buyer."""
        return [form for form in self.forms.values() if form.side(as_seller) == taxpayer_id]

    def form(
        self, taxpayer_id: str, *, as_seller: bool, serial: str = "", number: str = "", uuid: str = ""
    ) -> RedForm:
        """One form by its uuid, else by its serial, else by its number.

        Raises:
            BookError: there is none.
        """
        attribute, wanted = ("uuid", uuid) if uuid else ("serial", serial) if serial else ("number", number)
        for form in self.forms_of(taxpayer_id, as_seller=as_seller):
            if getattr(form, attribute) == wanted:
                return form
        raise BookError(BookProblem.NOT_FOUND, "未查询到红字确认单")

    def _other_side(self, form: RedForm, by_seller: bool, event: RedFormEvent) -> None:
        if form.by_seller is by_seller:
            raise BookError(BookProblem.FORM_STATE, "只能由对方确认红字确认单")
        self._move(form, event)

    def _move(self, form: RedForm, event: RedFormEvent) -> None:
        try:
            form.state = move_red_form(form.state, event)
        except LocalProtocolError:
            raise BookError(BookProblem.FORM_STATE, f"红字确认单状态为{form.state}，不允许该操作") from None
        self.bureau.emit("redform.moved", serial=form.serial, state=str(form.state))

    def _expire(self, form: RedForm) -> None:
        if form.state.is_waiting:
            self._move(form, RedFormEvent.EXPIRE)

    def _ready(self, form: RedForm) -> None:
        if form.auto_issue:
            self.issue_red(form)

    def _finish_red(self, form: RedForm) -> None:
        if self.bureau.hold(form.serial, partial(self._finish_red, form)):
            return
        red = form.red
        assert red is not None  # noqa: S101 # issue_red made it
        self._number(red)
        blue = form.blue
        blue.red_numbers.append(red.number)
        taken_back = sum(self.numbers[number].draft.gross_fen for number in blue.red_numbers)
        if not form.is_full and -taken_back == blue.draft.gross_fen:
            blue.move(FapiaoEvent.REVERSE)  # the last of the partial ones
        if -taken_back == blue.draft.gross_fen:
            blue.move(FapiaoEvent.RED_ISSUED)
        self.bureau.return_stock(self.accounts[red.draft.taxpayer_id], self._litres(form.lines))
        self.bureau.emit("fapiao.reversed", serial=form.serial, numbers=[red.number])
        red.end(self._kernel.now_us)
