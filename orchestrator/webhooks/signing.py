"""Signatures of the Standard Webhooks specification, symmetric (`v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what marks a secret as one
MIN_KEY_BYTES: Final = 24
MAX_KEY_BYTES: Final = 64
TOLERANCE_SECONDS: Final = 300
_VERSION: Final = "v1"


class InvalidSignatureError(Exception):
    """The message does not come from a holder of the secret, or not lately."""


def key_of(secret: str) -> bytes:
    """The key inside `whsec_<base64>`.

    Raises:
        ValueError: it is no such secret; the message does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"must be `{SECRET_PREFIX}` and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} random bytes, such as"
            f" `{SECRET_PREFIX}$(openssl rand -base64 32)` prints"
        )
    return key


def signed_headers(*, message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers; one signature for each secret, so that a receiver may know the old one or the new one.

    `timestamp` is in seconds since 1970, of this attempt.
    """
    signatures = [_signature(key_of(secret), message_id, str(timestamp), body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(*, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> None:
    """What a receiver does before it reads the body. `headers` has lower-case names, or ignores case.

    Raises:
        InvalidSignatureError: a header is missing, no signature fits, or the timestamp is more than five minutes off.
    """
    try:
        message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        offered = headers["webhook-signature"].split()
        age_seconds = abs(now - int(timestamp))
    except (KeyError, ValueError):
        raise InvalidSignatureError("a `webhook-` header is missing or malformed") from None
    expected = _signature(key_of(secret), message_id, timestamp, body).encode()
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in offered):
        raise InvalidSignatureError("no signature fits the secret")
    if age_seconds > TOLERANCE_SECONDS:
        raise InvalidSignatureError("the timestamp is too old or too new")


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"{_VERSION},{base64.b64encode(digest).decode()}"
