"""Direct entries are what the index types themselves would write, for records that come, change and go."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors
from recordlayer.core import twins
from recordlayer.kv.mutations import Write
from recordlayer.metadata.predicate import compare
from recordlayer.store import marking
from recordlayer.store.upkeep import writes_of
from recordlayer.waiting.drivers import run_blocking
from tests.support.both_ways import needs_core, outcome
from tests.unit.keys import protos

_BODY = """
    syntax = "proto2"; package direct;
    message Part { optional string name = 1; optional int64 size = 2; }
    message Thing { optional int64 id = 1; optional string city = 2; optional int64 count = 3;
                    optional double price = 4; optional Part part = 5; repeated string tags = 6;
                    optional bytes blob = 7; }
"""
FILES = descriptor_pb2.FileDescriptorSet(file=[protos.parse(_BODY, name="direct.proto")])


def builder() -> rl.RecordMetaDataBuilder:
    return (
        rl.RecordMetaDataBuilder.from_descriptor_set(FILES)
        .primary_key("Thing", rl.concat("city", "id"))
        .index("Thing", "by_city", rl.concat("city", "count"))
        .index("Thing", "by_name", rl.field("part").nest("name"))
        .index("Thing", "covering", rl.key_with_value(rl.concat("count", "price", rl.field("part").nest("size"))))
        .index("Thing", "with_key", rl.concat("price", "id"))
        .index("Thing", "by_type", rl.concat(rl.record_type(), "count"))
        .index("Thing", "long", "blob")
        .index("Thing", "per_city", rl.count(group_by="city"))
        .index("Thing", "all", rl.count())
        .index("Thing", "only_some", "count", where=compare("count", ">", 1))
        .index("Thing", "unique", rl.concat("id", "city"), unique=True)
        .index("Thing", "tags", rl.field("tags").fan_out())
        .index("Thing", "per_tag", rl.count(group_by=rl.field("tags").fan_out()))
        .index("Thing", "total", rl.sum_of("count", group_by="city"))
    )


METADATA = builder().build()
DIRECT = ["by_city", "by_name", "covering", "with_key", "by_type", "long", "per_city", "all", "total"]
_FILE = METADATA.record_type("Thing").descriptor.file
Thing: Any = message_factory.GetMessageClass(_FILE.message_types_by_name["Thing"])

things = st.builds(
    lambda **fields: Thing(id=7, city="c", **{name: value for name, value in fields.items() if value is not None}),
    count=st.none() | st.integers(0, 3),
    price=st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan")]),
    part=st.none() | st.fixed_dictionaries({}, optional={"name": st.text(max_size=2)}),
    tags=st.lists(st.sampled_from(["x", "y"]), max_size=2),
    blob=st.none() | st.binary(max_size=2),
)


def by_key(writes: list[Write]) -> dict[bytes, list[tuple[int, bytes]]]:
    """What happens to each key, in order: keys do not care about one another."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for kind, key, value in writes:
        found.setdefault(key, []).append((int(kind), value))
    return found


@settings(max_examples=150)
@given(st.none() | things, st.none() | things)
def test_direct_entries_are_what_the_index_types_write(before: Any, after: Any) -> None:
    with rl.open("memory:") as db, db.transaction() as tx:
        core = tx.store(METADATA, path=("direct",)).core
        old, new = (None if message is None else core.identify(message) for message in (before, after))
        if old is None and new is None:
            return
        writes, changes = core.upkeep.prepare(old, new)
        maintainers = core.upkeep.maintainers(METADATA.record_type("Thing"))
        expected = writes_of([(maintainer, old, new) for maintainer in maintainers])
        assert by_key(writes) == by_key(expected)
        written = {index.name for index in METADATA.indexes.values()} - {
            maintainer.space.index.name for maintainer, _, _ in changes
        }
        assert written == set(DIRECT), "no maintainer was asked"


def test_an_entry_that_is_too_large_is_refused_by_its_index() -> None:
    with rl.open("memory:") as db, db.transaction() as tx:
        store = tx.store(METADATA, path=("direct",))
        store.save(Thing(id=1, city="c", blob=b"x"))
        for save in (lambda message: store.save(message), lambda message: store.save_many([message])):
            with pytest.raises(errors.IndexEntryTooLarge) as raised:
                save(Thing(id=1, city="c", blob=bytes(10_000)))
            assert raised.value.fields["index"] == "long"
        assert store.load(("c", 1)).blob == b"x"
        assert store.check() == []


def test_indexes_that_are_not_readable_are_left_to_their_types() -> None:
    with rl.open("memory:") as db, db.transaction() as tx:
        core = tx.store(METADATA, path=("direct",)).core
        for name in ("by_city", "per_city"):
            run_blocking(marking.mark_write_only(core, METADATA.index(name)))
        run_blocking(marking.mark_disabled(core, METADATA.index("all")))
        _, changes = core.upkeep.prepare(None, core.identify(Thing(id=1, city="c")))
        asked = {maintainer.space.index.name for maintainer, _, _ in changes}
        assert {"by_city", "per_city"} <= asked
        assert not asked & (set(DIRECT) - {"by_city", "per_city"})


def test_an_index_filter_is_asked_for_every_index() -> None:
    with rl.open("memory:") as db, db.transaction() as tx:
        store = tx.store(METADATA, path=("direct",), index_filter=lambda index, message: index.name != "by_city")
        store.save(Thing(id=1, city="c", count=2))
        assert list(store.scan_index("by_city")) == []
        assert len(list(store.scan_index("covering"))) == 1


NUMBERS_AND_BYTES = st.tuples(st.integers(-5, 5), st.binary(max_size=2), st.binary(max_size=2))
NULLS = st.tuples(st.just(2), st.binary(max_size=1), st.none() | st.just(bytes(8)))


@needs_core
@given(st.lists(st.tuples(st.booleans(), NUMBERS_AND_BYTES | NULLS, NUMBERS_AND_BYTES | NULLS), max_size=6), st.data())
def test_what_changes_is_the_same_in_python_and_in_c(entries: list[Any], data: Any) -> None:
    removals = tuple([(come[0], data.draw(st.binary(max_size=2) | st.none())) for _, _, come in entries])
    before = [come if same else gone for same, gone, come in entries]
    after = [come for _, _, come in entries]
    for arguments in ((removals, before, after), (removals[1:], before, after), (list(removals), tuple(before), after)):
        in_python, in_c = (outcome(function, *arguments) for function in twins["changed"])
        assert in_c == in_python


@pytest.mark.parametrize("opened_before", [0, 3])
def test_who_changes_the_state_of_an_index_conflicts_with_who_writes_it_directly(opened_before: int) -> None:
    with rl.open("memory:") as db:
        with db.transaction() as tx:
            tx.store(METADATA, path=("direct",))
        for number in range(opened_before):
            with db.transaction() as tx:
                tx.store(METADATA, path=("direct",)).save(Thing(id=number, city="b"))
        writer, other = db.transaction(), db.transaction()

        def side_by_side() -> None:
            with writer as tx:
                tx.store(METADATA, path=("direct",)).save(Thing(id=1, city="c"))
                with other as beside:
                    core = beside.store(METADATA, path=("direct",)).core
                    run_blocking(marking.mark_disabled(core, METADATA.index("by_city")))

        with pytest.raises(errors.Conflict):
            side_by_side()
