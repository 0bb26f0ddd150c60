"""Access tokens: a new one ends the old one, a stable one is handed out again until shortly before its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sim.webapi import Words, china_time
from sim.wechatserver.errors import WeChatError

__all__ = ["AccessTokens", "TokenRules"]

_SECOND_US: Final = 1_000_000
_LENGTH: Final = 136
_KEPT_US: Final = 86_400 * _SECOND_US
_NEVER: Final = 1 << 62


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """How long tokens live (developers.weixin.qq.com, getAccessToken and getStableAccessToken).

    Attributes:
        life_s: ``expires_in``.
        overlap_s: how long a token of ``/cgi-bin/token`` lives on beside the next one. 0: the next one ends it at once, the
            harder reading of "a repeated call makes the last token invalid"; the guide speaks of up to 300 s.
        stable_renew_s: a stable token is renewed when it has only so long to live, and old and new are both good meanwhile.
        force_every_s: ``force_refresh`` within this time gives the same token again.
        force_per_day: beyond so many a day it refuses.
        fetches_per_day: ``/cgi-bin/token``.
    """

    life_s: int = 7_200
    overlap_s: int = 0
    stable_renew_s: int = 300
    force_every_s: int = 30
    force_per_day: int = 20
    fetches_per_day: int = 2_000


@dataclass(slots=True)
class _Token:
    appid: str
    word: str
    expires_us: int
    ends_us: int = _NEVER  # because another took its place


class AccessTokens:
    """All access tokens that the server has given out.

    Args:
        words: where they come from.
        unix_us: the clock.
        rules: how long they live.
    """

    def __init__(self, words: Words, unix_us: Callable[[], int], rules: TokenRules) -> None:
        self._words = words
        self._unix_us = unix_us
        self._rules = rules
        self._all: dict[str, _Token] = {}
        self._latest: dict[str, _Token] = {}
        self._stable: dict[str, _Token] = {}
        self._forced_us: dict[str, int] = {}
        self._calls: dict[tuple[str, str], tuple[int, int]] = {}
        self.given: dict[str, int] = {}

    def fetch(self, appid: str) -> tuple[str, int]:
        """A new token and its life in seconds; the one before it ends.

        Raises:
            WeChatError: the day's calls are used up.
        """
        self._count(appid, "token", self._rules.fetches_per_day)
        before = self._latest.get(appid)
        if before is not None:
            before.ends_us = min(before.ends_us, self._unix_us() + self._rules.overlap_s * _SECOND_US)
        token = self._latest[appid] = self._make(appid)
        return token.word, self._rules.life_s

    def stable(self, appid: str, *, force: bool) -> tuple[str, int]:
        """The stable token and how long it still lives, in seconds; apart from those of `fetch`.

        Raises:
            WeChatError: the day's forced refreshes are used up.
        """
        now_us = self._unix_us()
        token = self._stable.get(appid)
        if token is None or token.expires_us <= now_us:
            token = self._stable[appid] = self._make(appid)
        elif force:
            if now_us - self._forced_us.get(appid, -_NEVER) >= self._rules.force_every_s * _SECOND_US:
                self._count(appid, "force", self._rules.force_per_day)
                token.ends_us = now_us
                token = self._stable[appid] = self._make(appid)
                self._forced_us[appid] = now_us
        elif token.expires_us - now_us <= self._rules.stable_renew_s * _SECOND_US:
            token = self._stable[appid] = self._make(appid)  # the old one lives to its own end
        return token.word, (token.expires_us - now_us) // _SECOND_US

    def check(self, word: str) -> str:
        """The mini-program that a token stands for.

        Raises:
            WeChatError: 41001 there is none, 40001 unknown or replaced, 42001 expired.
        """
        if not word:
            raise WeChatError(41001)
        token = self._all.get(word)
        now_us = self._unix_us()
        if token is None or now_us >= token.ends_us:
            raise WeChatError(40001)
        if now_us >= token.expires_us:
            raise WeChatError(42001)
        return token.appid

    def end(self, word: str) -> None:
        """End a token, as one fetched elsewhere does; an unknown word ends nothing."""
        token = self._all.get(word)
        if token is not None:
            token.ends_us = min(token.ends_us, self._unix_us())
            # Whoever asks for a stable one gets another then.
            for kept in (self._latest, self._stable):
                if kept.get(token.appid) is token:
                    del kept[token.appid]

    def end_all(self, appid: str) -> None:
        """End all tokens of a mini-program."""
        for kept in (self._latest, self._stable):
            if (token := kept.get(appid)) is not None:
                self.end(token.word)

    def _make(self, appid: str) -> _Token:
        now_us = self._unix_us()
        self._forget(now_us)
        token = _Token(appid, self._words.word(_LENGTH), now_us + self._rules.life_s * _SECOND_US)
        self._all[token.word] = token
        self.given[appid] = self.given.get(appid, 0) + 1
        return token

    def _forget(self, now_us: int) -> None:
        """Drop tokens that ended a day ago: oldest first, since they are kept in the order in which they were made."""
        while self._all:
            oldest = next(iter(self._all.values()))
            if oldest.expires_us + _KEPT_US > now_us:
                return
            del self._all[oldest.word]

    def _count(self, appid: str, what: str, limit: int) -> None:
        today = china_time(self._unix_us()).toordinal()
        day, count = self._calls.get((appid, what), (today, 0))
        count = count + 1 if day == today else 1
        if count > limit:
            raise WeChatError(45009)
        self._calls[appid, what] = (today, count)
