"""The lock file: the metadata of a schema as a text that people review, from which the exact metadata is read back.

The first part says in words what must not change by accident: numbers of fields and types, keys, and the places and
versions of indexes. The last part holds the metadata itself. A hash ties them together, so that what was reviewed is
what is used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import tomllib
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidLockFile
from recordlayer.metadata import RecordMetaData, files
from recordlayer.migrate.wording import field_words, key_words

if TYPE_CHECKING:
    from recordlayer.pb.types import Descriptor

FORMAT = 1
_HEAD = "# Written by `recordlayer schema lock`, for review. Change the schema, not this file.\n"
_EXACT = "\n[exact]\n"
_WIDTH = 100


def to_text(metadata: RecordMetaData) -> str:
    """The lock file of a metadata: equal metadata give equal texts."""
    readable = _HEAD + "".join(f"{line}\n" for line in _readable(metadata))
    packed = base64.b64encode(zlib.compress(metadata.to_bytes(), 9)).decode("ascii")
    lines = "\n".join(packed[at : at + _WIDTH] for at in range(0, len(packed), _WIDTH))
    return f'{readable}{_EXACT}reviewed = "{_digest(readable)}"\nmetadata = """\n{lines}\n"""\n'


def from_text(text: str) -> RecordMetaData:
    """The metadata in a lock file.

    Raises  InvalidLockFile for what is none, what was edited, or what a merge left; as `RecordMetaData.from_bytes`.
    """
    readable, found, _ = text.replace("\r\n", "\n").partition(_EXACT)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "after a merge: take one side's lock file whole, and run `recordlayer schema lock`"
        raise InvalidLockFile(reason=f"it is no TOML: {error}", hint=hint) from error
    if not found or parsed.get("format") != FORMAT:
        raise InvalidLockFile(reason="it has no exact part", format=parsed.get("format"), known=FORMAT)
    exact = parsed["exact"]
    if exact.get("reviewed") != _digest(readable):
        hint = "take the file back from version control, and run `recordlayer schema lock`"
        raise InvalidLockFile(reason="what it says in words was edited", hint=hint)
    try:
        data = zlib.decompress(base64.b64decode("".join(str(exact["metadata"]).split()), validate=True))
    except (KeyError, binascii.Error, zlib.error) as error:
        raise InvalidLockFile(reason=f"its exact part is damaged: {error}") from error
    return RecordMetaData.from_bytes(data)


def _digest(readable: str) -> str:
    return hashlib.sha256(readable.encode()).hexdigest()[:32]


def _readable(metadata: RecordMetaData) -> Iterator[str]:
    yield f"format = {FORMAT}"
    yield f"version = {metadata.version}"
    yield ""
    yield "[settings]"
    yield f"split_long_records = {_value(metadata.split_long_records)}"
    yield f"store_record_versions = {_value(metadata.store_record_versions)}"
    if metadata.record_count_key is not None:
        yield f"record_count_key = {_value(key_words(metadata.record_count_key))}"
    for known in metadata.record_types.values():
        yield ""
        yield f"[types.{_name(known.name)}]"
        yield f"numbers = {_value(list(known.union_fields))}"
        yield f"primary_key = {_value(key_words(known.primary_key))}"
        if known.explicit_key is not None:
            yield f"record_type_key = {_value(known.record_type_key)}"
        if known.since_version is not None:
            yield f"since = {known.since_version}"
    yield from _messages([known.descriptor for known in metadata.record_types.values()])
    for index in sorted(metadata.indexes.values(), key=lambda index: index.name):
        yield ""
        yield f"[indexes.{_name(index.name)}]"
        yield f"types = {_value(list(index.record_types))}"
        yield f"type = {_value(index.type)}"
        yield f"key = {_value(key_words(index))}"
        for option in sorted(index.options):
            yield f"options.{_name(option)} = {_value(index.options[option])}"
        if index.predicate is not None:
            yield f"condition = {_value(str(index.predicate))}"
        yield f"place = {_value(index.subspace_key)}"
        yield f"added = {index.added_version}"
        yield f"modified = {index.last_modified_version}"
    for former in metadata.former_indexes:
        yield ""
        yield "[[former_indexes]]"
        if former.former_name is not None:
            yield f"name = {_value(former.former_name)}"
        yield f"place = {_value(former.subspace_key)}"
        yield f"added = {former.added_version}"
        yield f"removed = {former.removed_version}"


def _messages(roots: list[Descriptor]) -> Iterator[str]:
    enums: dict[str, Any] = {}
    for message in sorted(files.reachable(roots), key=lambda message: message.full_name):
        yield ""
        yield f"[messages.{_name(message.full_name)}]"
        for number in sorted(message.fields_by_number):
            field = message.fields_by_number[number]
            yield f"{number} = {_value(f'{field_words(field)} {field.name}')}"
            if field.enum_type is not None:
                enums[field.enum_type.full_name] = field.enum_type
    for name in sorted(enums):
        yield ""
        yield f"[enums.{_name(name)}]"
        for value in sorted(enums[name].values, key=lambda value: (value.number, value.name)):
            yield f"{_name(value.name)} = {value.number}"


def _name(text: str) -> str:
    bare = text and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)
    return text if bare else _value(text)


def _value(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, (str, bool, int)) or (
        isinstance(value, list) and all(type(one) in (str, int) for one in value)
    ):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(repr(value), ensure_ascii=False)
