"""Messages and groups of whole pages of entries are those of the entries one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import agg, query
from recordlayer.cursor.step import Batch, Cursor, Stop
from recordlayer.index.entry import EntryLayout
from recordlayer.index.page import EntryPage
from recordlayer.query.columns import index_columns
from recordlayer.query.grouping import Groups
from recordlayer.query.plan.base import Run
from recordlayer.query.plan.covering import CoveredPage, EntryReader
from recordlayer.query.plan.group import StreamGroups
from recordlayer.query.values import Values
from recordlayer.store.record import StoredRecord
from recordlayer.store.record_page import messages_of
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking

FIELDS = {"text": 9, "whole": 3, "real": 1, "flag": 8, "raw": 12, "single": 2, "id": 3}
"""Names, and protobuf's numbers of their types."""
AGGREGATES = {
    "n": agg.count(),
    **{f"{name}_n": agg.count(name) for name in FIELDS if name != "single"},
    **{f"{name}_least": agg.min(name) for name in FIELDS if name != "single"},
    **{f"{name}_most": agg.max(name) for name in FIELDS if name != "single"},
    **{f"{name}_{how}": getattr(agg, how)(name) for name in ("whole", "real") for how in ("sum", "avg")},
}


class Kit(NamedTuple):
    metadata: Any
    reader: EntryReader


@pytest.fixture(scope="module", params=["proto2", "proto3"])
def kit(request: pytest.FixtureRequest) -> Kit:
    file = descriptor_pb2.FileDescriptorProto(name=f"e_{request.param}.proto", package=request.param)
    file.syntax = request.param
    message = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate(FIELDS.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=1)
    builder = rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    metadata = builder.primary_key("Item", "id").index("Item", "all", rl.concat(*list(FIELDS)[:-1])).build()
    item = metadata.record_type("Item")
    return Kit(metadata, EntryReader(item, index_columns(metadata.indexes["all"], item, single=True), ()))


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROWS = st.lists(
    st.tuples(
        nullable(st.sampled_from(["", "a", "a\x00", "a\x00b", "ab"])),
        nullable(st.sampled_from([-300, -1, 0, 1, 2**40])),
        nullable(st.floats(width=64)),
        nullable(st.booleans()),
        nullable(st.sampled_from([b"", b"\x00", b"a"])),
        nullable(st.just(rl.tuples.SingleFloat(1.5))),
        st.integers(1, 10**6),
    ),
    max_size=12,
)


class Pages(Cursor[StoredRecord]):
    def __init__(self, pages: list[Any]) -> None:
        self._pages = iter(pages)
        self._at = 0
        self._left = len(pages)

    async def batch(self) -> Batch[StoredRecord]:
        page = next(self._pages, [])
        first, self._at, self._left = self._at, self._at + len(page), self._left - 1
        stop = Stop.EXHAUSTED if self._left <= 0 else None
        return Batch(page, lambda index: (first + index + 1).to_bytes(2, "big"), stop)


class Given:
    """A plan of given pages."""

    title = line = "Given"
    unit = "records"
    children = ()
    identity = ("given",)
    estimate: Any = None

    def __init__(self, pages: list[Any]) -> None:
        self._pages = pages

    def execute(self, run: Run) -> Cursor[Any]:
        return Pages(self._pages)


def pages_of(kit: Kit, rows: list[Any], sizes: list[int], spoil: bool = False) -> list[CoveredPage]:
    """Pages of entries as records have them: a default that nobody can tell from unset is a null there."""
    layout = EntryLayout("all", len(FIELDS) - 1, None)
    made_by = kit.reader.maker(kit.reader.paths)
    if not kit.metadata.record_type("Item").descriptor.fields[0].has_presence:
        rows = [tuple(item if item or str(item) == "-0.0" else None for item in row) for row in rows]
    keys = sorted(pack(row, b"p") for row in rows)
    pages, at = [], 0
    for size in [*sizes, len(keys)]:
        part, at = keys[at : at + size], at + size
        if spoil:
            part = [key + b"\x02" for key in part]
        entries = EntryPage(layout, [(key, b"") for key in part], 1)
        pages.append(CoveredPage(None, kit.metadata.record_type("Item"), entries, made_by))  # type: ignore[arg-type]
    return pages


def outcome(kit: Kit, columns: tuple[str, ...], pages: list[Any], source: Any) -> list[Any]:
    groups = Groups.of(source, kit.metadata)
    plan = StreamGroups.__new__(StreamGroups)
    plan.children = (Given(pages),)
    plan._groups, plan._over_entries, plan._total = groups, groups.over_entries, not columns
    cursor = plan.execute(Run(store=None))  # type: ignore[arg-type]
    found: list[Any] = []
    while True:
        batch = run_blocking(cursor.batch())
        found += [(repr(row), batch.resume(place)) for place, row in enumerate(batch.values)]
        if batch.stop is not None:
            return found


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(0, 4), max_size=4), st.integers(0, 3))
def test_groups_of_pages_are_those_of_their_records(kit: Kit, rows: Any, sizes: list[int], by: int) -> None:
    columns = tuple(FIELDS)[:by]
    asked: Any = query("Item")
    asked = (asked.group_by(*columns) if columns else asked).aggregate(**AGGREGATES)
    pages = pages_of(kit, rows, sizes)
    if not any("\x00" in (row[0] or "") or b"\x00" in (row[4] or b"") for row in rows):
        folder = Groups.of(asked, kit.metadata).over_entries
        assert all(folder.runs(page) is not None for page in pages), "the usual way, not the one for odd entries"
    one_by_one = [list(page) for page in pages_of(kit, rows, sizes)]
    assert outcome(kit, columns, pages, asked) == outcome(kit, columns, one_by_one, asked)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_messages_of_pages_are_those_of_their_entries(kit: Kit, rows: Any) -> None:
    (page,) = pages_of(kit, rows, [])
    plain = frozenset(path for path in kit.reader.paths if path in kit.reader.plain)
    for paths in (kit.reader.paths, plain):
        made_by = kit.reader.maker(paths)
        item = kit.metadata.record_type("Item")
        page = CoveredPage(None, item, page.entries, made_by)  # type: ignore[arg-type]
        one_by_one = [made_by.one(entry).SerializeToString() for entry in list(page.entries[:])]  # type: ignore[call-overload]
        assert [message.SerializeToString() for message in messages_of(page)] == one_by_one
    assert made_by.rows is not None
    columns = tuple(sorted(plain, key=str))
    page = CoveredPage(None, item, pages_of(kit, rows, [])[0].entries, made_by)  # type: ignore[arg-type]
    straight = Values(columns).of(page)
    assert kit.reader.tuples(columns) is not None
    assert repr(straight) == repr(Values(columns).of(list(page)))


def test_entries_that_cannot_be_read_say_which(kit: Kit) -> None:
    (page,) = pages_of(kit, [("a", 1, 2.0, True, b"", None, 5)], [], spoil=True)
    with pytest.raises(rl.errors.CorruptIndexEntry):
        messages_of(page)
    asked = query("Item").group_by("text").aggregate(n=agg.count())
    with pytest.raises(rl.errors.CorruptIndexEntry):
        outcome(kit, ("text",), pages_of(kit, [("a", 1, 2.0, True, b"", None, 5)], [], spoil=True), asked)
