"""What every part of the suite stands on: an engine, a store with one index of the type, and random transactions.

Each example works on a store of its own below a random prefix, which is cleared when the test ends.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import drain
from recordlayer.errors import NoCommitVersion
from recordlayer.index.bounds import Bounds
from recordlayer.index.entry import AggregateEntry
from recordlayer.keys import RecordContext
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.metadata import Index, RecordMetaData, RecordMetaDataBuilder
from recordlayer.metadata.definitions import IndexDefinition
from recordlayer.store.check import check
from recordlayer.store.layout import StoreLayout
from recordlayer.store.open import open_store
from recordlayer.store.store import RecordStore
from recordlayer.testing.index_suite.history import History, Saved
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "scan": "`scan` gives all that the index holds, in the order of its keys, forward and reverse",
        "own_writes": "what a transaction has written and not committed is read by it",
        "damage": "`audit` finds pairs of the index that were removed or added behind its back",
        "rebuild": "an index that is built over the records holds the same bytes as one that was kept with them",
    }
)

FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "id": ("optional", "int64"),
        "city": ("optional", "string"),
        "number": ("optional", "int64"),
        "real": ("optional", "double"),
        "tags": ("repeated", "string"),
        "numbers": ("repeated", "int64"),
        "text": ("optional", "string"),
        "x": ("optional", "int64"),
        "y": ("optional", "int64"),
        "time": ("optional", "int64"),
    }
)
"""The fields of an `Item`; `Other` has the first two of them."""

VALUES: Mapping[str, st.SearchStrategy[Any]] = MappingProxyType(
    {
        "city": st.sampled_from([None, "", "NL", "UK", "a\x00b"]),
        "number": st.none() | st.integers(-3, 9) | st.sampled_from([300, -(1 << 40), 1 << 40]),
        "real": st.sampled_from([None, 0.0, 1.5, -2.0]),
        "tags": st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3),
        "numbers": st.lists(st.integers(-2, 3), max_size=3),
        "text": st.sampled_from([None, "", "to be or not to be", "be quick", "Not now"]),
        "x": st.none() | st.integers(-5, 5),
        "y": st.none() | st.integers(-5, 5),
        "time": st.none() | st.integers(0, 20),
    }
)
"""What is put into the fields of an `Item`; None leaves one out."""

INDEX = "tested"
_KINDS = descriptor_pb2.FieldDescriptorProto


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="recordlayer_index_suite.proto", package="recordlayer_index_suite")
    labels = {"optional": _KINDS.LABEL_OPTIONAL, "repeated": _KINDS.LABEL_REPEATED}
    kinds = {"int64": _KINDS.TYPE_INT64, "string": _KINDS.TYPE_STRING, "double": _KINDS.TYPE_DOUBLE}
    for name, size in (("Item", len(FIELDS)), ("Other", 2)):
        message = file.message_type.add(name=name)
        for number, (field, (label, kind)) in enumerate(list(FIELDS.items())[:size], 1):
            message.field.add(name=field, number=number, label=labels[label], type=kinds[kind])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


_FILE = _described()
Item: Any = message_factory.GetMessageClass(_FILE.message_types_by_name["Item"])
Other: Any = message_factory.GetMessageClass(_FILE.message_types_by_name["Other"])


def needs(*capabilities: str) -> Callable[[F], F]:
    """Marks a test that is left out for types that name one of these capabilities in `lacks`, with the reason."""
    unknown = set(capabilities) - set(CAPABILITIES)
    assert not unknown, f"no such capability: {unknown}"

    def mark(test: F) -> F:
        test.needs = capabilities  # type: ignore[attr-defined]
        return test

    return mark


def shown(found: Any) -> tuple[Any, Any]:
    """What a scan gave, as plain values: the items of a key or of a group, and the value."""
    return (found.group, found.value) if isinstance(found, AggregateEntry) else (found.items, found.value)


LONG = bool(os.environ.get("RECORDLAYER_LONG_TESTS"))


def examples(count: int) -> settings:
    """How many random examples a test runs, thirty times as many with RECORDLAYER_LONG_TESTS. The same test runs in the
    class of every type, and that is meant."""
    return settings(max_examples=count * (30 if LONG else 1), deadline=None, suppress_health_check=list(HealthCheck))


_KNOWN: dict[tuple[type, str], dict[Any, Any]] = {}
"""What is made once for a case of a class: generated functions and strategies take longer to make than a test runs."""

Step = tuple[Any, ...]
"""("save", Item) or ("other", Other) or ("delete", id)"""


class Harness:
    """Base of the suite's parts."""

    type: ClassVar[str]
    cases: ClassVar[Mapping[str, IndexDefinition]]
    values: ClassVar[Mapping[str, st.SearchStrategy[Any]]] = MappingProxyType({})
    lacks: ClassVar[Mapping[str, str]] = MappingProxyType({})
    url: ClassVar[str] = "memory:"

    # -- what a subclass says

    def expected(self, case: str, history: History) -> object:
        """What `read` gives when these things have happened."""
        raise NotImplementedError

    async def read(self, store: RecordStore) -> object:
        """What the index holds, as a user of the type sees it."""
        return [shown(found) for found in await drain(store.scan_index(INDEX, Bounds.ALL, ScanOptions()))]

    def rows(self, case: str, record: Saved) -> list[tuple[Any, ...]]:
        """The rows of a record by the interpreter of key expressions: none if it is no `Item`, or the index's condition
        is not true of it."""
        definition = self.cases[case]
        if not isinstance(record.message, Item):
            return []
        where = self.index.predicate
        if where is not None and where.decide(record.message) is not True:
            return []
        return definition.expression.evaluate(record.message, RecordContext(version=record.version))

    # -- fixtures

    @pytest.fixture(scope="class")
    @classmethod
    def opened_engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        engine = open_engine(cls.url.replace("{tmp}", str(tmp_path_factory.mktemp("indexes"))))
        yield engine
        engine.close()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", list(getattr(self, "cases", {})))

    @pytest.fixture(autouse=True)
    def own_store(self, opened_engine: Engine, request: pytest.FixtureRequest, case: str) -> Iterator[None]:
        unknown = set(self.lacks) - set(CAPABILITIES)
        assert not unknown, f"lacks names unknown capabilities: {unknown}"
        for capability in getattr(request.function, "needs", ()):
            if capability in self.lacks:
                pytest.skip(f"{self.type} lacks {capability}: {self.lacks[capability]}")
        self.engine = opened_engine
        self.prefix = b"index-suite/" + secrets.token_hex(5).encode()
        self.layout = StoreLayout(self.prefix)
        self._of_case = _KNOWN.setdefault((type(self), case), {})
        if "metadata" not in self._of_case:
            self._of_case["metadata"] = self.metadata_of(self.cases[case])
        self.metadata: RecordMetaData = self._of_case["metadata"]
        yield
        self.clear()

    def metadata_of(self, definition: IndexDefinition) -> RecordMetaData:
        assert definition.type == self.type
        made = RecordMetaDataBuilder(_FILE).primary_key("Item", "id").primary_key("Other", "id")
        if definition.expression.version_columns:
            made = made.store_record_versions()
        return made.index("Item", INDEX, definition).build()

    @property
    def index(self) -> Index:
        return self.metadata.indexes[INDEX]

    # -- transactions

    def do(self, core: Coroutine[Any, None, T]) -> T:
        return run_blocking(core)

    @contextmanager
    def transaction(self) -> Iterator[RecordStore]:
        """The store in a transaction that is committed by whoever wants it to be."""
        context = Context(self.engine.begin(), world=World())
        try:
            yield self.do(open_store(context, self.metadata, self.prefix))
        finally:
            context.close()

    def clear(self, prefix: bytes | None = None) -> None:
        """Begin again with an empty store."""
        begin = self.prefix if prefix is None else prefix
        context = Context(self.engine.begin(), world=World())
        context.clear_range(begin, begin + b"\xff")
        self.do(context.commit())
        context.close()

    def apply(self, store: RecordStore, steps: Sequence[Step], history: History) -> History:
        """Do these things in a transaction. The history as it is within that transaction."""
        history = history.copy()
        for kind, what in steps:
            if kind == "delete":
                existed = self.do(store.delete((what,)))
                assert existed is ((what,) in history.records)
                history.delete((what,))
            else:
                message = type(what)()
                message.CopyFrom(what)
                saved = self.do(store.save(message))
                history.save(Saved(saved.primary_key, message, saved.version))
        return history

    def commit(self, store: RecordStore, history: History) -> History:
        """The history after the commit."""
        return history.committed(self.stamp_of_commit(store.context))

    def stamp_of_commit(self, context: Context) -> bytes:
        """Commit, and the 10 bytes of the commit; of one that wrote nothing, whatever."""
        context.request_versionstamp()
        self.do(context.commit())
        try:
            return self.do(context.versionstamp())
        except NoCommitVersion:
            return bytes(10)

    def transact(self, steps: Sequence[Step], history: History) -> History:
        """Do these things in a transaction of their own. The history after it."""
        with self.transaction() as store:
            return self.commit(store, self.apply(store, steps, history))

    def assert_holds(self, case: str, history: History, store: RecordStore | None = None) -> None:
        """The index holds what the model says; in the state that a transaction sees, or in the committed one."""
        if store is not None:
            assert self.do(self.read(store)) == self.expected(case, history)
            return
        with self.transaction() as fresh:
            assert self.do(self.read(fresh)) == self.expected(case, history)

    def assert_clean(self) -> None:
        """`store.check` finds nothing."""
        with self.transaction() as store:
            assert [str(finding) for finding in self.do(check(store))] == []

    def pairs(self, *keyspaces: int) -> dict[bytes, bytes]:
        """What the index has stored in these keyspaces: by default its entries and its secondary space."""
        found: dict[bytes, bytes] = {}
        context = Context(self.engine.begin(), world=World())
        for keyspace in keyspaces or (2, 3):
            begin = self.prefix + bytes((0x15, keyspace)) + pack((self.index.subspace_key,))
            found |= dict(self.do(context.read_all(begin, begin + b"\xff")))
        context.close()
        return found

    # -- random records and transactions

    def items(self) -> st.SearchStrategy[Any]:
        """Records of the type that is indexed."""
        if "items" not in self._of_case:
            self._of_case["items"] = self._made_items()
        found: st.SearchStrategy[Any] = self._of_case["items"]
        return found

    def _made_items(self) -> st.SearchStrategy[Any]:
        used = {field.name for field in self.index.root_expression.leaf_fields(Item.DESCRIPTOR)} - {"id"}
        fields = {"id": st.integers(0, 7), **{name: VALUES[name] for name in used}, **self.values}

        def made(drawn: dict[str, Any]) -> Any:
            return Item(**{name: value for name, value in drawn.items() if value is not None})

        return st.fixed_dictionaries(fields).map(made)

    def steps(self, *, most: int = 6) -> st.SearchStrategy[list[Step]]:
        """What one transaction does."""
        if most not in self._of_case:
            self._of_case[most] = self._made_steps(most)
        found: st.SearchStrategy[list[Step]] = self._of_case[most]
        return found

    def _made_steps(self, most: int) -> st.SearchStrategy[list[Step]]:
        return st.lists(
            st.one_of(
                st.tuples(st.just("save"), self.items()),
                st.tuples(st.just("save"), self.items()),
                st.tuples(st.just("delete"), st.integers(0, 7)),
                st.tuples(st.just("other"), st.builds(Other, id=st.integers(0, 7), city=st.just("NL"))),
            ),
            min_size=1,
            max_size=most,
        )
