"""Record metadata: which records a store may have, and which indexes are kept over them. Immutable.

Source  Record Layer: RecordMetaData
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from recordlayer.errors import UnknownIndex, UnknownRecordType
from recordlayer.keys import KeyExpression
from recordlayer.keys.suggest import did_you_mean, listed
from recordlayer.metadata.envelope import Envelopes
from recordlayer.metadata.index import FormerIndex, Index
from recordlayer.metadata.joined import JoinedType, joined_type
from recordlayer.metadata.record_type import RecordType
from recordlayer.metadata.refusals import Refusal, refusals
from recordlayer.metadata.union import Union
from recordlayer.metadata.unnested import UnnestedType, unnested_type
from recordlayer.pb import record_metadata_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from recordlayer.pb.types import FileDescriptor

Synthetic = UnnestedType | JoinedType
"""A type of records that are made from stored ones."""


class RecordMetaData:
    """What a `RecordMetaDataBuilder` builds, validated. Safe to share between threads and stores."""

    def __init__(
        self,
        *,
        file: FileDescriptor,
        union: Union,
        record_types: Mapping[str, RecordType],
        indexes: Mapping[str, Index],
        former_indexes: tuple[FormerIndex, ...] = (),
        version: int = 0,
        split_long_records: bool = False,
        store_record_versions: bool = False,
        record_count_key: KeyExpression | None = None,
        subspace_key_counter: int = 0,
        uses_subspace_key_counter: bool = False,
        carried: bytes = b"",
        sources: Mapping[str, bytes] | None = None,
    ) -> None:
        self.file = file
        self.union = union
        self.record_types: Mapping[str, RecordType] = MappingProxyType(dict(record_types))
        self.indexes: Mapping[str, Index] = MappingProxyType(dict(indexes))
        self.former_indexes = former_indexes
        self.version = version
        self.split_long_records = split_long_records
        self.store_record_versions = store_record_versions
        self.record_count_key = record_count_key
        self.subspace_key_counter = subspace_key_counter
        self.uses_subspace_key_counter = uses_subspace_key_counter
        self.carried = carried
        """what its stored form holds that we keep without looking into it, serialised"""
        self.sources = sources or {}
        """the files it came from, serialised as they were: protobuf forgets some of what it has read"""
        self.synthetic: Mapping[str, Synthetic] = MappingProxyType(_synthetic_types(self))
        """types whose records are made from stored ones: those that can be made here"""
        self._synthetic_indexes = _over_synthetic(self)
        self.refusals: Mapping[str, tuple[Refusal, ...]] = MappingProxyType(refusals(self))
        """for each record type that we only read, the reasons; a store refuses to write such records"""
        self.kept: dict[str, Any] = {}
        """what others have worked out for it, plans for example, which know it: kept here, they go when it goes"""
        self._envelopes = Envelopes(self.record_types.values())
        self._indexes_of = _by_type(self.record_types, self.indexes)
        # Hot: attributes, so that no frame is between.
        self.envelope: Callable[[Message], bytes] = self._envelopes.envelope
        """A record in its union, serialised: what a store keeps. Raises: UnknownRecordType, IncompleteRecord"""
        self.open_envelope: Callable[[bytes], tuple[RecordType, Message]] = self._envelopes.open
        self.open_envelopes: Callable[[Sequence[bytes]], list[Message]] = self._envelopes.open_all
        """The record in a serialised union, with its type. Raises: CorruptRecord"""
        self.split_envelope: Callable[[bytes], tuple[RecordType, bytes]] = self._envelopes.split
        """The type of the record in a serialised union, and its bytes unparsed. Raises: CorruptRecord"""
        self.record_type_of: Callable[[Message], RecordType] = self._envelopes.record_type_of
        """The record type of a message. Raises: UnknownRecordType"""

    @staticmethod
    def from_bytes(data: bytes, *, local: object = None) -> RecordMetaData:
        """The metadata in a serialised `MetaData` message, validated.

        `local` is a generated module whose message classes records shall be.

        Raises: MalformedMetaData, and what `RecordMetaDataBuilder.build` raises.
        """
        from recordlayer.metadata.build import RecordMetaDataBuilder

        return RecordMetaDataBuilder.from_proto(data, local=local).build()

    def to_bytes(self) -> bytes:
        """The serialised `MetaData` message that the Java Record Layer reads."""
        from recordlayer.metadata import serial

        return serial.to_bytes(self)

    def __repr__(self) -> str:
        types, indexes = ", ".join(self.record_types), len(self.indexes)
        return f"<RecordMetaData version {self.version}: {types}; {indexes} index{'es' * (indexes != 1)}>"

    def record_type(self, name: str) -> RecordType:
        """The record type of a name.

        Raises: UnknownRecordType
        """
        found = self.record_types.get(name)
        return found if found is not None else unknown_record_type(name, self.record_types)

    def index(self, name: str) -> Index:
        """The index of a name.

        Raises: UnknownIndex
        """
        found = self.indexes.get(name)
        return found if found is not None else unknown_index(name, self.indexes)

    def indexes_of(self, record_type: RecordType | str) -> tuple[Index, ...]:
        """All indexes that records of a type may have entries in: its own, shared and universal ones.

        Raises: UnknownRecordType
        """
        name = record_type if isinstance(record_type, str) else record_type.name
        found = self._indexes_of.get(name)
        return found if found is not None else unknown_record_type(name, self.record_types)

    def record_types_of(self, index: Index | str) -> tuple[RecordType, ...]:
        """The record types that an index covers.

        Raises: UnknownIndex
        """
        known = self.index(index if isinstance(index, str) else index.name)
        if known.is_universal:
            return tuple(self.record_types.values())
        return tuple(self.record_types[name] for name in known.record_types if name in self.record_types)

    def kinds_of(self, index: Index) -> tuple[RecordType | Synthetic, ...]:
        """The types of the records that an index is about, stored or synthetic."""
        return self.synthetic_of(index) or self.record_types_of(index)

    def synthetic_of(self, index: Index) -> tuple[Synthetic, ...]:
        """The synthetic types that an index is over; none for indexes over stored records."""
        if not self.synthetic or not index.record_types:
            return ()
        found = tuple(self.synthetic[name] for name in index.record_types if name in self.synthetic)
        return found if len(found) == len(index.record_types) else ()

    def synthetic_indexes_of(self, record_type: RecordType) -> tuple[tuple[Index, Synthetic], ...]:
        """The indexes over records that are made from those of a stored type, with the type of those."""
        return self._synthetic_indexes.get(record_type.name, ())

    def stored_types_of(self, index: Index) -> tuple[RecordType, ...]:
        """The types of stored records that an index is built from."""
        synthetic = self.synthetic_of(index)
        if not synthetic:
            return self.record_types_of(index)
        return tuple({known.name: known for kind in synthetic for known in kind.built_from}.values())

    @property
    def universal_indexes(self) -> tuple[Index, ...]:
        """The indexes over all record types."""
        return tuple(index for index in self.indexes.values() if index.is_universal)

    @property
    def has_record_type_prefix(self) -> bool:
        """Whether every primary key begins with the record type: then the records of a type are one range."""
        return all(starts_with_record_type(known.primary_key) for known in self.record_types.values())


def _by_type(record_types: Iterable[str], indexes: Mapping[str, Index]) -> dict[str, tuple[Index, ...]]:
    """The indexes of each record type, in the order of the metadata."""
    found: dict[str, list[Index]] = {name: [] for name in record_types}
    for index in indexes.values():
        for name in dict.fromkeys(index.record_types) or found:
            if name in found:
                found[name].append(index)
    return {name: tuple(listed) for name, listed in found.items()}


def _synthetic_types(metadata: RecordMetaData) -> dict[str, Synthetic]:
    """Those that can be made here, by name. The others stay what we only read."""
    found: dict[str, Synthetic] = {}
    if metadata.carried:
        carried = pb.MetaData.FromString(metadata.carried)
        for joined in carried.joined_record_types:
            if (kind := joined_type(joined, metadata.record_types)) is not None:
                found[kind.name] = kind
        for unnested in carried.unnested_record_types:
            if (made := unnested_type(unnested, metadata.record_types)) is not None:
                found[made.name] = made
    return found


def _over_synthetic(metadata: RecordMetaData) -> dict[str, tuple[tuple[Index, Synthetic], ...]]:
    """By the name of a stored type the indexes over what is made from its records."""
    found: dict[str, list[tuple[Index, Synthetic]]] = {}
    for index in metadata.indexes.values():
        for kind in metadata.synthetic_of(index):
            for stored in kind.stored_types:
                found.setdefault(stored.name, []).append((index, kind))
    return {name: tuple(pairs) for name, pairs in found.items()}


def starts_with_record_type(expression: KeyExpression) -> bool:
    """Whether the first column is the key of the record's type."""
    columns = expression.normalized()
    return bool(columns) and columns[0].has_record_type_key


def unknown_record_type(name: str, names: Mapping[str, object]) -> NoReturn:
    raise UnknownRecordType(
        record_type=name, hint=did_you_mean(str(name), names) or f"record types are {listed(names)}"
    )


def unknown_index(name: str, names: Mapping[str, object]) -> NoReturn:
    raise UnknownIndex(index=name, hint=did_you_mean(str(name), names) or f"indexes are {listed(names)}")
