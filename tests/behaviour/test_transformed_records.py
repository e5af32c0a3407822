"""Stores whose records are compressed and encrypted: everything works as with plain ones, damage is told, and what is
stored shows nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordlayer as rl
from recordlayer import errors, field
from recordlayer.store.encryption import KeyRing
from recordlayer.store.serializer import PLAIN, TransformingSerializer
from recordlayer.waiting.drivers import run_blocking
from tests.support.shop import PATH, SHOP, Order, builder

SECRET = bytes(range(32))
COMPRESSING = TransformingSerializer()
ENCRYPTING = TransformingSerializer(keys=KeyRing(SECRET), validate=1)
LONG = builder().split_long_records(True).store_record_versions(True).index("Order", "by_total", field("total")).build()
PREFIX = rl.Subspace(PATH).key()


def records(db: Any) -> dict[bytes, bytes]:
    """The pairs of the records, without the prefix of their keyspace."""
    begin = PREFIX + b"\x15\x01"
    with db.transaction() as tx:
        rows = run_blocking(tx.context.read_all(begin + b"\x00", begin + b"\xff"))
    return {key[len(begin) :]: value for key, value in rows}


@pytest.mark.parametrize("serializer", [COMPRESSING, ENCRYPTING], ids=["compressed", "encrypted"])
def test_records_are_saved_found_changed_and_deleted_as_ever(db: Any, serializer: TransformingSerializer) -> None:
    note = "the quick brown fox " * 50
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=serializer)
        for number in range(1, 11):
            store.save(Order(id=number, customer="ab"[number % 2], total=number, tags=["x"], note=note))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=serializer)
        of_a = rl.query("Order").where(rl.q.customer == "a")
        assert [order.id for order in store.query(of_a).all()] == [2, 4, 6, 8, 10]
        assert store.count("orders_per_customer", "a") == 5
        store.save(Order(id=2, customer="b", note=note))
        assert store.delete(4)
        assert [order.id for order in store.query(of_a).all()] == [6, 8, 10]
        assert store.load(2) == Order(id=2, customer="b", note=note)
        assert len(store.scan().all()) == 9
        assert store.check() == []
    stored = records(db).values()
    assert not any(b"quick brown fox" in value for value in stored)
    assert all(len(value) < 200 for value in stored)


def test_records_are_split_after_they_were_compressed(db: Any) -> None:
    shrinking = Order(id=1, total=1, body=b"ab" * 100_000)
    growing = Order(id=2, total=2, body=bytes((7 * number * number >> 3) % 251 for number in range(150_000)))
    with db.transaction() as tx:
        store = tx.store(LONG, path=PATH, serializer=TransformingSerializer(keys=KeyRing(SECRET), compression=None))
        store.save(shrinking)
        store.save(growing)
    assert sorted(key.hex() for key in records(db)) == [
        *("150113fe", "15011501", "15011502", "15011503"),
        *("150213fe", "15021501", "15021502"),
    ]
    with db.transaction() as tx:
        store = tx.store(LONG, path=PATH, serializer=TransformingSerializer(keys=KeyRing(SECRET)))
        assert [store.load(1), store.load(2)] == [shrinking, growing]
        store.save(shrinking)
    assert [key.hex() for key in records(db) if key.startswith(b"\x15\x01")] == ["150113fe", "150114"]
    with db.transaction() as tx:
        assert tx.store(LONG, path=PATH, serializer=ENCRYPTING).check() == []


def test_a_plain_store_becomes_an_encrypted_one_record_by_record(db: Any) -> None:
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        store.save(Order(id=1, customer="ana"))
        store.save(Order(id=2, customer="bo"))
    plain = records(db)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=ENCRYPTING)
        assert [store.load(1).customer, store.load(2).customer] == ["ana", "bo"]
        store.save(store.load(2))
        assert store.check() == []
    mixed = records(db)
    assert mixed[b"\x15\x01\x14"] == plain[b"\x15\x01\x14"]
    assert b"bo" not in mixed[b"\x15\x02\x14"]
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=ENCRYPTING)
        assert [order.customer for order in store.scan().all()] == ["ana", "bo"]


@pytest.mark.usefixtures("leaves_damage")
def test_a_new_key_does_not_hide_what_the_old_one_encrypted(db: Any) -> None:
    old, new = KeyRing({1: SECRET[:16]}), KeyRing({1: SECRET[:16], 2: SECRET})
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH, serializer=TransformingSerializer(keys=old)).save(Order(id=1, customer="ana"))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=TransformingSerializer(keys=new))
        store.save(Order(id=2, customer="bo"))
        assert [order.customer for order in store.scan().all()] == ["ana", "bo"]
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=TransformingSerializer(keys=old))
        assert store.load(1).customer == "ana"
        with pytest.raises(errors.UnknownEncryptionKey) as raised:
            store.load(2)
        findings = store.check()
    assert (raised.value.fields["key_number"], raised.value.fields["primary_key"]) == (2, (2,))
    expected = ["a record is encrypted with a key that is not here"]
    assert [finding.what for finding in findings if "key_number" in str(finding.detail)] == expected


@pytest.mark.usefixtures("leaves_damage")
@pytest.mark.parametrize(
    ("serializer", "error"),
    [
        (PLAIN, errors.CorruptRecord),
        (COMPRESSING, errors.UnknownEncryptionKey),
        (TransformingSerializer(keys=KeyRing(SECRET[:16])), errors.CorruptRecord),
    ],
    ids=["plain", "without keys", "with another key"],
)
def test_who_lacks_the_key_is_told_and_changes_nothing(db: Any, serializer: Any, error: Any) -> None:
    with db.transaction() as tx:
        fixed = TransformingSerializer(keys=KeyRing(SECRET), random_bytes=lambda count: bytes(count))
        tx.store(SHOP, path=PATH, serializer=fixed).save(Order(id=1, customer="ana"))
    before = records(db)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=serializer)
        with pytest.raises(error):
            store.load(1)
        with pytest.raises(error):
            store.save(Order(id=1, customer="bo"))
        with pytest.raises(error):
            store.delete(1)
        assert tx.counters.writes == 0
    assert records(db) == before


def test_a_serialiser_that_forgets_writes_nothing_when_records_are_validated(db: Any) -> None:
    class Forgetful:
        def encode(self, envelope: bytes) -> bytes:
            return envelope[:-1]

        def decode(self, stored: bytes) -> bytes:
            return stored

    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=TransformingSerializer(inner=Forgetful(), validate=1))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=TransformingSerializer(inner=Forgetful(), validate=1))
        with pytest.raises(errors.UnfaithfulSerializer):
            store.save(Order(id=1, customer="ana"))
        assert tx.counters.writes == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_damaged_record_is_refused_or_unharmed_and_the_others_stay_readable(db: Any, data: st.DataObject) -> None:
    # Compressed only: a checksum finds every damage behind the head, except of the few bits that nothing depends on, at
    # the end of the compressed blocks. Encryption proves nothing of that kind.
    order = Order(id=1, customer="ana", note="x" * 300)
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=COMPRESSING)
        store.save(order)
        store.save(Order(id=2, customer="bo"))
    stored = bytearray(records(db)[b"\x15\x01\x14"])
    assert stored[0] == 4
    place = data.draw(st.integers(8, len(stored) * 8 - 1))
    stored[place // 8] ^= 1 << place % 8
    with db.transaction() as tx:
        tx.context.set(PREFIX + b"\x15\x01\x15\x01\x14", bytes(stored))
    with db.transaction() as tx:
        store = tx.store(SHOP, path=PATH, serializer=COMPRESSING)
        try:
            assert store.load(1) == order
        except errors.CorruptRecord:
            pass
        assert store.load(2) == Order(id=2, customer="bo")
        tx.context.clear_range(PREFIX, PREFIX + b"\xff")


@pytest.mark.usefixtures("leaves_damage")
def test_damage_behind_the_head_of_a_compressed_record_is_found(db: Any) -> None:
    with db.transaction() as tx:
        tx.store(SHOP, path=PATH, serializer=COMPRESSING).save(Order(id=1, customer="ana", note="x" * 300))
    stored = records(db)[b"\x15\x01\x14"]
    for place in (1, 2, 5, 6, 7, len(stored) - 1):
        damaged = bytearray(stored)
        damaged[place] ^= 0x10
        with db.transaction() as tx:
            tx.context.set(PREFIX + b"\x15\x01\x15\x01\x14", bytes(damaged))
        with db.transaction() as tx:
            with pytest.raises(errors.CorruptRecord) as raised:
                tx.store(SHOP, path=PATH, serializer=COMPRESSING).load(1)
            assert raised.value.fields["primary_key"] == (1,)
