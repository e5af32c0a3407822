"""Keeping the indexes of a store in step with its records.

Everything an index would write is worked out for all of them before anything is written, so that a record which one of
them refuses leaves the transaction as it was.

Cost    see each index type; an index whose entries stay the same costs nothing
Source  Record Layer, FDBRecordStore.updateSecondaryIndexes
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from recordlayer.errors import IndexNotSupported
from recordlayer.index.maintainer import Checked, IndexedRecord, Maintainer, Verdict, as_checked
from recordlayer.index.registry import maintainer_for
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.mutations import Write
from recordlayer.metadata import Index, RecordType
from recordlayer.store.blueprint import Blueprint
from recordlayer.store.direct_writes import DirectWrites
from recordlayer.store.record import StoredRecord
from recordlayer.store.states import IndexStates

Change = tuple[Maintainer, IndexedRecord | None, IndexedRecord | None]
"""An index type, and the record that it shall know before and after."""


NO_VERDICTS: Sequence[Verdict] = ()


class Keeping(NamedTuple):
    """How the indexes of one record type are kept, in any transaction that finds their states as they are.

    direct    writes the direct entries, None if there are none; `prefixes` are theirs
    consults  their names, and where their states are: who changes one conflicts with who goes by it
    others    all other indexes
    """

    direct: DirectWrites | None
    prefixes: tuple[bytes, ...]
    consults: tuple[tuple[str, bytes], ...]
    others: tuple[Index, ...]


class Kept(NamedTuple):
    """Who keeps them in this one: as `Keeping`.

    rest      maintainers of the other indexes
    checked   those of them that may refuse records
    """

    direct: DirectWrites | None
    prefixes: tuple[bytes, ...]
    rest: tuple[Maintainer, ...]
    checked: tuple[Checked, ...]


class Upkeep:
    """The index types at work on one store in one transaction. They are made when first needed."""

    __slots__ = (
        "_blueprint",
        "_by_index",
        "_by_type",
        "_context",
        "_keepings",
        "_kept",
        "_metadata",
        "_states",
        "readable",
    )

    def __init__(self, context: Context, blueprint: Blueprint, states: IndexStates) -> None:
        self._context = context
        self._blueprint = blueprint
        self._metadata = blueprint.metadata
        self._states = states
        self._keepings = blueprint.keepings
        self._kept: dict[str, Kept] = {}
        self._by_index: dict[str, Maintainer | None] = {}
        self._by_type: dict[str, tuple[Maintainer, ...]] = {}
        self.readable: dict[str, Maintainer] = {}
        """Those of indexes that were found readable, by name: who changes that conflicts with this transaction."""
        states.told.append(self.forget)

    def forget(self) -> None:
        """Look at the states of the indexes again: one has changed."""
        self._by_index.clear()
        self.readable.clear()
        self._by_type.clear()
        self._kept.clear()
        self._keepings = {}  # those of the blueprint go by other states

    def maintainer(self, index: Index) -> Maintainer | None:
        """The index type at work on an index; None if the index is disabled.

        Raises  IndexNotSupported
        """
        name = index.name
        if name not in self._by_index:
            space = self._states.space(index)
            disabled = space.state is IndexState.DISABLED
            self._by_index[name] = None if disabled else maintainer_for(space)
        return self._by_index[name]

    def maintainers(self, record_type: RecordType) -> tuple[Maintainer, ...]:
        """Those of all indexes that records of a type have entries in.

        Raises  IndexNotSupported
        """
        found = self._by_type.get(record_type.name)
        if found is None:
            self._refuse_what_is_only_read(record_type)
            all_of_them = [self.maintainer(index) for index in self._metadata.indexes_of(record_type)]
            found = tuple(one for one in all_of_them if one is not None)
            self._by_type[record_type.name] = found
        return found

    def kept(self, record_type: RecordType) -> Kept:
        """Who keeps which indexes of a type. Maintainers of what is written directly are not made unless needed.

        Raises  IndexNotSupported
        """
        kept = self._kept.get(record_type.name)
        if kept is None:
            self._refuse_what_is_only_read(record_type)
            keeping = self._keepings.get(record_type.name)
            if keeping is None:
                keeping = self._keepings[record_type.name] = self._keeping(record_type)
            direct, prefixes, consults, others = keeping
            self._states.consult(consults)
            rest: tuple[Maintainer, ...] = ()
            checked: tuple[Checked, ...] = ()
            if others:
                made = [self.maintainer(index) for index in others]
                rest = tuple([one for one in made if one is not None])
                checked = tuple([one for one in map(as_checked, rest) if one is not None])
            kept = self._kept[record_type.name] = Kept(direct, prefixes, rest, checked)
        return kept

    def _keeping(self, record_type: RecordType) -> Keeping:
        states, indexes = self._states, self._metadata.indexes_of(record_type)
        direct = None
        if states.chooses is None:
            but = frozenset([name for name, state in states.marked if not state.is_readable])
            direct = self._blueprint.schema.direct_writes(record_type, but)
        if direct is None or not direct.indexes:
            return Keeping(None, (), (), tuple(indexes))
        return Keeping(
            direct,
            direct.prefixes(self._blueprint.layout.prefix),
            tuple([(index.name, states.key_of(index)) for index in direct.indexes]),
            tuple([index for index in indexes if index not in direct.indexes]),
        )

    def _refuse_what_is_only_read(self, record_type: RecordType) -> None:
        """Indexes of other types, joined ones for instance, may depend on records of this one."""
        for refusal in self._metadata.refusals.get(record_type.name, ()):
            index = None if refusal.index is None else self._metadata.indexes[refusal.index]
            if index is None or self._states.of(index) is not IndexState.DISABLED:
                raise IndexNotSupported(
                    index=refusal.index,
                    record_type=record_type.name,
                    reason=refusal.reason,
                    hint="records of this type are only read here: write them with the Java Record Layer",
                )

    def verdicts(self, new: StoredRecord) -> Sequence[Verdict]:
        """The checks that a new record needs, begun."""
        checked = self.kept(new.record_type).checked
        if not checked:
            return NO_VERDICTS
        begun = [one.check(new) for one in checked]
        return [verdict for verdict in begun if verdict is not None]

    def prepare(
        self, old: StoredRecord | None, new: StoredRecord | None, more: Sequence[Change] = ()
    ) -> tuple[list[Write], list[Change]]:
        """All writes that a change of a record needs, and which index types are concerned. `more`: changes of records
        that are made from it (`store.synthesis`), which come with it.

        Raises  IndexEntryTooLarge and what an index type refuses; nothing has been written then.
        """
        changes: list[Change]
        if old is None or new is None or old.record_type is new.record_type:
            record = new if new is not None else old
            assert record is not None, "one of them is there"
            kept = self.kept(record.record_type)
            writes = [] if kept.direct is None else kept.direct.between(old, new, kept.prefixes)
            if writes is not None:
                changes = [(maintainer, old, new) for maintainer in kept.rest]
                changes += more
                if changes:
                    writes += writes_of(changes)
                return writes, changes
            changes = [(maintainer, old, new) for maintainer in self.maintainers(record.record_type)]
        else:
            before, after = self.maintainers(old.record_type), self.maintainers(new.record_type)
            changes = [(maintainer, old, new if maintainer in after else None) for maintainer in before]
            changes += [(maintainer, None, new) for maintainer in after if maintainer not in before]
        changes += more
        return writes_of(changes), changes


def writes_of(changes: Iterable[Change]) -> list[Write]:
    """What changes need to be written.  Raises  IndexEntryTooLarge and what an index type refuses."""
    writes: list[Write] = []
    for maintainer, old, new in changes:
        writes += maintainer.prepare(old, new)
    return writes


def pending_of(changes: Iterable[Change]) -> list[Coroutine[Any, None, None]]:
    """What is still to be awaited when that is written."""
    pending = [maintainer.finish(old, new) for maintainer, old, new in changes]
    return [coroutine for coroutine in pending if coroutine is not None]


def claim_all(context: Context, verdicts: Iterable[Verdict]) -> None:
    """Take note of all unique values, or of none.  Raises  UniquenessViolation."""
    claims, writes = dict(context.claims), context.counters.writes
    try:
        for verdict in verdicts:
            verdict.claim()
    except BaseException as error:
        context.claims.clear()
        context.claims.update(claims)
        if context.counters.writes != writes:  # violations were noted of records that are not saved now
            context.doom(error)
        raise
