"""`recordlayer inspect`: raw keys and values of a store in words, for whoever wonders what lies there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import click
from google.protobuf import text_format

from recordlayer.cli.opening import db_option, opened, store_option
from recordlayer.cli.project import Names
from recordlayer.cli.screen import Screen, json_option
from recordlayer.errors import MalformedTuple, RecordLayerError
from recordlayer.metadata import RecordMetaData
from recordlayer.observe.fields import text_of
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.record_metadata_pb2 import DataStoreInfo
from recordlayer.store.layout import Keyspace
from recordlayer.store.open import store_prefix
from recordlayer.store.places import StorePlaces, path_of
from recordlayer.tuples import pack, strinc, unpack
from recordlayer.waiting.drivers import run_blocking

_SHOWN = 32  # bytes of a value that nothing is known of
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\(\\)")


@click.command()
@click.argument("key", required=False)
@click.option("--to", metavar="KEY", help="All keys from KEY up to this one, which is not among them.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Keys.")
@store_option
@db_option
@json_option
@click.pass_obj
def inspect(
    screen: Screen, key: str | None, to: str | None, limit: int, db: str | None, at: Names | None, as_json: bool
) -> None:
    r"""Print raw keys in words, with their values: all that begin with KEY.

    A key is a tuple below the store, such as (1, 42) for record 42 or (2, "by_total"); or the whole key in printable
    characters and \xNN, as logs and fdbcli have it; or 0x and hexadecimal digits. Without one, all of the store.
    """
    with opened(screen, db, at) as place, place.looking() as store:
        prefix = store_prefix(place.path)
        begin = key_in(key, prefix) if key is not None else prefix
        end = strinc(begin) if to is None else key_in(to, prefix)
        context = store.core.context
        pairs = run_blocking(_first(context, begin, end, limit + 1))
        places = StorePlaces(prefix, store.metadata)
    shown = [(found, _words(places, found), value_words(places, found, value)) for found, value in pairs[:limit]]
    if as_json:
        keys = [
            {"key": "0x" + found.hex(), "text": text_of(found), "is": words, "bytes": len(value), "value": meaning}
            for (found, words, meaning), (_, value) in zip(shown, pairs, strict=False)
        ]
        screen.json({"keys": keys, "more": len(pairs) > limit})
        return
    for found, words, meaning in shown:
        screen.say(f"{key_text(found, prefix)}\n    {words}" + (f"\n    = {meaning}" if meaning else ""))
    if not shown:
        screen.say(f"there is no key from\n    {text_of(begin)}\n  up to\n    {text_of(end)}")
    elif len(pairs) > limit:
        screen.say(f"... more from\n    {text_of(pairs[limit][0])}")


async def _first(context: Any, begin: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    while len(found) < limit:
        chunk = await context.get_range(begin, end, limit=limit - len(found), snapshot=True)
        found += chunk.rows
        if not chunk.more:
            break
        begin = found[-1][0] + b"\x00"
    return found


def key_in(text: str, prefix: bytes) -> bytes:
    """The key that a text is.  Raises  click.BadParameter."""
    text = text.strip()
    if text.startswith("("):
        try:
            items = ast.literal_eval(text)
            return prefix + pack(items if isinstance(items, tuple) else (items,))
        except (ValueError, SyntaxError, RecordLayerError, MemoryError, RecursionError) as error:
            raise click.BadParameter(f"{text} is no tuple: {error}") from None
    try:
        return bytes.fromhex(text[2:]) if text.startswith("0x") else _unescaped(text.encode("ascii"))
    except ValueError as error:
        raise click.BadParameter(f"{text} is no key: {error}") from None


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", text)


def key_text(key: bytes, prefix: bytes) -> str:
    """A key of a store as the tuple below it, as far as it is one."""
    if key.startswith(prefix):
        try:
            return repr(unpack(key[len(prefix) :]))
        except MalformedTuple:
            pass
    return text_of(key)


def _words(places: StorePlaces, key: bytes) -> str:
    if not key.startswith(places.prefix):
        return f"not a key of {path_of(places.prefix)}"
    return places.describe(key, key + b"\x00")


def value_words(places: StorePlaces, key: bytes, value: bytes) -> str:
    """A value in words, as far as its place tells what it is."""
    keyspace, start = places.keyspace_of(key) if key.startswith(places.prefix) else (None, 0)
    of: Callable[[RecordMetaData, bytes], str] | None = None
    if keyspace is Keyspace.HEADER:
        of = _header
    elif keyspace is Keyspace.RECORDS:
        of = _record
    elif keyspace is Keyspace.RECORD_COUNTS:
        of = _number
    elif keyspace is Keyspace.INDEXES:
        index, _ = places.index_of(keyspace, key, start)
        of = (
            _number if index is not None and index.type in ("count", "count_updates", "count_not_null", "sum") else None
        )
    if of is not None:
        try:
            return of(places.metadata, value)
        except (RecordLayerError, *PARSE_ERRORS):
            pass  # damaged, or written by something else: then the bytes are what there is to say
    return _as_tuple(value)


def _header(metadata: RecordMetaData, value: bytes) -> str:
    return text_format.MessageToString(DataStoreInfo.FromString(value), as_one_line=True)


def _record(metadata: RecordMetaData, value: bytes) -> str:
    record_type, record = metadata.open_envelope(value)
    return f"{record_type.name} {{{text_format.MessageToString(record, as_one_line=True, as_utf8=True)}}}"


def _number(metadata: RecordMetaData, value: bytes) -> str:
    if len(value) != 8:
        raise ValueError(value)
    return str(int.from_bytes(value, "little", signed=True))


def _as_tuple(value: bytes) -> str:
    try:
        items = unpack(value)
    except MalformedTuple:
        items = ()
    if items:
        return repr(items)
    more = f"... ({len(value):,} bytes)" if len(value) > _SHOWN else ""
    return text_of(value[:_SHOWN]) + more
