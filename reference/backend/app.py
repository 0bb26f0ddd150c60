"""One backend instance: its parts, its application, its background work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from reference.backend.api import admin_routes, notify_routes, phone_routes, site_routes
from reference.backend.api.admin import health_routes
from reference.backend.api.ahead import Application, LivePosts, SiteAhead
from reference.backend.api.attendants import attendant_routes
from reference.backend.api.cards import card_routes
from reference.backend.api.common import document_openness, document_refusals
from reference.backend.api.invoices import invoice_routes
from reference.backend.api.members import member_routes
from reference.backend.api.pump import pump_routes
from reference.backend.api.quarantine import quarantine_routes
from reference.backend.api.reconciliation import reconciliation_routes
from reference.backend.api.refunds import refund_routes
from reference.backend.api.shifts import shift_routes
from reference.backend.api.tanks import tank_routes
from reference.backend.api.voice import voice_routes
from reference.backend.attendants.acts import ActLog
from reference.backend.attendants.attendants import Attendants
from reference.backend.channels.building import channels_of
from reference.backend.commands import Commands
from reference.backend.core import Core
from reference.backend.errors import install_error_handlers
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import Gateway
from reference.backend.gateways.wechat import IDLE_S, WeChatClient
from reference.backend.identifiers import Identifiers
from reference.backend.invoices.deliveries import Deliveries
from reference.backend.invoices.desk import InvoiceDesk
from reference.backend.invoices.invoices import Invoices
from reference.backend.invoices.queue import TaxQueue
from reference.backend.invoices.red_letters import RedLetters
from reference.backend.invoices.requests import InvoiceRequests
from reference.backend.members.cards import Cards, VaultClient
from reference.backend.members.contracts import Contracts
from reference.backend.members.members import Members
from reference.backend.orders import Orders
from reference.backend.outbox import Outbox
from reference.backend.payments.attempts import Attempts
from reference.backend.payments.callbacks import Callbacks
from reference.backend.payments.endings import Endings
from reference.backend.payments.payments import Payments
from reference.backend.payments.pump_codes import PumpCodes
from reference.backend.reconciliation.daily import Reconciliation
from reference.backend.refunds.refunds import Refunds
from reference.backend.sales import Sales
from reference.backend.sessions import Sessions
from reference.backend.settings import BackendSettings, SettingsError
from reference.backend.shifts.days import BusinessDays
from reference.backend.shifts.proving import Proving
from reference.backend.shifts.shifts import Shifts
from reference.backend.stations import Stations
from reference.backend.store.database import Database
from reference.backend.store.postgres import PostgresDatabase
from reference.backend.store.sqlite import SqliteDatabase
from reference.backend.tanks.tanks import Tanks
from reference.backend.tax.choose import tax_platforms
from reference.backend.voice.announcer import Announcer
from reference.backend.voice.channels import MqttPublisher, VoicePublisher, Voices
from reference.tls import client_context

__all__ = ["Backend", "create_backend", "open_database"]


class Backend:
    """A backend instance.

    Attributes:
        app: the ASGI application (FastAPI).
        core: its parts.
    """

    def __init__(self, core: Core, app: FastAPI, transport: httpx.AsyncBaseTransport) -> None:
        self.core = core
        self.app = app
        self._transport = transport

    async def start(self) -> None:
        """Open the store, migrate it, begin the background work.

        Raises:
            StoreUnavailableError: the store cannot be reached.
        """
        await self.core.db.start()
        self.core.stopping = False
        await self.core.reconciliation.plan()
        self.core.outbox.start()

    def kill(self) -> None:
        """Drop dead, as by kill -9: nothing is finished, nothing is told. For drills inside one process."""
        self.core.outbox.kill()
        self.core.live.close()

    async def stop(self) -> None:
        """End streams and long polls, finish running tasks, close the store."""
        self.core.stopping = True
        self.core.db.hub.wake_all()
        await self.core.outbox.stop()
        self.core.live.close()
        await self.core.announcer.voices.aclose()
        await self._transport.aclose()
        await self.core.db.stop()


def open_database(settings: BackendSettings) -> Database:
    """The store that a URL names: ``sqlite://[/file]`` or ``postgresql://...``. Nothing is opened yet.

    Raises:
        SettingsError: the URL is of another kind.
    """
    try:
        url = make_url(settings.database_url)
    except ArgumentError as error:
        raise SettingsError("database_url: not a database URL") from error
    if url.get_backend_name() == "sqlite":
        return SqliteDatabase(url.database or ":memory:")
    if url.get_backend_name() == "postgresql":
        return PostgresDatabase(settings.database_url, pool_size=settings.pool_size)
    raise SettingsError(f"database_url: {url.get_backend_name()} is not supported; use sqlite or postgresql")


def _wall_us() -> int:
    return time.time_ns() // 1000


def create_backend(
    settings: BackendSettings,
    *,
    database: Database | None = None,
    clock_us: Callable[[], int] | None = None,
    rng: random.Random | None = None,
    http: Callable[[str], httpx.AsyncBaseTransport] | None = None,
    instance: str | None = None,
    gateway: Gateway | None = None,
    voice: VoicePublisher | None = None,
) -> Backend:
    """Put an instance together. Nothing runs before `Backend.start`.

    Args:
        settings: with the merchant's keys.
        database: shared by the instances of one process; by default the one that ``settings.database_url`` names.
        clock_us: Unix time in microseconds; by default the machine's.
        rng: seeds every identifier, nonce and jitter; None takes the operating system's randomness.
        http: gives the transport for a client name (the instance); None opens real connections.
        instance: a name for the ledger and the logs.
        gateway: in the place of WeChat Pay's client (drills).
        voice: in the place of a connection to the broker that ``settings.mqtt_url`` names.

    Raises:
        SettingsError: the settings cannot be used.
    """
    clock_us = clock_us or _wall_us
    name = instance or settings.instance
    ids = Identifiers(rng)
    transport: httpx.AsyncBaseTransport
    if http is not None:
        transport = http(name)
    else:
        limits = httpx.Limits(max_connections=200, keepalive_expiry=IDLE_S)
        transport = httpx.AsyncHTTPTransport(verify=client_context(), limits=limits, trust_env=False)
    wechat = WeChatClient(settings, transport, clock_us, ids)
    core = Core(settings, database or open_database(settings), clock_us, ids, gateway or wechat, name)
    core.outbox = Outbox(core)
    core.stations = Stations(core)
    core.attendants = Attendants(core)
    core.commands = Commands(core)
    core.sales = Sales(core)
    core.orders = Orders(core)
    channels_of(core, wechat, transport)
    core.attempts = Attempts(core)
    core.endings = Endings(core)
    core.payments = Payments(core)
    core.members = Members(core)
    core.contracts = Contracts(core)
    core.pump_codes = PumpCodes(core)
    core.refunds = Refunds(core)
    core.reconciliation = Reconciliation(core)
    core.tax = tax_platforms(settings, core.gateway, transport, core.db, clock_us, ids)
    core.tax_queue = TaxQueue(core)
    core.invoices = Invoices(core)
    core.invoice_desk = InvoiceDesk(core)
    core.invoice_requests = InvoiceRequests(core)
    core.deliveries = Deliveries(core, transport)
    core.red_letters = RedLetters(core)
    core.cards = Cards(core, _vault(settings, transport, clock_us, ids))
    core.tanks = Tanks(core)
    core.shifts = Shifts(core)
    core.days = BusinessDays(core)
    core.proving = Proving(core)
    publisher = voice
    if publisher is None and settings.mqtt_url is not None:
        try:
            publisher = MqttPublisher(settings.mqtt_url, name, settings.call_timeout_s)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    core.announcer = Announcer(
        core, Voices(transport, settings.speaker_url, publisher, settings.call_timeout_s)
    )
    return Backend(core, _application(core, Sessions(core, wechat)), transport)


def _vault(
    settings: BackendSettings,
    transport: httpx.AsyncBaseTransport,
    clock_us: Callable[[], int],
    ids: Identifiers,
) -> VaultClient | None:
    if settings.vault_url is None or settings.vault_key is None:
        return None
    outgoing = Outgoing(transport, clock_us, ids, settings.call_timeout_s, settings.busy_qps)
    return VaultClient(outgoing, settings.vault_url, settings.vault_key)


def _application(core: Core, sessions: Sessions) -> FastAPI:
    posts = LivePosts(core, sessions)
    app = Application(
        title="Forecourt reference backend",
        description="Stations, orders, payments, refunds and invoices of petrol stations. Times are Unix microseconds.",
        version=_version(),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.ahead = SiteAhead(core, sessions, posts)
    app.acts = ActLog(core, sessions)
    app.body_limit = core.settings.max_body_bytes
    install_error_handlers(app)
    # The routes themselves, not routers: a router that is included is searched twice for each request. They are tried in this
    # order, so what every payment needs comes first.
    for router in (
        notify_routes(core, Callbacks(core)),
        phone_routes(core, sessions),
        site_routes(core, sessions, posts),
        tank_routes(core, sessions),
        shift_routes(core, sessions),
        attendant_routes(core, sessions),
        voice_routes(core, sessions),
        invoice_routes(core, sessions),
        pump_routes(core, sessions),
        member_routes(core, sessions),
        card_routes(core, sessions),
        admin_routes(core, sessions),
        quarantine_routes(core, sessions),
        refund_routes(core, sessions),
        reconciliation_routes(core, sessions),
        health_routes(core),
    ):
        app.router.routes.extend(router.routes)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document_refusals(document)
        document_openness(document)
        document["servers"] = [{"url": "/"}]
        document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _version() -> str:
    try:
        return version("forecourt")
    except PackageNotFoundError:
        return "0"
