"""Records as bytes: the union message around a record, read and written without ever making one.

Layout  tag of the union's field (varint: number * 8 + 2), length (varint), the record
Source  Record Layer: DynamicMessageRecordSerializer
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import EncodeError

from recordlayer.core import made_in_c
from recordlayer.errors import CorruptRecord, IncompleteRecord, UnknownRecordType
from recordlayer.keys import access
from recordlayer.keys.suggest import listed
from recordlayer.metadata import files
from recordlayer.metadata.record_type import RecordType
from recordlayer.pb.nans import IS_PURE, parser_of, with_nans
from recordlayer.pb.pages import page_parser_of
from recordlayer.pb.parsing import PARSE_ERRORS

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import Descriptor

_MESSAGE = 2  # the wire type of strings, bytes and messages


class Envelopes:
    """The union of a metadata, as tables from message classes to tags and from tags to record types.

    `envelope`, `split` and `open` are closures over the tables: every read and every write of a record passes here.
    """

    __slots__ = ("_by_name", "_by_tag", "_known", "_maps", "_tags", "envelope", "open", "open_all", "split")

    def __init__(self, record_types: Iterable[RecordType]) -> None:
        self._by_tag: dict[int, RecordType] = {}
        self._by_name: dict[str, RecordType] = {}
        self._known: dict[type[Message], RecordType] = {}
        self._tags: dict[type[Message], tuple[bytes, ...]] = {}
        known = tuple(record_types)
        self._maps = reaching_maps(record_type.descriptor for record_type in known)
        for record_type in known:
            self._by_name[record_type.descriptor.full_name] = record_type
            for number in record_type.union_fields:
                self._by_tag[number << 3 | _MESSAGE] = record_type
            self._learn(record_type.message_class, record_type)
        self.envelope = self._make_envelope()
        self.split = self._make_split()
        self.open = self._make_open()
        self.open_all = self._make_open_all()

    def _learn(self, message_class: type[Message], record_type: RecordType) -> RecordType:
        self._known[message_class] = record_type
        # Map entries have no order of their own: without one, the same record could be stored as different bytes.
        # Such types take the longer way.
        if record_type.descriptor.full_name not in self._maps:
            self._tags[message_class] = _heads(record_type)
        return record_type

    def record_type_of(self, message: Message) -> RecordType:
        """The record type of a message.

        Raises: UnknownRecordType
        """
        known = self._known.get(type(message))
        if known is not None:
            return known
        # The same type from another pool: a generated class for metadata that was loaded, or the other way round.
        descriptor = getattr(message, "DESCRIPTOR", None)
        record_type = self._by_name.get(getattr(descriptor, "full_name", ""))
        if record_type is None:
            names = listed(record.name for record in self._by_name.values())
            raise UnknownRecordType(given=type(message).__name__, hint=f"records here are {names}")
        return self._learn(type(message), record_type)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _make_envelope(self) -> Callable[[Message], bytes]:
        tags, slow = self._tags, self._envelope

        def envelope(message: Message) -> bytes:
            """A record in its union, serialised.

            Raises: UnknownRecordType; IncompleteRecord when a required field is not set.
            """
            heads = tags.get(type(message))
            if heads is None:
                return slow(message)
            try:
                body = message.SerializeToString()
            except (EncodeError, TypeError, ValueError):
                return slow(message)
            size = len(body)
            if size < 0x80:
                return heads[size] + body
            return heads[-1] + varint(size) + body

        return envelope

    def _envelope(self, message: Message) -> bytes:
        record_type = self.record_type_of(message)
        try:
            body = message.SerializeToString(deterministic=True)
        except EncodeError as error:
            missing = message.FindInitializationErrors()  # type: ignore[attr-defined]
            raise IncompleteRecord(record_type=record_type.name, fields=missing or str(error)) from error
        except (TypeError, ValueError) as error:
            raise IncompleteRecord(record_type=record_type.name, reason=str(error)) from error
        return varint(record_type.union_field << 3 | _MESSAGE) + varint(len(body)) + body

    # -- reading -----------------------------------------------------------------------------------------------------

    def _make_split(self) -> Callable[[bytes], tuple[RecordType, bytes]]:
        by_tag = {tag: record_type for tag, record_type in self._by_tag.items() if tag < 0x80}
        slow = self._split

        def split(data: bytes) -> tuple[RecordType, bytes]:
            """The type of a serialised union and the bytes of the record in it.

            Raises: CorruptRecord when the union has no field, several, or one that the metadata does not know.
            """
            # Nearly always one field whose tag is one byte, and less than 16,384 bytes of record.
            size = len(data)
            if size > 2:
                if data[1] == size - 2 and size < 0x82:
                    record_type = by_tag.get(data[0])
                    if record_type is not None:
                        return record_type, data[2:]
                elif data[1] >= 0x80 and data[2] < 0x80 and (data[1] & 0x7F | data[2] << 7) == size - 3:
                    record_type = by_tag.get(data[0])
                    if record_type is not None:
                        return record_type, data[3:]
            return slow(data)

        return split

    def _make_open(self) -> Callable[[bytes], tuple[RecordType, Message]]:
        split = self.split
        parsers = {id(record_type): parser_of(record_type.message_class) for record_type in self._by_tag.values()}

        def open_(data: bytes) -> tuple[RecordType, Message]:
            """The record in a serialised union, with its type.

            Raises: CorruptRecord
            """
            record_type, body = split(data)
            try:
                return record_type, parsers[id(record_type)](body)
            except PARSE_ERRORS:
                return record_type, parse(record_type, body)

        return open_

    def _make_open_all(self) -> Callable[[Sequence[bytes]], list[Message]]:
        parsers = {tag: parser_of(known.message_class) for tag, known in self._by_tag.items() if tag < 0x80}
        open_ = self.open

        def open_all(envelopes: Sequence[bytes]) -> list[Message]:
            """The records in serialised unions.

            Raises: CorruptRecord
            """
            messages: list[Message] = []
            add = messages.append
            for data in envelopes:
                # Nearly always one field whose tag is one byte, and less than 128 bytes of record.
                size = len(data)
                if 2 < size < 0x82 and data[1] == size - 2 and (parser := parsers.get(data[0])) is not None:
                    try:
                        add(parser(data[2:]))
                        continue
                    except PARSE_ERRORS:
                        pass
                add(open_(data)[1])
            return messages

        pages = {tag: page_parser_of(known.message_class) for tag, known in self._by_tag.items() if tag < 0x80}
        by_tag = [tuple(each.get(tag) for tag in range(0x80)) for each in (parsers, pages)]
        return made_in_c("open_all", open_all, *by_tag)

    def _split(self, data: bytes) -> tuple[RecordType, bytes]:
        found: RecordType | None = None
        parts: list[bytes] = []
        number_found = 0
        at = 0
        while at < len(data):
            tag, at = read_varint(data, at)
            record_type = self._by_tag.get(tag)
            if record_type is None:
                if tag & 7 == _MESSAGE:
                    size, begin = read_varint(data, at)
                    if begin + size > len(data):
                        raise CorruptRecord(reason="the record is shorter than its length says", size=size)
                reason = "the union has an unknown field"
                hint = "it was written with newer metadata, or is no record of this store"
                raise CorruptRecord(reason=reason, number=tag >> 3, wire_type=tag & 7, hint=hint)
            if found is not None and tag != number_found:
                raise CorruptRecord(reason="the union holds more than one record")
            size, at = read_varint(data, at)
            if at + size > len(data):
                raise CorruptRecord(reason="the record is shorter than its length says", size=size)
            # A field that is there twice means both merged, and bytes of messages merge by standing behind each other.
            found, number_found = record_type, tag
            parts.append(data[at : at + size])
            at += size
        if found is None:
            raise CorruptRecord(reason="the union is empty")
        return found, b"".join(parts)


def _heads(record_type: RecordType) -> tuple[bytes, ...]:
    """Tag and length for every size of one byte, and the tag alone at the end."""
    tag = varint(record_type.union_field << 3 | _MESSAGE)
    return (*[tag + bytes((size,)) for size in range(0x80)], tag)


def parse(record_type: RecordType, body: bytes) -> Message:
    """The message of a record's bytes; fields it does not know are kept.

    Raises: CorruptRecord
    """
    try:
        message = record_type.message_class.FromString(body)
    except PARSE_ERRORS as error:
        raise CorruptRecord(record_type=record_type.name, reason=str(error)) from error
    return with_nans(message, body) if IS_PURE else message


def reaching_maps(descriptors: Iterable[Descriptor]) -> set[str]:
    """Full names of the message types, among those given and all they reach, that have a map somewhere inside."""
    held_by: dict[str, list[str]] = {}
    found: list[str] = []
    for descriptor in files.reachable(descriptors):
        for field in descriptor.fields:
            if field.message_type is not None:
                held_by.setdefault(field.message_type.full_name, []).append(descriptor.full_name)
                if access.is_map(field):
                    found.append(descriptor.full_name)
    reaching: set[str] = set()
    while found:
        name = found.pop()
        if name not in reaching:
            reaching.add(name)
            found += held_by.get(name, ())
    return reaching


def varint(number: int) -> bytes:
    """A number in protobuf's variable length."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in protobuf's variable length, and where the next byte is.

    Raises: CorruptRecord
    """
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise CorruptRecord(reason="a number in the union does not end")
