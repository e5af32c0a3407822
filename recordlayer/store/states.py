"""The states of a store's indexes, as one transaction sees and changes them.

Layout  keyspace 5: (index name) -> (code); nothing for a readable index
Cost    reading: part of opening the store. Consulting one adds its key to the read conflicts, so that a change of state
        conflicts with the writers who went by the old one; the reading itself is a snapshot and conflicts with nobody.

Source  Record Layer, FDBRecordStore: loadIndexStatesAsync, getIndexState, markIndexNotReadable, clearIndexData
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from recordlayer.errors import CorruptHeader, MalformedTuple
from recordlayer.index import build_notes
from recordlayer.index.filter import IndexFilter
from recordlayer.index.maintainer import IndexSpace
from recordlayer.index.state import IndexState
from recordlayer.kv.context import Context
from recordlayer.kv.engine import KeyValue
from recordlayer.metadata import Index
from recordlayer.store.layout import Keyspace, StoreLayout
from recordlayer.store.schema import Schema
from recordlayer.tuples import pack, prefix_range, unpack


@lru_cache(maxsize=10_000)
def _packed(name: str) -> bytes:
    """An index's name, as every writer needs it."""
    return pack((name,))


class IndexStates:
    """Index states of one store in one transaction.

    chooses  the application's choice of the records that indexes are kept for, None if it makes none
    told     who has worked something out by the states, to be told when one has changed
    """

    __slots__ = ("_consulted", "_context", "_layout", "_schema", "_states", "chooses", "told")

    def __init__(
        self,
        context: Context,
        layout: StoreLayout,
        states: Mapping[str, IndexState],
        schema: Schema,
        *,
        chooses: IndexFilter | None,
        shared: tuple[dict[str, IndexState], list[Callable[[], None]]],
    ) -> None:
        """`shared`: what others know who have the store open in this transaction; they learn what is known here."""
        self.chooses = chooses
        self._schema = schema
        self._context = context
        self._layout = layout
        self._consulted: set[str] = set()
        self._states, self.told = shared
        if self._states != states:
            self._states.clear()
            self._states.update(states)
            self._tell()

    def _tell(self) -> None:
        for forget in self.told:
            forget()

    def key_of(self, index: Index) -> bytes:
        """Where the state of an index is."""
        return self._key(index.name)

    def _key(self, name: str) -> bytes:
        return self._layout.index_states + _packed(name)

    def of(self, index: Index) -> IndexState:
        """The state of an index. From now on this transaction conflicts with a change of it."""
        name = index.name
        if name not in self._consulted:
            self._consulted.add(name)
            self._context.add_read_conflict_key(self._key(name))
        return self._states.get(name, IndexState.READABLE)

    def consult(self, indexes: Sequence[tuple[str, bytes]]) -> None:
        """As `of` for several indexes: their names, and where their states are."""
        consulted = self._consulted
        keys = [key for name, key in indexes if name not in consulted]
        if keys:
            consulted.update([name for name, _ in indexes])
            self._context.transaction.add_read_conflict_keys(keys)

    def peek(self, index: Index) -> IndexState:
        """The same for showing, without conflicts."""
        return self._states.get(index.name, IndexState.READABLE)

    @property
    def marked(self) -> tuple[tuple[str, IndexState], ...]:
        """The indexes that are not simply readable, with their states, for showing: without conflicts."""
        return tuple(self._states.items())

    def set(self, index: Index, state: IndexState) -> None:
        """Store a state. What must go with it (data, built ranges) is the caller's business."""
        self._context.stores_changed = True
        key = self._key(index.name)
        if state is IndexState.READABLE:
            self._states.pop(index.name, None)
            self._context.clear(key)
        else:
            self._states[index.name] = state
            self._context.set(key, state.packed())
        self._tell()

    def forget(self, name: str) -> None:
        """Clear the state of an index that is no more."""
        self._context.stores_changed = True
        self._states.pop(name, None)
        self._context.clear(self._key(name))
        self._tell()

    def space(self, index: Index, *, building: bool = False) -> IndexSpace:
        """Where an index lives, with its state. `building`: for a build, which writes to an index that is not kept."""
        functions = self._schema.functions[index.name]
        space = IndexSpace(
            self._context,
            self._layout.prefix,
            index,
            self.of(index),
            functions,
            building=building,
            siblings=self._space_by_key,
        )
        space.chooses = self.chooses
        return space

    def _space_by_key(self, key: bytes) -> IndexSpace | None:
        index = self._schema.indexes.get(key)
        return None if index is None else self.space(index)


def states_in(layout: StoreLayout, rows: list[KeyValue]) -> dict[str, IndexState]:
    """The states that are not READABLE, by index name.  Raises  CorruptHeader."""
    states: dict[str, IndexState] = {}
    start = len(layout.index_states)
    for key, value in rows:
        try:
            (name,) = unpack(key, start)
        except (MalformedTuple, ValueError) as error:
            raise CorruptHeader(what="index state", key=key, value=value) from error
        states[str(name)] = IndexState.unpacked(value, index=str(name))
    return states


def clear_index_data(context: Context, layout: StoreLayout, subspace_key: object) -> None:
    """Clear everything that an index keeps, except its state and the lock of its build."""
    key = pack((subspace_key,))
    context.clear_range(*prefix_range(layout.of(Keyspace.INDEXES) + key))
    for keyspace in (
        Keyspace.INDEX_SECONDARY,
        Keyspace.SLIDING_WINDOWS,
        Keyspace.INDEX_RANGES,
        Keyspace.UNIQUENESS_VIOLATIONS,
    ):
        prefix = layout.of(keyspace) + key
        context.clear_range(prefix + b"\x00", prefix + b"\xff")
    build = layout.of(Keyspace.INDEX_BUILDS) + key
    context.clear_range(build + build_notes.BEHIND_LOCK, build + b"\xff")


def clear_former_index(context: Context, layout: StoreLayout, subspace_key: object) -> None:
    """Clear the data of an index that the metadata no longer has."""
    key = pack((subspace_key,))
    for keyspace in (
        Keyspace.INDEXES,
        Keyspace.INDEX_SECONDARY,
        Keyspace.SLIDING_WINDOWS,
        Keyspace.INDEX_RANGES,
        Keyspace.UNIQUENESS_VIOLATIONS,
    ):
        prefix = layout.of(keyspace) + key
        context.clear_range(prefix + b"\x00", prefix + b"\xff")
    context.clear(layout.of(Keyspace.INDEXES) + key)  # an ungrouped aggregate, which Java leaves behind
