"""How many requests a second the platform takes from one merchant."""

from __future__ import annotations

from typing import Final

from protocols.wechatpay import Endpoint, refusal

__all__ = ["RateLimits"]

_LIMITS_PER_S: Final = {
    Endpoint.REFUND: 150,
    Endpoint.REFUND_QUERY: 300,
    Endpoint.CERTIFICATES: 1000,
    Endpoint.FUND_BILL: 3,
}
"""Published rates for each merchant (WXDOC refund, refund query, certificate and fund bill pages)."""
_WRONG_PER_S: Final = {Endpoint.REFUND: 6}
"""After so many refused requests in a second the rest of it is refused as well (WXDOC refund page)."""


class RateLimits:
    """Counts by the clock's seconds; that the real platform's window is such a second is unproven."""

    def __init__(self, *, is_on: bool, code: str = "FREQUENCY_LIMITED") -> None:
        self._is_on = is_on
        self._code = code
        self._seen: dict[tuple[str, Endpoint], tuple[int, int]] = {}
        self._wrong: dict[tuple[str, Endpoint], tuple[int, int]] = {}

    def admit(self, mchid: str, endpoint: Endpoint, second: int) -> None:
        """Count a request.

        Raises:
            ApiError: 429: it is one too many.
        """
        limit = _LIMITS_PER_S.get(endpoint)
        if limit is None or not self._is_on:
            return
        key = (mchid, endpoint)
        begun, wrong = self._wrong.get(key, (second, 0))
        if begun == second and wrong >= _WRONG_PER_S.get(endpoint, limit):
            raise refusal(endpoint, self._code)
        if _count(self._seen, key, second) > limit:
            raise refusal(endpoint, self._code)

    def count_error(self, mchid: str, endpoint: Endpoint, second: int) -> None:
        """A request of this second was refused."""
        if self._is_on and endpoint in _WRONG_PER_S:
            _count(self._wrong, (mchid, endpoint), second)


def _count(
    windows: dict[tuple[str, Endpoint], tuple[int, int]], key: tuple[str, Endpoint], second: int
) -> int:
    begun, count = windows.get(key, (second, 0))
    count = count + 1 if begun == second else 1
    windows[key] = (second, count)
    return count
