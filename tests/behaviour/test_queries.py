"""Queries: what they find, how they stop and go on, what they say about themselves."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.query.execute import planned
from tests.behaviour.conftest import Shop
from tests.support.shop import FILE, PATH, SHOP, Customer, Order, builder

ORDERS = [
    Order(id=1, customer="ana", total=30, tags=["new", "gift"], note="fast"),
    Order(id=2, customer="bo", total=10, tags=["gift"]),
    Order(id=3, customer="ana", total=20),
    Order(id=4, total=40, tags=["old", "new"], status="PAID"),
    Order(id=5, customer="cy", address={"city": "Amsterdam", "zip": 1}, status="OPEN"),
    Order(id=6, customer="ana", total=10, address={}, ratio=0.5, paid=True),
    Order(id=7, customer="bo", total=20, items=[{"sku": "a", "price": 5}, {"sku": "b", "price": 9}]),
    Order(id=8, customer="bobby", total=-5, items=[{"sku": "b"}], weight=2.5, paid=False),
]

SELECTIONS: list[tuple[str, Any, list[int]]] = [
    ("equal", q.customer == "ana", [1, 3, 6]),
    ("not equal leaves out what is not set", q.customer != "ana", [2, 5, 7, 8]),
    ("not of equal as well", ~(q.customer == "ana"), [2, 5, 7, 8]),
    ("less", q.total < 20, [2, 6, 8]),
    ("between", (q.total >= 10) & (q.total < 30), [2, 3, 6, 7]),
    ("is null", q.customer.is_null(), [4]),
    ("is not null", q.total.not_null(), [1, 2, 3, 4, 6, 7, 8]),
    ("begins with", q.customer.starts_with("bo"), [2, 7, 8]),
    ("one of", q.customer.in_(["ana", "cy"]), [1, 3, 5, 6]),
    ("or", (q.customer == "cy") | (q.total == 40), [4, 5]),
    ("or with the unknown", (q.total == 40) | ~(q.customer == "ana"), [2, 4, 5, 7, 8]),
    ("both", (q.customer == "ana") & (q.total == 10), [6]),
    ("some element", q.tags.one_of_them() == "new", [1, 4]),
    ("no element", ~(q.tags.one_of_them() == "new"), [2, 3, 5, 6, 7, 8]),
    ("two elements", (q.tags.one_of_them() == "new") & (q.tags.one_of_them() == "gift"), [1]),
    ("some element in a range", q.tags.one_of_them() >= "n", [1, 4]),
    ("nested", q.address.city == "Amsterdam", [5]),
    ("nested and not set", q.address.city.is_null(), [1, 2, 3, 4, 6, 7, 8]),
    ("a message that is there", q.address.not_null(), [5, 6]),
    ("elements that are messages", q["items"].one_of_them().price > 5, [7]),
    ("an element without the field", q["items"].one_of_them().price.is_null(), [8]),
    ("an enum by name", q.status == "PAID", [4]),
    ("an enum by number", q.status == 0, [5]),
    ("a double by an integer", q.ratio < 1, [6]),
    ("a float", q.weight == 2.5, [8]),
    ("false is a value", q.paid == False, [8]),  # noqa: E712  (builds a predicate)
    ("the primary key", (q.id > 2) & (q.id <= 4), [3, 4]),
    ("one primary key", q.id == 7, [7]),
    ("nobody", q.customer == "zoe", []),
]


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.save(*ORDERS, Customer(ref="r", name="ana"))
    return shop


def ids(messages: list[Any]) -> list[int]:
    return [message.id for message in messages]


@pytest.mark.parametrize(("condition", "expected"), [one[1:] for one in SELECTIONS], ids=[one[0] for one in SELECTIONS])
def test_a_condition_selects_its_records_by_every_plan(orders: Shop, condition: Any, expected: list[int]) -> None:
    asked = query("Order").where(condition)
    assert sorted(ids(orders.messages(asked))) == expected
    with orders.db.transaction() as tx:
        core = tx.store(SHOP, path=PATH).core
        found = planned(core, asked)
    for plan in (found.plan, *found.others):
        assert sorted(run(orders, plan)) == expected, plan.line


def run(shop: Shop, plan: Any) -> list[int]:
    from recordlayer.cursor.step import drain
    from recordlayer.query.plan.base import Run
    from recordlayer.waiting.drivers import run_blocking

    with shop.db.transaction() as tx:
        core = tx.store(shop.metadata, path=shop.path).core
        return ids([record.message for record in run_blocking(drain(plan.execute(Run(store=core))))])


@pytest.mark.parametrize(
    ("sort", "reverse", "expected"),
    [
        (("customer",), False, [4, 1, 3, 6, 2, 7, 8, 5]),
        (("customer",), True, [5, 8, 7, 2, 6, 3, 1, 4]),
        (("customer", "total"), False, [4, 6, 3, 1, 2, 7, 8, 5]),
        (("id",), True, [8, 7, 6, 5, 4, 3, 2, 1]),
        (("total", "id"), False, [5, 8, 2, 6, 3, 7, 1, 4]),
        (("address.city",), False, [1, 2, 3, 4, 6, 7, 8, 5]),
    ],
)
def test_an_order_is_that_of_an_index_with_null_first(orders: Shop, sort: Any, reverse: bool, expected: Any) -> None:
    assert ids(orders.messages(query("Order").order_by(*sort, reverse=reverse))) == expected


def test_an_order_holds_among_the_records_of_a_condition(orders: Shop) -> None:
    asked = query("Order").where(q.customer == "ana").order_by(q.total)
    assert ids(orders.messages(asked)) == [6, 3, 1]
    assert ids(orders.messages(asked.order_by("total", reverse=True))) == [1, 3, 6]


def test_an_order_that_no_index_has_is_refused_and_the_missing_index_named(orders: Shop) -> None:
    with pytest.raises(errors.NoPlan) as raised:
        orders.messages(query("Order").where(q.paid == True).order_by("note"))  # noqa: E712  (builds a predicate)
    assert '.index("Order", "by_paid_note", concat(field("paid"), field("note")))' in raised.value.hint
    assert raised.value.fields["not_used"]["by_customer"] == "gives another order"


def test_queries_over_several_types_and_over_all(orders: Shop) -> None:
    assert len(orders.messages(query())) == 9
    assert len(orders.messages(query("Order", "Customer"))) == 9
    assert ids(orders.messages(query("Customer"))) == [0]
    assert orders.messages(query("Customer").where(q.name == "ana")) == [Customer(ref="r", name="ana")]
    with pytest.raises(errors.UnknownField, match="total"):
        orders.messages(query().where(q.total == 1))


# -- stopping and going on -------------------------------------------------------------------------------------------

PAGED = {
    "records": query("Order"),
    "records in reverse": query("Order").order_by("id", reverse=True),
    "index with fetch": query("Order").where(q.total >= -100).order_by("total"),
    "index in reverse": query("Order").order_by("customer", reverse=True),
    "filtered": query("Order").where(q.note.is_null()),
    "filtered entries": query("Order").where(q.customer >= "a", q.total > 0).order_by("customer"),
    "one of several": query("Order").where(q.customer.in_(["cy", "ana", "bo", "nobody"])).order_by("customer", "total"),
    "one of several in reverse": query("Order").where(q.customer.in_(["ana", "bo"])).order_by("customer", reverse=True),
    "one of several records": query("Order").where(q.id.in_([7, 2, 5, 99])),
    "repeated": query("Order").where(q.tags.one_of_them() > "a"),
    "union": query("Order").where((q.customer == "ana") | (q.total == 10) | (q.customer == "bo")),
    "union with a filter": query("Order").where((q.customer == "ana") | (q.customer == "bo"), q.note.is_null()),
    "ordered union": query("Order").where(q.customer.in_(["ana", "bo", "cy"])).order_by("total"),
    "ordered union in reverse": query("Order").where(q.customer.in_(["ana", "bo"])).order_by("total", reverse=True),
    "one after the other": query("Order").where((q.customer > "b") | (q.tags.one_of_them() >= "n")),
    "intersection": query("Order").where(q.customer == "ana", q.total >= 10),
    "sorted in memory": query("Order").order_by("note", "ratio", in_memory=3),
    "sorted in memory in reverse": query("Order").order_by("ratio", "note", reverse=True, in_memory=100),
    "with duplicates": query("Order").where(q.tags.one_of_them() > "a").with_duplicates(),
    "covered": query("Order").where(q.customer > "a").order_by("customer").select("customer", "total"),
}


@pytest.mark.parametrize("asked", PAGED.values(), ids=PAGED)
def test_stopping_anywhere_and_resuming_gives_the_same_records(orders: Shop, asked: rl.RecordQuery) -> None:
    whole = orders.messages(asked)
    assert len(whole) > 1
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for size in range(1, len(whole) + 2):
            found, continuation = [], None
            for _ in range(len(whole) + 1):
                page = store.query(asked, limit=size, resume=continuation)
                found += list(page)
                continuation = page.continuation
                if continuation is None:
                    assert page.stopped is rl.Stop.EXHAUSTED
                    break
                assert page.stopped is rl.Stop.LIMIT_REACHED
            assert found == whole


@pytest.mark.parametrize("asked", PAGED.values(), ids=PAGED)
def test_leaving_a_page_in_the_middle_and_resuming_loses_nothing(orders: Shop, asked: rl.RecordQuery) -> None:
    whole = orders.messages(asked)
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        for taken in range(1, len(whole)):
            page = store.query(asked)
            found = list(islice(page, taken))
            assert found == whole[:taken]
            assert found + store.query(asked, resume=page.continuation).all() == whole


def test_iterating_a_page_again_goes_on(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(query("Order"))
        with pytest.raises(errors.NotFinished):
            _ = page.continuation
        assert page.stopped is None
        assert page.first().id == 1
        assert page.first().id == 2
        assert page.stopped is None
        assert ids(page.all()) == [3, 4, 5, 6, 7, 8]
        assert page.stopped is rl.Stop.EXHAUSTED
        assert page.continuation is None
        assert page.first() is None


@pytest.mark.parametrize("asked", PAGED.values(), ids=PAGED)
@pytest.mark.parametrize(
    "limits", [rl.Limits(keys=1), rl.Limits(keys=3), rl.Limits(bytes=40), rl.Limits(time=timedelta(0))]
)
def test_pages_with_limits_make_progress_and_give_everything(orders: Shop, asked: Any, limits: rl.Limits) -> None:
    whole = orders.messages(asked)
    found, continuation, pages = [], None, 0
    while True:
        with orders.db.transaction() as tx:
            page = tx.store(SHOP, path=PATH).query(asked, resume=continuation, limits=limits)
            found += page.all()
            continuation = page.continuation
            pages += 1
            if continuation is None:
                break
            assert page.stopped.out_of_band
        assert pages < 50
    assert found == whole


def test_a_limit_of_keys_bounds_what_is_read(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        before = tx.counters.rows_read
        page = store.query(query("Order"), limits=rl.Limits(keys=3))
        assert ids(page.all()) == [1, 2], "and the customer, whose key comes before"
        assert page.stopped is rl.Stop.SCAN_LIMIT
        assert tx.counters.rows_read - before == 3


@pytest.mark.parametrize(
    "limits", [{"keys": 0}, {"keys": -1}, {"bytes": 1.5}, {"keys": True}, {"time": 5}, {"time": "1s"}]
)
def test_limits_are_checked_when_they_are_given(limits: Any) -> None:
    with pytest.raises(errors.UsageError):
        rl.Limits(**limits)


def test_a_continuation_goes_with_its_query_only(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(query("Order").where(q.customer == "ana"), limit=1)
        page.all()
        with pytest.raises(errors.BadContinuation, match="it is of another query"):
            store.query(query("Order").where(q.customer == "bo"), resume=page.continuation)
        scan = store.scan(limit=1)
        scan.all()
        with pytest.raises(errors.BadContinuation):
            store.query(query("Order"), resume=scan.continuation)


@pytest.mark.parametrize("resume", [b"", b"x", b"\x08", b"\xff" * 20, "text", 7])
def test_bytes_that_are_no_continuation_are_refused(orders: Shop, resume: Any) -> None:
    with orders.db.transaction() as tx, pytest.raises(errors.BadContinuation):
        tx.store(SHOP, path=PATH).query(query("Order"), resume=resume)


def test_a_continuation_keeps_the_plan_that_gave_it_while_that_is_possible(orders: Shop) -> None:
    asked = query("Order").where(q.customer == "ana")
    with orders.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(asked, limit=1)
        first = page.all()
    with orders.db.transaction() as tx:
        rest = tx.store(SHOP, path=PATH).query(asked, resume=page.continuation).all()
    assert ids(first + rest) == [1, 3, 6]


# -- records and covering --------------------------------------------------------------------------------------------


def test_a_covering_query_has_the_fields_asked_for_and_reads_no_record(orders: Shop) -> None:
    asked = query("Order").where(q.customer == "ana").select("customer", "total", "id")
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        before = tx.counters.reads
        found = store.query(asked).all()
        assert tx.counters.reads - before == 1
    assert found == [
        Order(id=6, customer="ana", total=10),
        Order(id=3, customer="ana", total=20),
        Order(id=1, customer="ana", total=30),
    ]


def test_covered_values_behind_the_key_of_an_index_are_used(orders: Shop) -> None:
    asked = query("Order").where(q.total == 30).select("note", "total")
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.explain(asked).line.startswith("Cover(Scan(by_total_with_note")
        assert store.query(asked).all() == [Order(id=1, total=30, note="fast")]


def test_values_are_tuples_of_what_is_selected_whether_or_not_an_index_has_it(orders: Shop) -> None:
    def value(order: Any, name: str) -> Any:
        found = order
        for step in name.split("."):
            if not found.HasField(step):
                return None
            found = getattr(found, step)
        return found

    def ask(asked: Any, **how: Any) -> tuple[list[Any], Any, int]:
        with orders.db.transaction() as tx:
            store = tx.store(SHOP, path=PATH)
            before = tx.counters.reads
            page = store.query(asked, **how)
            return page.values(), page.continuation, tx.counters.reads - before

    for names, indexes in (
        (("total", "id", "customer"), ("by_customer_and_total",)),
        (("id", "customer"), ("by_customer",)),
        (("note", "total", "ratio", "status", "address.city"), ()),
    ):
        asked = query("Order").use_indexes(*indexes).select(*names)
        whole, _, reads = ask(asked.order_by("customer") if indexes else asked)
        assert sorted(whole, key=repr) == sorted(
            [tuple(value(one, name) for name in names) for one in ORDERS], key=repr
        )
        assert reads == 1, "entries have it all" if indexes else "one scan"
        few, resume, _ = ask(asked.order_by("customer") if indexes else asked, limit=3)
        rest, _, _ = ask(asked.order_by("customer") if indexes else asked, resume=resume)
        assert few + rest == whole
    with pytest.raises(errors.UsageError, match="select"):
        ask(query("Order"))


def test_records_come_with_key_type_and_version_when_asked_for(orders: Shop) -> None:
    with orders.db.transaction() as tx:
        page = tx.store(SHOP, path=PATH).query(query("Order").where(q.total == 40))
        (record,) = list(page.records())
    assert (record.primary_key, record.record_type.name, record.version) == ((4,), "Order", None)


# -- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "line", "expected"),
    [
        (query("Order").where(q.customer == "ana"), "Count(orders_per_customer[= 'ana'])", 3),
        (query("Order"), "Count(orders_per_customer[all groups])", 8),
        (
            query("Order").where(q.customer.in_(["x", "bo", "ana"])),
            "Count(orders_per_customer[= 'ana'] [= 'bo'] [= 'x'])",
            5,
        ),
        (query("Order").where(q.customer > "ana"), "Count(orders_per_customer('ana', ...))", 4),
        (query("Order").where(q.customer.in_([])), "Count(orders_per_customer[nothing])", 0),
        (query("Order").where(q.total > 15), "Count(Fetch(Scan(by_total_with_note[total > 15])))", 4),
        (query("Order").where(q.customer == "ana").order_by("note"), "Count(orders_per_customer[= 'ana'])", 3),
        (query("Customer"), "Count(Only(Scan(records[all]), Customer))", 1),
        (query(), "Count(Scan(records[all]))", 9),
    ],
)
def test_counting_uses_an_index_where_one_counts(orders: Shop, asked: Any, line: str, expected: int) -> None:
    with orders.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        assert store.explain(asked, counting=True).line == line
        assert store.count(asked) == expected


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (q.custmer == "ana", errors.UnknownField),
        (q.address.street == "x", errors.UnknownField),
        (q.customer == 7, errors.WrongType),
        (q.total == "7", errors.WrongType),
        (q.total == 7.5, errors.WrongType),
        (q.total == True, errors.WrongType),  # noqa: E712  (builds a predicate)
        (q.paid == 1, errors.WrongType),
        (q.status == "LOST", errors.WrongType),
        (q.tags == "new", errors.QueryError),
        (q.customer.one_of_them() == "ana", errors.QueryError),
        (q.address == "x", errors.QueryError),
        (q.customer.name == "x", errors.QueryError),
        (q.total.starts_with("x"), errors.WrongType),
        (q.customer.in_(["a", 1]), errors.WrongType),
    ],
)
def test_a_condition_that_does_not_fit_the_records_is_refused(orders: Shop, condition: Any, error: Any) -> None:
    with pytest.raises(error):
        orders.messages(query("Order").where(condition))


def test_a_misspelt_field_is_answered_with_the_right_one(orders: Shop) -> None:
    with pytest.raises(errors.UnknownField, match="customer"):
        orders.messages(query("Order").where(q.custmer == "ana"))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: query("Order").where(q.a == 1 and q.b == 2),
        lambda: query("Order").where(not q.a),
        lambda: query("Order").where(q.customer),
        lambda: query("Order").where(True),
        lambda: q.customer == None,  # noqa: E711  (what is tested)
        lambda: q == 3,
        lambda: q.customer.in_("ana"),
        lambda: q.customer.in_([None]),
        lambda: (q.a == 1) & True,
        lambda: query(7),
        lambda: query("Order").order_by(),
        lambda: query("Order").order_by(7),
        lambda: query("Order").order_by(q.tags.one_of_them()),
        lambda: query("Order").select(),
        lambda: q[0] == 1,
        lambda: 3 in q.tags,
    ],
)
def test_mistakes_in_writing_a_query_are_found_at_once(mistake: Any) -> None:
    with pytest.raises((errors.UsageError, TypeError)):
        mistake()


def test_a_query_for_an_unknown_type_or_what_is_no_query_is_refused(orders: Shop) -> None:
    with pytest.raises(errors.UnknownRecordType, match="Order"):
        orders.messages(query("Ordr"))
    with pytest.raises(errors.WrongType):
        orders.messages("Order")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(errors.QueryError):
        orders.messages(query("Order").order_by("tags"))
    with pytest.raises(errors.UsageError):
        orders.messages(query("Order"), limit=-1)


# -- fields without presence -----------------------------------------------------------------------------------------


def test_the_default_of_a_field_without_presence_is_a_value_like_others(db: Any) -> None:
    from google.protobuf import message_factory

    from tests.support.shop import shop_file

    file = shop_file("proto3")
    order: Any = message_factory.GetMessageClass(file.message_types_by_name["Order"])
    metadata = (
        rl.RecordMetaDataBuilder(file)
        .primary_key("Order", field("id"))
        .index("Order", "by_total", field("total"))
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_zip", field("address").nest("zip"))
        .index("Order", "per_total", rl.count(group_by="total"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(
        order(id=1, total=-5, address={}),
        order(id=2, total=0, customer="b"),
        order(id=3, total=7, address={"zip": 3}),
        order(id=4, customer="a", total=0),
    )
    for condition, expected in [
        (q.total == 0, [2, 4]),
        (q.total != 0, [1, 3]),
        (q.total < 1, [1, 2, 4]),
        (q.total < 0, [1]),
        (q.total >= 0, [2, 3, 4]),
        (q.total > -6, [1, 2, 3, 4]),
        ((q.total > -6) & (q.total < 7), [1, 2, 4]),
        (q.total > 0, [3]),
        (q.total.is_null(), []),
        (q.total.not_null(), [1, 2, 3, 4]),
        (q.customer == "", [1, 3]),
        (q.customer >= "", [1, 2, 3, 4]),
        (q.customer < "b", [1, 3, 4]),
        (q.address.zip == 0, [1]),
        (q.address.zip < 5, [1, 3]),
        (q.address.zip.is_null(), [2, 4]),
        (q.address.zip.not_null(), [1, 3]),
    ]:
        asked = query("Order").where(condition)
        with db.transaction() as tx:
            found = planned(tx.store(metadata, path=PATH).core, asked)
        for plan in (found.plan, *found.others):
            assert sorted(run(shop, plan)) == expected, (str(condition), plan.line)
    with db.transaction() as tx:
        assert tx.store(metadata, path=PATH).count(query("Order").where(q.total == 0)) == 2
    shop.check()


def test_an_index_that_stores_defaults_for_what_is_not_set_is_not_taken_for_a_condition(db: Any) -> None:
    from recordlayer.keys import NullInterpretation

    metadata = builder().index("Order", "by_total", field("total", nulls=NullInterpretation.NOT_NULL)).build()
    shop = Shop(db, metadata)
    shop.save(Order(id=1), Order(id=2, total=0))
    assert ids(shop.messages(query("Order").where(q.total == 0))) == [2]
    assert ids(shop.messages(query("Order").where(q.total.is_null()))) == [1]


def test_primary_keys_that_begin_with_the_type_bound_the_scan_of_a_type(db: Any) -> None:
    metadata = (
        rl.RecordMetaDataBuilder(FILE)
        .primary_key("Order", rl.concat(rl.record_type(), "id"))
        .primary_key("Customer", rl.concat(rl.record_type(), "id"))
        .build()
    )
    shop = Shop(db, metadata)
    shop.save(Order(id=1), Order(id=2), Customer(id=1))
    with db.transaction() as tx:
        store = tx.store(metadata, path=PATH)
        before = tx.counters.rows_read
        assert ids(store.query(query("Order").where(q.id > 1)).all()) == [2]
        assert tx.counters.rows_read - before == 1
        assert ids(store.query(query("Customer")).all()) == [1]
        assert ids(store.query(query("Order").order_by("id", reverse=True)).all()) == [2, 1]
