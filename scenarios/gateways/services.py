"""The registry: which platforms there are, one line each. A builder gets the run's `GatewayContext` and gives a `HostedService`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from protocols.rsa_keys import private_pem
from protocols.wechatpay.trust import public_pem
from scenarios.gateways.context import GatewayContext, HostedService, WeChatTrust, with_payers
from scenarios.gateways.tax_control import tax_control
from sim import unionpay
from sim.amap import Amap
from sim.feie import CloudPrinter, Feie, FeieAccount
from sim.latency import LatencyProfile
from sim.taxplatform import BaiwangApp, BaiwangPlatform, NuonuoApp, NuonuoPlatform
from sim.wechatserver import MiniProgram, Template, WeChatServer, orders_of
from sim.wecom import Corp, WeCom

__all__ = ["SERVICES", "Build"]

Build = Callable[[GatewayContext], HostedService]

_READ: Final = LatencyProfile.lognormal(40_000, 120_000)
"""An assumption, as everywhere: none of these platforms publishes its latency."""

_PFX_PASSWORD: Final = "000000"  # noqa: S105 - that of UnionPay's own test files, known to everybody
_TEMPLATES: Final = (
    Template("forecourt-paid", ("thing1", "amount2", "time3")),
    Template("forecourt-invoice", ("thing1", "character_string2", "amount3")),
)


def _wechatpay(context: GatewayContext) -> HostedService:
    """WeChat Pay; the refined-oil invoices live on its host."""
    gateway, own = context.wechatpay, context.merchant.credentials
    first, public = context.platform.certificates[0], context.platform.public
    settings: dict[str, object] = {
        "mchid": own.mchid,
        "appid": own.appid,
        "serial_no": own.serial_no,
        "apiv3_key": own.apiv3_key,
        "private_key_file": "apiclient_key.pem",
        "certificate_file": "apiclient_cert.pem",
        "pkcs12_file": "apiclient_cert.p12",
        "pkcs12_password": own.mchid,
    }
    files: dict[str, str | bytes] = {
        "apiclient_key.pem": private_pem(own.private_key),
        "apiclient_cert.pem": context.merchant.certificate_pem,
        "apiclient_cert.p12": context.merchant.pkcs12(),
        "merchant.json": own.to_json(),
    }
    if context.trust is not WeChatTrust.PUBLIC_KEY:
        settings |= {
            "platform_certificate_serial": first.serial,
            "platform_certificate_file": "wechatpay_certificate.pem",
        }
        files["wechatpay_certificate.pem"] = first.certificate_pem or ""
    if public is not None:
        settings |= {"public_key_id": public.serial, "public_key_file": "wechatpay_public_key.pem"}
        files["wechatpay_public_key.pem"] = public_pem(public.private_key.public_key())
    context.wechat_fapiao  # noqa: B018 - building it mounts it
    return HostedService(
        "wechatpay",
        "WeChat Pay v3, with the refined-oil invoices",
        dict.fromkeys(("api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"), gateway.app),
        with_payers(gateway.control_app, gateway.payer_app),
        settings,
        files,
    )


def _wechat(context: GatewayContext) -> HostedService:
    own = context.merchant.credentials
    server = WeChatServer(
        context.kernel,
        [MiniProgram(own.appid, own.app_secret, templates=_TEMPLATES)],
        find_order=orders_of(context.wechatpay.ledger, (own.mchid,)),
        latency=context.latency(_READ),
    )
    templates = {template.template_id: template.fields for template in _TEMPLATES}
    settings = {"appid": own.appid, "secret": own.app_secret, "templates": templates}
    title = "WeChat's own server: login, phone numbers, messages, shipping"
    return HostedService("wechat", title, {"api.weixin.qq.com": server.app}, server.control_app, settings)


def _wecom(context: GatewayContext) -> HostedService:
    corp = Corp("ww" + secrets.token_hex(8), secrets.token_urlsafe(32), {"wm-customer-1": ("attendant",)})
    wecom = WeCom(context.kernel, [corp], latency=context.latency(_READ))
    settings = {
        "corpid": corp.corpid,
        "corpsecret": corp.secret,
        "userid": "attendant",
        "external_userid": "wm-customer-1",
    }
    return HostedService(
        "wecom", "WeCom: customer tags", {"qyapi.weixin.qq.com": wecom.app}, wecom.control_app, settings
    )


def _amap(context: GatewayContext) -> HostedService:
    key = secrets.token_hex(16)
    amap = Amap(context.kernel, [key], latency=context.latency(_READ))
    title = "Amap: geocoding, coordinates"
    return HostedService("amap", title, {"restapi.amap.com": amap.app}, amap.control_app, {"key": key})


def _unionpay(context: GatewayContext) -> HostedService:
    platform = unionpay.generate_platform(signers=2)
    merchant = unionpay.generate_merchant(platform)
    gateway = unionpay.UnionPayGateway(
        context.kernel,
        [merchant.account],
        platform,
        notify_client=context.notify_client,
        profile=unionpay.GatewayProfile.instant() if context.is_instant else None,
    )
    own = merchant.credentials
    files: dict[str, str | bytes] = {
        "unionpay_key.pem": private_pem(own.private_key),
        "unionpay_sign.pfx": merchant.pkcs12(_PFX_PASSWORD),
        "unionpay_root.pem": platform.root.certificate.public_bytes(Encoding.PEM).decode("ascii"),
        "unionpay_middle.pem": platform.middle.certificate.public_bytes(Encoding.PEM).decode("ascii"),
    }
    settings = {
        "mer_id": own.mer_id,
        "cert_id": own.cert_id,
        "secure_key": own.secure_key,
        "private_key_file": "unionpay_key.pem",
        "pfx_file": "unionpay_sign.pfx",
        "pfx_password": _PFX_PASSWORD,
        "root_file": "unionpay_root.pem",
        "middle_file": "unionpay_middle.pem",
    }
    control = with_payers(gateway.control_app, gateway.payer_app)
    hosts = {
        "gateway.95516.com": gateway.app,
        "gateway.test.95516.com": gateway.app,
        "filedownload.95516.com": gateway.file_app,
        "filedownload.test.95516.com": gateway.file_app,
    }
    return HostedService("unionpay", "UnionPay ACP 5.1.0", hosts, control, settings, files)


def _nuonuo(context: GatewayContext) -> HostedService:
    own = NuonuoApp(secrets.token_hex(4), secrets.token_hex(8), context.seller.taxpayer_id)
    platform = NuonuoPlatform(
        context.invoices, [own], push=context.notify_client, call_latency=context.latency(_READ)
    )
    settings = {"app_key": own.app_key, "app_secret": own.app_secret, "tax_number": own.taxpayer_id}
    hosts = ("sdk.nuonuo.com", "open.nuonuo.com", "sandbox.nuonuocs.cn")
    return HostedService(
        "nuonuo", "Nuonuo: e-invoices", dict.fromkeys(hosts, platform.app), settings=settings
    )


def _baiwang(context: GatewayContext) -> HostedService:
    own = BaiwangApp(
        str(1_000_000 + secrets.randbelow(9_000_000)),
        secrets.token_hex(16),
        context.seller.taxpayer_id,
        "clerk",
        secrets.token_urlsafe(12),
        secrets.token_hex(16),
    )
    platform = BaiwangPlatform(context.invoices, [own], call_latency=context.latency(_READ))
    settings = {
        "app_key": own.app_key,
        "app_secret": own.app_secret,
        "tax_number": own.taxpayer_id,
        "username": own.username,
        "password": own.password,
        "salt": own.salt,
    }
    hosts = ("openapi.baiwang.com", "sandbox-openapi.baiwang.com")
    return HostedService(
        "baiwang", "Baiwang: e-invoices", dict.fromkeys(hosts, platform.app), settings=settings
    )


def _feie(context: GatewayContext) -> HostedService:
    """Its own demo code and PyPI's feie-print-sdk speak plain HTTP, others HTTPS."""
    account = FeieAccount("forecourt@example.com", secrets.token_hex(8), ("932500001",))
    printer = CloudPrinter(context.kernel, account.printers[0], secrets.token_hex(4))
    key = generate_private_key(public_exponent=65537, key_size=2048)
    feie = Feie(
        context.kernel,
        [account],
        [printer],
        callback_key=key,
        notify_client=context.notify_client,
        latency=context.latency(_READ),
    )
    settings = {
        "user": account.user,
        "ukey": account.ukey,
        "sn": printer.sn,
        "key": printer.key,
        "callback_key_file": "feie_public_key.pem",
    }
    files = {"feie_public_key.pem": public_pem(key.public_key())}
    title = "Feie: cloud receipt printers"
    return HostedService("feie", title, {"api.feieyun.cn": feie.app}, feie.control_app, settings, files)


def _tax(context: GatewayContext) -> HostedService:
    """No host of its own: the bureau behind WeChat's, Nuonuo's and Baiwang's invoices."""
    control = tax_control(context.invoices, context.wechat_fapiao)
    return HostedService("tax", "the tax bureau behind all invoices", {}, control)


SERVICES: Final[tuple[Build, ...]] = (
    _wechatpay,
    _wechat,
    _wecom,
    _amap,
    _unionpay,
    _nuonuo,
    _baiwang,
    _feie,
    _tax,
)
