"""WeCom's server as a corporation's own application sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp

from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.webapi import (
    Call,
    CallFault,
    ControlError,
    Reply,
    Route,
    WebService,
    Words,
    control_app,
    json_object,
)
from sim.wecom.errors import ERRORS, WeComError
from sim.wecom.tags import TagLibrary, TagLimits

__all__ = ["Corp", "WeCom"]

_AT_ONCE: Final = LatencyProfile.constant(0)
_LIFE_S: Final = 7_200
_GET: Final = ("GET",)
_POST: Final = ("POST",)


@dataclass(frozen=True)
class Corp:
    """A corporation with one application.

    Attributes:
        corpid, secret: its credentials.
        customers: external user id → the members who have this customer as a contact. Customers added by hand come beside them.
    """

    corpid: str
    secret: str = field(repr=False)
    customers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Office:
    """A corporation with its state."""

    corp: Corp
    library: TagLibrary
    customers: dict[str, list[str]]
    token: str = ""
    token_ends_us: int = 0


class WeCom:
    """The server. Unlike ``api.weixin.qq.com`` it hands the same token out again while that one is good (path 91039).

    Args:
        kernel: clock, streams and trace.
        corps: the corporations that it knows.
        limits: how many tags there may be.
        latency: its own share of a call's time; an assumption, nothing is published.
        faults: its schedule of faults.
        entity: its name in streams and trace.

    Attributes:
        app: the host's application.
        control_app: ``GET /tags``, ``GET /marks``, ``POST /customers/{external_userid}`` ``{"userid": …}``,
            ``POST /tokens/end``, and the faults.

    Raises:
        ValueError: two corporations with one id.
    """

    def __init__(
        self,
        kernel: Kernel,
        corps: Iterable[Corp],
        *,
        limits: TagLimits | None = None,
        latency: LatencyProfile = _AT_ONCE,
        faults: Iterable[CallFault] = (),
        entity: str = "wecom",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self._words = Words(kernel.streams.get(entity, "words"))
        self._offices: dict[str, _Office] = {}
        self._tokens: dict[str, tuple[_Office, int]] = {}
        for corp in corps:
            if corp.corpid in self._offices:
                raise ValueError(f"two corporations have the id {corp.corpid}")
            customers = {external: list(members) for external, members in corp.customers.items()}
            library = TagLibrary(self._words, limits or TagLimits())
            self._offices[corp.corpid] = _Office(corp, library, customers)
        contact = "/cgi-bin/externalcontact"
        served: tuple[tuple[str, tuple[str, ...], str, Callable[[Call], Reply]], ...] = (
            ("/cgi-bin/gettoken", _GET, "gettoken", self._gettoken),
            (f"{contact}/mark_tag", _POST, "mark_tag", self._with_office(self._mark)),
            (f"{contact}/get_corp_tag_list", _POST, "get_corp_tag_list", self._with_office(self._list)),
            (f"{contact}/add_corp_tag", _POST, "add_corp_tag", self._with_office(self._add)),
            (f"{contact}/edit_corp_tag", _POST, "edit_corp_tag", self._with_office(self._edit)),
            (f"{contact}/del_corp_tag", _POST, "del_corp_tag", self._with_office(self._delete)),
        )
        self.service = WebService(
            kernel,
            entity,
            [Route(path, methods, name, self._guarded(work)) for path, methods, name, work in served],
            refuse=self._refused,
            unknown=lambda _path, _methods: (404, None),
            latency=latency,
            faults=faults,
            end_token=lambda call: self._end(call.query.get("access_token", "")),
        )
        self.faults = self.service.faults
        self.app: ASGIApp = self.service
        self.control_app: ASGIApp = control_app(
            self.service,
            [
                HttpRoute("/tags", self._show_tags, methods=["GET"]),
                HttpRoute("/marks", self._show_marks, methods=["GET"]),
                HttpRoute("/customers/{external}", self._befriend, methods=["POST"]),
                HttpRoute("/tokens/end", self._end_tokens, methods=["POST"]),
            ],
        )

    def library(self, corpid: str) -> TagLibrary:
        """The tags of a corporation.

        Raises:
            KeyError: there is no such corporation.
        """
        return self._offices[corpid].library

    def _guarded(self, work: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        def done(call: Call) -> Reply:
            try:
                return {"errcode": 0, "errmsg": "ok", **work(call)}
            except WeComError as error:
                self.kernel.trace.emit("wecom.refused", self.entity, call=call.name, errcode=error.code)
                return self._refused(error.code, error.detail)

        return done

    def _with_office(self, work: Callable[[_Office, Call], Reply]) -> Callable[[Call], Reply]:
        """For calls that need an access token and a JSON body."""

        def done(call: Call) -> Reply:
            word = call.query.get("access_token", "")
            if not word:
                raise WeComError(41001)
            known = self._tokens.get(word)
            if known is None:
                raise WeComError(40014)
            office, ends_us = known
            if self.kernel.unix_us >= ends_us:
                raise WeComError(42001)
            if not call.is_json:
                raise WeComError(40035, "Warning: wrong json format.")
            return work(office, call)

        return done

    def _refused(self, code: int, detail: str = "") -> Reply:
        text = f"{ERRORS.get(code or -1, 'unknown error')} {detail}".rstrip()
        seconds = self.kernel.unix_us // 1_000_000
        hint = f"hint: [{seconds}_{self._words.number(3)}_{self._words.hex(32)}]"
        more = f"more info at https://open.work.weixin.qq.com/devtool/query?e={code or -1}"
        return {"errcode": code or -1, "errmsg": f"{text}, {hint}, from ip: 127.0.0.1, {more}"}

    def _gettoken(self, call: Call) -> Reply:
        for name, missing in (("corpid", 41002), ("corpsecret", 41004)):
            if not call.query.get(name):
                raise WeComError(missing)
        office = self._offices.get(call.query["corpid"])
        if office is None:
            raise WeComError(40013)
        if call.query["corpsecret"] != office.corp.secret:
            raise WeComError(40001)
        now_us = self.kernel.unix_us
        if now_us >= office.token_ends_us:
            office.token = self._words.word(214)
            office.token_ends_us = now_us + _LIFE_S * 1_000_000
            self._tokens[office.token] = (office, office.token_ends_us)
            self.kernel.trace.emit("wecom.token", self.entity, corpid=office.corp.corpid)
        return {"access_token": office.token, "expires_in": (office.token_ends_us - now_us) // 1_000_000}

    def _end(self, word: str) -> None:
        """End a token early, as the platform may."""
        known = self._tokens.pop(word, None)
        if known is not None and known[0].token == word:
            known[0].token_ends_us = 0

    def _mark(self, office: _Office, call: Call) -> Reply:
        userid, external = call.text("userid"), call.text("external_userid")
        members = {userid: None for each in office.customers.values() for userid in each}
        if userid not in members:
            raise WeComError(40003)
        if external not in office.customers:
            raise WeComError(40096)
        if userid not in office.customers[external]:
            raise WeComError(84061)
        office.library.mark(userid, external, call.texts("add_tag"), call.texts("remove_tag"))
        self.kernel.trace.emit("wecom.mark", self.entity, external=external, added=len(call.texts("add_tag")))
        return {}

    def _list(self, office: _Office, call: Call) -> Reply:
        return {"tag_group": office.library.listed(call.texts("tag_id"), call.texts("group_id"))}

    def _add(self, office: _Office, call: Call) -> Reply:
        return {"tag_group": office.library.add(call.body, self.kernel.unix_us // 1_000_000)}

    def _edit(self, office: _Office, call: Call) -> Reply:
        office.library.edit(call.body)
        return {}

    def _delete(self, office: _Office, call: Call) -> Reply:
        office.library.delete(call.texts("tag_id"), call.texts("group_id"))
        return {}

    async def _show_tags(self, _request: Request) -> Response:
        return JSONResponse({corpid: one.library.listed([], []) for corpid, one in self._offices.items()})

    async def _show_marks(self, _request: Request) -> Response:
        return JSONResponse({corpid: one.library.marks() for corpid, one in self._offices.items()})

    def _office_of(self, data: dict[str, Any]) -> _Office:
        only = next(iter(self._offices)) if len(self._offices) == 1 else None
        corpid = data.get("corpid", only)
        if not isinstance(corpid, str) or corpid not in self._offices:
            raise ControlError(f"corpid must be one of {', '.join(self._offices)}")
        return self._offices[corpid]

    async def _befriend(self, request: Request) -> Response:
        data = await json_object(request)
        userid = data.get("userid")
        if not isinstance(userid, str) or not 1 <= len(userid) <= 64:
            raise ControlError("userid must be a text of 1 to 64 characters")
        members = self._office_of(data).customers.setdefault(request.path_params["external"][:64], [])
        if userid not in members:
            members.append(userid)
        return JSONResponse({"members": members})

    async def _end_tokens(self, request: Request) -> Response:
        self._end(self._office_of(await json_object(request)).token)
        return Response(status_code=204)
