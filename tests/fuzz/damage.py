"""A store with an index of every type in which an input changes pairs: then it is asked, and checked.

Layout of an input: changes one after the other, each
    which pair of those given (1 byte), what happens to it (1 byte), length of what follows (1 byte), that many bytes
What happens: see `_changed`. Nothing is ever committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import recordlayer as rl
from recordlayer.errors import RecordLayerError
from recordlayer.store.layout import Keyspace
from recordlayer.testing.clock import ManualClock
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.support.every_index import EVERY, QUESTIONS, begin, customers, order
from tests.support.shop import builder

PATH = ("damaged",)
_ORDERS = 8
_MOST = 12
"""Changes of one input."""

Pair = tuple[bytes, bytes]


class Damaged:
    """A store with some of the indexes; `places` says what of it inputs change, as the beginnings of keys."""

    def __init__(
        self, indexes: Iterable[str], questions: Iterable[str], places: Sequence[tuple[Any, ...]] = ()
    ) -> None:
        self._indexes = tuple(indexes)
        self._questions = tuple(QUESTIONS[name] for name in questions)
        self._places = places

    @cached_property
    def _metadata(self) -> rl.RecordMetaData:
        made = builder().store_record_versions().split_long_records(True)
        for name in self._indexes:
            made.add_index(EVERY.index(name))
        return made.build()

    @cached_property
    def _database(self) -> Any:
        """With the store as it should be, for all inputs of a process."""
        db = rl.open("memory:", world=ManualClock().world())
        with db.transaction() as tx:
            store = tx.store(self._metadata, path=PATH, format_version=13)
            if "board" in self._indexes:
                begin(store)
            store.feed.enable(new_images=True)
            for record in (*customers(), *(order(number, 3, long=0) for number in range(_ORDERS))):
                store.save(record)
        return db

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs that inputs change."""
        keyspaces = (Keyspace.INDEXES.value, Keyspace.INDEX_SECONDARY.value)
        subspaces = [(space, self._metadata.index(name).subspace_key) for name in self._indexes for space in keyspaces]
        found: list[Pair] = []
        with self._database.transaction() as tx:
            for place in self._places or subspaces:
                first = pack(place, pack(PATH))
                found += run_blocking(tx.context.read_all(first, first + b"\xff"))
            tx.cancel()
        return found

    def ask(self, data: bytes) -> None:
        """Change pairs as an input says, ask the store all questions, and have it checked.

        Raises  RecordLayerError  the last refusal, AssertionError where a check gave up.
        """
        refused: RecordLayerError | None = None
        with self._database.transaction() as tx:
            for key, value in self.changes(data):
                if value is None:
                    tx.context.transaction.clear(key)
                else:
                    tx.context.transaction.set(key, value)
            try:
                store = tx.store(self._metadata, path=PATH)
                for question in self._questions:
                    try:
                        str(question(store))
                    except RecordLayerError as error:
                        refused = error
                try:
                    store.check()
                except RecordLayerError as error:
                    raise AssertionError("a check tells what it finds, and goes on") from error
            finally:
                tx.cancel()
        if refused is not None:
            raise refused

    def changes(self, data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Keys, and what an input has there; None: nothing."""
        at = 0
        for _ in range(_MOST):
            if at + 3 > len(data):
                return
            key, value = self.pairs[data[at] % len(self.pairs)]
            kind, size = data[at + 1], data[at + 2]
            yield from _changed(key, value, kind, data[at + 3 : at + 3 + size])
            at += 3 + size

    def hints(self, every: int, kind: int | None = None) -> Iterator[bytes]:
        """Inputs that change one pair each; `kind`: what the target has in front of them."""
        first = b"" if kind is None else bytes((kind,))
        for number in range(0, len(self.pairs), every):
            yield first + change(number, 2, b"\x09\x05")
            yield first + change(number, 3, b"\x02\x15")


def _changed(key: bytes, value: bytes, kind: int, said: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    place = said[0] if said else 0
    match kind % 6:
        case 0:
            yield key, said
        case 1:
            yield key, None
        case 2:  # bytes of the value from a place on are others
            yield key, value[:place] + said[1:] + value[place + len(said) - 1 :]
        case 3:  # the value breaks off, and goes on otherwise
            yield key, value[:place] + said[1:]
        case 4:  # the last bytes of the key are others
            yield key, None
            yield key[: max(len(pack(PATH)) + 1, len(key) - place)] + said[1:], value
        case _:  # a neighbour more
            yield key[: max(len(pack(PATH)) + 1, len(key) - place)] + said[1:], value


def change(pair: int, kind: int, said: bytes = b"") -> bytes:
    """An input that changes one pair."""
    return bytes((pair, kind, len(said))) + said
