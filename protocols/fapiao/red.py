"""The confirmation form of a red letter, as a table: state x event -> state.

A fully digital invoice is not cancelled but reversed by a red letter, and a red letter needs a form in one of the states
`01` or `04`. The codes are the tax bureau's; Nuonuo (queryInvoiceRedConfirm, V2) and Baiwang (redinvoice.*) show the same
ones. `10` is in the bureau's own list (hzqrxxztDm) and missing from Nuonuo's.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols.sansio import LocalProtocolError

__all__ = [
    "RED_FORM_LIFE_US",
    "RED_FORM_MOVES",
    "RED_REASONS",
    "RedFormEvent",
    "RedFormState",
    "move_red_form",
]

RED_FORM_LIFE_US: Final = 72 * 3600 * 1_000_000
"""A form that nobody confirms is void after 72 hours."""

RED_REASONS: Final = MappingProxyType(
    {"01": "开票有误", "02": "销货退回", "03": "服务中止", "04": "销售折让"}
)
"""The bureau's reason labels."""


class RedFormState(StrEnum):
    """``confirmState`` (Baiwang), ``billStatus`` (Nuonuo)."""

    NONE_NEEDED = "01"
    WAITS_FOR_BUYER = "02"
    WAITS_FOR_SELLER = "03"
    CONFIRMED = "04"
    DENIED_BY_BUYER = "05"
    DENIED_BY_SELLER = "06"
    EXPIRED = "07"
    REVOKED = "08"
    REVOKED_AFTER_CONFIRMATION = "09"
    ABNORMAL = "10"

    @property
    def is_waiting(self) -> bool:
        """Whether the other side has to say something."""
        return self in {RedFormState.WAITS_FOR_BUYER, RedFormState.WAITS_FOR_SELLER}

    @property
    def allows_red(self) -> bool:
        """Whether a red letter may be issued on it."""
        return self in {RedFormState.NONE_NEEDED, RedFormState.CONFIRMED}

    @property
    def is_void(self) -> bool:
        """Whether it is over without a red letter."""
        return not self.is_waiting and not self.allows_red


class RedFormEvent(StrEnum):
    """What happens to a form; ``abnormal``: the blue invoice was declared an abnormal voucher."""

    CONFIRM = "confirm"
    DENY = "deny"
    EXPIRE = "expire"
    REVOKE = "revoke"
    ABNORMAL = "abnormal"


RED_FORM_MOVES: Final = MappingProxyType(
    {
        (RedFormState.WAITS_FOR_BUYER, RedFormEvent.CONFIRM): RedFormState.CONFIRMED,
        (RedFormState.WAITS_FOR_BUYER, RedFormEvent.DENY): RedFormState.DENIED_BY_BUYER,
        (RedFormState.WAITS_FOR_SELLER, RedFormEvent.CONFIRM): RedFormState.CONFIRMED,
        (RedFormState.WAITS_FOR_SELLER, RedFormEvent.DENY): RedFormState.DENIED_BY_SELLER,
        **{
            (state, event): end
            for state in (RedFormState.WAITS_FOR_BUYER, RedFormState.WAITS_FOR_SELLER)
            for event, end in (
                (RedFormEvent.EXPIRE, RedFormState.EXPIRED),
                (RedFormEvent.REVOKE, RedFormState.REVOKED),
            )
        },
        (RedFormState.NONE_NEEDED, RedFormEvent.REVOKE): RedFormState.REVOKED,
        (RedFormState.CONFIRMED, RedFormEvent.REVOKE): RedFormState.REVOKED_AFTER_CONFIRMATION,
        **{
            (state, RedFormEvent.ABNORMAL): RedFormState.ABNORMAL
            for state in (
                RedFormState.NONE_NEEDED,
                RedFormState.WAITS_FOR_BUYER,
                RedFormState.WAITS_FOR_SELLER,
                RedFormState.CONFIRMED,
            )
        },
    }
)
"""All moves there are; the states 05 to 10 are final. Once the red letter exists the form moves no more."""


def move_red_form(state: RedFormState, event: RedFormEvent) -> RedFormState:
    """The next state.

    Raises:
        LocalProtocolError: the table has no such move.
    """
    moved = RED_FORM_MOVES.get((state, event))
    if moved is None:
        raise LocalProtocolError(f"a red-letter form in {state} ({state.name}) does not take {event!s}")
    return moved
