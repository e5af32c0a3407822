"""Places near a point, and records parted for readers side by side."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

import recordlayer as rl
from recordlayer import errors, field, q, query
from recordlayer.query.near import distance
from tests.behaviour.conftest import Shop
from tests.support.shop import PATH, SHOP, Order

CITIES = {
    "Amsterdam": (52.37, 4.90),
    "Haarlem": (52.38, 4.64),
    "Suva": (-18.14, 178.44),
    "Apia": (-13.83, -171.76),
    "Longyearbyen": (78.22, 15.63),
}


def places() -> rl.RecordMetaData:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="places.proto", package="places", syntax="proto2")
    point = file.message_type.add(name="Point")
    for number, name in enumerate(("latitude", "longitude"), 1):
        point.field.add(name=name, number=number, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
    city = file.message_type.add(name="City")
    city.field.add(name="name", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    city.field.add(name="at", number=2, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL, type_name=".places.Point")
    union = file.message_type.add(name="RecordTypeUnion")
    union.field.add(
        name="_City", number=1, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL, type_name=".places.City"
    )
    files = descriptor_pb2.FileDescriptorSet(file=[file])
    builder = rl.RecordMetaDataBuilder.from_descriptor_set(files).primary_key("City", "name")
    return builder.index("City", "by_latitude", field("at").nest("latitude")).build()


@pytest.fixture
def cities(db: Any) -> Any:
    metadata = places()
    made: Any = metadata.record_type("City").message_class
    with db.transaction() as tx:
        store = tx.store(metadata, path=("places",))
        for name, (latitude, longitude) in CITIES.items():
            store.save(made(name=name, at={"latitude": latitude, "longitude": longitude}))
        store.save(made(name="nowhere"))
        store.save(made(name="half", at={"latitude": 52.37}))
    with db.transaction() as tx:
        store = tx.store(metadata, path=("places",))
        yield store
        assert store.check() == []


@pytest.mark.parametrize("metres", [0, 1_000, 20_000, 1_200_000, 3_200_000, 2.1e7])
@pytest.mark.parametrize("point", [(52.37, 4.90), (-16.0, 180.0), (90.0, 0.0)])
def test_what_is_near_is_what_the_distance_says(cities: Any, point: tuple[float, float], metres: float) -> None:
    near = q.at.near(*point, within=metres)
    found = {city.name for city in cities.query(query("City").where(near))}
    assert found == {name for name, place in CITIES.items() if distance(*point, *place) <= metres}
    far = {city.name for city in cities.query(query("City").where(~near))}
    far.discard("half")  # of which the latitude alone may decide that it is far
    assert found | far == CITIES.keys(), "a place that is not known is neither near nor far"


def test_an_index_on_the_latitude_bounds_what_is_read(cities: Any) -> None:
    plan = cities.explain(query("City").where(q.at.near(52.37, 4.9, within=20_000)))
    assert "by_latitude" in plan.line


def test_distances_are_those_of_a_sphere() -> None:
    assert distance(0, 0, 0, 180) == pytest.approx(math.pi * 6_371_008.8)
    assert distance(52.37, 4.9, 52.37, 4.9) == 0
    assert distance(0, 179.9, 0, -179.9) == pytest.approx(22_239, rel=1e-3)


def test_what_is_no_place_on_earth_is_refused(cities: Any) -> None:
    for bad in (lambda: q.at.near(91, 0, within=1), lambda: q.at.near(0, 0, within=-1), lambda: q.near(0, 0, within=1)):
        with pytest.raises(errors.UsageError):
            bad()
    with pytest.raises(errors.QueryError):
        cities.query(query("City").where(q.name.near(0, 0, within=1)))


def test_pieces_are_all_records_once_each(shop: Shop) -> None:
    shop.save(*(Order(id=number, note="x" * 400) for number in range(300)))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        points = store.split_points(pieces=5)
        assert 1 <= len(points) <= 20
        assert points == sorted(points)
        assert all(0 < point[0] < 300 for point in points)
        if shop.db.url.startswith("memory:"):  # a cluster knows samples of what there is
            assert len(points) >= 2
            assert store.split_points(pieces=1_000) != points
        with pytest.raises(errors.UsageError):
            store.split_points(pieces=0)
    with shop.db.transaction() as tx:
        assert tx.store(SHOP, path=("shop", "empty")).split_points(pieces=4) == []


def test_records_are_loaded_with_their_keys_and_none_where_there_is_none(shop: Shop) -> None:
    shop.save(Order(id=1, customer="ana"), Order(id=3))
    with shop.db.transaction() as tx:
        found = tx.store(SHOP, path=PATH).load_records([(3,), (2,), (1,)])
    assert [None if record is None else record.primary_key for record in found] == [(3,), None, (1,)]


def test_a_record_that_was_given_back_is_the_next_one(shop: Shop) -> None:
    shop.save(*(Order(id=number) for number in range(5)))
    with shop.db.transaction() as tx:
        store = tx.store(SHOP, path=PATH)
        page = store.query(query("Order"))
        with pytest.raises(errors.NotFinished):
            page.give_back()
        taken = []
        for order in page:
            taken.append(order.id)
            if len(taken) == 3:
                break
        page.give_back()
        with pytest.raises(errors.NotFinished):
            page.give_back()
        rest = store.query(query("Order"), resume=page.continuation)
        assert [order.id for order in rest] == [2, 3, 4]
