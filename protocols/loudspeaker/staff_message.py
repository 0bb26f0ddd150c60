"""A payment on the staff's phones: one message whose parts an iPhone and an Android phone each understand.

It has the shape of a message of Firebase Cloud Messaging's HTTP v1 interface (``projects.messages``: ``data``, ``android``, ``apns``), whose
``apns`` part is Apple's own (Generating a remote notification; Sending notification requests to APNs). An app in the foreground reads ``data``
and has ``speech`` said by the platform's text to speech. In the background no app may speak: there the system shows the notification, with
its sound where the phone is not silent, and for no longer than the payment is news. Which provider carries it is left open: in
mainland China it is not Google's.
"""

from __future__ import annotations

from typing import Any, Final

from protocols.loudspeaker.announcement import Announcement, words_of

__all__ = ["STAFF_CHANNEL", "staff_message"]

STAFF_CHANNEL: Final = "payments"
"""The notification channel that the Android app makes, with high importance and vibration."""


def staff_message(announcement: Announcement, *, proved_us: int, fresh_us: int) -> dict[str, Any]:
    """The message.

    Args:
        announcement: the payment.
        proved_us: when it was proved, Unix µs.
        fresh_us: how long it is news.

    Raises:
        NumeralError: the amount cannot be said.
    """
    speech = "".join(words_of(announcement))
    nozzle = f"{announcement.nozzle}号枪 " if announcement.nozzle is not None else ""
    title, body = "收款", f"{nozzle}{announcement.amount_fen // 100}.{announcement.amount_fen % 100:02} 元"
    number = announcement.request_id
    ends_s = (proved_us + fresh_us) // 1_000_000
    return {
        "data": {
            "request_id": number,
            "speech": speech,
            "amount_fen": str(announcement.amount_fen),
            "nozzle": "" if announcement.nozzle is None else str(announcement.nozzle),
            "expires_s": str(ends_s),
        },
        "android": {
            # High: else a phone that dozes gets it when it wakes.
            "priority": "HIGH",
            "ttl": f"{fresh_us // 1_000_000}s",
            "collapse_key": number,
            "notification": {
                "title": title,
                "body": body,
                "channel_id": STAFF_CHANNEL,
                "tag": number,
                "default_sound": True,
                "default_vibrate_timings": True,
            },
        },
        "apns": {
            "headers": {
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-expiration": str(ends_s),
                "apns-collapse-id": number,
            },
            "payload": {
                "aps": {
                    "alert": {"title": title, "body": body},
                    "sound": "default",
                    # Passes a focus mode that lets such notifications through.
                    "interruption-level": "time-sensitive",
                },
            },
        },
    }
