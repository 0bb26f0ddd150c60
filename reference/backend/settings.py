"""What an operator decides: one frozen object, read from one JSON file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
)

from protocols.unionpay.keys import MerchantCredentials as UnionPayCredentials
from protocols.wechatpay.trust import MerchantCredentials
from reference.backend.tanks.account import Limits
from reference.backend.tax.settings import TaxSettings
from reference.backend.voice.settings import LoudspeakerSettings

__all__ = ["BackendSettings", "ChannelName", "SettingsError"]

ChannelName = Literal[
    "wechatpay",
    "wechatpay-code",
    "wechatpay-contract",
    "unionpay-qr",
    "unionpay-code",
    "unionpay-jump",
    "unionpay-page",
]
"""The ways to pay; what each is stands in `reference.backend.channels`."""

_StationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
_Secret = Annotated[str, StringConstraints(min_length=8, max_length=256)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone of this machine") from error
    return name


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
"""A name such as Asia/Shanghai."""


class SettingsError(ValueError):
    """The configuration cannot be used; the message names the file and the field."""


class BackendSettings(BaseModel):
    """Settings of one backend instance. Times end in ``_s`` (seconds) or ``_us`` (microseconds).

    Attributes:
        station_keys: the bearer key of each station that may report.
        admin_key: opens ``/v1/admin``.
        service_secret: keys the check of `out_trade_no`; the same in all instances of one service.
        merchant: keys of the merchant at WeChat Pay (`merchant_file` names a file with them instead).
        pay_url, wechat_url: where the gateway and the mini-program platform answer.
        channels: the ways to pay that are open for new payments; see `reference.backend.channels`.
        unionpay_file: keys of the merchant at UnionPay, for the channels over it.
        unionpay_url: where its gateway answers, without a path.
        unionpay_acquirer_url: the call of the acquirer that opens ``unionpay-jump``.
        unionpay_file_url: where its settlement files are, without a path.
        contract_plan_id: the plan by which members sign contracts (``wechatpay-contract``).
        contract_limit_fen: the most that one debit by a contract may take.
        points_per_fen: how many of a member's points are worth a fen.
        notify_url: where this service is reached from the gateway, without a path.
        busy_qps: calls a second, at most, to a gateway that answers 429 or 5xx, until it answers well again.
        call_timeout_s: how long a call to the gateway may take. After that its outcome is unknown.
        query_schedule_s: waits before each query of an unanswered payment; the last one repeats. The first is at most
            60 s, as the platform's advice for a missing notice is (WeChat Pay, payment-notice page).
        order_ttl_s: an order that nobody pays is closed after this, and its sale is free for the cashier.
        drive_off_s: a sale that is unpaid for so long is a drive-off: flagged, told at the handover, and owed for ever.
        time_zone, time_zones: whose midnight ends a station's business day, for all and for single ones.
        day_begins_s: a business day begins so many seconds after local midnight.
        bind_window_s: a scanned code finds a finished, unpaid sale that is at most this old.
        refund_schedule_s: waits before each query of an accepted refund, counted from its sending.
        reconcile_at_s: when the gateway's bills of the day before are fetched and compared, in seconds after midnight
            in Beijing (bills are ready at 10:00; UnionPay's file of the clearing day likewise); None: only when the
            operator asks.
        refund_tries: how often a refund that the gateway closes is asked for, under a new number each time.
        refund_calls_per_s, refund_errors_per_s: the platform's limits on refund calls of one merchant, when all is well
            and while calls fail (WXDOC refund page: 150 and 6).
        invoice_schedule_s: waits before each query of an invoice that the platform has accepted.
        invoice_tries: with a new `fapiao_id` each, for one application (WXDOC 4016760559: at most 4).
        stock_stale_s: stock that is older is shown as stale.
        gauge_silent_s: no reading for so long is an alarm.
        tank_high_percent, tank_overfill_percent: pre-alarm and alarm of a tank's level (GB 50156).
        tank_reference_mdeg: temperature that the gauges correct volumes to; shown beside them.
        tank_limits: when a tank's account shows a delivery, a loss, a drift.
        loudspeakers: of the stations that have one.
        speaker_url: where their maker's HTTP interface answers.
        mqtt_url: the broker that loudspeakers listen to, ``mqtt://[user:password@]host[:port]``.
        tax: which tax platform invoices are issued over, and how.
        vault_url, vault_key: the card vault, and this service's key there; without them nobody can bind a card.
        lease_s: a task of a killed worker is taken up again after this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    database_url: str = "sqlite://"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    instance: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "backend"
    station_keys: dict[_StationId, _Secret]
    admin_key: _Secret
    service_secret: _Secret
    merchant_file: Path | None = None
    channels: tuple[ChannelName, ...] = ("wechatpay",)
    unionpay_file: Path | None = None
    unionpay_url: str = "https://gateway.95516.com"
    unionpay_acquirer_url: str | None = None
    unionpay_file_url: str = "https://filedownload.95516.com"
    contract_plan_id: Annotated[int, Field(ge=1)] | None = None
    contract_limit_fen: Annotated[int, Field(ge=1, le=100_000_000)] = 50_000
    points_per_fen: Annotated[int, Field(ge=1, le=10_000)] = 1
    pay_url: str = "https://api.mch.weixin.qq.com"
    wechat_url: str = "https://api.weixin.qq.com"
    notify_url: str = "https://backend.station"
    call_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    busy_qps: Annotated[float, Field(gt=0, le=100)] = 4.0
    session_ttl_s: Annotated[int, Field(ge=60)] = 7 * 86_400
    query_schedule_s: Annotated[tuple[int, ...], Field(min_length=1)] = (15, 15, 30, 60, 180, 600, 1800)
    order_ttl_s: Annotated[int, Field(ge=30)] = 900
    drive_off_s: Annotated[int, Field(ge=60)] = 1800
    time_zone: TimeZone = "Asia/Shanghai"
    time_zones: dict[_StationId, TimeZone] = Field(default_factory=dict)
    day_begins_s: Annotated[int, Field(ge=0, lt=86_400)] = 0
    bind_window_s: Annotated[int, Field(ge=60)] = 1800
    refund_schedule_s: Annotated[tuple[int, ...], Field(min_length=1)] = (60, 60, 180, 600, 1800)
    reconcile_at_s: Annotated[int, Field(ge=0, lt=86_400)] | None = None
    refund_tries: Annotated[int, Field(ge=1, le=10)] = 3
    refund_calls_per_s: Annotated[int, Field(ge=1, le=10_000)] = 150
    refund_errors_per_s: Annotated[int, Field(ge=1, le=10_000)] = 6
    invoice_schedule_s: Annotated[tuple[float, ...], Field(min_length=1)] = (2, 3, 5, 10, 30, 60, 300)
    invoice_tries: Annotated[int, Field(ge=1, le=4)] = 4
    stock_stale_s: Annotated[int, Field(ge=1)] = 60
    gauge_silent_s: Annotated[int, Field(ge=10)] = 90
    tank_high_percent: Annotated[int, Field(ge=1, le=100)] = 90
    tank_overfill_percent: Annotated[int, Field(ge=1, le=100)] = 95
    tank_reference_mdeg: int = 20_000
    tank_limits: Limits = Limits()
    loudspeakers: dict[_StationId, LoudspeakerSettings] = Field(default_factory=dict)
    speaker_url: str = "https://speaker.17laimai.cn"
    mqtt_url: Annotated[str, StringConstraints(pattern=r"^mqtts?://[^/\s]+/?$")] | None = Field(
        default=None, repr=False
    )
    tax: TaxSettings = TaxSettings()
    vault_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+/?$")] | None = None
    vault_key: _Secret | None = Field(default=None, repr=False)
    lease_s: Annotated[float, Field(ge=1)] = 15.0
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    pool_size: Annotated[int, Field(ge=2, le=100)] = 10
    max_body_bytes: Annotated[int, Field(ge=1024)] = 262_144

    _merchant: MerchantCredentials | None = PrivateAttr(default=None)
    _unionpay: UnionPayCredentials | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any) -> None:
        """Checks across fields."""
        del context
        if self.query_schedule_s[0] > 60:
            raise ValueError("query_schedule_s: the first query comes within 60 s of the prepay call")

    @property
    def merchant(self) -> MerchantCredentials:
        """The merchant's keys. Raises `SettingsError` if none were given."""
        if self._merchant is None:
            raise SettingsError("no merchant credentials: give merchant_file, or call with_merchant()")
        return self._merchant

    def with_merchant(self, merchant: MerchantCredentials) -> Self:
        """The same settings with these keys."""
        copy = self.model_copy()
        copy._merchant = merchant
        return copy

    @property
    def unionpay(self) -> UnionPayCredentials | None:
        """The merchant's keys at UnionPay, if it has any."""
        return self._unionpay

    def with_unionpay(self, unionpay: UnionPayCredentials) -> Self:
        """The same settings with these keys."""
        copy = self.model_copy()
        copy._unionpay = unionpay
        return copy

    @classmethod
    def from_file(cls, path: Path) -> BackendSettings:
        """Read a JSON file; ``merchant_file`` and ``unionpay_file`` in it are relative to its folder.

        Raises:
            SettingsError: unreadable, not JSON, or a field is wrong.
        """
        settings = cls._read(path)
        if settings.merchant_file is not None:
            with _named(path, "merchant_file"):
                text = (path.parent / settings.merchant_file).read_text()
                settings = settings.with_merchant(MerchantCredentials.from_json(text))
        if settings.unionpay_file is not None:
            with _named(path, "unionpay_file"):
                text = (path.parent / settings.unionpay_file).read_text()
                settings = settings.with_unionpay(UnionPayCredentials.from_json(text))
        return settings

    @classmethod
    def _read(cls, path: Path) -> BackendSettings:
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror or error}") from error
        except json.JSONDecodeError as error:
            raise SettingsError(f"{path}: line {error.lineno}: {error.msg}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(file)"
            raise SettingsError(f"{path}: {field}: {first['msg']}") from error


@contextlib.contextmanager
def _named(path: Path, field: str) -> Iterator[None]:
    """Say in which file and field a bad value stands."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {field}: {error}") from error
