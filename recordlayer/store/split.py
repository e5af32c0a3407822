"""Records as key-value pairs: one for a small record, parts for a large one, and one for its version.

Layout  (*primary key, 0)          the record, up to 100,000 bytes
        (*primary key, 1), (2)...  its parts of 100,000 bytes
        (*primary key, -1)         its version: a packed tuple of one versionstamp
        (*primary key)             the record, in stores that omit the suffix of unsplit records
Cost    write: 1 set a part, + 1 clear range if other pairs were there before; read: 1 range read
Source  Record Layer, SplitHelper
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from recordlayer.errors import CorruptRecord, MalformedTuple, RecordTooLarge
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KEY_LIMIT, VALUE_LIMIT, KeyValue
from recordlayer.observe.events import Bytes, RecordSplit
from recordlayer.store.explain_conflict import describe
from recordlayer.tuples import Versionstamp, pack, unpack

PART = 100_000
"""Bytes of a part; a record of exactly as many is not split."""

UNSPLIT = pack((0,))
VERSION = pack((-1,))
FIRST_PART = pack((1,))
_SUFFIX_BYTES = 4
SURE_OF_SIZE = KEY_LIMIT - _SUFFIX_BYTES
"""No key of a pair up to this length is refused by `check_size`."""
_STAMP_CODE = b"\x33"
_VERSION_BYTES = 13
_STAMP_OFFSET = (1).to_bytes(4, "little")  # the placeholder stands behind the code of the versionstamp


class Shape(NamedTuple):
    """Which pairs a stored record has, and the bytes of their keys (the store's prefix among them) and values."""

    parts: int
    """0: unsplit."""
    has_version: bool
    key_bytes: int
    value_bytes: int

    @property
    def is_split(self) -> bool:
        return self.parts > 0

    @property
    def pairs(self) -> int:
        """How many key-value pairs that are, the version's included."""
        return (self.parts or 1) + self.has_version


class RawRecord:
    """A record's bytes as stored, put together."""

    __slots__ = ("data", "shape", "version")

    def __init__(self, data: bytes, version: Versionstamp | None, shape: Shape) -> None:
        self.data = data
        self.version = version
        self.shape = shape


@dataclass(frozen=True, slots=True)
class Splitting:
    """How a store keeps its records."""

    splits: bool
    """Records over 100,000 bytes are allowed, in parts."""
    omits_suffix: bool
    """Unsplit records have no suffix unless records are split. (Old formats, and stores that began with one.)"""

    @property
    def has_suffixes(self) -> bool:
        return self.splits or not self.omits_suffix

    def check_size(self, base: bytes, size: int) -> None:
        """Raises  RecordTooLarge when a record must not be split, or its key is too long."""
        if len(base) + _SUFFIX_BYTES > KEY_LIMIT:
            raise RecordTooLarge(
                key_bytes=len(base),
                limit=KEY_LIMIT - _SUFFIX_BYTES,
                hint="the primary key is too long: use a shorter one",
            )
        if size > PART and not self.splits:
            raise RecordTooLarge(
                bytes=size,
                limit=VALUE_LIMIT,
                hint="let the metadata split long records: RecordMetaDataBuilder.split_long_records(True)",
            )

    def shape(self, base: bytes, size: int, *, versioned: bool) -> Shape:
        """What a record of `size` bytes takes, with a version beside it or without."""
        length = len(base)
        parts = 0 if size <= PART else -(-size // PART)
        if parts:
            key_bytes = sum(length + len(pack((number,))) for number in range(1, parts + 1))
        else:
            key_bytes = length + 1 if self.has_suffixes else length
        if versioned:
            return Shape(parts, True, key_bytes + length + len(VERSION), size + _VERSION_BYTES)
        return Shape(parts, False, key_bytes, size)

    def write(self, context: Context, base: bytes, data: bytes, old: Shape | None) -> None:
        """Store `data` for the record whose key without suffix is `base`, in place of `old`. The version is another
        matter: `write_version`, behind this. `check_size` comes before."""
        size = len(data)
        if old is not None and (old.is_split or size > PART):
            context.clear_range(base + b"\x00", base + b"\xff")
        if size <= PART:
            context.set(base + UNSPLIT if self.has_suffixes else base, data)
            return
        for number, start in enumerate(range(0, size, PART), 1):
            context.set(base + pack((number,)), data[start : start + PART])
        if (observed := context.observed) is not None and observed.wants(RecordSplit):
            observed.emit(RecordSplit(origin=observed.origin, parts=-(-size // PART), size=Bytes(size)))

    def remove(self, context: Context, base: bytes) -> None:
        """Clear all pairs of a record."""
        if self.has_suffixes:
            context.clear_range(base + b"\x00", base + b"\xff")
        else:
            context.clear(base)

    def assemble(self, base: bytes, pairs: Iterable[KeyValue]) -> RawRecord | None:
        """The record in the pairs below `base`, in key order; None if there are none.

        Raises  CorruptRecord when a part is missing or one too many is there.
        """
        version: Versionstamp | None = None
        parts: list[bytes] = []
        unsplit: bytes | None = None
        key_bytes = value_bytes = 0
        start = len(base)
        has_version = False
        for key, value in pairs:
            key_bytes += len(key)
            value_bytes += len(value)
            suffix = key[start:]
            if suffix == UNSPLIT:
                if parts:
                    raise broken(key, "a whole record follows parts of one")
                unsplit = value
            elif suffix == VERSION:
                version, has_version = read_version(key, value), True
            elif unsplit is not None:
                raise broken(key, "something follows the record", suffix=suffix)
            elif suffix != pack((len(parts) + 1,)):
                raise broken(key, f"part {len(parts) + 1} was expected", suffix=suffix)
            else:
                parts.append(value)
        if unsplit is None and not parts:
            if has_version:
                raise broken(base + VERSION, "there is a version without a record")
            return None
        data = unsplit if unsplit is not None else b"".join(parts)
        return RawRecord(data, version, Shape(len(parts), has_version, key_bytes, value_bytes))


def read_version(key: bytes, value: bytes) -> Versionstamp:
    """The version in the value of a version key.  Raises  CorruptRecord."""
    try:
        (version,) = unpack(value)
    except (MalformedTuple, ValueError) as error:
        raise broken(key, "the version is not a packed versionstamp", value=value) from error
    if not isinstance(version, Versionstamp):
        raise broken(key, "the version is not a versionstamp", value=value)
    return version


def write_version(context: Context, base: bytes, version: Versionstamp) -> None:
    """Store the version beside its record: at once if it is complete, at the commit if not."""
    key = base + VERSION
    if version.is_complete:
        context.drop_stamped_value(key)
        context.set(key, _STAMP_CODE + version.to_bytes())
    else:
        context.set_stamped_value(key, _STAMP_CODE + version.to_bytes() + _STAMP_OFFSET)


def pending_version(context: Context, base: bytes) -> Versionstamp | None:
    """The version that this transaction keeps for a record until it commits."""
    operand = context.stamped_values.get(base + VERSION) if context.stamped_values else None
    return None if operand is None else read_version(base, operand[:-4])


def broken(key: bytes, found: str, **fields: Any) -> CorruptRecord:
    """The error for pairs that are no record."""
    return CorruptRecord(key=key, found=found, **fields)


def in_words(error: CorruptRecord, context: Context) -> CorruptRecord:
    """The same error, saying which record it is about."""
    key = error.fields["key"]
    assert isinstance(key, bytes), "it was made by `broken`"
    error.add(where=describe(context, key, key + b"\x00"))
    return error


def suffix_length(key: bytes, begin: int) -> int:
    """How many bytes the suffix at the end of a record key has, when nothing is known about the pairs around it.

    `begin` is where the primary key begins. The last element cannot be told from the end of the key alone, except where
    no integer of more bytes can be meant.
    """
    last = key[-1]
    if last == 0x14 and len(key) > begin + 1 and key[-2] != 0x15 and (len(key) < begin + 3 or key[-3] != 0x16):
        return 1
    try:
        suffix = unpack(key, begin)[-1]
        return len(pack((suffix,)))
    except (MalformedTuple, IndexError) as error:
        raise broken(key, "the key is not a packed tuple") from error
