"""Webhooks of subscriptions, for who receives them: is this from the service, and what does it tell?

    notification = webhooks.verify(request.headers, request.body, secret)
    if notification.id not in done: ...

The service POSTs JSON to the webhook's address. Signed are the id, the time and the body, with the secret that `Create`
gave; the scheme is that of "Standard Webhooks" (standardwebhooks.com), so its libraries in other languages read it too:

    webhook-id          the same however often it is sent: what was done for it once need not be done again
    webhook-timestamp   seconds since 1970 when it was sent
    webhook-signature   "v1," and base64 of HMAC-SHA256 over "{id}.{timestamp}.{body}"; for a day behind a change of the
                        secret two of them, with a space between

A secret is "whsec_" and base64 of the key. Answer with a status from 200 to 299, soon: anything else is tried again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import timedelta

from google.protobuf import json_format

from recordlayer.client.pb.subscriptions_pb2 import Notification
from recordlayer.errors import WebhookRefused, WrongType

PREFIX = "whsec_"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = timedelta(minutes=5)


def verify(
    headers: Mapping[str, str], body: bytes, secret: str, *, tolerance: timedelta = TOLERANCE, now: float | None = None
) -> Notification:
    """What a request tells, once it is sure that it is from the service and was made within `tolerance` of now.

    headers  of the request; whatever the case of their names
    body     as it was received, byte for byte
    now      seconds since 1970; the clock's without it

    Raises  WebhookRefused for everything else, with what is wrong: answer it with status 400; WrongType.
    """
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise WrongType(argument="body", value=body, hint="give the bytes of the request's body as they came")
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not given.get(name)]
    if missing:
        raise WebhookRefused(why="headers are missing", headers=missing)
    said = given[TIMESTAMP]
    if not said.isascii() or not said.isdigit() or len(said) > 15:
        raise WebhookRefused(why="the time is no number of seconds")
    if abs((time.time() if now is None else now) - int(said)) > tolerance.total_seconds():
        raise WebhookRefused(why="it is of another time", timestamp=said, hint="is this machine's clock right?")
    expected = signature(secret, given[ID], int(said), bytes(body)).encode()
    # All are compared, so that how long this takes says nothing about which of them agreed.
    if not any([hmac.compare_digest(expected, one.encode()) for one in given[SIGNATURE].split(" ")]):  # noqa: C419
        raise WebhookRefused(why="the signature is another", hint="is it the secret of this subscription?")
    try:
        told: Notification = json_format.Parse(bytes(body), Notification(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise WebhookRefused(why="the body is no notification", reason=str(error)) from error
    return told


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002
    """What the header `webhook-signature` has to have.  Raises  WebhookRefused for what is no secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebhookRefused(why="the secret is none", hint=f"give it as Create gave it: {PREFIX}...") from error
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def secret_of(key: bytes) -> str:
    """A key as it is handed out."""
    return PREFIX + base64.b64encode(key).decode()
