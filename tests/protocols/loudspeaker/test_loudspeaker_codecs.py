"""Messages to loudspeakers: the published examples, the way there and back, and whatever else may come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.chinese_numerals import MAX_AMOUNT_FEN
from protocols.loudspeaker import (
    ADD_PATH,
    MQLINKS,
    NOTIFY_PATH,
    PAYERS,
    STATION,
    Announcement,
    ClipMessage,
    ErrCode,
    Heard,
    MessageError,
    MoneyMessage,
    NotUnderstoodError,
    SayAmount,
    SayText,
    SpeakerApiError,
    UnknownClipError,
    decode_form,
    decode_message,
    decode_reply,
    encode_form,
    encode_message,
    encode_reply,
    read_aloud,
    split_words,
    understand,
    words_of,
)

AMOUNTS = st.integers(1, MAX_AMOUNT_FEN)
ANNOUNCEMENTS = st.builds(
    Announcement,
    request_id=st.text("0123456789KM", min_size=1, max_size=32),
    amount_fen=AMOUNTS,
    nozzle=st.none() | st.integers(1, 999),
    payer=st.none() | st.sampled_from(PAYERS),
)


def test_the_published_example_of_a_clip_message():
    words = ("支付宝", "到账", *"三十点五元")
    assert "-".join(MQLINKS.numbers(words)) == "069-071-003-010-014-005-015"
    payload = b'{"playAudibleMsg": "069-071-003-010-014-005-015", "orderId": "o1"}'
    message = decode_message(payload)
    assert message == ClipMessage("o1", MQLINKS.numbers(words))
    assert tuple(MQLINKS.word(number) for number in message.clips) == words
    assert understand(words) == Heard(None, "支付宝", 3_050)


def test_the_published_example_of_a_money_message():
    payload = b'{"broadcast_type":2,"money":"0.01","biz_type":2,"request_id":"r1"}'
    assert decode_message(payload) == MoneyMessage("r1", 1)
    assert encode_message(MoneyMessage("r1", 1)) == payload


def test_the_demonstration_box_knows_no_orders():
    assert decode_message(b'{"money":"12345678.9"}') == MoneyMessage(None, 1_234_567_890)
    assert encode_message(MoneyMessage(None, 1_234_567_890)) == b'{"money":"12345678.90"}'


@given(ANNOUNCEMENTS, st.sampled_from(["units", "point"]))
def test_what_is_said_is_what_is_understood(announcement, reading):
    words = words_of(announcement, reading=reading)
    assert understand(words) == Heard(announcement.nozzle, announcement.payer, announcement.amount_fen)
    assert split_words("".join(words)) == words
    assert tuple(STATION.word(number) for number in STATION.numbers(words)) == words


@given(st.text("ABC123-_", min_size=1, max_size=64), AMOUNTS)
def test_messages_come_back(number, amount_fen):
    for message in (MoneyMessage(number, amount_fen), ClipMessage(number, ("018", "065"))):
        assert decode_message(encode_message(message)) == message
        # Written by an independent hand, with other spaces and one more field.
        fields = json.loads(encode_message(message)) | {"cmd": "voice"}
        assert decode_message(json.dumps(fields, indent=1).encode()) == message


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 3000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "neither"),
        (b'{"money":"1"' + b" " * 5000 + b"}", "more than a box takes"),
        (b'{"money":"0.00","request_id":"r"}', "from 0.01"),
        (b'{"money":"1.005","request_id":"r"}', "amount in yuan"),
        (b'{"money":1.5,"request_id":"r"}', "amount in yuan"),
        ('{"money":"１２","request_id":"r"}'.encode(), "amount in yuan"),
        (b'{"money":"123456789","request_id":"r"}', "amount in yuan"),
        (b'{"money":"1","request_id":""}', "request_id"),
        (b'{"money":"1","request_id":7}', "request_id"),
        (b'{"money":"1","request_id":"r","biz_type":true}', "biz_type"),
        (b'{"playAudibleMsg":"1-2","orderId":"o"}', "three digits"),
        (b'{"playAudibleMsg":"' + b"-".join([b"001"] * 65) + b'","orderId":"o"}', "65 clips"),
        (b'{"playAudibleMsg":"001"}', "orderId"),
        (rb'{"money":"1","request_id":"\ud800"}', "half a character"),
        (rb'{"playAudibleMsg":"001","orderId":"\udfff"}', "half a character"),
    ],
)  # fmt: skip
def test_what_a_box_cannot_make_sense_of(payload, says):
    with pytest.raises(MessageError, match=says):
        decode_message(payload)


@given(st.binary(max_size=200))
def test_noise_is_refused_in_one_way(payload):
    with pytest.raises(MessageError):
        decode_message(payload)


@pytest.mark.parametrize(
    "said",
    ["", "收款", "三号枪收款", "微信二百元", "号枪收款一元", "三号收款一元", "收款一元零元", "收款收款一元", "一元收款"],
)  # fmt: skip
def test_half_an_announcement_is_not_understood(said):
    with pytest.raises(NotUnderstoodError):
        understand(split_words(said))


def test_a_bank_without_the_clips_says_so():
    assert (MQLINKS.reading, MQLINKS.says_nozzle) == ("point", False)
    assert (STATION.reading, STATION.says_nozzle) == ("units", True)
    with pytest.raises(UnknownClipError, match="mqlinks has no clip for '号'"):
        MQLINKS.numbers(words_of(Announcement(request_id="r", amount_fen=1, nozzle=3)))
    assert MQLINKS.word("999") is None


def test_the_published_examples_of_the_http_interface():
    add = {"id": "335", "price": "3879", "token": "123456789021", "version": "1"}
    assert decode_form(ADD_PATH, add) == SayAmount(
        speaker_id="335", token="123456789021", version="1", price_fen=3879
    )
    text = {"id": "10000091", "token": "123456789021", "version": "1", "message": "你的验证码为6688"}
    assert decode_form(NOTIFY_PATH, text).message == "你的验证码为6688"
    assert read_aloud("订单编号[123]收款66元") == "订单编号一二三收款六十六元"
    assert read_aloud("[津A8526]正常通行") == "津A八五二六正常通行"
    assert read_aloud("支付宝到账120元,实收110元") == "支付宝到账一百二十元,实收一百一十元"
    assert read_aloud("收款38.79元") == "收款三十八点七九元"


@given(st.integers(0, 0xFFFF_FFFF) | st.none(), st.integers(0, 100) | st.none(), AMOUNTS)
def test_requests_come_back(seq, volume, amount_fen):
    same = {"speaker_id": "17", "token": "t", "version": "3", "seq": seq, "volume": volume, "trace_no": "x"}
    text = SayText(message="".join(words_of(Announcement(request_id="r", amount_fen=amount_fen))), **same)
    requests = [text]
    if amount_fen <= 2_147_483_647:
        requests.append(SayAmount(price_fen=amount_fen, pay_type=2, **same))
    for request in requests:
        path, fields = encode_form(request)
        assert decode_form(path, fields) == request


@given(st.text(max_size=40))
def test_any_text_can_be_read_aloud(text):
    assert not any(c in "0123456789" for c in read_aloud(text))


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        (NOTIFY_PATH, {"id": ""}, ErrCode.NO_SPEAKER_ID),
        (NOTIFY_PATH, {"token": ""}, ErrCode.BAD_TOKEN),
        (NOTIFY_PATH, {"version": "0"}, ErrCode.NO_RIGHT),
        (NOTIFY_PATH, {"version": "12"}, ErrCode.NO_RIGHT),
        (NOTIFY_PATH, {"message": ""}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"message": "元" * 43}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"seq": "-1"}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"seq": "4294967296"}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"seq": "９"}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"vol": "101"}, ErrCode.UNKNOWN),
        (NOTIFY_PATH, {"trace_no": "x" * 64}, ErrCode.UNKNOWN),
        (ADD_PATH, {"price": "0"}, ErrCode.UNKNOWN),
        (ADD_PATH, {"price": "1.5"}, ErrCode.UNKNOWN),
        (ADD_PATH, {}, ErrCode.UNKNOWN),
        ("/other.php", {}, ErrCode.UNKNOWN),
    ],
)
def test_requests_that_the_platform_refuses(path, change, code):
    fields = {"id": "17", "token": "t", "version": "3", "message": "收款一元"} | change
    with pytest.raises(SpeakerApiError) as refused:
        decode_form(path, fields)
    assert refused.value.code is code


def test_replies():
    assert decode_reply(encode_reply(ErrCode.OK)).is_taken
    repeated = decode_reply(encode_reply(ErrCode.REPEATED))
    assert (repeated.errcode, repeated.errmsg, repeated.is_taken) == (17, "重复的请求", True)
    assert decode_reply(b'{"errcode":"0"}').is_taken
    assert not decode_reply(encode_reply(ErrCode.NO_SUCH_SPEAKER)).is_taken
    for body in (b"", b"[]", b"{}", b'{"errcode":"x"}', b"<html>", b"[" * 3000):
        with pytest.raises(SpeakerApiError):
            decode_reply(body)
