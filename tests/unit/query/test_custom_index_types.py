"""Index types of other packages serve queries by the protocol that ours follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

import recordlayer as rl
from recordlayer import field, q, query
from recordlayer.index import registry
from recordlayer.index.bounds import Bounds
from recordlayer.index.maintainer import IndexedRecord
from recordlayer.index.value import Pair, ValueIndex
from recordlayer.query.comparison import Operator
from recordlayer.query.pattern import Pattern
from recordlayer.query.plan.scan import ScanIndex
from recordlayer.query.predicate import Compare
from recordlayer.query.serving.by_columns import by_columns
from recordlayer.query.serving.protocol import Asked, Offer
from recordlayer.tuples import pack
from tests.support.shop import PATH, Order, builder


class EndingIndex(ValueIndex):
    """Texts from their ends: what ends so begins so, turned round."""

    type: ClassVar[str] = "ending"

    def pairs(self, record: IndexedRecord | None) -> list[Pair]:
        if record is None:
            return []
        tail = record.primary_key_bytes
        turned = [None if row[0] is None else row[0][::-1] for row in self.rows(record)]
        return [(pack((text,), self.space.entries) + tail, b"") for text in turned]

    @staticmethod
    def serve(asked: Asked) -> Iterator[Offer]:
        for one in asked.conditions:
            if isinstance(one, Compare) and one.path == asked.columns[0].path and (end := _end(one)):
                bounds = Bounds.text((), end[::-1])
                scan = ScanIndex(asked.index, (bounds,), reverse=False, answered=(one,), rows=50.0)
                columns, reader = asked.hiding(0)
                yield asked.offer(scan, answered=(one,), columns=columns, reader=reader)
                return
        asked.refuse("answers conditions on the end of its text only")


def _end(one: Compare) -> str:
    """The text that a pattern says all ends with, if it says no more."""
    if one.operator is not Operator.LIKE or not isinstance(one.value, Pattern):
        return ""
    (wild, first), *rest = one.value.parts()
    return "".join(text for _, text in rest) if wild and first == "%" and not any(w for w, _ in rest) else ""


class PlainIndex(ValueIndex):
    """The entries of a VALUE index under another name."""

    type: ClassVar[str] = "plain"
    serve = staticmethod(by_columns)


class SilentIndex(ValueIndex):
    """A type that says nothing about queries."""

    type: ClassVar[str] = "silent"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with these types."""
    types: Any = {one.type: one for one in (EndingIndex, PlainIndex, SilentIndex)}
    monkeypatch.setattr(registry, "_offered", lambda: types)


def metadata() -> rl.RecordMetaData:
    return (
        builder()
        .index("Order", "ends", field("note"), type="ending")
        .index("Order", "plain", rl.concat("customer", "total"), type="plain")
        .index("Order", "silent", field("customer"), type="silent")
        .build()
    )


NOTES = ["apple pie", "magpie", "pier", "pie", "", "pi"]


@pytest.mark.usefixtures("offered")
def test_a_type_of_another_package_answers_conditions_that_no_type_of_ours_can() -> None:
    known = metadata()
    with rl.open("memory:") as db:
        with db.transaction() as tx:
            store = tx.store(known, path=PATH)
            for number, note in enumerate(NOTES, 1):
                store.save(Order(id=number, note=note, customer="ana" if number % 2 else "bo", total=number))
            store.save(Order(id=9, customer="ana"))
        with db.transaction() as tx:
            store = tx.store(known, path=PATH)
            asked = query("Order").where(q.note.like("%pie"), q.customer == "ana")
            explained = store.explain(asked.hide_indexes("plain"))
            assert explained.line == "Filter(Fetch(Scan(ends[note like '%pie'])), customer = 'ana')"
            assert [order.id for order in store.query(asked).all()] == [1]
            whole = store.query(query("Order").where(q.note.like("%pie")))
            assert sorted(order.id for order in whole.all()) == [1, 2, 4]
            page = store.query(query("Order").where(q.note.like("%pie")), limit=1)
            first = page.all()
            second = store.query(query("Order").where(q.note.like("%pie")), resume=page.continuation).all()
            assert sorted(order.id for order in (*first, *second)) == [1, 2, 4]
            other = dict(store.explain(query("Order").where(q.note.like("pie%"))).not_used)
            assert other["ends"] == "answers conditions on the end of its text only"
            assert store.check() == []


@pytest.mark.usefixtures("offered")
def test_a_type_whose_entries_are_those_of_a_value_index_needs_one_line() -> None:
    known = metadata()
    with rl.open("memory:") as db, db.transaction() as tx:
        store = tx.store(known, path=PATH)
        for number in range(1, 9):
            store.save(Order(id=number, customer="ana" if number % 2 else "bo", total=-number))
        asked = query("Order").where(q.customer == "ana").order_by("total")
        explained = store.explain(asked)
        assert explained.line == "Fetch(Scan(plain[customer = 'ana']))"
        assert dict(explained.not_used)["silent"] == "is a silent index"
        assert [order.id for order in store.query(asked).all()] == [7, 5, 3, 1]
