"""Indexes scrubbed while others use the store: what is found, what is put right, and where a scrub goes on."""

from __future__ import annotations

from typing import Any

import pytest

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.index.state import IndexState
from recordlayer.keys import VERSION
from recordlayer.metadata import max_ever, rank, text_index
from recordlayer.metadata.definitions import permuted_max
from recordlayer.online.options import WorkLimits
from recordlayer.store.sampling import Sampling
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.support.shop import PATH, Customer, Order, builder

RECORDS = 40
FEW = WorkLimits(records=7, records_per_second=None)


def with_indexes() -> rl.RecordMetaData:
    return (
        builder()
        .index("Order", "by_customer", field("customer"))
        .index("Order", "by_total", field("total"), unique=True)
        .index("Order", "by_tag", field("tags").fan_out())
        .index("Order", "per_customer", rl.count(group_by=field("customer")))
        .index("Order", "sales", rl.sum_of(field("total"), group_by=field("customer")))
        .index("Order", "ranked", rank("total", group_by="customer"))
        .index("Order", "words", text_index("note"))
        .index("Order", "greatest", max_ever(field("total")))
        .index(None, "all_records", rl.count())
        .build()
    )


METADATA = with_indexes()
JUDGED = ("all_records", "by_customer", "by_tag", "by_total", "per_customer", "ranked", "sales", "words")


def order(number: int) -> Any:
    words = " ".join(["apple", "pear", "plum", "fig"][: number % 5])
    return Order(id=number, customer=f"c{number % 7}", total=number, note=words, tags=["new", "old"][: number % 3])


@pytest.fixture
def store(db: Any) -> Any:
    """A store that is as it should be."""
    with db.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        for number in range(RECORDS):
            opened.save(order(number))
        opened.save(Customer(ref="x", name="no order"))
    return db


def scrub(db: Any, *names: str, **how: Any) -> Any:
    how.setdefault("limits", FEW)
    return db.index_scrubber(METADATA, path=PATH, indexes=names or None, **how).scrub()


def damage(db: Any, *changes: tuple[str, int, tuple[Any, ...], bytes | None]) -> None:
    """Set or clear pairs of indexes: index, keyspace, items behind the index's prefix, value or None."""
    with db.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        for index, keyspace, items, value in changes:
            key = pack(items, core.layout.prefix + bytes((0x15, keyspace)) + pack((index,)))
            if value is None:
                assert run_blocking(_get(core.context, key)) is not None
                core.context.clear(key)
            else:
                core.context.set(key, value)


async def _get(context: Any, key: bytes) -> Any:
    return await context.get(key)


def check(db: Any) -> list[str]:
    with db.transaction() as tx:
        return [str(finding) for finding in tx.store(METADATA, path=PATH).check()]


def left(db: Any) -> list[Any]:
    """What scrubs leave behind."""
    begin, end = rl.Subspace(PATH).range((9,))
    with db.transaction() as tx:
        return run_blocking(tx.context.read_all(begin, end))


DAMAGE = (
    ("by_customer", 2, ("c3", 3), None),
    ("by_customer", 2, ("nobody", 999), b""),
    ("by_customer", 2, ("c4", 3), b""),
    ("by_tag", 2, ("old", 5), None),
    ("by_total", 2, (7, 7), None),
    ("per_customer", 2, ("c1",), (77).to_bytes(8, "little")),
    ("sales", 2, ("ghost",), (5).to_bytes(8, "little")),
    ("all_records", 2, (), (1).to_bytes(8, "little")),
    ("ranked", 2, ("c2", 9, 9), None),
    ("ranked", 3, ("c5", 0, pack((5,))), None),
    ("ranked", 3, ("c6", 1, b""), (99).to_bytes(8, "little")),
    ("ranked", 3, ("c6", 2, b""), None),
    ("words", 3, (0, 999), pack((0,))),
    ("words", 2, ("apple", 888), b"\x20\x00"),
    ("words", 2, ("grape", 3), b"\x20\x01\x00"),
)


def test_a_store_that_is_right_has_no_findings(store: Any) -> None:
    report = scrub(store)
    assert report.finished
    assert set(report.indexes) == set(JUDGED)
    assert report.not_judged == ("greatest",)
    assert (report.found, report.findings) == (0, ())
    assert report.records >= RECORDS
    assert report.entries >= RECORDS
    assert left(store) == [], "a scrub that came to its end leaves nothing behind"


def test_what_is_wrong_is_found_in_words_and_left_as_it_is(store: Any) -> None:
    damage(store, *DAMAGE)
    before = check(store)
    report = scrub(store)
    assert report.finished
    assert report.repaired == 0
    lines = {str(finding) for finding in report.findings}
    assert "index by_customer: an entry is missing: (('c3', 3), (3,))" in lines
    assert "index by_customer: an entry has no record: ('nobody', 999)" in lines
    assert "index by_customer: an entry has no record: ('c4', 3)" in lines
    assert "index per_customer: an aggregate is off: (('c1',), 77, 6)" in lines
    assert "index sales: an aggregate is off: (('ghost',), 5, 0)" in lines
    assert "index words: the version of a tokenizer has no record: (999,)" in lines
    assert {finding.where for finding in report.findings} == {f"index {name}" for name in JUDGED}
    assert {line for line in before if "ranked" not in line} <= lines, "the check says the same"
    assert check(store) == before, "nothing was changed"
    scrub(store, repair=True)


def test_what_is_wrong_is_put_right(store: Any) -> None:
    damage(store, *DAMAGE)
    report = scrub(store, repair=True)
    assert report.finished
    assert report.found == report.repaired > len(DAMAGE) // 2
    assert all(finding.repaired for finding in report.findings)
    assert check(store) == []
    assert scrub(store).found == 0


def test_one_damage_hides_no_other(store: Any) -> None:
    """Each of the damages alone is found, and put right, whatever else is as it should be."""
    for change in DAMAGE:
        damage(store, change)
        assert scrub(store, change[0]).found, change
        assert scrub(store, change[0], repair=True).repaired, change
        assert check(store) == [], change


def test_a_scrub_that_was_stopped_goes_on_where_it_was(store: Any) -> None:
    damage(store, ("by_customer", 2, ("c3", 3), None))
    looked, found = 0, []
    for _ in range(100):
        report = scrub(store, "by_customer", stop_after=10)
        looked += report.records + report.entries
        found += report.findings
        if report.finished:
            break
        assert left(store), "how far it is"
    assert report.finished
    assert looked == RECORDS - 1 + RECORDS + 1, "each entry and each record was looked at once"
    assert [finding.detail for finding in found] == [(("c3", 3), (3,))]
    assert left(store) == []
    assert scrub(store, "by_customer", repair=True).repaired == 1


def test_how_far_a_scrub_is_lies_where_java_looks_for_it(store: Any) -> None:
    scrub(store, "by_customer", stop_after=7)
    key = pack(("by_customer",), b"")
    begin = rl.Subspace(PATH).pack((9,)) + key
    rows = {row[0][len(begin) :]: row[1] for row in left(store)}
    with store.transaction() as tx:
        entries = [entry.suffix for entry in tx.store(METADATA, path=PATH).scan_index("by_customer")]
    assert rows == {pack((3, b"\x00")): entries[7]}, "range set of entries, of the scrub without an id"
    scrub(store, "by_customer", stop_after=7, scrub_id=5)
    rows = {row[0][len(begin) :]: row[1] for row in left(store)}
    assert rows[pack((6, 5, b"\x00"))] == entries[7]
    assert scrub(store, "by_customer").entries == RECORDS - 7
    assert scrub(store, "by_customer", scrub_id=5, anew=True).entries == RECORDS


def test_a_repair_of_a_unique_index_does_not_let_two_records_have_one_value(store: Any) -> None:
    with store.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        opened.core.context.clear(pack((7, 7), opened.core.layout.prefix + b"\x15\x02" + pack(("by_total",))))
        opened.save(Order(id=100, total=7))
    report = scrub(store, "by_total", repair=True)
    (finding,) = report.findings
    assert (finding.what, finding.repaired) == ("an entry is missing", False)
    assert "another record" in finding.trouble
    with store.transaction() as tx:
        tx.store(METADATA, path=PATH).delete(100)
    assert scrub(store, "by_total", repair=True).repaired == 1


def test_an_index_that_cannot_be_scrubbed_is_refused_with_what_to_do(store: Any) -> None:
    with pytest.raises(errors.UnknownIndex):
        scrub(store, "nowhere")
    with pytest.raises(errors.IndexNotSupported, match="check"):
        scrub(store, "greatest")
    with pytest.raises(errors.UsageError):
        store.index_scrubber(METADATA, path=PATH, indexes=[])
    with pytest.raises(errors.UsageError):
        store.index_scrubber(METADATA, path=PATH, stop_after=0)
    with pytest.raises(errors.StoreMissing):
        store.index_scrubber(METADATA, path=("shop", "nobody")).scrub()
    newer = builder().index("Order", "later", field("total")).build()
    fresh = ("shop", "fresh")
    with store.transaction() as tx:
        tx.store(newer, path=fresh, new_index_state=lambda _: IndexState.DISABLED)
    with pytest.raises(errors.IndexNotReadable):
        store.index_scrubber(newer, path=fresh, indexes=["later"]).scrub()
    assert store.index_scrubber(newer, path=fresh).scrub().indexes == (), "of all, those that are readable"


def test_the_report_keeps_so_many_findings_and_counts_all(store: Any) -> None:
    damage(store, *[("by_customer", 2, (f"c{number % 7}", number), None) for number in range(20)])
    report = scrub(store, "by_customer", most_findings=3, repair=True)
    assert (report.found, report.repaired, len(report.findings)) == (20, 20, 3)


def test_what_is_told_is_committed(store: Any) -> None:
    damage(store, ("by_customer", 2, ("c3", 3), None))
    told: list[Any] = []
    report = scrub(store, "by_customer", repair=True, told=told.append)
    assert [one.transactions for one in told] == list(range(1, len(told) + 1))
    assert told[-1].found == report.found == 1
    assert report.transactions == len(told) > RECORDS // 7


def test_records_that_cannot_be_read_are_named_and_keep_their_entries(store: Any) -> None:
    with store.transaction() as tx:
        core = tx.store(METADATA, path=PATH).core
        key = pack((3, 0), core.layout.records)
        kept = run_blocking(_get(core.context, key))
        core.context.set(key, b"\xff\xff\xff")
    report = scrub(store, "by_customer", repair=True)
    (finding,) = report.findings
    assert finding.what == "a record cannot be read"
    assert "3" in str(finding)
    with store.transaction() as tx:
        tx.store(METADATA, path=PATH).core.context.set(key, kept)


OTHERS = (
    builder()
    .store_record_versions(True)
    .index("Order", "recent", VERSION, type="version")
    .index("Order", "best", permuted_max("total", group_by="customer"))
    .build()
)


def test_versions_and_extremes_are_judged_too(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(OTHERS, path=PATH)
        for number in range(20):
            store.save(order(number))
    scrubber = db.index_scrubber(OTHERS, path=PATH, limits=FEW)
    assert scrubber.scrub().found == 0
    with db.transaction() as tx:
        core = tx.store(OTHERS, path=PATH).core
        extremes = core.index_maintainer("best").space.space(3)
        rows = run_blocking(core.context.read_all(extremes, extremes + b"\xff"))
        core.context.clear(rows[0][0])
        core.context.set(extremes + pack((1, "c6")), b"")
        versions = core.index_maintainer("recent").space.entries
        rows = run_blocking(core.context.read_all(versions, versions + b"\xff"))
        core.context.clear(rows[3][0])
    found = db.index_scrubber(OTHERS, path=PATH, limits=FEW, repair=True).scrub()
    assert {finding.what for finding in found.findings} == {
        "the extreme of a group is missing",
        "what is kept as an extreme is none",
        "an entry is missing",
    }
    assert found.found == found.repaired == 3


def test_texts_are_put_together_again_when_asked_for(store: Any) -> None:
    with store.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        for number in range(200, 260):
            opened.save(Order(id=number, total=number, note="apple"))
    with store.transaction() as tx:
        opened = tx.store(METADATA, path=PATH)
        for number in range(200, 260):
            if number % 4:
                opened.delete(number)

    def bunches() -> int:
        begin, end = rl.Subspace(PATH).range((2, "words", "apple"))
        with store.transaction() as tx:
            return len(run_blocking(tx.context.read_all(begin, end)))

    before = bunches()
    assert scrub(store, "words", tidy=True).found == 0
    assert bunches() < before


def test_some_saves_and_deletions_look_whether_indexes_agree_with_the_old_record(store: Any) -> None:
    told: list[str] = []

    def at_every_save(tx: Any) -> Any:
        return tx.store(METADATA, path=PATH, sampling=Sampling(1.0, told.append))

    with store.transaction() as tx:
        opened = at_every_save(tx)
        for number in range(RECORDS):
            opened.save(order(number + 0))
            opened.save(Order(id=number, customer="other", total=number, note="plum"))
            opened.save(order(number))
        opened.save(order(500))
        opened.delete(500)
    assert told == []
    damage(store, *[("by_customer", 2, (f"c{number % 7}", number), None) for number in range(RECORDS)])
    with store.transaction() as tx:
        for number in range(RECORDS):
            at_every_save(tx).save(order(number))
    assert told
    assert set(told) <= {
        f"index by_customer: an entry is missing: (('c{number % 7}', {number}), ({number},))"
        for number in range(RECORDS)
    }
    with store.transaction() as tx:
        never = tx.store(METADATA, path=PATH, sampling=Sampling(0, told.append))
        told.clear()
        never.delete(3)
    assert told == []
    scrub(store, repair=True)
    with pytest.raises(errors.UsageError):
        Sampling(2, told.append)
