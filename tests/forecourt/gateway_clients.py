"""Unmodified PyPI clients in a process of their own: the environment alone sends them to ``forecourt gateways``.

Takes the folder that the command made, and the port on which callbacks are expected; prints one JSON object.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import requests
from nuonuo import Nuonuo
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpy import WeChatClient
from wechatpy.enterprise import WeChatClient as CorpClient
from wechatpy.exceptions import WeChatClientException

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
API = "https://api.weixin.qq.com"


class Callbacks(BaseHTTPRequestHandler):
    got: queue.Queue[tuple[dict[str, str], str]] = queue.Queue()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.got.put((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def errcode(work, *arguments, **more) -> int:
    try:
        work(*arguments, **more)
    except WeChatClientException as error:
        return error.errcode
    return 0


def pay(folder: Path, control: str, settings: dict) -> dict:
    """A payment with a verified callback, and a refund of part of it."""
    (folder / "certificates").mkdir()
    client = WeChatPay(
        wechatpay_type=WeChatPayType.MINIPROG,
        mchid=settings["mchid"],
        private_key=(folder / settings["private_key_file"]).read_text(),
        cert_serial_no=settings["serial_no"],
        apiv3_key=settings["apiv3_key"],
        appid=settings["appid"],
        notify_url="https://shop.example/notify",
        cert_dir=str(folder / "certificates"),
    )
    number = "KM01000001"
    code, text = client.pay("92号汽油", number, {"total": 20_000}, {"openid": OPENID})
    prepay_id = json.loads(text)["prepay_id"]
    shown = requests.post(
        f"{control}/payers/{OPENID}/confirm", json={"prepay_id": prepay_id}, timeout=30
    ).json()
    headers, body = Callbacks.got.get(timeout=30)
    told = client.callback(headers, body)["resource"]
    found = json.loads(client.query(out_trade_no=number)[1])
    refunded, _ = client.refund(
        "KM01R00001", {"refund": 500, "total": 20_000, "currency": "CNY"}, out_trade_no=number
    )
    return {
        "prepay": code,
        "phone": shown["err_msg"],
        "callback": told["trade_state"],
        "query": found["trade_state"],
        "transaction_id": found["transaction_id"],
        "out_trade_no": number,
        "refund": refunded,
    }


def wechat(control: str, settings: dict, paid: dict) -> dict:
    client = WeChatClient(settings["appid"], settings["secret"])
    user = f"{control}/users/{OPENID}"
    code = requests.post(f"{user}/login-code", timeout=30).json()["js_code"]
    session = client.wxa.code_to_session(code)
    again = errcode(client.wxa.code_to_session, code)
    phone = requests.post(f"{user}/phone-code", json={"phone": "13812345678"}, timeout=30).json()["code"]
    info = client.post(f"{API}/wxa/business/getuserphonenumber", data={"code": phone})["phone_info"]
    template = "forecourt-paid"
    requests.post(f"{user}/consents", json={"template_id": template}, timeout=30)
    message = {"thing1": {"value": "92号汽油"}, "amount2": {"value": "200.00元"}, "time3": {"value": "15:01"}}
    send = client.wxa.send_subscribe_message
    # Another process fetches a token: this one's is over, and the client fetches for itself and tries again.
    old = client.access_token
    requests.post(f"{control}/tokens/{settings['appid']}/end", timeout=30)
    sent = [errcode(send, OPENID, template, message), errcode(send, OPENID, template, message)]
    shipping = {
        "order_key": {"order_number_type": 2, "transaction_id": paid["transaction_id"]},
        "logistics_type": 4,
        "delivery_mode": 1,
        "shipping_list": [{"item_desc": "92号汽油 26.32升"}],
        "upload_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "payer": {"openid": OPENID},
    }
    upload = f"{API}/wxa/sec/order/upload_shipping_info"
    return {
        "openid": session["openid"],
        "code_again": again,
        "phone": info["phoneNumber"],
        "new_token": client.access_token != old,
        "sent": sent,
        "shipped": [errcode(client.post, upload, data=shipping), errcode(client.post, upload, data=shipping)],
    }


def wecom(settings: dict) -> dict:
    client = CorpClient(settings["corpid"], settings["corpsecret"])
    contact = client.external_contact
    made = contact.add_corp_tag(None, "会员", 1, [{"name": "金卡"}, {"name": "银卡"}])
    gold, silver = (tag["id"] for tag in made["tag_group"]["tag"])
    who = settings["userid"], settings["external_userid"]
    codes = [
        errcode(contact.mark_tag, *who, add_tag=[gold]),
        errcode(contact.mark_tag, *who),
        errcode(contact.mark_tag, "nobody", who[1], add_tag=[gold]),
        errcode(contact.edit_corp_tag, gold, "银卡", 1),
        errcode(contact.del_corp_tag, tag_id=[silver]),
    ]
    groups = contact.get_corp_tag_list()["tag_group"]
    return {"codes": codes, "tags": [tag["name"] for group in groups for tag in group["tag"]]}


def nuonuo(control: str, settings: dict) -> dict:
    """An invoice of a fuel sale; issued at once, since nothing takes time here."""
    client = Nuonuo(settings["app_key"], settings["app_secret"], tax_number=settings["tax_number"])
    client.get_merchant_token()
    order = {
        "orderNo": "KM01000001",
        "buyerName": "张三",
        "salerTaxNum": settings["tax_number"],
        "salerTel": "0871-60000000",
        "salerAddress": "昆明市",
        "invoiceDate": "2026-01-05 08:00:00",
        "invoiceType": "1",
        "invoiceLine": "pc",
        "clerk": "王",
        "pushMode": "-1",
        "specificFactor": "1",
        "invoiceDetail": [
            {
                "goodsName": "92号车用汽油",
                "goodsCode": "1070101010100000000",
                "withTaxFlag": "1",
                "price": "7.60",
                "num": "26.31578947",
                "unit": "升",
                "taxRate": "0.13",
                "taxIncludedAmount": "200.00",
            }
        ],
    }
    accepted = client.nst.issue(order)
    found = client.nst.query(order_nos=["KM01000001"])
    listed = requests.get(f"{control}/invoices", timeout=30).json()
    return {
        "code": accepted["code"],
        "status": [str(one["status"]) for one in found["result"]],
        "listed": [(one["platform"], one["serial"], one["state"], one["gross_fen"]) for one in listed],
    }


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=HTTPServer(("127.0.0.1", port), Callbacks).serve_forever, daemon=True).start()
    known = json.loads((folder / "gateways.json").read_text("utf-8"))
    control, services = known["control"], known["services"]
    paid = pay(folder, f"{control}/wechatpay", services["wechatpay"])
    query = {"key": services["amap"]["key"], "address": "昆明市北京路928号", "city": "昆明"}
    told = {
        "pay": paid,
        "wechat": wechat(f"{control}/wechat", services["wechat"], paid),
        "wecom": wecom(services["wecom"]),
        "nuonuo": nuonuo(f"{control}/tax", services["nuonuo"]),
        "amap": requests.get("https://restapi.amap.com/v3/geocode/geo", params=query, timeout=30).json(),
    }
    try:
        requests.get("https://pay.weixin.qq.com/", timeout=30)
    except requests.exceptions.ProxyError:
        told["elsewhere"] = "refused"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
