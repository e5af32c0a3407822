"""Building metadata in code.

    SHOP = (
        RecordMetaDataBuilder(shop_pb2.DESCRIPTOR)
        .primary_key("Order", field("id"))
        .index("Order", "order_by_customer", field("customer"))
        .index("Order", "orders_per_customer", count(group_by=field("customer")))
        .build()
    )

Versions count themselves as in Java: 0 at first, one more for each index and for each change of a setting. Two programs
that build the same metadata must add the same things in the same order.

Source  Record Layer: RecordMetaDataBuilder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recordlayer.errors import InvalidIndex, InvalidRecordType, SchemaError, UsageError
from recordlayer.keys import KeyExpression, Literal, as_expression, primary_key_positions, value
from recordlayer.metadata import files, load, proto_options, serial, validate
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.metadata.expiry import TimeUnit, expiry_index
from recordlayer.metadata.given import definition_of, flag_of, name_of, number_of
from recordlayer.metadata.index import FormerIndex, Index
from recordlayer.metadata.metadata import RecordMetaData, unknown_index
from recordlayer.metadata.predicate import Predicate
from recordlayer.metadata.record_type import RecordType
from recordlayer.metadata.synthetic_definitions import SyntheticDefinitions, TypeDraft
from recordlayer.metadata.union import Union, UnionField, find_union, written_number

if TYPE_CHECKING:
    from google.protobuf import descriptor_pb2

    from recordlayer.pb.types import Descriptor, FileDescriptor


class RecordMetaDataBuilder(SyntheticDefinitions):
    """Describes record types and indexes over the messages of one .proto file, and builds metadata from that.

    `file` is the DESCRIPTOR of a generated module, or the module. The file's own annotations, if it has any, are taken
    first. Every method returns the builder.
    """

    def __init__(self, file: object) -> None:
        self._begin(files.file_of(file))
        proto_options.apply(self)

    @classmethod
    def from_descriptor_set(
        cls, data: bytes | descriptor_pb2.FileDescriptorSet, *, file: str | None = None
    ) -> RecordMetaDataBuilder:
        """Over a file that is known at run time only: one of a FileDescriptorSet, as `protoc -o` writes it.

        Raises: MalformedMetaData
        """
        root, sources = files.choose_file(data, file=file)
        builder = cls(files.build_file(sources[root], sources.values()))
        builder._sources = sources
        return builder

    @classmethod
    def from_proto(cls, message: bytes | Any, *, local: object = None) -> RecordMetaDataBuilder:
        """What a stored `MetaData` message says, to be built as it is or changed before.

        Annotations in its file count no more. `local` is a generated module whose message classes records shall be.

        Raises: MalformedMetaData
        """
        raw = message if isinstance(message, bytes) else message.SerializePartialToString()
        parsed = serial.parse(raw)
        builder = cls.__new__(cls)
        builder._begin(serial.file_from_proto(parsed))
        builder._sources = serial.sources_of(parsed)
        builder._stored = True
        load.load(builder, parsed)
        if local is not None:
            load.use_local(builder, local)
        return builder

    def _begin(self, file: FileDescriptor) -> None:
        self._file = file
        self._protos = files.Protos()
        self._union: Union = find_union(file, self._protos)
        self._types: dict[str, TypeDraft] = {}
        self._findings: list[SchemaError] = []
        seen: dict[str, str] = {}
        for union_field in self._union.fields:
            descriptor = union_field.descriptor
            if descriptor.full_name in seen:
                continue
            seen[descriptor.full_name] = descriptor.name
            if descriptor.name in self._types:
                hint = "record types are known by their simple names, which must differ"
                self._findings.append(InvalidRecordType(record_type=descriptor.name, hint=hint))
                continue
            self._types[descriptor.name] = TypeDraft(descriptor.name, descriptor)
        self._indexes: dict[str, Index] = {}
        self._former: list[FormerIndex] = []
        self._version = 0
        self._split = False
        self._versions_stored = False
        self._count_key: KeyExpression | None = None
        self._counter = 0
        self._counting = False
        self._carried = b""
        self._synthetic: set[str] = set()
        self._defined: set[str] = set()
        self._sources: dict[str, bytes] = {}
        self._stored = False
        self._local: dict[str, Descriptor] | None = None

    # -- record types ------------------------------------------------------------------------------------------------

    @property
    def record_types(self) -> tuple[Descriptor, ...]:
        """The messages of the record types there are, in the order of the union."""
        return tuple(draft.descriptor for draft in self._types.values())

    def primary_key(self, record_type: str, expression: KeyExpression | str) -> RecordMetaDataBuilder:
        """What tells records of a type apart; in a store no two records, of whatever type, may have the same."""
        self._draft(record_type).primary_key = as_expression(expression)
        return self

    def record_type_key(self, record_type: str, key: Any) -> RecordMetaDataBuilder:
        """What `record_type()` columns hold for a type, instead of the number of its field in the union."""
        self._draft(record_type).explicit_key = key if isinstance(key, Literal) else value(key)
        return self

    def since_version(self, record_type: str, version: int) -> RecordMetaDataBuilder:
        """The metadata version that brings a type: its indexes need no building over older records."""
        self._draft(record_type).since_version = number_of("version", version)
        return self

    # -- indexes -----------------------------------------------------------------------------------------------------

    def index(
        self,
        record_type: str | Iterable[str] | None,
        name: str,
        expression: KeyExpression | IndexDefinition | str,
        *,
        type: str = "value",  # noqa: A002  (the word of the format)
        unique: bool = False,
        options: Mapping[str, object] | None = None,
        where: Predicate | None = None,
        subspace_key: Any = None,
        added_version: int = 0,
        last_modified_version: int = 0,
    ) -> RecordMetaDataBuilder:
        """An index over the records of one type, of several (a list of names), or of all (None).

        `expression` says what it holds; a definition such as `count(group_by=...)` says its type and options as well.
        """
        definition = definition_of(expression, index_type=type, unique=unique, options=options, where=where)
        names = () if record_type is None else (record_type,) if isinstance(record_type, str) else tuple(record_type)
        for each in names:
            if each not in self._synthetic:
                self._draft(each)
        index = Index(
            name=name_of(name),
            record_types=names,
            type=definition.type,
            root_expression=definition.expression,
            options=definition.options,
            subspace_key=name if subspace_key is None else subspace_key,
            explicit_subspace_key=subspace_key is not None,
            added_version=number_of("added_version", added_version),
            last_modified_version=number_of("last_modified_version", last_modified_version),
            predicate=self._typed(definition.where, names),
        )
        return self.add_index(index)

    def _typed(self, where: Predicate | None, record_types: tuple[str, ...]) -> Predicate | None:
        """A condition with operands of the types of their fields, as the first of the record types has them."""
        first = record_types[0] if record_types else next(iter(self._types), None)
        if where is None or first is None or first in self._synthetic:
            return where
        return where.typed(self._types[first].descriptor)

    def expires(
        self,
        record_type: str,
        expression: KeyExpression | str | None = None,
        *,
        ttl: timedelta | None = None,
        unit: TimeUnit = TimeUnit.MILLISECONDS,
        name: str | None = None,
    ) -> RecordMetaDataBuilder:
        """Records of a type expire at the time in a field, or `ttl` behind it, or `ttl` after they were saved last.

        See `recordlayer.metadata.expiry`.
        """
        definition = expiry_index(expression, ttl, unit)
        return self.index(record_type, f"{record_type}_expiry" if name is None else name, definition)

    def universal_index(
        self,
        name: str,
        expression: KeyExpression | IndexDefinition | str,
        *,
        type: str = "value",  # noqa: A002  (the word of the format)
        unique: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> RecordMetaDataBuilder:
        """An index over all records, of types to come as well."""
        return self.index(None, name, expression, type=type, unique=unique, options=options)

    def add_index(self, index: Index) -> RecordMetaDataBuilder:
        """An index that is defined in full. A version of 0 means: the next one."""
        if index.name in self._indexes:
            hint = "index names are unique in a metadata"
            self._findings.append(InvalidIndex(index=index.name, hint=hint))
            return self
        modified = index.last_modified_version
        if modified <= 0:
            self._version += 1
            modified = self._version
        self._version = max(self._version, modified)
        subspace_key = index.subspace_key
        if self._counting and not index.explicit_subspace_key:
            self._counter += 1
            subspace_key = self._counter
        self._indexes[index.name] = dataclasses.replace(
            index,
            subspace_key=subspace_key,
            last_modified_version=modified,
            added_version=index.added_version if index.added_version > 0 else modified,
        )
        return self

    def exchange_index(self, index: Index) -> RecordMetaDataBuilder:
        """Let an index be another one from the beginning, before anybody has built it: no version rises."""
        if index.name not in self._indexes:
            unknown_index(index.name, self._indexes)
        self._indexes[index.name] = index
        return self

    def remove_index(self, name: str) -> RecordMetaDataBuilder:
        """Make an index a former one: stores clear its data, and its place is never used again."""
        index = self._indexes.pop(name, None)
        if index is None:
            unknown_index(name, self._indexes)
        self._version += 1
        former = FormerIndex(
            subspace_key=index.subspace_key,
            added_version=index.added_version,
            removed_version=self._version,
            former_name=name,
        )
        return self.former_index(former)

    def former_index(self, former: FormerIndex) -> RecordMetaDataBuilder:
        """An index that earlier versions of this metadata had."""
        self._former.append(former)
        return self

    def counter_based_subspace_keys(self, counter: int | None = None) -> RecordMetaDataBuilder:
        """Number indexes, instead of placing each under its name: shorter keys, and an index can be renamed.

        Concerns indexes that are added after it. `counter` is the last number in use.
        """
        self._counting = True
        if counter is not None:
            if number_of("counter", counter) <= self._counter:
                raise UsageError(counter=counter, hint=f"the counter is at {self._counter} and only goes up")
            self._counter = counter
        return self

    # -- settings ----------------------------------------------------------------------------------------------------

    def split_long_records(self, split: bool = True) -> RecordMetaDataBuilder:
        """Whether records of more than 100,000 bytes are stored, in pieces. A store never goes back."""
        if self._split != flag_of("split", split):
            self._split = split
            self._version += 1
        return self

    def store_record_versions(self, store: bool = True) -> RecordMetaDataBuilder:
        """Whether each record has the version of the commit that wrote it last, which VERSION indexes need."""
        if self._versions_stored != flag_of("store", store):
            self._versions_stored = store
            self._version += 1
        return self

    def record_count_key(self, expression: KeyExpression | str | None) -> RecordMetaDataBuilder:
        """Count all records by this key, outside of any index. For old metadata: a COUNT index does it better."""
        key = None if expression is None else as_expression(expression)
        if self._count_key != key:
            self._count_key = key
            self._version += 1
        return self

    def version(self, version: int) -> RecordMetaDataBuilder:
        """The metadata's version, instead of the one counted so far."""
        self._version = number_of("version", version)
        return self

    # -- building ----------------------------------------------------------------------------------------------------

    def build(self) -> RecordMetaData:
        """The metadata.

        Raises: SchemaError, the finding if there is one; InvalidMetaData with all of them if there are several.
        """
        missing: list[SchemaError] = []
        record_types: dict[str, RecordType] = {}
        fields = self._union.fields_by_type()
        for draft in self._types.values():
            if self._local is not None and draft.name not in self._local:
                continue
            if draft.primary_key is not None:
                record_types[draft.name] = self._record_type(
                    draft, draft.primary_key, fields[draft.descriptor.full_name]
                )
            elif self._union.descriptor is not None:
                hint = f'write .primary_key("{draft.name}", field(...))'
                missing.append(InvalidRecordType(record_type=draft.name, reason="it has no primary key", hint=hint))
        indexes: dict[str, Index] = {}
        for index in self._indexes.values():
            indexes[index.name] = self._placed(index, record_types)
            for name in index.record_types:
                if name not in record_types and name not in self._synthetic and self._union.descriptor is None:
                    hint = f'write .primary_key("{name}", field(...))'
                    missing.append(InvalidRecordType(record_type=name, reason="it has no primary key", hint=hint))
        metadata = RecordMetaData(
            file=self._file,
            union=self._union,
            record_types=record_types,
            indexes=indexes,
            former_indexes=tuple(self._former),
            version=self._version,
            split_long_records=self._split,
            store_record_versions=self._versions_stored,
            record_count_key=self._count_key,
            subspace_key_counter=self._counter,
            uses_subspace_key_counter=self._counting,
            carried=self._carried,
            sources=self._sources,
        )
        unmade = sorted(self._defined - metadata.synthetic.keys())
        missing += [validate.not_made(name, self._carried) for name in unmade]
        validate.raise_findings(
            [*self._findings, *missing, *validate.findings(metadata, self._protos, stored=self._stored)]
        )
        return metadata

    def _record_type(self, draft: TypeDraft, primary_key: KeyExpression, fields: list[UnionField]) -> RecordType:
        numbers = tuple(sorted(field.number for field in fields))
        explicit = draft.explicit_key
        descriptor = draft.descriptor if self._local is None else self._local[draft.name]
        return RecordType(
            name=draft.name,
            descriptor=descriptor,
            message_class=files.message_class(descriptor),
            primary_key=primary_key,
            record_type_key=numbers[0] if explicit is None else explicit.element,
            explicit_key=explicit,
            since_version=draft.since_version,
            union_fields=numbers,
            union_field=written_number(fields),
            unknown=draft.unknown,
        )

    def _placed(self, index: Index, record_types: Mapping[str, RecordType]) -> Index:
        """Only the index of a single stored type leaves columns of the primary key away."""
        positions = None
        if len(index.record_types) == 1 and index.record_types[0] in record_types:
            primary_key = record_types[index.record_types[0]].primary_key
            positions = primary_key_positions(index.root_expression, primary_key)
        return dataclasses.replace(index, primary_key_positions=positions)
