"""Puts together the channels that an operator has switched on, and those that old payments may have gone."""

from __future__ import annotations

from typing import cast

import httpx

from reference.backend.channels import Channels
from reference.backend.channels.contract import ContractChannel
from reference.backend.channels.unionpay import UnionPayRefunds, unionpay_channels
from reference.backend.channels.wechat import CodeChannel, JsapiChannel
from reference.backend.core import Core
from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import AbnormalRefundGateway, CodeGateway
from reference.backend.gateways.unionpay import UnionPayClient
from reference.backend.gateways.wechat import WeChatClient
from reference.backend.gateways.wechat_abnormal import WeChatAbnormalRefunds
from reference.backend.gateways.wechat_contracts import WeChatContracts
from reference.backend.settings import SettingsError

__all__ = ["channels_of"]


def channels_of(core: Core, wechat: WeChatClient, transport: httpx.AsyncBaseTransport) -> None:
    """Give the instance its channels.

    Raises:
        SettingsError: one is switched on that lacks its credentials.
    """
    settings = core.settings
    core.channels = channels = Channels(core)
    codes = core.gateway if hasattr(core.gateway, "pay_code") else wechat
    channels.add(JsapiChannel(core), CodeChannel(core, cast("CodeGateway", codes)))
    onward = core.gateway if hasattr(core.gateway, "pay_elsewhere") else WeChatAbnormalRefunds(wechat)
    channels.elsewhere["wechatpay"] = cast("AbnormalRefundGateway", onward)
    if settings.unionpay is not None:
        gateway, acquirer, files = (
            Outgoing(transport, core.clock_us, core.ids, settings.call_timeout_s, settings.busy_qps)
            for _ in range(3)
        )
        core.unionpay = UnionPayClient(
            settings.unionpay,
            gateway,
            acquirer,
            files,
            url=settings.unionpay_url,
            acquirer_url=settings.unionpay_acquirer_url,
            file_url=settings.unionpay_file_url,
            back_url=f"{settings.notify_url}/v1/notify/unionpay",
            clock_us=core.clock_us,
        )
        channels.add(*unionpay_channels(core, core.unionpay))
        channels.refunders["unionpay"] = UnionPayRefunds(core, core.unionpay)
    if settings.contract_plan_id is not None:
        core.contract_gateway = WeChatContracts(wechat, settings)
        channels.add(ContractChannel(core, core.contract_gateway))
    missing = [name for name in settings.channels if name not in channels.known]
    if missing:
        raise SettingsError(
            f"channels: {', '.join(missing)} lacks unionpay_file (unionpay-*) or contract_plan_id (wechatpay-contract)"
        )
