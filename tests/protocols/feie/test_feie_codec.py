"""Feie's codec: signatures against an independent signer and the vendor's vectors, replies, markup, and paper."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.escpos import ReceiptContent, read_receipt
from protocols.feie import (
    CONTENT_MOST_BYTES,
    Mark,
    MarkupBuilder,
    PrinterState,
    QrPiece,
    TextPiece,
    TextStyle,
    callback_text,
    decode_form,
    encode_form,
    order_bytes,
    order_number,
    parse_markup,
    parse_printer_lines,
    parse_reply,
    printer_state,
    receipt_markup,
    request_signature,
    safe_text,
    sign_callback,
    signature_fits,
    signed_form,
    verify_callback,
)
from protocols.sansio import RemoteProtocolError
from sim.printer import CHINESE_58MM, Printer


def rotate(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF


def independent_sha1(data: bytes) -> str:
    """SHA-1 by hand from FIPS 180-4, so that nothing is shared with the codec."""
    h = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    padded = data + b"\x80" + b"\0" * (-(len(data) + 9) % 64) + (len(data) * 8).to_bytes(8, "big")
    for start in range(0, len(padded), 64):
        w = [int.from_bytes(padded[start + i : start + i + 4], "big") for i in range(0, 64, 4)]
        for i in range(16, 80):
            w.append(rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1))
        a, b, c, d, e = h
        for i in range(80):
            if i < 20:
                f, k = (b & c) | (~b & d), 0x5A827999
            elif i < 40:
                f, k = b ^ c ^ d, 0x6ED9EBA1
            elif i < 60:
                f, k = (b & c) | (b & d) | (c & d), 0x8F1BBCDC
            else:
                f, k = b ^ c ^ d, 0xCA62C1D6
            a, b, c, d, e = (
                (rotate(a, 5) + (f & 0xFFFFFFFF) + e + k + w[i]) & 0xFFFFFFFF,
                a,
                rotate(b, 30),
                c,
                d,
            )
        h = [(x + y) & 0xFFFFFFFF for x, y in zip(h, (a, b, c, d, e), strict=True)]
    return "".join(f"{x:08x}" for x in h)


@settings(max_examples=40)
@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 2**33))
def test_the_signature_is_sha1_of_account_key_and_time(user: str, ukey: str, seconds: int) -> None:
    user, ukey = (text.encode("utf-8", "replace").decode() for text in (user, ukey))
    wanted = independent_sha1((user + ukey + str(seconds)).encode())
    assert request_signature(user, ukey, str(seconds)) == wanted
    assert signature_fits(user, ukey, str(seconds), wanted)
    assert not signature_fits(user, ukey, str(seconds), wanted.upper() if wanted != wanted.upper() else "")


def test_the_independent_signer_knows_the_standard_s_vectors() -> None:
    assert independent_sha1(b"abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert independent_sha1(b"a" * 200) == request_signature("a" * 100, "a" * 99, "a")


def test_a_request_has_the_common_fields_first() -> None:
    form = signed_form(
        "u@x.com", "UKEY", 1_795_315_088, "Open_printMsg", sn="932500001", content="<CB>测试</CB>&="
    )
    assert list(form) == ["user", "stime", "sig", "apiname", "sn", "content"]
    assert decode_form(encode_form(form)) == form
    assert encode_form(form).startswith(b"user=u%40x.com&stime=1795315088&sig=")
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        decode_form(b"content=%ff%fe")
    with pytest.raises(RemoteProtocolError, match="form"):
        decode_form(b"a=1&" * 100)


CALLBACK = {
    "orderId": "816501678_20160919184316_1419533539",
    "status": "1",
    "stime": "1625194910",
}
"""The vendor's own example, with the text that it gives as the one to sign."""


def test_a_callback_is_signed_over_its_sorted_fields() -> None:
    text = "orderId=816501678_20160919184316_1419533539&status=1&stime=1625194910"
    assert callback_text(CALLBACK) == text
    assert callback_text({**CALLBACK, "sign": "x", "empty": ""}) == text


def test_openssl_verifies_what_was_signed(tmp_path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = generate_private_key(public_exponent=65537, key_size=2048)
    sign = sign_callback(key, CALLBACK)
    (tmp_path / "key.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "sign").write_bytes(base64.b64decode(sign))
    (tmp_path / "text").write_text(
        "&".join(f"{name}={CALLBACK[name]}" for name in ("orderId", "status", "stime"))
    )
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sign", "text"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "Verified OK", (done, sys.platform)
    public = key.public_key()
    assert verify_callback(public, {**CALLBACK, "sign": sign})
    for forged in (
        {**CALLBACK, "sign": sign, "status": "2"},
        {**CALLBACK, "sign": "not base64"},
        {**CALLBACK},
        {**CALLBACK, "sign": sign, "more": "1"},
    ):
        assert not verify_callback(public, forged)


def test_a_state_that_is_not_normal_is_not_normal() -> None:
    assert printer_state("在线，工作状态正常") is PrinterState.READY
    assert printer_state("在线，工作状态不正常。") is PrinterState.FAULT
    assert printer_state(" 离线 ") is PrinterState.OFFLINE
    assert printer_state("正常") is None


def test_replies_are_read_or_refused() -> None:
    good = parse_reply(b'{"msg":"ok","ret":0,"data":{"print":6,"waiting":1},"serverExecutedTime":9}')
    assert good.is_ok
    assert good.data == {"print": 6, "waiting": 1}
    bad = parse_reply(
        '{"msg":"参数错误 : 该帐号未注册.","ret":-2,"data":null,"serverExecutedTime":37}'.encode()
    )
    assert (bad.is_ok, bad.ret) == (False, -2)
    for body in (
        b"",
        b"<html>",
        b"[]",
        b'{"ret":"0","msg":"ok"}',
        b'{"ret":true,"msg":"ok"}',
        b'{"ret":0}',
        b"[" * 50_000,
    ):
        with pytest.raises(RemoteProtocolError):
            parse_reply(body)


def test_names_of_orders_and_lines_of_printers() -> None:
    at = datetime(2016, 8, 23, 16, 51, 4)  # noqa: DTZ001 - the name holds no zone
    assert order_number("316500004", at, 1_853_029_628) == "316500004_20160823165104_1853029628"
    lines = parse_printer_lines("sn1#key1#前台#139\n\n sn2 # key2 \nsn3#key3#a#b#c")
    assert [(line.sn, line.key, line.name, line.card) for line in lines] == [
        ("sn1", "key1", "前台", "139"), ("sn2", "key2", "", ""), ("sn3", "key3", "a", "b"),
    ]  # fmt: skip


def test_each_tag_means_what_the_demo_says() -> None:
    big = TextStyle(align="centre", width=2, height=2)
    assert parse_markup("<CB>测试</CB><BR>a<B>b</B><L>c</L><W>d</W><BOLD>e</BOLD><RIGHT>f</RIGHT><C>g</C>") == [
        TextPiece("测试", big), Mark.BREAK, TextPiece("a"), TextPiece("b", TextStyle(width=2, height=2)),
        TextPiece("c", TextStyle(height=2)), TextPiece("d", TextStyle(width=2)), TextPiece("e", TextStyle(bold=True)),
        TextPiece("f", TextStyle(align="right")), TextPiece("g", TextStyle(align="centre")),
    ]  # fmt: skip
    assert parse_markup("<C><BOLD>x</BOLD></C>") == [TextPiece("x", TextStyle(align="centre", bold=True))]
    assert parse_markup("<QR>http://a</QR><CUT><PLUGIN><LOGO><AUDIO-REFUND>") == [
        QrPiece("http://a"), Mark.CUT, Mark.PLUGIN, Mark.LOGO, Mark.AUDIO_REFUND,
    ]  # fmt: skip
    assert parse_markup("a<x>b\r\nc</C>") == [TextPiece("a<x>b"), Mark.BREAK, TextPiece("c")]
    assert parse_markup("<QR>open") == [QrPiece("open")]


def printed(content: str, **more: Any) -> Printer:
    printer = Printer(CHINESE_58MM)
    printer.receive_data(order_bytes(content, **more), 0)
    while (due_us := printer.next_timer()) is not None:
        printer.handle_timer(due_us)
    return printer


@settings(max_examples=40)
@given(st.text(alphabet=st.sampled_from("<>/CBRQLWT OLDIG\n\r\x1b测a-"), max_size=60))
def test_any_content_prints_and_ends(content: str) -> None:
    parse_markup(content)
    assert printed(content).unfinished is None


@pytest.mark.parametrize("content", ["<QR></QR>", f"<QR>{'x' * 4000}</QR>", "<CUT><CUT>", ""])
def test_what_cannot_be_printed_is_left_out(content: str) -> None:
    assert printed(content).receipts == []


def test_the_builder_cannot_be_steered() -> None:
    text = safe_text("<CUT>\x1b@a\u0085")
    assert "<" not in text
    assert "\x1b" not in text
    markup = str(MarkupBuilder(32).columns("站<BR>名", "<QR>x</QR>").line("<CB>", "C"))
    assert [piece for piece in parse_markup(markup) if isinstance(piece, QrPiece)] == []
    with pytest.raises(ValueError, match="QR"):
        MarkupBuilder().qr("a<BR>")
    with pytest.raises(ValueError, match="width_columns"):
        MarkupBuilder(4)


CONTENT = ReceiptContent(
    station_name="昆明北站加油站", station="KM01", nozzle=3, grade="95", volume_ml=12_290, price_fen_per_l=781,
    amount_fen=9598, sequence=7, ended_us=1_790_000_000_000_000, pay_method="微信支付+积分", discount_fen=98,
    card_masked="622588******1234", phone_masked="138****1234", order="KM01000001", qr_text="https://inv.example/7",
)  # fmt: skip


@pytest.mark.requirement("prn.receipt-content-equals-ledger", "prn.reprints-are-numbered")
@pytest.mark.parametrize("reprint", [0, 3])
def test_a_receipt_reads_back_from_the_cloud_printer_s_paper(reprint: int) -> None:
    (paper,) = printed(receipt_markup(CONTENT, reprint)).receipts
    facts = read_receipt(paper.text)
    assert (facts.station, facts.nozzle, facts.grade, facts.volume_ml) == ("KM01", 3, "95", 12_290)
    assert (facts.price_fen_per_l, facts.amount_fen, facts.discount_fen, facts.paid_fen) == (
        781,
        9598,
        98,
        9500,
    )
    assert (facts.sequence, facts.ended_s, facts.order) == (7, 1_790_000_000, "KM01000001")
    assert (facts.pay_method, facts.card, facts.phone) == ("微信支付+积分", "622588******1234", "138****1234")
    assert facts.reprint == reprint
    assert paper.text.count("补打") == (2 if reprint else 0)
    assert paper.qr_codes == (b"https://inv.example/7",)


def test_a_receipt_that_is_too_long_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match=str(CONTENT_MOST_BYTES)):
        receipt_markup(replace(CONTENT, footer="长" * 2000))
    with pytest.raises(ValueError, match="counts from 0"):
        receipt_markup(CONTENT, -1)
    assert json.dumps(receipt_markup(CONTENT))
