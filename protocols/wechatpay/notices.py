"""Notifications: the gateway seals and signs them, the merchant checks and opens them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay.messages import Notification, decode_notification, encode_json
from protocols.wechatpay.resource import decrypt_resource, encrypt_resource
from protocols.wechatpay.signing import verify_reply
from protocols.wechatpay.trust import PlatformTrust

__all__ = ["OpenedNotice", "build_notification", "open_notification"]

_ALGORITHM = "AEAD_AES_256_GCM"


@dataclass(frozen=True, slots=True)
class OpenedNotice:
    """A notification that was checked and opened.

    Attributes:
        envelope: id, event type, times; the same id may come again.
        resource: the decrypted JSON bytes; read them with `decode_transaction`, `decode_refund`, …
    """

    envelope: Notification
    resource: bytes

    @property
    def event_type(self) -> str:
        """What happened, ``TRANSACTION.SUCCESS`` and so on; the only field to dispatch on."""
        return self.envelope.event_type


def build_notification(
    *,
    notice_id: str,
    create_time: str,
    event_type: str,
    summary: str,
    resource: Mapping[str, object],
    apiv3_key: str,
    nonce: str,
    associated_data: str,
    original_type: str | None,
) -> bytes:
    """The raw body of a callback (WXDOC 4012791861); sign it with `sign_reply`.

    Args:
        notice_id: 36 characters, the same on each retry.
        create_time: RFC 3339.
        event_type: ``TRANSACTION.SUCCESS``, ``REFUND.SUCCESS``, ``FAPIAO.ISSUED``, …
        summary: Chinese text for people.
        resource: what gets encrypted.
        apiv3_key: the merchant's 32 characters.
        nonce: 12 ASCII characters, fresh.
        associated_data: ``transaction``, ``refund``, … or empty.
        original_type: as ``associated_data``; None for invoice events, which do not have it.
    """
    sealed: dict[str, object] = {
        "algorithm": _ALGORITHM,
        "ciphertext": encrypt_resource(
            encode_json(resource), apiv3_key=apiv3_key, nonce=nonce, associated_data=associated_data
        ),
        "associated_data": associated_data,
        "nonce": nonce,
    }
    if original_type is not None:
        sealed = {"original_type": original_type, **sealed}
    return encode_json(
        {
            "id": notice_id,
            "create_time": create_time,
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": summary,
            "resource": sealed,
        }
    )


def open_notification(
    trust: PlatformTrust, headers: Mapping[str, str], body: bytes, *, apiv3_key: str, now_s: int
) -> OpenedNotice:
    """Check the signature over the raw bytes, then read and decrypt; nothing is believed before that.

    Args:
        trust: the platform's keys.
        headers: received headers.
        body: received raw bytes.
        apiv3_key: the merchant's 32 characters.
        now_s: own Unix time in seconds.

    Raises:
        SignatureRefusedError: forged, too old, a probe, or of an unknown key.
        ResourceError: the encrypted part does not open.
        RemoteProtocolError: signed, but not a notification this package knows.
    """
    verify_reply(trust, headers, body, now_s=now_s)
    envelope = decode_notification(body)
    if envelope.resource_type != "encrypt-resource" or envelope.resource.algorithm != _ALGORITHM:
        raise RemoteProtocolError(
            f"unknown resource {envelope.resource_type[:40]!r} with {envelope.resource.algorithm[:40]!r}"
        )
    resource = envelope.resource
    plain = decrypt_resource(
        resource.ciphertext,
        apiv3_key=apiv3_key,
        nonce=resource.nonce,
        associated_data=resource.associated_data,
    )
    return OpenedNotice(envelope, plain)
