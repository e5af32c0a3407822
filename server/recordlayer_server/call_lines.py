"""The log lines of calls: one for each, when it has ended."""

from __future__ import annotations

import logging
from functools import lru_cache

from recordlayer_server import logs
from recordlayer_server.places import label
from recordlayer_server.running_calls import Running
from recordlayer_server.security.identity import ANONYMOUS


def write(level: int, one: Running, code: str, took: float) -> None:
    """The line of a call that took so many seconds; an error of the server's own makes it one of an error."""
    if one.unforeseen is not None:
        level = logging.ERROR
    if not logs.calls.isEnabledFor(level):
        return
    lines = None if one.unforeseen is not None else logs.alone()
    if lines is None:
        event = "call failed" if one.unforeseen is not None else "call"
        logs.write(logs.calls, level, event, traceback_of=one.unforeseen, **_values(one, code, took))
    else:
        lines.say(level, logs.calls.name, "call", _written(one, code, took))


def _values(one: Running, code: str, took: float) -> dict[str, object]:
    call = one.call
    values: dict[str, object] = {"request": call.request_id, "method": call.method, "code": code}
    if one.reason:
        values["reason"] = one.reason
    if call.identity is not ANONYMOUS:
        values["identity"] = call.identity.name
    if call.tenant is not None:
        values["tenant"] = label(call.tenant)
    if call.keys_read:
        values["keys_read"] = call.keys_read
    if call.keys_written:
        values["keys_written"] = call.keys_written
    values["milliseconds"] = round(took * 1_000, 3)
    values["peer"] = one.context.peer()
    return values


def _written(one: Running, code: str, took: float) -> str:
    """The same as JSON, in a quarter of the time: this is done for every call. Ids are plain words, codes and reasons
    names."""
    call = one.call
    more = f', "reason": "{one.reason}"' if one.reason else ""
    if call.identity is not ANONYMOUS:
        more += f', "identity": {_quoted(call.identity.name)}'
    if call.tenant is not None:
        more += f', "tenant": {_quoted(label(call.tenant))}'
    if call.keys_read:
        more += f', "keys_read": {call.keys_read}'
    if call.keys_written:
        more += f', "keys_written": {call.keys_written}'
    return (
        f', "request": "{call.request_id}", "method": {_quoted(call.method)}, "code": "{code}"{more}'
        f', "milliseconds": {took * 1_000:.3f}, "peer": {_quoted(one.context.peer())}'
    )


_quoted = lru_cache(maxsize=4_096)(logs.quoted)
"""Methods, tenants and peers come again and again."""
